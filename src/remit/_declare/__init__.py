"""Declarations: span types, agents, data risk, schemas, and the registration that sends them."""
