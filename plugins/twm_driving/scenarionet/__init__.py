"""The reader of ScenarioNet's pickled scenarios."""
