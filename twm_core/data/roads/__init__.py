"""Maps of roads as arrays: center lines, crops around agents, rasters."""
