"""The renderers `png` and `gif`."""
