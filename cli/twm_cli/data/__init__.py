"""The commands of `twm data`."""
