"""The steps of one run, in the order of their ids, without payloads."""

from __future__ import annotations

from typing import NamedTuple

from remit.collector.store.ids import to_bytes, to_text
from remit.collector.store.questions.scope import RunRef, of_key
from remit.collector.store.rows import STATUSES
from remit.collector.store.transaction import Transaction


class StepRecord(NamedTuple):
    """A span without its payloads; times are microseconds since 1970."""

    id: str
    parent_id: str | None
    schema_name: str
    status: str
    flags: int
    started_at: int | None
    finished_at: int | None


def steps_of(
    tx: Transaction,
    run: RunRef,
    *,
    limit: int,
    after: str | None = None,
) -> list[StepRecord]:
    """Return the first steps of a run."""
    where = of_key(tx, "s", run)
    where.add_known("s.id > ?", None if after is None else to_bytes(after))
    page = f"SELECT s.* FROM spans AS s WHERE {where.text} ORDER BY s.id LIMIT ?"
    sql = (
        "SELECT s.id, s.parent_id, t.name, s.status, s.flags, s.started_at, s.finished_at "
        f"FROM ({page}) AS s CROSS JOIN span_types AS t WHERE t.ref = s.type_ref ORDER BY s.id"
    )
    return [
        StepRecord(
            to_text(span_id),
            None if parent_id is None else to_text(parent_id),
            name,
            STATUSES[int(status)],
            *rest,
        )
        for span_id, parent_id, name, status, *rest in tx.rows(sql, [*where.values, limit])
    ]
