"""Baselines: forecasters that are no world model, to measure one against."""
