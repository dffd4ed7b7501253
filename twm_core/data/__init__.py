"""Traffic data: scenarios, windows over them, and loading. `schema` is torch-free and numpy-free; the rest is not."""
