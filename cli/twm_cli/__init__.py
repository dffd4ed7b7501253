"""The command line of twm."""
