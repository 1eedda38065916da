"""Utilities of all other packages: the guard, clocks, keys, back-off, files and texts."""
