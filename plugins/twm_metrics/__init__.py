"""Metrics of forecasts of agents."""
