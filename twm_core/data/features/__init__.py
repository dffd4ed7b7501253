"""Features derived from states and maps: motion, leaders, lanes, neighbours."""
