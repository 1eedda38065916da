"""Delivery: from the buffer to the outbox, and from the outbox to the API.

Two threads: the writer moves items and does not use the network; the sender sends them and reads
no items from the buffer. Both start with the first run; the sender starts earlier if an ended
process left a spool file.
"""
