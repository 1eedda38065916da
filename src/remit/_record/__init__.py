"""Recording: wrappers, runs, spans and streams, and the items that they hand to a sink."""
