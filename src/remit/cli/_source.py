"""The source of `remit runs`: a database or a server."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, Final, Protocol

from remit import config
from remit._base.clock import SystemClock
from remit._runtime.targets import remote_client
from remit.cli._failing import missing_library
from remit.cli._options import Database
from remit.cli._records import Links, ListedRun, Record, Step
from remit.cli._remote import ServerRuns
from remit.cli._terminal import emit, faint
from remit.config import Settings
from remit.models.risk import Risk

# Imported by name, because it needs the extra `collector`.
LOCAL: Final = "remit.cli._local"


class Runs(Protocol):
    """The runs of one place.

    Attributes:
        place: The database or the server, as people name it.
    """

    place: str

    def newest(self, count: int) -> list[ListedRun]:
        """Return the last *count* runs, the newest first."""
        ...

    def find(self, reference: str) -> ListedRun:
        """Return the run that *reference* names: key, id, the beginning of one, or `last`.

        Raises:
            Failed: There is none, or several begin so.
        """
        ...

    def record(self, run: ListedRun) -> Record:
        """Return a run with all its spans."""
        ...

    def links(self, record: Record) -> Links:
        """Return the run that caused this one, and those that it caused."""
        ...

    def erasures(self, run: ListedRun) -> list[dict[str, object]]:
        """Return the records of erasures of a run; a server has no request for them."""
        ...

    def risk(self, run: ListedRun) -> Risk:
        """Return the risk of a run."""
        ...

    def schema_versions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest schema version of each agent with its identifier, the oldest first."""
        ...

    def last(self, run: ListedRun | None, count: int, *, with_roots: bool) -> list[Step]:
        """Return the newest spans of *run*, or of all, in the order in which they began.

        Args:
            run: The run; None for all.
            count: How many.
            with_roots: Whether to include root spans (`remit:run`).
        """
        ...

    def feed(self, run: ListedRun | None) -> Callable[[], list[Step]]:
        """Return what returns the spans that began or ended since its last call.

        The first call returns what is there already.
        """
        ...

    def terminate(self, run: ListedRun, reason: str) -> None:
        """End a run from outside.

        Raises:
            Failed: It has ended already.
        """
        ...


@contextmanager
def runs_of(db: Database | None, settings: Settings | None = None) -> Generator[Runs]:
    """Open the runs of *db*, else of the server that the settings name, for the block.

    Without a URL and a token, and in local mode, local mode's database is opened.

    Args:
        db: What `--db` names.
        settings: Name the server; those of the environment if None.
    """
    if db is None:
        settings = settings or config.load({})
        if settings.mode != "local" and settings.api_url and settings.api_token:
            with closing(remote_client(settings, SystemClock())) as http:
                yield ServerRuns(http)
            return
    try:
        local = import_module(LOCAL)
    except ModuleNotFoundError as error:
        raise missing_library("runs", error) from error
    with local.LocalRuns.opened(db) as runs:
        yield runs


def say_place(runs: Runs, *, err: bool) -> None:
    """Print where *runs* were read, on standard error if *err* (beside JSON)."""
    emit(faint(f"Read from {runs.place}."), err=err)
