"""From files of recordings to a store: readers, tables, tracks, and the import itself."""
