"""The spool: keeps undelivered items on disk, in one file for each process, or in memory.

The writer puts rows into the `Outbox` of the process, and the sender reads and settles them. An
outbox writes to a `SpoolFile`. `Files` creates the file of the process, and takes the files of
ended processes, each of which the sender reads through an outbox of its own.
"""
