"""Each kind of store, empty: what holds for one holds for all."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from remit.collector import Store, open_store
from tests.postgres import cluster, database, emptied, emptied_cluster

STORES: Final = ("sqlite", "postgres")
"""The kinds."""
ON_ONE_SERVER: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.gate))
"""The kinds as parameters of a test."""
EACH_STORE: Final = (
    *ON_ONE_SERVER,
    *([pytest.param("citus", marks=pytest.mark.gate)] if cluster() else []),
)
"""The same, with a distributed PostgreSQL where one is named."""
on_each_store: Final = pytest.mark.parametrize("store_kind", EACH_STORE)
"""Runs a test of tests/contract on each kind; without it a test has an SQLite file.

It is for tests of statements: what is done before and after them does not depend on the kind.
"""


@cache
def _template() -> bytes:
    """Return an SQLite file with remit's tables and nothing in them; to make one takes 30 ms."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "remit.db"
        open_store(path).close()
        return path.read_bytes()


def _copy(folder: Path) -> Path:
    path = folder / "remit.db"
    path.touch(0o600, exist_ok=False)
    path.write_bytes(_template())
    return path


@contextmanager
def empty_database(kind: str, folder: Path) -> Generator[Path | str]:
    """Return a block with what `--db` names: a database with remit's tables and no rows."""
    if kind == "sqlite":
        yield _copy(folder)
        return
    with emptied_cluster() if kind == "citus" else emptied() as named:
        yield named


@contextmanager
def new_database(kind: str, folder: Path) -> Generator[Path | str]:
    """Return a block with what `--db` names: a database without remit's tables."""
    with database() if kind == "postgres" else nullcontext(folder / "new.db") as named:
        yield named


@contextmanager
def empty_store(kind: str, folder: Path) -> Generator[Store]:
    """Return a block with an empty store of a kind; an SQLite file is made in *folder*."""
    with empty_database(kind, folder) as named:
        store = open_store(named)
        try:
            yield store
        finally:
            store.close()
