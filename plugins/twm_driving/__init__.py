"""Readers of recordings made from driving cars: Argoverse 2, ScenarioNet, Waymo."""
