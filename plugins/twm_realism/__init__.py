"""Closed-loop realism: how likely what happened is among simulated futures."""
