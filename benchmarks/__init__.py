"""Measurements of remit and its peers, and the guard on the instructions of a call."""
