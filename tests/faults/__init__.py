"""The fault matrix: one program, one faulty back end after the other, and what came of it.

`python -m tests.faults` runs every fault and prints the table; the tests run the same faults and
hold each row to its promises.
"""
