"""`remit runs terminate`: a run is ended from outside, and its program is told."""

from __future__ import annotations

import click

from remit.cli._options import TEXT, Database, runs_option
from remit.cli._source import runs_of
from remit.cli._terminal import bold, emit, faint, printable


@click.command()
@click.argument("run", type=TEXT)
@click.option(
    "--reason", type=TEXT, required=True, help="Reason; the program and the record get it."
)
@runs_option
def terminate(run: str, reason: str, db: Database | None) -> None:
    """Terminate a run.

    RUN is its key, its id, the beginning of either, or `last`. The program stops at its next step,
    or at the next item of a stream, once it learns of the termination: within its flush interval
    if it sends something or streams, else within its poll interval.
    """
    if not reason.strip():
        raise click.UsageError("--reason must say something.")
    with runs_of(db) as runs:
        found = runs.find(run)
        runs.terminate(found, reason)
    emit(f"Terminated {bold(printable(found.handle))}: {printable(reason)}")
    how = "its program stops at its next step or the next item of a stream."
    emit(faint(f"In {runs.place}; {how}"))
