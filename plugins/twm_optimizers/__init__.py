"""The optimizers `adamw` and `laprop`."""
