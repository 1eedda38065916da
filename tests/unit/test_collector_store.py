"""Every store: opened, migrated, shared, undone."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from remit._base.clock import SystemClock
from remit.collector import Store, create_token, open_store
from remit.collector.domain import prepare, runs_about
from remit.collector.store import AccountRow, ConflictError, Page, Transaction, content_hash, write
from remit.collector.store.migrate import migrations, statements
from remit.collector.store.subjects import subject_hash
from remit.errors import SettingsError
from tests.stores import EACH_STORE, STORES, empty_database, new_database


@pytest.fixture(params=EACH_STORE)
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Return what `--db` names: a database with nothing in it."""
    with empty_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(named: Path | str) -> Iterator[Store]:
    """Return a store that is open."""
    opened = open_store(named)
    yield opened
    opened.close()


def test_a_database_is_opened_again(named: Path | str) -> None:
    """With what is in it; a closed store opens by itself."""
    store = open_store(named)
    made = create_token(store, "account")
    store.close()
    store.close()

    for again in (store, open_store(named)):
        with again.reading() as tx:
            assert [token.id for token in tx.tokens()] == [made.info.id]
        again.close()


@pytest.mark.parametrize("kind", EACH_STORE)
def test_many_open_a_new_database_at_once(kind: str, tmp_path: Path) -> None:
    """Whoever is first applies the migrations and makes the account."""
    stores: list[Store] = []

    with new_database(kind, tmp_path) as named:

        def open_one() -> None:
            store = open_store(named)
            prepare(store, SystemClock())
            stores.append(store)

        threads = [threading.Thread(target=open_one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(stores) == 8
        for store in stores:
            with store.reading() as tx:
                assert len(tx.accounts()) == 1
            store.close()


def test_another_kind_of_database_is_refused_by_name() -> None:
    """Rather than a file of that name being made."""
    with pytest.raises(SettingsError, match="knows no mysql:// database"):
        open_store("mysql://localhost/remit")


@pytest.mark.parametrize("kind", EACH_STORE)
def test_migrations_are_numbered_without_gaps(kind: str) -> None:
    """Their numbers are the schema versions."""
    found = migrations(kind)

    assert [step.number for step in found] == list(range(1, len(found) + 1))
    assert all(step.statements for step in found)


def test_both_databases_are_migrated_by_the_same_steps() -> None:
    """So that a schema version means the same in each."""
    assert len({tuple(step.name for step in migrations(kind)) for kind in STORES}) == 1


class Older:
    """A database as an older remit left it."""

    def __init__(self, kind: str, named: Path | str, version: int) -> None:
        """Apply the migrations of *kind* up to *version*, and nothing later."""
        self._connection: Any
        if kind == "sqlite":
            self._connection, self._place = sqlite3.connect(named), "?"
            self._connection.create_function("remit_subject_hash", 1, subject_hash)
            versioned = [f"PRAGMA user_version = {version}"]
        else:
            self._connection, self._place = psycopg.connect(str(named)), "%s"
            versioned = [
                "CREATE TABLE remit_schema (version bigint NOT NULL)",
                f"INSERT INTO remit_schema VALUES ({version})",
            ]
        steps = [statement for step in migrations(kind)[:version] for statement in step.statements]
        for statement in [*steps, *versioned]:
            self._connection.execute(statement)

    def add(self, table: str, **values: object) -> None:
        """Insert a row."""
        places = ", ".join([self._place] * len(values))
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", tuple(values.values())
        )

    def close(self) -> None:
        """Commit and close the connection."""
        self._connection.commit()
        self._connection.close()


INSERTED = {"inserted_at": 1, "updated_at": 1}


def older_run(run: str, **more: object) -> dict[str, object]:
    """Return the columns of a run in an older database."""
    ids = ("agent_version_id", "agent_schema_version_id", "agent_deployment_id")
    return {
        "id": run,
        "account_id": "account",
        "agent_id": "agent",
        **dict.fromkeys(ids, "x"),
        "environment_id": "prod",
        "purpose": "live",
        "body_hash": "",
        "status": "active",
        "start_seen": 1,
        "quality_payloads": "{}",
        **INSERTED,
        **more,
    }


@pytest.mark.parametrize("kind", EACH_STORE)
def test_a_database_of_before_knows_whom_its_runs_are_about(kind: str, tmp_path: Path) -> None:
    """Once it is opened, so that they are found when somebody asks to be erased."""
    said = ["Zoë \U0001f600 & Søn", "ann", 5, None, {"$remit": "withheld"}]
    with new_database(kind, tmp_path) as named:
        older = Older(kind, named, 2)
        for number, subject in enumerate(said):
            for name, about in (("remit:run", subject), ("desk:answer", "bob")):
                older.add(
                    "agent_spans",
                    agent_instance_id=f"run-{number}",
                    id=f"{name}-{number}",
                    schema_name=name,
                    status="active",
                    created_status="active",
                    flags=0,
                    payload=json.dumps({"subject": about}, ensure_ascii=False),
                    **INSERTED,
                )
        older.close()

        store = open_store(named)
        with store.reading() as tx:
            found = [runs_about(tx, text) for text in ("Zoë \U0001f600 & Søn", "ann", "bob", "5")]
        store.close()

    assert found == [["run-0"], ["run-1"], [], []]


@pytest.mark.parametrize("kind", EACH_STORE)
def test_a_database_of_before_takes_several_contents_and_environments(
    kind: str, tmp_path: Path
) -> None:
    """What was registered stays as it was, and is found again by its content."""
    types, qualities = '[{"name":"é","params_schema":{}}]', "[]"
    with new_database(kind, tmp_path) as named:
        older = Older(kind, named, 3)
        older.add(
            "agent_schema_versions",
            id="first",
            account_id="account",
            agent_id="agent",
            external_identifier="v1",
            span_type_schemas=types,
            quality_schemas=qualities,
            **INSERTED,
        )
        older.add("agent_instances", **older_run("run-1", external_identifier="nightly"))
        older.close()

        store = open_store(named)
        with store.writing() as tx:
            known = tx.schema_version("agent", "v1", content_hash(types, qualities))
            assert known is not None
            other = content_hash("[]", qualities)
            tx.add(
                msgspec.structs.replace(
                    known, id="second", span_type_schemas="[]", content_hash=other
                )
            )
            run = tx.instances(None, ["run-1"])["run-1"]
            tx.add(msgspec.structs.replace(run, id="run-2", environment_id="dev"))
        with store.reading() as tx:
            again = tx.schema_version("agent", "v1", other)
            runs = [
                tx.instance_of_identifier("agent", where, "nightly") for where in ("prod", "dev")
            ]
        store.close()

    assert (known.id, known.span_type_schemas, known.registered_by) == ("first", types, None)
    assert again is not None
    assert again.id == "second"
    assert [run and run.id for run in runs] == ["run-1", "run-2"]


def test_a_script_is_read_statement_by_statement() -> None:
    """Comments are passed over, whole lines of them."""
    script = "-- one; two\nCREATE TABLE a (\n  -- three\n  b\n);\n\nDROP TABLE a;\n"

    assert statements(script) == ("CREATE TABLE a (\n  b\n)", "DROP TABLE a")


def test_what_a_block_wrote_is_undone_when_it_fails(store: Store) -> None:
    """All of it; and the store goes on."""
    create_token(store, "account")

    def write_and_fail() -> None:
        with store.writing() as tx:
            tx.add(AccountRow("another", "n", 0, 0))
            with tx.savepoint():
                tx.add(AccountRow("third", "n", 0, 0))
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with store.reading() as tx:
        assert len(tx.accounts()) == 1


def test_a_savepoint_undoes_its_own_writes_only(store: Store) -> None:
    """As one item of a bulk request does."""
    with store.writing() as tx:
        tx.add(AccountRow("kept", "n", 0, 0))

        def write_and_fail() -> None:
            with tx.savepoint():
                tx.add(AccountRow("undone", "n", 0, 0))
                raise KeyError

        with pytest.raises(KeyError):
            write_and_fail()
        tx.add(AccountRow("kept too", "n", 0, 0))

    with store.reading() as after:
        assert {row.id for row in after.accounts()} == {"kept", "kept too"}


def test_a_block_that_others_were_in_the_way_of_is_begun_anew(store: Store) -> None:
    """A few times, with nothing left of the tries before; then it is given up for now."""
    tries: list[int] = []

    def work(least: int) -> int:
        def add_one(tx: Transaction) -> int:
            tries.append(len(tx.accounts()))
            tx.add(AccountRow(f"of {least}", "n", 0, 0))
            if len(tries) < least:
                raise ConflictError
            return least

        return write(store, add_one)

    assert work(4) == 4
    assert tries == [0, 0, 0, 0]
    tries.clear()
    with pytest.raises(ConflictError):
        work(5)
    with store.reading() as after:
        assert [row.id for row in after.accounts()] == ["of 4"]


def test_only_columns_get_into_a_statement(store: Store) -> None:
    """A name that is none is a mistake of ours, not a query."""
    with store.reading() as tx:
        with pytest.raises(ValueError, match="no column"):
            tx.list_instances(None, {"1=1; --": "x"}, Page(0, 1, "id", descending=False))
        with pytest.raises(ValueError, match="no column"):
            tx.list_instances(None, {}, Page(0, 1, "id; --", descending=False))
