"""Readers of tables of rows: drone CSV, NGSIM, levelXData, and any CSV with a column mapping."""
