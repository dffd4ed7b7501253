"""First-party plugin: losses."""
