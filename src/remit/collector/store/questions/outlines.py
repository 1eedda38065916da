"""The steps of one run in the order of their ids, without payloads, and a search of payloads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from remit._base.step_names import HEAD_CHARS
from remit.collector.store.questions.scope import RunRef, of_key
from remit.collector.store.rows import STATUSES
from remit.collector.store.statements import Value
from remit.collector.store.transaction import Transaction

_PAYLOADS: Final = {
    "postgres": "LEFT JOIN span_payloads AS y "
    "ON y.shard = s.shard AND y.run_ref = s.run_ref AND y.id = s.id",
    "sqlite": "LEFT JOIN span_payloads AS y ON y.span_ref = s.ref",
}
_PLACE: Final = {"postgres": "STRPOS", "sqlite": "INSTR"}
_FAILED: Final = STATUSES.index("failed")
_CANCELLED: Final = STATUSES.index("cancelled")
_LABEL_CHARS: Final = 80
_USAGE_CHARS: Final = 200
_USAGE: Final = '"token_usage":{'


class OutlineColumns(NamedTuple):
    """Steps in an outline, a column for each of their facts; times are microseconds since 1970.

    Attributes:
        ids: Their ids in bytes.
        statuses: The places of their statuses in `STATUSES`.
    """

    ids: Sequence[bytes] = ()
    parent_ids: Sequence[bytes | None] = ()
    type_refs: Sequence[int] = ()
    statuses: Sequence[int] = ()
    flags: Sequence[int] = ()
    started: Sequence[int | None] = ()
    finished: Sequence[int | None] = ()
    summaries: Sequence[str | None] = ()


class NamedType(NamedTuple):
    """A type of steps."""

    ref: int
    name: str


class Usage(NamedTuple):
    """The tokens of a model call.

    Attributes:
        usage: The part of its result that begins with its tokens; None without one.
    """

    id: bytes
    usage: str | None


class Searched(NamedTuple):
    """A step that was searched for a text."""

    id: bytes
    type_ref: int
    has_text: bool


def outline(
    tx: Transaction, run: RunRef, *, after: bytes, since_us: int | None = None, limit: int
) -> OutlineColumns:
    """Return steps of a run by their ids."""
    where = of_key(tx, "s", run)
    where.add("s.id > ?", after)
    where.add_known("s.updated_at >= ?", since_us)
    sql = (
        "SELECT s.id, s.parent_id, s.type_ref, s.status, s.flags, s.started_at, s.finished_at, "
        f"SUBSTR(s.summary, 1, {_LABEL_CHARS}) FROM spans AS s WHERE {where.text} "
        "ORDER BY s.id LIMIT ?"
    )
    return OutlineColumns(*zip(*tx.rows(sql, [*where.values, limit]), strict=True))


def named_types(tx: Transaction, refs: Collection[int]) -> list[NamedType]:
    """Return types by their numbers."""
    sql = f"SELECT t.ref, t.name FROM span_types AS t WHERE t.ref IN ({_marks(refs)})"
    return list(map(NamedType._make, tx.rows(sql, list(refs)))) if refs else []


def usages(tx: Transaction, run: RunRef, ids: Collection[bytes]) -> Iterable[Usage]:
    """Return the tokens of model calls of a run."""
    if not ids:
        return []
    where = of_key(tx, "s", run)
    among, values = tx.among_ids("s.id", ids)
    where.add(among, *values)
    place = f"{_PLACE[tx.dialect]}(y.result, '{_USAGE}')"
    sql = (
        f"SELECT s.id, CASE WHEN {place} > 0 THEN SUBSTR(y.result, {place}, {_USAGE_CHARS}) END "
        f"FROM spans AS s {_PAYLOADS[tx.dialect]} WHERE {where.text}"
    )
    return map(Usage._make, tx.rows(sql, where.values))


def heads(tx: Transaction, steps: Iterable[tuple[RunRef, Collection[bytes]]]) -> dict[bytes, str]:
    """Return the beginnings of the payloads of steps, by id.

    Args:
        steps: Runs, and ids of steps of each.
    """
    conditions: list[str] = []
    values: list[Value] = []
    for run, ids in steps:
        if ids:
            where = of_key(tx, "s", run)
            among, chosen = tx.among_ids("s.id", ids)
            where.add(among, *chosen)
            conditions.append(f"({where.text})")
            values += where.values
    if not conditions:
        return {}
    sql = (
        f"SELECT s.id, SUBSTR(y.payload, 1, {HEAD_CHARS}) "
        f"FROM spans AS s {_PAYLOADS[tx.dialect]} WHERE {' OR '.join(conditions)}"
    )
    return {span_id: head for span_id, head in tx.rows(sql, values) if head is not None}


def searched(
    tx: Transaction, run: RunRef, text: str, *, after: bytes, limit: int, errors: bool = True
) -> list[Searched]:
    """Return the next steps of a run by their ids, and which have a text, in letters of any case.

    Args:
        text: The text, as JSON writes it.
        errors: Whether the results of failed and cancelled steps are searched, which may have
            exceptions.
    """
    where = of_key(tx, "s", run)
    where.add("s.id > ?", after)
    place = _PLACE[tx.dialect]
    searched = "" if errors else f" AND s.status NOT IN ({_FAILED}, {_CANCELLED})"
    sql = (
        f"SELECT s.id, s.type_ref, COALESCE({place}(LOWER(y.payload), LOWER(?)), 0) > 0 "
        f"OR COALESCE({place}(LOWER(y.result), LOWER(?)), 0) > 0{searched} "
        f"FROM spans AS s {_PAYLOADS[tx.dialect]} WHERE {where.text} ORDER BY s.id LIMIT ?"
    )
    rows = tx.rows(sql, [text, text, *where.values, limit])
    return [Searched(span_id, type_ref, bool(has_text)) for span_id, type_ref, has_text in rows]


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
