"""Traffic data: recordings, scenarios, maps and what datasets have in common. `schema` needs neither torch nor NumPy."""
