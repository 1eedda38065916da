"""Opens a database for a command, and reads its rows as runs and spans."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final, TypeVar

import msgspec

from remit import config
from remit.cli._failing import Failed
from remit.cli._files import private_folder
from remit.cli._options import Database
from remit.cli._records import ListedRun, Record, called
from remit.cli._terminal import emit
from remit.collector.domain.validation import judged_qualities, shown_span
from remit.collector.store import (
    AgentRow,
    InstanceRow,
    Listed,
    Page,
    Reader,
    SpanFilter,
    SpanRow,
    Store,
    StoreUnavailableError,
    TooSlowError,
    Transaction,
    open_reader,
    open_store,
    shown,
)
from remit.collector.store.rows import Row
from remit.collector.validation import Budget, Declarations
from remit.collector.views import agent_view, instance_view
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan

R = TypeVar("R", bound=Row)

FILE: Final = "remit.db"
LAST: Final = "last"
PAGE_ROWS: Final = 1000
MOST_AGENTS: Final = 10_000
_NEWEST_FEW: Final = Page(0, 3, "id", descending=True)
SEARCHED_RUNS: Final = 20_000
"""Number of the newest runs among which a prefix is looked up."""


def database(given: Database | None, *, create: bool = False) -> Database:
    """Return the database that `--db` names, else the one of local mode.

    Args:
        given: What `--db` names.
        create: Whether to make the data folder if it is needed and there is none.

    Raises:
        Failed: The data folder cannot be made, or is open to other users.
    """
    return given or private_folder(config.load({}).data_dir, create=create) / FILE


def maintained(given: Database | None, *, create: bool = False) -> Database:
    """Return the database as `database` does, for a command that never works on a server.

    Name it on standard error if it is that of local mode while the environment names a server.
    """
    path = database(given, create=create)
    settings = config.load({})
    if given is None and settings.mode != "local" and settings.api_url:
        variable, _ = config.environment_sources()["api_url"]
        emit(
            f"This works on {shown(path)}, not on the server of {variable}; --db names another "
            "database.",
            err=True,
        )
    return path


@contextmanager
def opened(path: Database, *, create: bool = False) -> Generator[Store]:
    """Open the database at *path* to read and write it, and close it after the block.

    Raises:
        Failed: Another process keeps it locked.
    """
    with closing(open_store(path, create=create)) as store, _failing():
        yield store


@contextmanager
def opened_to_read(path: Database) -> Generator[Reader]:
    """Open the database at *path* to read it only, and close it after the block.

    Raises:
        Failed: Another process keeps it locked.
    """
    with closing(open_reader(path)) as store, _failing():
        yield store


@contextmanager
def _failing() -> Generator[None]:
    try:
        yield
    except TooSlowError as error:
        raise Failed(f"the database took too long to answer ({error}): ask for less") from error
    except StoreUnavailableError as error:
        raise Failed(f"the database cannot be used now ({error}): try again later") from error


def newest(db: Transaction, count: int) -> list[InstanceRow]:
    """Return the last *count* runs, the newest first."""
    rows = every(lambda page: db.list_instances(None, {}, page), descending=True)
    return [row for row, _ in zip(rows, range(count), strict=False)]


def find(db: Transaction, reference: str) -> InstanceRow:
    """Return the run that *reference* names: its key, its id, the beginning of one, or `last`.

    Raises:
        Failed: There is none, or more than one is called or begins so.
    """
    if not reference:
        raise Failed("an empty text names no run: `remit runs list` shows those that there are")
    exact = db.instances(None, [reference]).get(reference) or _of_key(db, reference)
    if exact is not None:
        return exact
    runs = newest(db, 1 if reference == LAST else SEARCHED_RUNS)
    if not runs:
        raise Failed("there are no runs in this database yet")
    if reference == LAST:
        return runs[0]
    found = [row for row in runs if _begins(row, reference)]
    if len(found) > 1:
        some = ", ".join(called(row.external_identifier, row.id) for row in found[:3])
        raise Failed(f"{len(found)} runs begin with {reference!r} ({some}): give more of it")
    if not found:
        raise Failed(f"there is no run {reference!r}: `remit runs list` shows those that there are")
    return found[0]


def _of_key(db: Transaction, key: str) -> InstanceRow | None:
    """Return the run of this key; each agent may have one.

    Raises:
        Failed: Several have.
    """
    found = db.list_instances(None, {"external_identifier": key}, _NEWEST_FEW)
    if found.total > 1:
        ids = ", ".join(row.id for row in found.rows)
        raise Failed(f"{found.total} runs are called {key!r}: give the id of one ({ids})")
    return found.rows[0] if found.rows else None


def agent_of(db: Transaction, row: InstanceRow) -> Agent:
    """Return the agent of the run."""
    agent = db.agent(None, row.agent_id)
    assert agent is not None  # noqa: S101 - an agent that has runs is never removed
    return Agent.model_validate(agent_view(agent, {}))


def run_of(db: Transaction, declarations: Declarations, row: InstanceRow) -> ListedRun:
    """Return the run as the API shows it."""
    qualities = judged_qualities(db, declarations, row, Budget())
    return ListedRun(
        agent_of(db, row), AgentInstance.model_validate(instance_view(row, *qualities))
    )


def record_of(db: Transaction, declarations: Declarations, row: InstanceRow) -> Record:
    """Return a run with all its spans."""
    run = run_of(db, declarations, row)
    wanted = SpanFilter(agent_instance_id=row.id)
    rows = every(lambda page: db.list_spans(wanted, page), descending=False)
    return Record.of(run.agent, run.instance, spans_of(db, declarations, row, rows))


def spans_of(
    db: Transaction, declarations: Declarations, row: InstanceRow, rows: Iterable[SpanRow]
) -> Iterator[AgentSpan]:
    """Yield spans of a run as the API shows them, with their summaries.

    Args:
        db: Where they are.
        declarations: What schema versions say.
        row: The run.
        rows: The spans.
    """
    said = declarations.of(db, row.agent_schema_version_id)
    for each in rows:
        view = shown_span(said, each, row, Budget())
        yield AgentSpan.model_validate_json(msgspec.json.encode(view))


def every(page_of: Callable[[Page], Listed[R]], *, descending: bool) -> Iterator[R]:
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


def agents(db: Transaction) -> Iterator[AgentRow]:
    """Yield the agents of all accounts."""
    page = Page(0, MOST_AGENTS, "id", descending=False)
    for account in db.accounts():
        yield from db.list_rows(AgentRow, account.id, {}, page).rows


def agent_called(source: Transaction, agent: str) -> AgentRow | None:
    """Return the agent that *agent* names.

    Raises:
        Failed: Several have that name.
    """
    rows = list(agents(source))
    matches: tuple[Callable[[AgentRow], bool], ...] = (
        lambda row: row.external_identifier == agent,
        lambda row: row.id == agent,
        lambda row: row.name == agent,
        lambda row: (row.external_identifier or "").endswith(f"/{agent}"),
    )
    for match in matches:
        found = list(filter(match, rows))
        if len(found) > 1:
            ids = ", ".join(row.id for row in found)
            raise Failed(f"{len(found)} agents are called {agent!r}: give the id of one ({ids})")
        if found:
            return found[0]
    return None
