"""Losses: reconstruction and one-step prediction, likelihood, KL, existence, rollouts, several modes."""
