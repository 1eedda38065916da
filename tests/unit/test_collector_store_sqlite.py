"""The SQLite store: opened, migrated, locked, full, forked."""

from __future__ import annotations

import gc
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from remit._base import sqlite
from remit.collector import Store, create_token, open_store
from remit.collector.store.base import Readable, StoreUnavailableError
from remit.collector.store.open import open_readable
from remit.collector.store.sqlite import SqliteStore
from remit.collector.store.transaction import Transaction
from remit.errors import SettingsError
from remit.testing import FakeClock
from tests.collecting import World, details, refusal
from tests.inside_collector import sqlite_store


def test_a_new_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """The file and what SQLite puts beside it."""
    path = tmp_path / "remit.db"

    create_token(open_store(path), "account")

    for each in path.parent.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """Untouched, with what to do."""
    path = tmp_path / "remit.db"
    open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(SettingsError, match=r"schema version 99.*upgrade remit"):
        open_store(path)


@pytest.mark.parametrize(
    "content", [b"hello, I am a letter" * 100, b"SQLite format 3\0" + b"x" * 500]
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    """Untouched."""
    path = tmp_path / "letter.txt"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=r"letter\.txt cannot be opened"):
        open_store(path)

    assert path.read_bytes() == content


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A folder, or a place below a file."""
    (tmp_path / "file").touch()

    for path in (tmp_path, tmp_path / "file" / "remit.db"):
        with pytest.raises(SettingsError, match=r"cannot be opened|there is no directory .*file"):
            open_store(path)


def test_a_database_that_does_not_exist_can_be_asked_for_without_making_it(tmp_path: Path) -> None:
    """For those who only look."""
    with pytest.raises(SettingsError, match="there is no database"):
        open_store(tmp_path / "remit.db", create=False)

    assert list(tmp_path.iterdir()) == []


def test_a_locked_database_is_unavailable_for_now(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """503 with `Retry-After`; when the lock is gone, all is well. The log says each once."""
    store = sqlite_store(tmp_path / "remit.db", busy_timeout_s=0.05)
    api = World(store).account()
    run = api.instance("active")
    blocker = sqlite3.connect(tmp_path / "remit.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        for _ in range(3):
            answer = api.post("/agent_spans", api.span_body(run["id"]))
            assert refusal(answer, 503)["code"] == "unavailable"
            assert int(answer.headers["retry-after"]) >= 1
        assert details(api.get("/ping"))
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()

    assert api.span(run["id"])["status"] == "active"
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "the collector's database cannot be used now",
        "the collector's database can be written again",
    ]
    store.close()


class Late(SqliteStore):
    """A store in which something else happens before a write is known to be kept.

    Attributes:
        meanwhile: What happens, once.
    """

    meanwhile: Callable[[], object] | None = None

    @contextmanager
    def writing(self) -> Generator[Transaction]:
        """Write, then let it happen."""
        with super().writing() as transaction:
            yield transaction
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


def test_a_write_from_before_the_fault_does_not_tell_that_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor one that began in the fault before; the log alternates with what is the case."""
    store = Late(tmp_path / "remit.db", busy_timeout_s=0.05)
    api = World(store).account()
    run = api.instance("active")
    blocker = sqlite3.connect(tmp_path / "remit.db", isolation_level=None)

    def said() -> list[str]:
        return [record.message.partition(" can")[2].partition(":")[0] for record in caplog.records]

    def locked() -> None:
        blocker.execute("BEGIN IMMEDIATE")
        refusal(api.post("/agent_spans", api.span_body(run["id"])), 503)

    def locked_anew() -> None:
        api.span(run["id"])
        locked()

    store.meanwhile = locked
    api.span(run["id"])
    assert said() == ["not be used now"]

    blocker.execute("ROLLBACK")
    store.meanwhile = locked_anew
    api.span(run["id"])
    assert said() == ["not be used now", " be written again", "not be used now"]

    blocker.execute("ROLLBACK")
    blocker.close()
    api.span(run["id"])
    assert said() == ["not be used now", " be written again"] * 2
    store.close()


def test_a_database_that_cannot_be_read_is_unavailable_too(tmp_path: Path) -> None:
    """A table that is gone stands for a file that is."""
    store = sqlite_store(tmp_path / "remit.db")
    api = World(store).account()
    with sqlite3.connect(tmp_path / "remit.db") as connection:
        connection.execute("DROP TABLE agents")
    connection.close()

    refusal(api.get("/agent"), 503)
    store.close()


@contextmanager
def files_of_at_most(size: int) -> Generator[None]:
    """Let no file of this process grow beyond *size* bytes in the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_unavailable_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The limit of a file's length stands for the end of the disk."""
    store = sqlite_store(tmp_path / "remit.db")
    api = World(store).account()
    run = api.instance("active")
    room = max(path.stat().st_size for path in tmp_path.iterdir())
    big = {"text": "x" * 100_000}

    with files_of_at_most(room + len(big["text"]) // 2):
        answers = [
            api.post("/agent_spans", api.span_body(run["id"], payload=big)) for _ in range(3)
        ]

    assert {answer.status_code for answer in answers} == {503}
    assert api.spans(run["id"]) == []
    assert api.shown(run["id"])["span_counts"]["total"] == 0
    assert api.span(run["id"], payload=big)["payload"] == big
    store.close()


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (lambda content, at: content[:at] + bytes(4096) + content[at + 4096 :], "put a copy in"),
        (lambda content, _: content.replace(b"xxx", b"x\xffx"), "Could not decode"),
    ],
    ids=["a page", "texts"],
)
def test_a_damaged_file_is_unavailable(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damaged: Callable[[bytes, int], bytes],
    told: str,
) -> None:
    """It is said once what is the matter; the SDK keeps what it has until a copy is put there."""
    path = tmp_path / "remit.db"
    store = open_store(path)
    api = World(store).account()
    run = api.instance("active")
    for _ in range(50):
        api.span(run["id"], payload={"long": "x" * 3000})
    secret = create_token(store, "account").secret
    store.close()
    with sqlite3.connect(path) as connection:
        sql = "SELECT rootpage FROM sqlite_master WHERE name = 'spans'"
        ((page,),) = connection.execute(sql).fetchall()
    connection.close()
    path.write_bytes(damaged(path.read_bytes(), (page - 1) * 4096))
    store = open_store(path)
    http = World(store).http(secret)
    caplog.clear()

    for _ in range(2):
        answer = http.get("/api/v1/agent_spans", params={"agent_instance_id": run["id"]})
        assert refusal(answer, 503)["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1

    (said,) = [record.message for record in caplog.records]
    assert told in said
    assert "long" not in said
    store.close()


def test_a_fault_in_a_statement_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    """Trying again would not help."""
    store = open_store(tmp_path / "remit.db")
    create_token(store, "account")
    with pytest.raises(sqlite3.IntegrityError), store.writing() as tx:
        tx.add(tx.accounts()[0])
    with pytest.raises(StoreUnavailableError), store.writing() as tx:
        raise StoreUnavailableError
    store.close()


def times_open(path: Path) -> int:
    """Return how many descriptors of this process are of a file."""
    file, found = path.stat(), 0
    for descriptor in range(1024):
        with suppress(OSError):
            found += os.path.samestat(os.fstat(descriptor), file)
    return found


def in_child(store: Store, path: Path) -> int:
    """Return how many tokens a forked child sees after it wrote one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            # The parent's connection must not be used, nor closed, by anybody else.
            inherited = times_open(path)
            create_token(store, "account")
            assert times_open(path) > inherited
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
def test_a_forked_child_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """Also while other threads of the parent are writing; both go on."""
    store = sqlite_store(tmp_path / "remit.db")
    create_token(store, "account")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with store.writing() as tx:
                tx.tokens()

    writers = [threading.Thread(target=write) for _ in range(3)]
    for thread in writers:
        thread.start()
    try:
        seen = [in_child(store, tmp_path / "remit.db") for _ in range(5)]
    finally:
        stop.set()
        for thread in writers:
            thread.join()

    assert seen == [2, 3, 4, 5, 6]
    with store.reading() as tx:
        assert len(tx.tokens()) == 6
    store.close()


def test_an_sqlite_file_needs_no_driver_of_postgresql(tmp_path: Path) -> None:
    """Neither for a server's store nor for local mode is the driver or its pool imported."""
    program = """
import sys
import remit.collector.local
from remit.collector import create_token, open_store
store = open_store(sys.argv[1])
create_token(store, "account")
store.close()
print(sorted({"psycopg", "psycopg_pool", "remit.collector.store.sqlite"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "remit.db")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout == "['remit.collector.store.sqlite']\n"


def test_the_feed_of_changes_follows_the_clock_that_the_store_was_given() -> None:
    """The number of a change begins with the time."""
    clock = FakeClock()
    store = SqliteStore(":memory:", clock=clock)
    World(store, clock=clock).account().instance()

    with store.reading() as tx:
        ((seq,),) = tx.rows("SELECT seq FROM run_changes")
    assert 0 <= seq - clock.wall_ns() // 1000 < 10


class InParts(SqliteStore):
    """A store of which a part may be away, as of a distributed database.

    Attributes:
        away: Whether the next write is one to that part.
    """

    away = False

    @contextmanager
    def writing(self) -> Generator[Transaction]:
        """Fail, or write."""
        if self.away:
            raise StoreUnavailableError("db2 is away", partly=True)
        with super().writing() as tx:
            yield tx


def test_a_write_to_another_part_does_not_end_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    """While requests fail; the log has two lines and not two for each change of parts."""
    clock, store = FakeClock(), InParts(":memory:")
    api = World(store, clock=clock).account()
    run = api.instance("active")
    for _ in range(3):
        store.away = True
        refusal(api.post("/agent_spans", api.span_body(run["id"])), 503)
        store.away = False
        api.span(run["id"])
    assert [record.message for record in caplog.records] == [
        "the collector's database cannot be used now: db2 is away"
    ]

    clock.advance(10)
    api.span(run["id"])

    assert caplog.records[-1].message == "the collector's database can be written again"
    assert len(caplog.records) == 2


def half_written_back(path: Path) -> Path:
    """Return a copy of a database as a kill leaves it while its log is written into the file.

    SQLite writes the pages in order. The first one says how many there are.
    """
    open_store(path).close()
    copy = path.with_name("copy.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        texts = [(str(number), "x" * 900) for number in range(500)]
        connection.executemany("INSERT INTO used_seals VALUES ('account', ?, ?, 1)", texts)
        connection.commit()
        log = Path(f"{path}-wal").read_bytes()
        content = bytearray(path.read_bytes())
    page_bytes = int.from_bytes(log[8:12])
    frames = range(32, len(log), 24 + page_bytes)
    start = max(each for each in frames if int.from_bytes(log[each : each + 4]) == 1) + 24
    content[:page_bytes] = log[start : start + page_bytes]
    copy.write_bytes(content)
    Path(f"{copy}-wal").write_bytes(log)
    return copy


@pytest.mark.parametrize("opened", [open_store, open_readable])
def test_a_file_with_a_log_that_is_half_written_back_is_opened(
    opened: Callable[[Path], Readable], tmp_path: Path
) -> None:
    """By a server after a kill, and by a command while a server writes its log back."""
    store = opened(half_written_back(tmp_path / "remit.db"))
    with store.reading() as tx:
        assert list(tx.rows("SELECT count(*) FROM used_seals")) == [(500,)]
    store.close()


@pytest.mark.parametrize("opened", [open_store, open_readable])
def test_a_file_whose_log_was_just_written_back_is_opened(
    opened: Callable[[Path], Readable], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last process that has it open does so when it ends, and removes the log."""
    path = half_written_back(tmp_path / "remit.db")

    def write_back(read: Path) -> bool:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return has_log(read)

    has_log = sqlite.has_log
    monkeypatch.setattr(sqlite, "has_log", write_back)
    store = opened(path)
    with store.reading() as tx:
        assert list(tx.rows("SELECT count(*) FROM used_seals")) == [(500,)]
    store.close()


def connections_to(path: Path) -> int:
    """Return how many connections to a file are open."""
    count = 0
    for connection in filter(lambda each: isinstance(each, sqlite3.Connection), gc.get_objects()):
        with suppress(sqlite3.ProgrammingError):  # it is closed, or of another thread
            count += connection.execute("PRAGMA database_list").fetchone()[2] == str(path)
    return count


def test_a_store_that_is_closed_while_it_is_read_leaves_no_connection_open(tmp_path: Path) -> None:
    """As at the end of a server whose last requests are still read."""
    path = tmp_path / "remit.db"
    store = open_store(path)
    with store.reading() as tx:
        assert connections_to(path) == 2
        store.close()
        assert tx.accounts() == []
    assert connections_to(path) == 0
    with store.reading() as tx:
        assert tx.accounts() == []
    assert connections_to(path) == 2
    store.close()
    assert connections_to(path) == 0


def test_a_store_that_cannot_be_opened_leaves_no_connection_open(tmp_path: Path) -> None:
    """Another process is creating its tables, for longer than this one waits."""
    path = tmp_path / "remit.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SettingsError, match="locked"):
            SqliteStore(path, busy_timeout_s=0.01)
        assert connections_to(path) == 1


def test_a_damaged_file_without_a_log_is_refused(tmp_path: Path) -> None:
    """There is nothing that makes it whole."""
    path = half_written_back(tmp_path / "remit.db")
    Path(f"{path}-wal").unlink()
    with pytest.raises(SettingsError, match="malformed"):
        open_store(path)
