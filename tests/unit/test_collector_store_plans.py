"""How PostgreSQL carries out what a bulk request asks, when it planned that on empty tables."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from remit.collector import open_store
from remit.collector.store import postgres, postgres_rows
from tests.postgres import database

IDS = "{01kdvdna007h8tmebxatc59jzrb36jtn,01kdvdna007h8tmebxatc59jzrb36jtp}"
LOW, HIGH = IDS.strip("{}").split(",")
TEXTS = {
    "keys": (postgres_rows._KEYS_OF_TEXTS, (IDS, "account", "agent_spans/create")),
    "spans": (postgres_rows._SPANS_OF_ACCOUNT, (IDS, LOW, HIGH, "account")),
    "held": (postgres_rows._HOLD, (IDS,)),
    "held with spans": (postgres_rows._HOLD_WITH_SPANS, (IDS, LOW, HIGH, IDS)),
    "finished": (postgres_rows._UPDATE_SPANS, ("[]", IDS, LOW, HIGH)),
}
FOUND_BY = {
    "keys": "(account_id = $2) AND (operation = $3) AND (key = wanted.key)",
    "spans": "Index Cond: ((id = ANY ($1)) AND (id >= $2) AND (id <= $3))",
    "held": "Index Cond: (id = ANY ($1))",
    "held with spans": "Index Cond: ((id = ANY ($1)) AND (id >= $2) AND (id <= $3))",
    "finished": "Index Cond: ((id = ANY ($2)) AND (id >= $3) AND (id <= $4))",
}


@pytest.fixture
def connection() -> Iterator[psycopg.Connection[tuple[str]]]:
    """Return a connection in a writing transaction of an empty database."""
    with database() as url:
        open_store(url).close()
        with psycopg.connect(url, autocommit=True) as connected:
            connected.execute(postgres._WRITE.encode())
            yield connected


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_asked_for_by_keys_is_looked_up(
    connection: psycopg.Connection[tuple[str]], name: str
) -> None:
    """Each row by all that is known of it; no table is read from one end to the other."""
    text, values = TEXTS[name]
    for number in range(1, len(values) + 1):
        text = text.replace("?", f"${number}", 1)
    literals = ", ".join(f"'{value}'" for value in values)
    connection.execute(f"PREPARE asked AS {text}".encode())

    explained = connection.execute(f"EXPLAIN EXECUTE asked ({literals})".encode()).fetchall()

    plan = "\n".join(line.replace("::text[]", "") for (line,) in explained)
    assert "Seq Scan" not in plan
    assert FOUND_BY[name] in plan.replace("s.id", "id").replace("s.agent", "agent"), plan
