"""Losses on decoded motion: directions, kinematics, boundaries."""
