"""Reproduction: a table of a paper or of ours, from the data folder to the numbers, with seeds, time, memory and hardware.

A table is a TOML file beside this module (or anywhere): which protocol, which parts of it, which rows. Torch-free but for `worker`.
"""
