"""Plugins: finding them, refusing, loading, and the registry of what they provide. Torch-free."""
