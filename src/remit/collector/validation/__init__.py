"""Compares payloads with declared schemas, renders summaries, and finds the markers in payloads."""
