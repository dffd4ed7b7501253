"""twm plugin."""
