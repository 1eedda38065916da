"""A run of many steps in an SQLite file, made in a second: rows are copied instead of recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from tests.collecting import Api
from tests.inside_collector import to_bytes
from tests.waterfalls import begun, deep, ended, id_of, record

STEPS: Final = 50_001
_RECORDED: Final = 501
_COPIED: Final = _RECORDED - 1
_US: Final = 20_000 * _COPIED
"""How much later each copy is."""
_SPANS: Final = (
    "ref, run_ref, id, parent_id, type_ref, status, created_status, flags, started_at, "
    "finished_at, inserted_at, updated_at, summary"
)


def long_run(api: Api, database: Path) -> str:
    """Return a run of `STEPS` steps, of which the first ones were recorded and the others copied.

    The collector must not write while this runs.
    """
    run = begun(api)
    record(api, run, deep(_RECORDED))
    ended(api, run, STEPS * 20)
    with closing(sqlite3.connect(database)) as store:
        rows = store.execute(f"SELECT {_SPANS} FROM spans ORDER BY id").fetchall()
        assert len(rows) == _RECORDED
        spans = list(_copies(run, rows))
        store.executemany(f"INSERT INTO spans VALUES ({', '.join('?' * 13)})", spans)
        payloads = dict(store.execute("SELECT span_ref, payload FROM span_payloads"))
        refs = [row[0] for row in rows[1:]] * (len(spans) // _COPIED)
        copied = ((span[0], payloads[ref]) for span, ref in zip(spans, refs, strict=True))
        store.executemany("INSERT INTO span_payloads VALUES (?, ?, NULL)", copied)
        failed = "(SELECT count(*) FROM spans WHERE status = 3)"
        store.execute(
            f"UPDATE runs SET spans_failed = {failed}, spans_complete = {STEPS} - {failed}"
        )
        store.execute(
            "UPDATE spans SET finished_at = started_at + ? WHERE parent_id IS NULL",
            [STEPS * 20_000],
        )
        store.commit()
    return run


def _copies(run: str, rows: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield the copies of all rows but the first one, below which they are."""
    ids = [to_bytes(id_of(run, number)) for number in range(STEPS)]
    places = {row[2]: number for number, row in enumerate(rows)}
    last = max(row[0] for row in rows)
    for copy in range(1, STEPS // _COPIED):
        for number, (_, run_ref, _, parent, *more) in enumerate(rows[1:], 1):
            place = places[parent]
            new_parent = ids[place + copy * _COPIED if place else 0]
            times = [at if at is None else at + copy * _US for at in more[4:6]]
            new = ids[number + copy * _COPIED]
            last += 1
            yield (last, run_ref, new, new_parent, *more[:4], *times, *more[6:])
