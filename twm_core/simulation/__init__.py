"""Traffic that can be stepped, saved, restored and intervened in, and episodes recorded from it."""
