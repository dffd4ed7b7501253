"""The plugin `highway`: simulated motorway traffic, the dataset that twm brings along."""
