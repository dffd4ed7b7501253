"""Training: the run, the loop, validation, the optimizer's schedule, resuming."""
