"""The runs in a database of this machine; a collector may be writing it at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from remit import config
from remit.cli._failing import Failed
from remit.cli._records import Record
from remit.collector.store import (
    InstanceRow,
    Listed,
    Page,
    Reading,
    SpanFilter,
    Store,
    StoreUnavailableError,
    open_store,
)
from remit.collector.views import agent_view, instance_view, span_view
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan

R = TypeVar("R")

FILE: Final = "remit.db"
LAST: Final = "last"
PAGE_ROWS: Final = 1000
SEARCHED_RUNS: Final = 20_000
"""A prefix is looked for among so many of the newest runs."""


def database(given: Path | None) -> Path:
    """Return the file that `--db` names, else the one of local mode."""
    return given or config.load({}).data_dir / FILE


@contextmanager
def opened(path: Path, *, create: bool = False) -> Generator[Store]:
    """Return a block with the database at *path*.

    Raises:
        Failed: Another process keeps it locked.
    """
    store = open_store(path, create=create)
    try:
        yield store
    except StoreUnavailableError as error:
        raise Failed(f"the database cannot be used now ({error}): try again later") from error
    finally:
        store.close()


@contextmanager
def reading(path: Path) -> Generator[Reading]:
    """Return a block that reads one state of the database at *path*."""
    with opened(path) as store, store.reading() as transaction:
        yield transaction


def newest(db: Reading, count: int) -> list[InstanceRow]:
    """Return the last *count* runs, the newest first."""
    rows = _all(lambda page: db.list_instances(None, {}, page), descending=True)
    return [row for row, _ in zip(rows, range(count), strict=False)]


def find(db: Reading, reference: str) -> InstanceRow:
    """Return the run that *reference* names: its key, its id, the beginning of one, or `last`.

    Raises:
        Failed: There is none, or more than one begins so.
    """
    exact = db.instance_of_identifier(None, reference) or db.instances(None, [reference]).get(
        reference
    )
    if exact is not None:
        return exact
    runs = newest(db, 1 if reference == LAST else SEARCHED_RUNS)
    if not runs:
        raise Failed("there are no runs in this database yet")
    if reference == LAST:
        return runs[0]
    found = [row for row in runs if _begins(row, reference)]
    if len(found) > 1:
        some = ", ".join(handle(row) for row in found[:3])
        raise Failed(f"{len(found)} runs begin with {reference!r} ({some}): give more of it")
    if not found:
        raise Failed(f"there is no run {reference!r}: `remit runs list` shows those that there are")
    return found[0]


def handle(row: InstanceRow) -> str:
    """Return the word by which a run is asked for: its key, else its id."""
    return row.external_identifier or row.id


def agent_of(db: Reading, row: InstanceRow) -> Agent:
    """Return whose run it is."""
    agent = db.agent(None, row.agent_id)
    assert agent is not None  # noqa: S101 - an agent that has runs is never removed
    return Agent.model_validate(agent_view(agent, {}))


def instance_of(row: InstanceRow) -> AgentInstance:
    """Return the run as the API shows it."""
    return AgentInstance.model_validate(instance_view(row))


def record_of(db: Reading, row: InstanceRow) -> Record:
    """Return a run with all its spans."""
    titles = _titles(db, row)
    wanted = SpanFilter(agent_instance_id=row.id)
    rows = _all(lambda page: db.list_spans(wanted, page), descending=False)
    spans = (span_view(each, row, titles.get(each.schema_name, each.schema_name)) for each in rows)
    return Record.of(
        agent_of(db, row),
        instance_of(row),
        (AgentSpan.model_validate_json(msgspec.json.encode(each)) for each in spans),
    )


def _all(page_of: Callable[[Page], Listed[R]], *, descending: bool) -> Iterator[R]:
    """Yield every row of a list, page by page."""
    offset = 0
    while True:
        listed = page_of(Page(offset, PAGE_ROWS, "id", descending))
        yield from listed.rows
        offset += PAGE_ROWS
        if offset >= listed.total:
            return


def _begins(row: InstanceRow, reference: str) -> bool:
    return any(each.startswith(reference) for each in (row.id, row.external_identifier or ""))


def _titles(db: Reading, row: InstanceRow) -> dict[str, str]:
    version = db.schema_version_of_id(row.agent_schema_version_id)
    types: list[dict[str, Any]] = json.loads(version.span_type_schemas) if version else []
    return {each["name"]: each["title"] for each in types if each.get("title")}
