"""The runs of a conversation, oldest first: its turns."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.store.ids import first_at, to_text
from remit.collector.store.questions.run_lists import WAITS
from remit.collector.store.questions.scope import AGENT_NAME, Scope, of_scope
from remit.collector.store.transaction import Transaction

MOST_TURNS: Final = 10_000
"""Turns that are read; of more, the newest."""


class Turn(NamedTuple):
    """A run of a conversation; times are microseconds since 1970.

    Attributes:
        number: Its place among the runs of the conversation, from 1.
        denied: The number of its denied steps.
        is_waiting: 1 if it waits for a person's answer, else 0.
        model_usage: The use of each model, as JSON; None without model calls.
    """

    number: int
    id: str
    agent_id: str
    agent: str
    status: str
    inserted_at: int
    started_at: int | None
    finished_at: int | None
    denied: int
    is_waiting: int
    tokens_in: int | None
    tokens_out: int | None
    model_usage: str | None

    @property
    def began_us(self) -> int:
        """When it began; when it was registered, if it has not."""
        return self.inserted_at if self.started_at is None else self.started_at

    @property
    def tokens(self) -> int | None:
        """Its tokens; None if none are recorded."""
        if self.tokens_in is None and self.tokens_out is None:
            return None
        return (self.tokens_in or 0) + (self.tokens_out or 0)


def turns_of(
    tx: Transaction, scope: Scope, conversation: str, *, most: int = MOST_TURNS
) -> list[Turn]:
    """Return the turns of a conversation in a scope; of more than *most*, the newest."""
    where = of_scope(scope)
    if scope.agent_ref is not None:
        where.add("r.account_ref = ?", scope.account_ref)  # the index of conversations has it first
    where.add("r.conversation = ?", conversation)
    newest = (
        "SELECT r.id, r.agent_ref, r.place_ref, r.status, r.inserted_at, r.started_at, "
        "r.finished_at, r.denied, "
        f"CASE WHEN {WAITS} THEN 1 ELSE 0 END AS is_waiting, "
        "r.tokens_in, r.tokens_out, r.model_usage "
        f"FROM runs AS r WHERE {where.text} ORDER BY r.id DESC LIMIT ?"
    )
    sql = (
        f"SELECT n.id, a.id, {AGENT_NAME}, n.status, n.inserted_at, n.started_at, n.finished_at, "
        "n.denied, n.is_waiting, n.tokens_in, n.tokens_out, n.model_usage "
        f"FROM ({newest}) AS n CROSS JOIN run_places AS p CROSS JOIN agents AS a "
        "WHERE p.ref = n.place_ref AND a.ref = n.agent_ref ORDER BY n.id"
    )
    rows = list(tx.rows(sql, (*where.values, most)))
    before = 0
    if len(rows) == most:
        counted = f"SELECT COUNT(*) FROM runs AS r WHERE {where.text}"
        ((total,),) = tx.rows(counted, where.values)
        before = int(total) - most
    return [
        Turn(before + place, to_text(run_id), *rest)
        for place, (run_id, *rest) in enumerate(rows, 1)
    ]


def count_conversations(tx: Transaction, scope: Scope, since_us: int, *, most: int) -> int:
    """Return the number of conversations of the runs since a time.

    Args:
        most: The number of runs that are looked at, the newest.
    """
    where = of_scope(scope)
    where.add("r.id >= ?", first_at(since_us))
    sql = (
        "SELECT COUNT(DISTINCT n.conversation) FROM (SELECT r.conversation FROM runs AS r "
        f"WHERE {where.text} ORDER BY r.id DESC LIMIT ?) AS n"
    )
    ((count,),) = tx.rows(sql, (*where.values, most))
    return int(count)
