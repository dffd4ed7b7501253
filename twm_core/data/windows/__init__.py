"""Windows over scenarios: which there are, how they are read, split, batched and augmented."""
