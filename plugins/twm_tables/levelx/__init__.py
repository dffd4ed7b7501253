"""The reader of highD, inD, rounD and exiD."""
