"""The reader of NGSIM."""
