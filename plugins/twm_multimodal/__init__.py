"""Encoders and decoders of images and vectors, with reward and continue heads."""
