"""An encoder of map rasters."""
