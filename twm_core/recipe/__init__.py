"""Recipes: the values that a user gives, laid over presets and defaults, and the plan made of them. Torch-free."""
