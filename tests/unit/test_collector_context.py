"""`remit.collector`: ids that grow, schema versions that are read once."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from remit._base.ids import is_pfid, partition_of
from remit.collector import Store
from remit.collector.domain.context import IdSource
from remit.collector.store.rows import SchemaVersionRow
from remit.collector.store.transaction import Transaction
from remit.collector.validation.budget import Budget
from remit.collector.validation.declarations import MIN_CHARS, Declarations, Declared
from remit.collector.validation.schemas import SchemaResult
from remit.testing import FakeClock
from tests.stores import empty_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return an empty store."""
    with empty_store("sqlite", tmp_path) as opened:
        yield opened


def test_ids_grow_although_the_clock_goes_back() -> None:
    """Ids sort in the order in which they were made."""
    clock = FakeClock()
    ids = IdSource(clock)
    made: list[str] = []
    for seconds in (0, 0, 5, -3600, 0, 7200):
        clock.jump(seconds)
        made.append(ids.new(7))

    assert made == sorted(set(made))
    assert all(is_pfid(one) and partition_of(one) == 7 for one in made)


def test_ids_are_different_on_all_threads() -> None:
    """No id is made twice, however many threads ask."""
    ids = IdSource(FakeClock())
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend(ids.new(1) for _ in range(500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 2000


def test_a_schema_version_is_read_once(store: Store) -> None:
    """It is read again when it was forgotten for others; one that is not there says nothing."""
    types = '[{"name":"a","title":"A"},{"name":"b","title":null}]'
    with store.writing() as tx:
        tx.add(SchemaVersionRow("one", "x", "y", None, types, "[]", "", None, None, 0, 0))
        declarations = Declarations(max_chars=2 * MIN_CHARS)
        first = declarations.of(tx, "one")
        assert {name: each.title for name, each in first.types.items()} == {"a": "A", "b": "b"}
        assert declarations.of(tx, "one") is first
        assert declarations.of(tx, "unknown").types == {}
        declarations.of(tx, "third")
        again = declarations.of(tx, "one")
        assert again is not first
        assert again.types.keys() == first.types.keys()


def test_a_schema_is_read_when_something_is_compared_with_it(store: Store) -> None:
    """A run of two steps does not read the schemas of five hundred."""
    text = json.dumps(
        [{"name": name, "params_schema": {f"x-{name}-schema": {}}} for name in ("a", "b")]
    )
    with store.writing() as tx:
        tx.add(SchemaVersionRow("one", "x", "y", None, text, "[]", "", None, None, 0, 0))
        known = Declarations().of(tx, "one").types

    def is_read(name: str) -> bool:
        return any(f"x-{name}-schema" in each for each in gc.get_objects() if type(each) is dict)

    assert not is_read("a")
    assert known["a"].params.compare({}, "{}", Budget()) is SchemaResult.GOOD
    assert is_read("a")
    assert not is_read("b")


def test_only_so_much_of_schemas_is_kept(store: Store) -> None:
    """The last is kept, however large it is."""
    with store.writing() as tx:
        for name in ("one", "two"):
            tx.add(
                SchemaVersionRow(name, "x", "y", name, '[{"name":"a"}]', "[]", "", None, None, 0, 0)
            )
        declarations = Declarations(max_chars=10)
        first = declarations.of(tx, "one")
        assert declarations.of(tx, "one") is first
        declarations.of(tx, "two")
        assert declarations.of(tx, "one") is not first


class Slow:
    """What is asked for a schema version, by somebody who is overtaken meanwhile."""

    def __init__(self, declarations: Declarations) -> None:
        """Let another thread ask for the same."""
        self._declarations = declarations
        self._asked = False
        self.overtaken_by: list[Declared] = []

    def schema_version_of_id(self, schema_version_id: str) -> SchemaVersionRow:
        """Return a row, when somebody else has it already."""
        if not self._asked:
            self._asked = True
            found = self._declarations.of(cast("Transaction", self), schema_version_id)
            self.overtaken_by.append(found)
        return SchemaVersionRow(
            schema_version_id, "x", "y", None, '[{"name":"a"}]', "[]", "", None, None, 0, 0
        )


def test_two_threads_that_read_a_schema_version_share_it() -> None:
    """It counts once against what is kept."""
    declarations = Declarations()
    slow = Slow(declarations)

    found = declarations.of(cast("Transaction", slow), "one")

    assert [found] == slow.overtaken_by
    assert declarations.of(cast("Transaction", slow), "one") is found
