"""The multi-agent encoder: a Transformer across the agents of a step."""
