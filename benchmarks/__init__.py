"""Measurements of remit beside its peers, and the guard on the instructions of a call."""
