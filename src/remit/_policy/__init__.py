"""The policy: the words of a data risk, and what follows from them. Pure functions over values."""
