"""The PostgreSQL store: opened, refused, locked, gone and back, forked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module

import psycopg
import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.collector import Store, create_token, open_store
from remit.collector.store.base import StoreUnavailableError
from remit.collector.store.open import shown
from remit.collector.store.postgres import MAX_CONNECTIONS, MAX_READERS, PostgresStore, Waits
from remit.collector.store.rows import AccountRow
from remit.errors import SettingsError
from tests.collecting import World, details, refusal
from tests.inside_collector import postgres_store
from tests.postgres import await_waiting, database, emptied, server
from tests.subtests import each

pytestmark = pytest.mark.gate


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a database with remit's tables and nothing in them."""
    with emptied() as named:
        yield named


@pytest.fixture
def new_url() -> Iterator[str]:
    """Return the URL of a new database."""
    with database() as named:
        yield named


@contextmanager
def connected(url: str) -> Generator[psycopg.Connection[tuple[int]]]:
    """Return a block with a connection of another program's."""
    connection = psycopg.connect(url, autocommit=True)
    try:
        yield connection
    finally:
        connection.close()


def remit(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, list(words))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def succeeds(work: Callable[[], object]) -> bool:
    """Return whether *work* does not find the database unavailable."""
    try:
        work()
    except StoreUnavailableError:
        return False
    return True


def connections(url: str) -> int:
    """Return how many connections of remit's there are to a database."""
    with connected(url) as other:
        sql = (
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'remit'"
        )
        ((count,),) = other.execute(sql).fetchall()
    return int(count)


def test_a_newer_schema_is_refused(new_url: str) -> None:
    """Untouched, with what to do."""
    open_store(new_url).close()
    with connected(new_url) as other:
        other.execute("UPDATE remit_schema SET version = 99")

    with pytest.raises(SettingsError, match=r"schema version 99.*upgrade remit"):
        open_store(new_url)

    # The server takes a moment to notice that a connection was closed.
    until(lambda: connections(new_url) == 0)


def test_commands_that_read_change_nothing(url: str) -> None:
    """A role that may only read can read; a database of another version is rejected."""
    role, password = f"reader_{os.getpid()}", "a-password"
    with connected(url) as other:
        other.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        other.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
        try:
            named = f"{url}{'&' if '?' in url else '?'}user={role}&password={password}"
            assert "nothing was recorded in" in remit("runs", "list", "--db", named).output
            other.execute("UPDATE remit_schema SET version = version + 1")
            try:
                refused = remit("runs", "list", "--db", url)
            finally:
                other.execute("UPDATE remit_schema SET version = version - 1")
            assert refused.exit_code == 1
            assert "upgrade remit" in refused.output
        finally:
            other.execute(f"DROP OWNED BY {role}".encode())
            other.execute(f"DROP ROLE {role}".encode())


def test_a_database_without_tables_can_be_asked_for_without_making_them(new_url: str) -> None:
    """For those who only look."""
    with pytest.raises(SettingsError, match="no tables of remit"):
        open_store(new_url, create=False)

    with connected(new_url) as other:
        ((count,),) = other.execute("SELECT COUNT(*) FROM pg_tables WHERE tablename = 'agents'")
    assert count == 0


def test_a_database_of_another_encoding_is_refused() -> None:
    """Text would come back as something else."""
    with connected(server().url("postgres")) as other:
        other.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        try:
            with pytest.raises(SettingsError, match="LATIN1, remit needs UTF8"):
                open_store(server().url("latin"))
        finally:
            other.execute("DROP DATABASE latin WITH (FORCE)")


@each(
    ("named", "reason"),
    [
        ("postgresql://remit@/no_such_database?host={}", "does not exist"),
        ("postgresql://remit@127.0.0.1:1/remit", "refused"),
        ("postgresql://remit@/remit?nonsense=1", "is not the URL"),
    ],
)
def test_what_cannot_be_reached_is_refused_with_the_reason(named: str, reason: str) -> None:
    """And without a trace of psycopg."""
    host = server().url("x").partition("host=")[2]

    with pytest.raises(SettingsError, match=reason):
        open_store(named.format(host))


def test_a_server_that_never_answers_is_waited_for_briefly() -> None:
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(SettingsError, match="timeout"):
            open_store(f"postgresql://remit@127.0.0.1:{port}/remit?connect_timeout=2")

    assert time.monotonic() - began < 30


@each(
    ("url", "name"),
    [
        ("postgresql://me:secret@db:5432/remit", "postgresql://me@db:5432/remit"),
        ("postgresql://db/remit?password=secret&sslmode=require", "postgresql://db/remit?sslmode=require"),
        ("postgresql://db/remit?user=me&password=secret", "postgresql://db/remit?user=me"),
        ("postgresql://db/remit", "postgresql://db/remit"),
        ("some/pass:word@place", "some/pass:word@place"),
    ],
)  # fmt: skip
def test_a_password_is_not_shown(url: str, name: str) -> None:
    """Neither in a message nor on a terminal."""
    assert shown(url) == name


def test_a_refusal_does_not_show_the_password() -> None:
    """Whatever psycopg says."""
    with pytest.raises(SettingsError) as caught:
        open_store("postgresql://remit:hunter2@127.0.0.1:1/remit")

    assert "hunter2" not in str(caught.value)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """`psycopg` that is None cannot be imported."""
    for name in [name for name in sys.modules if name.startswith("remit.collector.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(SettingsError, match=r"psycopg.*the extra `postgres` of remit"):
        open_store("postgresql://localhost/remit")

    monkeypatch.undo()
    assert import_module("remit.collector.store.postgres").PostgresStore is PostgresStore


def test_a_locked_row_is_unavailable_for_now(url: str) -> None:
    """503 with `Retry-After`; when the lock is gone, all is well."""
    store = postgres_store(url, waits={"lock_s": 0.05})
    api = World(store).account()
    run = api.instance("active")
    with psycopg.connect(url) as blocker:
        blocker.execute("SELECT 1 FROM runs FOR UPDATE")
        for _ in range(3):
            answer = api.post("/agent_spans", api.span_body(run["id"]))
            assert refusal(answer, 503)["code"] == "unavailable"
            assert int(answer.headers["retry-after"]) >= 1
        assert details(api.get("/ping"))

    assert api.span(run["id"])["status"] == "active"
    store.close()


def test_a_slow_read_is_no_outage(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """It alone fails, by a limit for queries; no outage is logged, and writers go on."""
    store = postgres_store(url, waits={"read_s": 1.0})
    api = World(store).account()
    run = api.instance("active")
    with psycopg.connect(url) as blocker:
        blocker.execute("LOCK TABLE spans IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            answer = api.get("/agent_spans", agent_instance_id=run["id"])
            assert refusal(answer, 504)["code"] == "timeout"
            assert "ask for less" in refusal(answer, 504)["message"]
            assert details(api.get("/ping"))
            assert api.instance("active")["status"] == "active"
    assert caplog.records == []
    assert api.spans(run["id"]) == []
    store.close()


def all_at_once(store: Store, number: int = MAX_CONNECTIONS) -> None:
    """Write on so many connections at the same time."""
    with store.writing():
        if number > 1:
            all_at_once(store, number - 1)


def test_slow_queries_leave_connections_to_writers(url: str) -> None:
    """Queries have connections of their own, which change nothing, and wait for each other."""
    store = postgres_store(url, waits={"connection_s": 0.5})
    api = World(store).account()
    run = api.instance("active")
    with ExitStack() as readers:
        for _ in range(MAX_READERS):
            readers.enter_context(store.reading())
        assert api.span(run["id"])["status"] == "active"
        assert api.get("/agent_spans", agent_instance_id=run["id"]).status_code == 503
    with pytest.raises(StoreUnavailableError), store.reading() as tx:
        tx.touch_token("a", 0)
    assert len(api.spans(run["id"])) == 1
    store.close()


def test_a_store_that_is_only_read_has_more_time(url: str) -> None:
    """Its queries are those of a command."""
    open_store(url).close()
    store = PostgresStore(url, read_only=True, waits=Waits(read_s=0.1, statement_s=30))
    with psycopg.connect(url) as blocker:
        blocker.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        read: list[object] = []

        def work() -> None:
            with store.reading() as tx:
                read.append(tx.accounts())

        reader = threading.Thread(target=work)
        reader.start()
        await_waiting(url)
        blocker.execute("SELECT pg_sleep(0.3)")
        blocker.rollback()
        reader.join(60)
    assert read == [[]]
    store.close()


def test_connections_that_the_server_ended_are_not_noticed(url: str) -> None:
    """The next transaction has a new one, however many were idle, and none is left open."""
    store = open_store(url)
    api = World(store).account()
    run = api.instance("active")
    for _ in range(3):
        all_at_once(store)
        with connected(url) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name = 'remit'"
            )
        assert api.span(run["id"])["status"] == "active"

    until(lambda: 1 <= connections(url) <= MAX_CONNECTIONS + MAX_READERS)
    store.close()
    until(lambda: connections(url) == 0)


def test_a_transaction_that_the_server_ended_is_unavailable(url: str) -> None:
    """Nothing of it is kept, and the connection is thrown away."""
    store = open_store(url)
    create_token(store, "account")

    def interrupted() -> None:
        with store.writing() as tx:
            create = tx.accounts()[0]
            with connected(url) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND application_name = 'remit'"
                )
            tx.add(type(create)("another", "n", 0, 0))

    with pytest.raises(StoreUnavailableError):
        interrupted()
    with store.reading() as tx:
        assert len(tx.accounts()) == 1
    store.close()


def test_the_server_gone_and_back(new_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """503 with `Retry-After` while it is away, logged once with the reason; then all goes on."""
    store = postgres_store(new_url, waits={"connection_s": 0.5})
    api = World(store).account()
    run = api.instance("active")
    caplog.clear()
    server().stop()
    try:
        for _ in range(3):
            answer = api.post("/agent_spans", api.span_body(run["id"]))
            assert refusal(answer, 503)["code"] == "unavailable"
            assert int(answer.headers["retry-after"]) >= 1
            assert "host" not in answer.text
    finally:
        server().start()

    # An attempt to connect may fail shortly before; the next one follows within a second.
    until(lambda: api.post("/agent_spans", api.span_body(run["id"])).status_code == 200)
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the collector's database cannot be used now",
        "the collector's database can be written again",
    ]
    assert "connection" in caplog.records[0].message
    assert 1 <= connections(new_url) <= MAX_CONNECTIONS + MAX_READERS
    store.close()


def test_more_threads_than_connections_take_turns(url: str) -> None:
    """Nobody is refused, and no connection is left over."""
    store = postgres_store(url, waits={"connection_s": 30})
    api = World(store).account()
    run = api.instance("active")
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(api.span(run["id"])["id"]))
        for _ in range(4 * MAX_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 4 * MAX_CONNECTIONS
    until(lambda: connections(url) <= MAX_CONNECTIONS + MAX_READERS)
    store.close()


def test_all_connections_in_use_is_unavailable(url: str) -> None:
    """After a short wait."""
    store = postgres_store(url, waits={"connection_s": 0.05})

    # The pool opens its connections one after the other.
    until(lambda: succeeds(lambda: all_at_once(store)))
    with pytest.raises(StoreUnavailableError, match="in use"):
        all_at_once(store, MAX_CONNECTIONS + 1)
    all_at_once(store)
    store.close()


def test_a_fault_in_a_statement_is_not_taken_for_a_database_that_is_gone(url: str) -> None:
    """Trying again would not help; the connection is used on."""
    store = open_store(url)
    with pytest.raises(psycopg.DataError), store.writing() as tx:
        tx.add(AccountRow("a", "with a \x00", 0, 0))
    with pytest.raises(StoreUnavailableError), store.writing() as tx:
        raise StoreUnavailableError
    with store.reading() as after:
        assert after.accounts() == []
    # One connection writes and one reads. The server lists a closed one for a moment longer.
    until(lambda: connections(url) == 2)
    store.close()


def test_a_text_that_no_row_can_hold_finds_nothing(url: str) -> None:
    """PostgreSQL keeps no NUL, and would fail to be asked for one."""
    store = open_store(url)
    with store.reading() as tx:
        assert tx.agent("a\x00", "b\x00") is None
        assert tx.spans(None, ["\x00", "x"]) == {}
        assert tx.keys("a", "b", ["\x00"]) == {}
        assert tx.runs("a\x00", ["\x00"]) == {}
    store.close()


def test_an_exit_without_a_close_is_quiet(url: str) -> None:
    """The threads of the pool do not hold it up, and nothing warns."""
    program = """
import sys
from remit.collector import open_store
store = open_store(sys.argv[1])
with store.reading() as tx:
    print(tx.accounts())
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, url],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    until(lambda: connections(url) == 0)


def in_child(store: Store) -> int:
    """Return how many tokens a forked child sees after it wrote one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            create_token(store, "account")
            with store.reading() as tx:
                os.write(writer, bytes([len(tx.tokens())]))
            store.close()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        seen = pipe.read()
    os.waitpid(child, 0)
    return seen[0]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(url: str) -> None:
    """Also while other threads of the parent are writing; both go on with theirs."""
    store = postgres_store(url)
    create_token(store, "account")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with store.writing() as tx:
                tx.tokens()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in writers:
        thread.start()
    try:
        seen = [in_child(store) for _ in range(5)]
    finally:
        stop.set()
        for thread in writers:
            thread.join()

    assert seen == [2, 3, 4, 5, 6]
    with store.reading() as tx:
        assert len(tx.tokens()) == 6
    store.close()
    until(lambda: connections(url) == 0)
