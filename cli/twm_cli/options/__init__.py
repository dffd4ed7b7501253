"""The options that components and recipes declare, as options of a command line."""
