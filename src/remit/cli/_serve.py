"""`remit serve`: the API over a database of this machine."""

from __future__ import annotations

import shlex
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from remit.cli._database import database, opened
from remit.cli._failing import Failed
from remit.cli._options import db_option
from remit.cli._terminal import emit, faint
from remit.collector import list_tokens
from remit.collector.server import serve as serve_database

PORT: Final = 8420
ACTIVE: Final = "active"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=PORT,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.",
)
@db_option
def serve(host: str, port: int, db: Path | None) -> None:
    """Serve the API over a database of this machine, until Ctrl-C.

    Whoever sends or reads needs a token: `remit token create` makes one.
    """
    path = database(db)
    tokens = _active_tokens(path)
    create = f"remit token create --db {shlex.quote(str(path))}"
    if not tokens and not _is_loopback(host):
        raise Failed(
            f"{host} can be reached from other machines, and {path} has no active token, so "
            f"nobody could use it: make one first ({create}), or leave --host out"
        )
    if not tokens:
        emit(faint(f"There is no token yet, so nobody can use it: {create}"), err=True)
    try:
        serve_database(host, port, path, on_start=lambda url: emit(f"remit serves {path} at {url}"))
    except OSError as error:
        raise Failed(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _active_tokens(path: Path) -> int:
    if not path.exists():
        return 0
    with opened(path) as store:
        return sum(each.status == ACTIVE for each in list_tokens(store))


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches *host*; a name that is not known listens nowhere."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise Failed(f"the host {host} is not known: {error.strerror or error}") from error
    return all(ip_address(str(address).partition("%")[0]).is_loopback for address in found)
