"""`remit runs terminate`: a run is ended from outside, and its program is told."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from remit import config
from remit._clock import SystemClock
from remit.cli._database import database, find, handle, opened
from remit.cli._failing import Failed
from remit.cli._options import TEXT, Database, db_option
from remit.cli._terminal import bold, emit, faint, printable
from remit.client import Client
from remit.collector.ingest import Caller, Service, TokenScope
from remit.collector.refusals import Refusal
from remit.collector.settings import Settings
from remit.errors import ApiError

TERMINATE: Final = "agent_instances/terminate"


@click.command()
@click.argument("run", type=TEXT)
@click.option(
    "--reason", type=TEXT, required=True, help="Why; the program and the record are told so."
)
@db_option
@click.option(
    "--api-url",
    metavar="URL",
    help="Ask this server, with the token in REMIT_API_TOKEN, and not a database; RUN is an id.",
)
def terminate(run: str, reason: str, db: Database | None, api_url: str | None) -> None:
    """End a run from outside: it does nothing further.

    RUN is its key, its id, the beginning of one of them, or `last`. The program is told with the
    answer to its next span, and stops at the one after it.
    """
    if not reason.strip():
        raise click.UsageError("--reason must say something.")
    if api_url is not None and db is not None:
        raise click.UsageError("--db and --api-url exclude each other.")
    named = _here(database(db), run, reason) if api_url is None else _there(api_url, run, reason)
    emit(f"Terminated {bold(printable(named))}: {printable(reason)}")
    emit(faint("Its program is told with its next span."))


def _here(path: Database, run: str, reason: str) -> str:
    """Terminate a run of a database of this machine; return what it is called."""
    with opened(path) as store:
        with store.reading() as source:
            row = find(source, run)
        service = Service(store, Settings(), SystemClock())
        params = msgspec.json.encode({"agent_instance_id": row.id, "reason": reason})
        try:
            service.perform(Caller(row.account_id, TokenScope.ACCOUNT), TERMINATE, params, None)
        except Refusal as refusal:
            raise Failed(
                f"the run {handle(row)} cannot be terminated, it is {row.status}: {refusal.message}"
            ) from refusal
    return handle(row)


def _there(api_url: str, run: str, reason: str) -> str:
    """Terminate a run of a server; return its id."""
    token = config.load({}).api_token
    if token is None:
        raise Failed("a server wants a token: set REMIT_API_TOKEN to one that may end runs")
    try:
        with Client(api_url, token.get_secret_value()) as client:
            return client.agent_instances.terminate(run, reason=reason).id
    except ApiError as error:
        raise Failed(f"the server did not terminate {run!r}: {error}") from error
