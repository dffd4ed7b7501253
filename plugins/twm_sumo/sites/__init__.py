"""Ready-made networks with their demand, as plain data."""
