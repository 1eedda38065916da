"""A lock: what agents declare, as a file for review, and how two of them differ."""
