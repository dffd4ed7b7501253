"""Reader of the INTERACTION dataset and its lanelet2 maps."""
