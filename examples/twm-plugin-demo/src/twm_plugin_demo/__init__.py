"""Selective state-space dynamics for twm, as a distribution of their own."""
