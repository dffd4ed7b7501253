"""Protocols: dataset, windows, futures and metrics under which numbers are comparable."""
