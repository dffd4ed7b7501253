"""The scenario store: its files, reading, checking and packing it."""
