"""Delivery: from the buffer to the outbox, and from the outbox to the API.

Two threads: the writer moves items and never touches the network, the sender sends them and never
touches the buffer. Both start with the first run.
"""
