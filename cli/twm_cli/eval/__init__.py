"""The command `twm eval` and its tables."""
