"""Questions about what is recorded: lists by keyset, the feed of changes, and numbers.

Statements are the same for both databases, except for shards, increments and the newest spans of
several types. None contains a text of a request.
"""
