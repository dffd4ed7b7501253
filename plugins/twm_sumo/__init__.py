"""SUMO as the real simulator: reader of its output, ready-made networks, and a live environment."""
