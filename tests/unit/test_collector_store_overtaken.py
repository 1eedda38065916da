"""How PostgreSQL writes spans: in one piece, and without a query where a conflict says the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import psycopg
import pytest

from remit._base import ids
from remit.collector import Store, open_store
from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.rows import CREATED_BY_KEY, SpanRow
from remit.collector.store.transaction import Transaction
from tests.collecting import Api, Json, World, details, refusal
from tests.inside import httpx
from tests.inside_collector import postgres_store
from tests.postgres import await_waiting, emptied
from tests.subtests import each

pytestmark = pytest.mark.gate

ENDED = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = 'remit'"
)


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a database with remit's tables and nothing in them."""
    with emptied() as named:
        yield named


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Return a store that is open."""
    opened = open_store(url)
    yield opened
    opened.close()


@contextmanager
def meanwhile(url: str, ask: Callable[[], httpx.Response]) -> Generator[list[httpx.Response]]:
    """Send a request, which waits for a lock in the block; yield where its answer goes."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    await_waiting(url)
    yield answers
    thread.join(60)
    assert not thread.is_alive()


class Keyed:
    """A span whose key was derived from its id, as the SDK's are.

    Attributes:
        id: Its id.
        key: The key of its creation.
    """

    def __init__(self, instance_id: str) -> None:
        """Make both."""
        number = ids.new_key(time.time_ns())
        self.id = ids.pfid(number, ids.partition_of(instance_id) or 0)
        self.key = f"c-{ids.key_text(number)}"


def row_like(store: Store, api: Api, run: str, span: Keyed) -> SpanRow:
    """Return the row of *span*, with all else as a span that the collector made."""
    made = str(api.span(run)["id"])
    with store.reading() as tx:
        row = tx.spans(None, [made])[made]
    return msgspec.structs.replace(row, id=span.id, flags=CREATED_BY_KEY)


@pytest.mark.parametrize("same_id", [True, False])
def test_a_creation_that_was_overtaken_is_answered_as_the_first(
    url: str, store: Store, *, same_id: bool
) -> None:
    """Under one key there is one span; a second that names another id is rejected."""
    api = World(store).account()
    run = str(api.instance("active")["id"])
    first = Keyed(run)
    row = row_like(store, api, run, first)
    named = first.id if same_id else Keyed(run).id
    body: dict[str, Json] = {"idempotency_key": first.key, **api.span_body(run, id=named)}

    with ExitStack() as asking, store.writing() as tx:
        tx.hold([run], [])
        tx.add_spans([row])
        locked = tx.runs(None, [run])[run]
        tx.change_runs([msgspec.structs.replace(locked, spans_active=locked.spans_active + 1)])
        ask = meanwhile(url, lambda: api.post("/agent_spans", body))
        answers = asking.enter_context(ask)

    if same_id:
        assert details(answers[0])["id"] == first.id
    else:
        assert list(refusal(answers[0], 422)["errors"]) == ["idempotency_key"]
    assert len(api.spans(run)) == 2
    assert api.shown(run)["span_counts"]["active"] == 2


HOSTILE = [
    '{"text":"a \\\\ b \\n \\" \\u0001"}',
    '{\n\t"spaced"\r\n:\t[1,\n2]}',
    '{"end":"\\\\."}',
    '{"none":"\\\\N", "word":"None"}',
    '{"letters":"ä€𝄞\x7f"}',
]


@each("text", ["desk:answer", "None", "\\N", "a\x01b", "a\x02b", "\t\n\r\\", "", "ä€𝄞\x7f"])
def test_spans_come_back_as_they_were_written(store: Store, text: str) -> None:
    """Whatever is in their texts."""
    api = World(store).account()
    run = str(api.instance("active")["id"])
    pattern = row_like(store, api, run, Keyed(run))
    rows = [
        msgspec.structs.replace(
            pattern,
            id=Keyed(run).id,
            summary=summary,
            parent_span_id=parent,
            payload=payload,
            result_payload=result,
            started_at=time_us,
            finished_at=time_us,
        )
        for payload in HOSTILE
        for result in (None, payload)
        for parent in (None, text)
        for summary in (None, text)
        for time_us in (None, -1, 2**62)
    ]

    with store.writing() as tx:
        tx.add_spans(rows)

    with store.reading() as tx:
        assert tx.spans(None, [row.id for row in rows]) == {row.id: row for row in rows}


def test_changed_spans_come_back_as_they_were_written(store: Store) -> None:
    """In their own row and in that of their payloads; others stay."""
    api = World(store).account()
    run = str(api.instance("active")["id"])
    pattern = row_like(store, api, run, Keyed(run))
    rows = [msgspec.structs.replace(pattern, id=Keyed(run).id, payload=text) for text in HOSTILE]
    changed = [
        msgspec.structs.replace(
            row,
            status=status,
            flags=4,
            started_at=1,
            finished_at=2,
            updated_at=3,
            summary=row.payload,
            result_payload=row.payload,
        )
        for row, status in zip(rows[1:], ("complete", "failed", "cancelled"), strict=False)
    ]
    with store.writing() as tx:
        tx.add_spans(rows)
    with store.writing() as tx:
        tx.change_spans(changed)

    with store.reading() as tx:
        kept = tx.spans(None, [row.id for row in rows])
    assert kept == {row.id: row for row in (rows[0], *changed, *rows[1 + len(changed) :])}


def test_a_text_with_a_nul_is_stored_without_it(store: Store) -> None:
    """A template may write one into a summary, and a label may have one; payloads keep theirs."""
    api = World(store).account()
    run = str(api.instance("active")["id"])
    payload = {"labels": {"a\x00b": "c\x00d"}, "subject": "e\x00f"}
    error = {"error": {"type": "x.Y\x00Z", "message": "a\x00b"}}
    span = api.span(
        run, schema_name="remit:run", status="failed", payload=payload, result_payload=error
    )

    (kept,) = api.spans(run)
    assert (kept["id"], kept["payload"], kept["result_payload"]) == (span["id"], payload, error)


def test_a_query_after_the_server_closed_the_connection_succeeds(url: str, store: Store) -> None:
    """The connection was idle; the pool replaces it first."""
    assert store.look(lambda tx: tx.accounts()) == []
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(ENDED)

    assert store.look(lambda tx: tx.accounts()) == []


def test_a_question_that_waits_for_a_lock_is_given_up(url: str) -> None:
    """After the server's limit; it is not asked again on the next connection."""
    store = postgres_store(url, waits={"lock_s": 0.2})
    asked: list[Transaction] = []

    def ask(tx: Transaction) -> object:
        asked.append(tx)
        return tx.accounts()

    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError, match="lock timeout"):
            store.look(ask)

    assert len(asked) == 1
    assert store.look(lambda tx: tx.accounts()) == []
    store.close()
