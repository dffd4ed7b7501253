"""Scoring: what a forecaster gives, what a metric reads, and the protocol that makes two numbers comparable."""
