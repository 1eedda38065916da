"""Rows as JSON on the wire: objects, lists, envelopes."""
