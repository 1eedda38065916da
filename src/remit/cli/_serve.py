"""`remit serve`: the API over a database of this machine."""

from __future__ import annotations

import shlex
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import click

from remit.cli._database import database, opened
from remit.cli._door import DOOR, door_options
from remit.cli._failing import Failed
from remit.cli._limits import limit_options
from remit.cli._options import Database, db_option
from remit.cli._terminal import emit, faint
from remit.collector import Settings, list_tokens
from remit.collector.server import Door
from remit.collector.server import serve as serve_database
from remit.collector.store import is_postgres, shown

PORT: Final = 8420
ACTIVE: Final = "active"
MOST_WORKERS: Final = 64
EXPOSED: Final = "docs/how-to/expose-a-collector.md"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=PORT,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 chooses a free one.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, MOST_WORKERS),
    help="Number of processes; more than one needs PostgreSQL.",
)
@door_options
@limit_options
@db_option
def serve(host: str, port: int, workers: int, db: Database | None, **more: Any) -> None:  # noqa: ANN401 - the limits by name
    """Serve the API from a database, until Ctrl-C.

    Clients need a token: `remit token create` creates one. Without --host, only this machine can
    reach the server. /healthz reports whether the process lives, /readyz whether its database
    answers, and /metrics has counters for Prometheus.
    """
    door = Door(**{name: more.pop(name) for name in DOOR})
    if (door.certificate is None) != (door.key is None):
        raise click.UsageError("--ssl-certfile and --ssl-keyfile go together.")
    path = database(db, create=True)
    if workers > 1 and not is_postgres(path):
        raise click.UsageError(
            f"--workers {workers} needs a PostgreSQL database (--db postgresql://...): an SQLite "
            "file is written by one process at a time, so more would only wait for each other."
        )
    tokens = _active_tokens(path)
    name = shown(path)
    create = f"remit token create --db {shlex.quote(name)}"
    if not tokens and not _is_loopback(host):
        raise Failed(
            f"{host} can be reached from other machines, and {name} has no active token, so "
            f"nobody could use it: make one first ({create}), or leave --host out"
        )
    if not _is_loopback(host):
        emit(faint(_exposed(host, door)), err=True)
    if not tokens:
        emit(faint(f"There is no token yet, so nobody can use it: {create}"), err=True)
    try:
        serve_database(
            host,
            port,
            path,
            workers=workers,
            settings=Settings(**more),
            door=door,
            on_start=lambda url: emit(f"remit serves {name} at {url}"),
        )
    except ssl.SSLError as error:
        said = error.reason or "one of them is no PEM file"
        raise Failed(f"the certificate or its key cannot be used: {said}") from error
    except OSError as error:
        said = error.strerror or str(error)
        if error.errno is None:
            raise Failed(said) from error
        if error.filename is not None:
            raise Failed(f"{error.filename} cannot be used: {said}") from error
        raise Failed(f"cannot listen on {host} port {port}: {said}") from error


def _exposed(host: str, door: Door) -> str:
    told = (
        f"{host} can be reached from other machines; every request needs a token. A proxy must "
        f"limit slow clients and floods of connections: see {EXPOSED}."
    )
    if door.certificate is None and door.proxy is None:
        told += (
            " Tokens and payloads travel in the clear: give --ssl-certfile and --ssl-keyfile, or "
            "put a proxy in front that does TLS, and leave --host out."
        )
    return told


def _active_tokens(path: Database) -> int:
    if isinstance(path, Path) and not path.exists():
        return 0
    with opened(path, create=True) as store:
        return sum(each.status == ACTIVE for each in list_tokens(store))


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches *host*; a name that is not known listens nowhere."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise Failed(f"the host {host} is not known: {error.strerror or error}") from error
    return all(ip_address(str(address).partition("%")[0]).is_loopback for address in found)
