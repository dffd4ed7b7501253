"""The reader of any table whose columns a mapping file names."""
