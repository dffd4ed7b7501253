"""First-party plugin: images and vectors, to tokens and back, with reward and continue heads."""
