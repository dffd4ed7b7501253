"""The command `twm`: one file for each command, except those with a folder of their own."""
