"""Decoders of agents' states: Gaussian, mixture and kinematic outputs, existence, and futures decoded from samples."""
