"""Requests for a person's approval by the keys of their runs, without their values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from remit.collector.store.statements import Where
from remit.collector.store.transaction import Transaction


class RunRequest(NamedTuple):
    """A request, with the fields of `AskRow` that a list shows."""

    run: str
    agent_id: str | None
    step: str
    words: str
    status: str
    asked_at: int
    expires_at: int
    answered_by: str | None
    why: str | None
    answered_at: int | None


_COLUMNS: Final = ", ".join(RunRequest._fields)


def requests_of_runs(
    tx: Transaction, seen: Where, keys: Collection[str], most: int
) -> list[RunRequest]:
    """Return the requests of runs, those of one run together, the newest first.

    Args:
        seen: The condition on the requests that the caller sees.
        keys: Keys of runs.
        most: The largest number of requests.
    """
    if not keys:
        return []
    among, values = tx.among("run", keys)
    # The order is that of an index by run; by id alone, a database may read all requests.
    sql = f"SELECT {_COLUMNS} FROM asks WHERE {seen.text} AND {among} ORDER BY run, id DESC LIMIT ?"
    return [RunRequest(*row) for row in tx.rows(sql, (*seen.values, *values, most))]
