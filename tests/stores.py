"""Each kind of store, empty: what holds for one holds for all."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import pytest

from remit.collector import Store, open_store
from tests.postgres import database, emptied

STORES: Final = ("sqlite", "postgres")
"""The kinds."""
EACH_STORE: Final = ("sqlite", pytest.param("postgres", marks=pytest.mark.gate))
"""The kinds as parameters of a test; most tests of the collector run on each.

PostgreSQL is the same beneath each Python, and what lies between is tried on each by the tests of
the stores themselves.
"""


@contextmanager
def empty_database(kind: str, folder: Path) -> Generator[Path | str]:
    """Return a block with what `--db` names: a database in which there is nothing yet."""
    with emptied() if kind == "postgres" else nullcontext(folder / "remit.db") as named:
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
