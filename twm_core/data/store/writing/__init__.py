"""Writing a scenario store in pieces, so that a stop at any moment loses nothing."""
