"""Deterministic recurrent dynamics: a GRU over embeddings."""
