"""Implausible values found in recordings."""
