"""A lock: the declarations of agents as a file for review, and the difference of two locks."""
