"""First-party plugin: an encoder of map rasters."""
