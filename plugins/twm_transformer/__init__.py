"""Deterministic dynamics: a causal Transformer over time."""
