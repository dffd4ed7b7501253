"""SUMO as the real simulator: reader of its output, ready-made networks, and SUMO live, to step and to intervene in."""
