"""`remit db upgrade` copies older databases on both stores; the answers stay the same."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from stat import S_IMODE
from tempfile import TemporaryDirectory
from typing import Any, Final

import psycopg
import pytest

from remit.collector import Store, open_store
from remit.errors import SettingsError
from remit.testing import FakeClock
from tests.collecting import Json, World
from tests.inside import httpx
from tests.inside_collector import (
    RUN_COUNTS,
    SPAN_COUNTS,
    US_PER_HOUR,
    VERSION,
    Transaction,
    Upgraded,
    format_us,
    hash_of_subject,
    ms_of,
    open_reader,
    to_text,
    upgrade,
)
from tests.old_databases import (
    FOLDER,
    VERSIONS,
    Answered,
    accounts,
    answered,
    make_sqlite,
    old_database,
    rows,
)
from tests.stores import on_each_store

PREFIX: Final = "/api/v1"
each_version = pytest.mark.parametrize("version", VERSIONS)
_STATUS: Final = "SUM(CASE WHEN s.status IN ({}) THEN 1 ELSE 0 END)"
_FLAG: Final = "SUM(CASE WHEN (s.flags & {}) <> 0 THEN 1 ELSE 0 END)"
_TOOK: Final = "CASE WHEN s.finished_at > s.started_at THEN s.finished_at - s.started_at ELSE 0 END"
RECOUNT: Final = (
    "SELECT COALESCE(s.started_at, s.inserted_at) / {us}, r.agent_ref, r.environment_ref, "
    "r.purpose, s.type_ref, "
    + ", ".join(_STATUS.format(words) for words in ("0, 4", "2", "3", "1"))
    + ", "
    + ", ".join(_FLAG.format(flags) for flags in (512, 1024, 2048, 256, 16 | 64, 32 | 128))
    + f", SUM({_TOOK}), MAX({_TOOK}) FROM spans AS s JOIN runs AS r ON r.ref = s.run_ref "
    "GROUP BY 1, 2, 3, 4, 5"
)
RUNS_BY_HOUR: Final = (
    f"SELECT bucket, agent_ref, environment_ref, purpose, {', '.join(RUN_COUNTS)} FROM run_hours"
)
DERIVED: Final = (
    "status",
    "spans_active",
    "spans_complete",
    "spans_failed",
    "flags",
    "denied",
    "handled",
    "tokens_in",
    "tokens_out",
    "summary",
    "caused_by",
    "failure_step",
    "failure_type",
    "failure_place",
    "failure_text",
    "fingerprint",
)
OF_RUN: Final = (
    "SELECT key, value FROM run_labels WHERE run_ref = ?",
    "SELECT subject_hash FROM run_subjects WHERE run_ref = ?",
    "SELECT kind, number, sentence FROM span_findings WHERE run_ref = ?",
    (
        "SELECT s.status, s.flags, s.summary, t.name, t.title, t.data_risk, t.hash "
        "FROM spans AS s JOIN span_types AS t ON t.ref = s.type_ref WHERE s.run_ref = ?"
    ),
    (
        "SELECT t.name, w.word, w.side FROM span_type_words AS w "
        "JOIN span_types AS t ON t.ref = w.type_ref "
        "WHERE t.ref IN (SELECT type_ref FROM spans WHERE run_ref = ?)"
    ),
)


@on_each_store
@each_version
def test_the_answers_are_those_of_the_old_collector(
    version: int, store_kind: str, tmp_path: Path
) -> None:
    """What differs on purpose is in `expected`."""
    with old_database(store_kind, tmp_path, version) as named:
        upgraded = upgrade(named)
        assert upgraded.version == version
        assert upgraded.runs == 47
        assert upgraded.spans == 107
        store = open_store(named, create=False)
        try:
            compared = 0
            for entry in entries(version):
                http = World(store, clock=FakeClock(entry.now)).http(entry.secret)
                for path, answer in expected(version, entry):
                    assert http.get(PREFIX + path).json() == answer, path
                    compared += 1
            assert compared > 450
        finally:
            store.close()


def entries(version: int) -> Iterator[Answered]:
    """Yield the answers about accounts that a version can hold."""
    kept = accounts(version)
    for entry in answered():
        if account_of(entry) in kept:
            yield entry


def expected(version: int, entry: Answered) -> Iterator[tuple[str, Json]]:
    """Yield the answers by path, with the intended differences."""
    erased = {row["id"]: row["erased_at"] for row in rows()["agent_instances"] if row["erased_at"]}
    assert len(erased) == 4
    for path, recorded in entry.answers.items():
        answer = copy.deepcopy(recorded)
        for thing in answer.get("summaries", [answer.get("details", {})]):
            # Version 7 shows more.
            if path.startswith("/agent_instance/") and "quality_payloads" in thing:
                at_us = erased.get(thing["id"])
                thing["erased_at"] = None if at_us is None else format_us(at_us)
            if path.startswith("/api_token"):
                thing |= {"may": "write", "name": None}
            # The columns came with version 4 and 5.
            if version < 4 and "registered_by" in thing:
                thing["registered_by"] = thing["environment_id"] = None
            if version < 5 and "made_by" in thing:
                thing["made_by"] = None
            # A span has a summary when it has ended, and none if it is erased.
            is_open = thing.get("status") in {"pending", "active"}
            if "summary" in thing and (is_open or thing["agent_instance_id"] in erased):
                thing["summary"] = None
            # Spans without a start count by the time at which they arrived.
            if path.endswith("/risk") and path.startswith("/agent/") and thing["spans"] == 25:
                for counts in (thing, *thing["span_types"][:1]):
                    counts["spans"] += 2
                thing["schema_findings"]["undeclared"] += 2
        yield path, answer


@on_each_store
def test_the_counts_equal_a_recount(store_kind: str, tmp_path: Path) -> None:
    """Spans are counted by hour and by day, runs by the hour in their ids."""
    with upgraded_store(store_kind, tmp_path, 5) as store, store.reading() as tx:
        for table, hours in (("span_hours", 1), ("span_days", 24)):
            keys = "bucket, agent_ref, environment_ref, purpose, type_ref"
            counted = tx.rows(f"SELECT {keys}, {', '.join(SPAN_COUNTS)} FROM {table}")
            assert numbers(counted) == numbers(tx.rows(RECOUNT.format(us=hours * US_PER_HOUR)))
        runs = Counter(
            (ms_of(to_text(run_id)) // 3_600_000, agent, environment, purpose, status)
            for run_id, agent, environment, purpose, status in tx.rows(
                "SELECT id, agent_ref, environment_ref, purpose, status FROM runs"
            )
        )
        counts = Counter(
            {
                (*key, status): int(number)
                for *key, status, number in (
                    (*row[:4], status, number)
                    for row in tx.rows(RUNS_BY_HOUR)
                    for status, number in zip(RUN_COUNTS, row[4:], strict=True)
                )
            }
        )
        assert +counts == runs


@on_each_store
@each_version
def test_what_is_derived_is_what_ingest_derives(
    version: int, store_kind: str, tmp_path: Path
) -> None:
    """The same program is recorded by this version; a run that was erased is left out."""
    recorded, withheld = ingested()
    with upgraded_store(store_kind, tmp_path, version) as store, store.reading() as tx:
        assert derived(tx) == recorded
        # Two of the four runs in which a value was withheld are erased.
        assert rules(tx) == {rule: times // 2 for rule, times in withheld.items()}
    assert len(recorded) == 12
    assert set(withheld.values()) == {4}


@on_each_store
def test_a_repeated_request_is_known(store_kind: str, tmp_path: Path) -> None:
    """Its key is in the span, or in a separate row."""
    with upgraded_store(store_kind, tmp_path, 4) as store:
        erased = {row["id"] for row in rows()["agent_instances"] if row["erased_at"]}
        of_run = {row["id"]: row["account_id"] for row in rows()["agent_instances"]}
        repeated = Counter[bool]()
        for entry in entries(4):
            account = account_of(entry)
            http = World(store, clock=FakeClock(entry.now)).http(entry.secret)
            for row in rows()["agent_spans"]:
                run = row["agent_instance_id"]
                if not row["create_key"] or of_run[run] != account or run in erased:
                    continue
                item = creation(row)
                assert sent(http, item)["id"] == row["id"]
                is_derived = row["create_key"].startswith("c-")
                if not is_derived:
                    other = {**item, "payload": {"other": True}}
                    assert sent(http, other)["code"] == "validation_errors"
                repeated[is_derived] += 1
        assert repeated[True] > 20
        assert repeated[False] > 0
        with store.reading() as tx:
            assert list(tx.rows("SELECT COUNT(*) FROM spans")) == [(107,)]


@on_each_store
def test_keys_that_only_a_span_has_are_found(store_kind: str, tmp_path: Path) -> None:
    """An older version kept the key of a span in its row alone."""
    (row,) = [row for row in rows()["agent_spans"] if row["create_key"] == "key-12345678"]
    with old_database(store_kind, tmp_path, 6) as named:
        execute(named, "DELETE FROM idempotency_keys WHERE key = 'key-12345678'")
        upgrade(named)
        with closing(open_store(named)) as store:
            (entry,) = [each for each in entries(6) if is_about(each, row["agent_instance_id"])]
            http = World(store, clock=FakeClock(entry.now)).http(entry.secret)
            assert sent(http, creation(row))["id"] == row["id"]


@on_each_store
def test_the_old_data_is_kept_until_it_is_dropped(store_kind: str, tmp_path: Path) -> None:
    """A second upgrade does nothing but that."""
    with old_database(store_kind, tmp_path, 5) as named:
        kept = upgrade(named).kept
        assert kept is not None
        if store_kind == "sqlite":
            assert kept == f"{named}.v5"
            with closing(sqlite3.connect(kept)) as connection:
                assert connection.execute("PRAGMA user_version").fetchone() == (5,)
                assert connection.execute("SELECT COUNT(*) FROM agent_spans").fetchone() == (107,)
            assert S_IMODE(Path(named).stat().st_mode) == 0o600
        else:
            assert kept == "the schema remit_before"
        assert upgrade(named).kept == kept
        assert upgrade(named, drop_old=True) == Upgraded(VERSION, dropped=kept)
        assert upgrade(named) == Upgraded(VERSION)
    if store_kind == "sqlite":
        assert [path.name for path in tmp_path.iterdir()] == ["remit.db"]


@on_each_store
def test_a_database_that_a_process_uses_is_refused(store_kind: str, tmp_path: Path) -> None:
    """A collector of the older version has a connection, even if it does nothing."""
    with (
        old_database(store_kind, tmp_path, 6) as named,
        in_use(named),
        pytest.raises(SettingsError, match="stop collectors"),
    ):
        upgrade(named)


@on_each_store
def test_while_it_is_copied_a_database_is_refused(store_kind: str, tmp_path: Path) -> None:
    """SQLite's has its old version until the end; PostgreSQL's has a mark."""
    refusals: list[str] = []
    with old_database(store_kind, tmp_path, 6) as named:

        def report(_done: int, _total: int) -> None:
            for opening in (open_store, open_reader):
                with pytest.raises(SettingsError) as caught:
                    opening(named)
                refusals.append(str(caught.value))

        upgrade(named, report=report)
        open_store(named).close()
    assert len(refusals) >= 4
    wanted = "schema version 6, and" if store_kind == "sqlite" else "is being upgraded"
    assert all(wanted in refusal and "remit db upgrade" in refusal for refusal in refusals)


@on_each_store
@pytest.mark.parametrize("version", [1, 2, 8])
def test_versions_that_are_too_old_or_too_new_are_refused(
    version: int, store_kind: str, tmp_path: Path
) -> None:
    """The message says which version of remit upgrades an old one."""
    with old_database(store_kind, tmp_path, 3) as named:
        execute(
            named,
            f"PRAGMA user_version = {version}"
            if store_kind == "sqlite"
            else f"UPDATE remit_schema SET version = {version}",
        )
        wanted = "upgrade remit" if version > VERSION else "start with a new database"
        with pytest.raises(SettingsError, match=wanted):
            upgrade(named)


def test_a_copy_of_another_state_of_the_file_is_not_continued(tmp_path: Path) -> None:
    """A collector of the older version wrote between an interrupted copy and the next one."""
    path = tmp_path / "remit.db"
    make_sqlite(path, 6)
    with pytest.raises(InterruptError):
        upgrade(path, report=interrupted)
    assert path.with_name("remit.db.upgrading").exists()
    execute(path, "DELETE FROM agent_spans WHERE create_key IS NULL")
    spans = sum(1 for row in rows()["agent_spans"] if row["create_key"] is not None)
    assert upgrade(path).spans == spans


def test_a_disk_without_space_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written beside the database."""
    path = tmp_path / "remit.db"
    make_sqlite(path, 6)
    free = shutil.disk_usage(path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    with pytest.raises(SettingsError, match="free some space"):
        upgrade(path)
    assert [found.name for found in tmp_path.iterdir()] == ["remit.db"]


def test_a_file_in_the_way_is_refused_before(tmp_path: Path) -> None:
    """It may be the old data of an earlier upgrade."""
    path = tmp_path / "remit.db"
    make_sqlite(path, 6)
    path.with_name("remit.db.v6").write_text("kept")
    with pytest.raises(SettingsError, match=r"remit\.db\.v6 exists"):
        upgrade(path)
    assert path.with_name("remit.db.v6").read_text() == "kept"


def test_the_new_file_keeps_the_mode_of_the_old_one(tmp_path: Path) -> None:
    """A group may read the database for backups."""
    path = tmp_path / "remit.db"
    make_sqlite(path, 6)
    path.chmod(0o640)
    upgrade(path)
    assert S_IMODE(path.stat().st_mode) == 0o640


class InterruptError(Exception):
    """Ends a copy."""


def interrupted(done: int, total: int) -> None:
    """End the copy when a part of it is done."""
    if 0 < done < total:
        raise InterruptError


@contextmanager
def upgraded_store(kind: str, folder: Path, version: int) -> Generator[Store]:
    """Return a block with the store of an upgraded database."""
    with old_database(kind, folder, version) as named:
        upgrade(named)
        with closing(open_store(named)) as store:
            yield store


@contextmanager
def in_use(named: Path | str) -> Generator[None]:
    """Return a block in which a collector of the older version has a connection."""
    if isinstance(named, Path):
        with closing(sqlite3.connect(named)) as connection:
            connection.execute("SELECT COUNT(*) FROM agents").fetchone()
            yield
    else:
        with psycopg.connect(named, application_name="remit"):
            yield


def execute(named: Path | str, statement: str) -> None:
    """Run a statement."""
    if isinstance(named, Path):
        with closing(sqlite3.connect(named, isolation_level=None)) as connection:
            connection.execute(statement)
    else:
        with psycopg.connect(named) as connection:
            connection.execute(statement.encode())


def account_of(entry: Answered) -> str:
    """Return the account that answers are about."""
    path = next(path for path in entry.answers if path.startswith("/account/"))
    return path.rpartition("/")[2]


def is_about(entry: Answered, run_id: str) -> bool:
    """Return whether answers are about the account of a run."""
    return f"/agent_instance/{run_id}" in entry.answers


def creation(row: dict[str, Any]) -> dict[str, Json]:
    """Return the item of a bulk request that created a span."""
    return {
        "_type": "agent_spans/create",
        "idempotency_key": row["create_key"],
        "id": row["id"],
        "agent_instance_id": row["agent_instance_id"],
        "parent_span_id": row["parent_span_id"],
        "schema_name": row["schema_name"],
        "status": row["created_status"],
        "payload": json.loads(row["payload"]),
    }


def sent(http: httpx.Client, item: dict[str, Json]) -> dict[str, Json]:
    """Send an item; return what the answer is about, or the refusal."""
    response = http.post(f"{PREFIX}/bulk", json={"items": [item]})
    (output,) = response.json()["outputs"].values()
    answer: dict[str, Json] = output.get("details", output)
    return answer


def numbers(table: Iterable[Sequence[Any]]) -> set[tuple[Any, ...]]:
    """Return rows with integers, which PostgreSQL's sums are not."""
    return {
        tuple(value if isinstance(value, str) else int(value) for value in row) for row in table
    }


@cache
def ingested() -> tuple[list[str], dict[tuple[str, str], int]]:
    """Return what this version derives when it records the program of the old database."""
    with TemporaryDirectory() as folder:
        for mode in ("observe", "deny"):
            run_agents(folder, mode)
        with closing(open_store(Path(folder) / "remit.db")) as store, store.reading() as tx:
            return derived(tx), rules(tx)


def run_agents(folder: str, mode: str) -> None:
    """Record the program of the old database by this version."""
    environment = {"REMIT_MODE": "local", "REMIT_DATA_DIR": folder, "REMIT_ON_VIOLATION": mode}
    program = [sys.executable, str(FOLDER / "agents.py")]
    subprocess.run(program, env={**os.environ, **environment}, check=True, capture_output=True)


def derived(tx: Transaction) -> list[str]:
    """Return what was derived of each run of the program that is not erased."""
    erased = hash_of_subject("customer-0")
    sql = (
        f"SELECT r.ref, {', '.join(f'r.{name}' for name in DERIVED)} FROM runs AS r "
        "JOIN agents AS a ON a.ref = r.agent_ref WHERE a.name = 'desk' AND r.erased_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM run_subjects AS u WHERE u.run_ref = r.ref "
        "AND u.subject_hash = ?)"
    )
    return sorted(
        repr((row, *(sorted(tx.rows(part, (ref,)), key=repr) for part in OF_RUN)))
        for ref, *row in tx.rows(sql, (erased,))
    )


def rules(tx: Transaction) -> dict[tuple[str, str], int]:
    """Return how often each rule withheld a value, by the type of the span."""
    return {
        (name, rule): int(times)
        for name, rule, times in tx.rows(
            "SELECT t.name, w.rule, SUM(w.times) FROM withheld_days AS w "
            "JOIN span_types AS t ON t.ref = w.type_ref GROUP BY 1, 2"
        )
        if name == "look up"
    }
