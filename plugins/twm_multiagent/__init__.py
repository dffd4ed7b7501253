"""First-party plugin: the multi-agent encoder."""
