"""Compares payloads with declared schemas, and renders summaries."""
