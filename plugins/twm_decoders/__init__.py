"""First-party plugin: decoders."""
