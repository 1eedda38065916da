"""Requests for a person's approval: the list of those that wait, and one of them."""
