"""Checkpoints: their files, their manifest, and the model loaded from them."""
