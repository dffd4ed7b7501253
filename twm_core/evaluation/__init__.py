"""Evaluation: forecasters and metrics, the engine that scores them, protocols, intervals and comparisons."""
