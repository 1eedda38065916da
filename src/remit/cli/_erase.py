"""`remit db erase`: the payloads of runs go, for good; their skeleton and a record of it stay."""

from __future__ import annotations

import getpass
from typing import Final

import click

from remit.cli._agents import agent_called
from remit.cli._database import database, find, opened
from remit.cli._failing import Failed
from remit.cli._options import TEXT, Database, db_option, json_option
from remit.cli._terminal import emit, emit_json
from remit.collector.ingest import AskedFor, runs_about
from remit.collector.ingest import erase as erase_runs
from remit.collector.store import Reading, Store, StoreUnavailableError, is_postgres, shown

SOMEBODY: Final = "unknown"


@click.command()
@click.option(
    "--run", type=TEXT, metavar="RUN", help="One run: its key, its id, or the beginning of one."
)
@click.option(
    "--agent", type=TEXT, metavar="AGENT", help="All runs of an agent: id, identifier or name."
)
@click.option(
    "--subject", type=TEXT, metavar="VALUE", help="All runs that were opened with this subject."
)
@click.option(
    "--reason", type=TEXT, metavar="TEXT", required=True, help="Reason; it is kept in the record."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@db_option
@json_option
def erase(
    run: str | None,
    agent: str | None,
    subject: str | None,
    reason: str,
    db: Database | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the payloads of runs for good, and keep a record of the erasure.

    The command deletes parameters, results, quality payloads, reasons, and stored answers that hold
    them. Names, times and states remain, and `remit runs show` shows what was erased, when, why and
    by whom. Items that arrive for such a run later are stored without their payloads.
    """
    named = {AskedFor.RUN: run, AskedFor.AGENT: agent, AskedFor.SUBJECT: subject}
    asked = [(kind, value) for kind, value in named.items() if value is not None]
    if len(asked) != 1:
        raise click.UsageError("Give one of --run, --agent and --subject.")
    if not reason.strip():
        raise click.UsageError("--reason must say something.")
    ((kind, value),) = asked
    path = database(db)
    with opened(path) as store:
        ids = _instances(store, kind, value)
        if not ids:
            raise Failed(f"{shown(path)} has no run of the {kind} {value!r}: nothing was erased")
        if not yes:
            what = f"Erase the payloads of {_counted(len(ids), 'run')} in {shown(path)}, for good?"
            click.confirm(what, abort=True, err=True)
        done = erase_runs(store, ids, kind, reason=reason, erased_by=_user())
        _scrub(store, ids[0])
    if as_json:
        emit_json(done._asdict())
        return
    emit(
        f"Erased {_counted(done.spans, 'span')} and {_counted(done.answers, 'answer')} "
        f"of {_counted(done.runs, 'run')} in {shown(path)}."
    )
    if is_postgres(path):
        emit("Its write-ahead log and its backups still hold them until they are gone themselves.")


def _scrub(store: Store, instance_id: str) -> None:
    try:
        store.scrub()
    except StoreUnavailableError as error:
        raise Failed(
            f"the payloads are deleted, but their bytes may still stand in the file ({error}): "
            "stop what uses the database, and then do the same again, by "
            f"--run {instance_id}"
        ) from error


def _instances(store: Store, kind: AskedFor, value: str) -> list[str]:
    with store.reading() as source:
        if kind == AskedFor.RUN:
            return [find(source, value).id]
        if kind == AskedFor.SUBJECT:
            return runs_about(source, value)
        return source.instances_of_agent(_agent_id(source, value))


def _agent_id(source: Reading, value: str) -> str:
    found = agent_called(source, value)
    if found is None:
        raise Failed(f"there is no agent {value!r}: `remit runs list` shows those that ran")
    return found.id


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return SOMEBODY


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
