"""Recurrent state-space models: dynamics with a deterministic and a categorical stochastic part, for scenes and for agents."""
