"""Storage of the collector at a size: synthetic data, and how long questions about it take."""
