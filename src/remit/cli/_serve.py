"""`remit serve`: the API from a database, with its options."""

from __future__ import annotations

import shlex
import socket
import ssl
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from remit.cli._database import database, opened
from remit.cli._failing import Failed, writing_output
from remit.cli._options import Database, db_option
from remit.cli._terminal import emit, faint
from remit.collector import Settings, list_tokens
from remit.collector.server import ServerOptions
from remit.collector.server import serve as serve_database
from remit.collector.settings import MetricsFor
from remit.collector.store import is_postgres, shown

F = TypeVar("F", bound=Callable[..., Any])

PORT: Final = 8420
ACTIVE: Final = "active"
MOST_WORKERS: Final = 64
EXPOSED: Final = "docs/how-to/expose-a-collector.md"

VARIABLE_PREFIX: Final = "REMIT_SERVE_"
# The text of a limit that can be turned off names the value that does so.
LIMITS: Final = (
    (
        "max_body_bytes",
        1,
        "Longest request body in bytes, also decompressed; beyond it 413.",
    ),
    ("max_body_values", 1, "Most JSON values in a request body; beyond it 413."),
    (
        "max_pending_bytes",
        1,
        "Most bytes of bodies in memory, in each process; beyond it 503.",
    ),
    ("body_timeout_s", 1, "Seconds within which a request body must arrive; after that 408."),
    ("max_bulk_items", 1, "Most operations in a bulk request; beyond it 413."),
    ("max_bulk_s", 0, "Seconds after which a bulk request does nothing further."),
    (
        "max_answer_bytes",
        1,
        "Bytes of answers after which a bulk request, and a page of spans, ends.",
    ),
    ("max_depth", 1, "How deep a payload may nest; beyond it 400."),
    (
        "max_requests_per_s",
        0,
        "Most requests a second with one token, in each process; beyond it 429. 0: no limit.",
    ),
    ("max_connections", 1, "Most connections at once, in each process; beyond it 503."),
)
SERVER_OPTIONS: Final = ("ssl_certfile", "ssl_keyfile", "proxy", "access_log")
_FILE: Final = click.Path(exists=True, dir_okay=False)
_OPTIONS: Final = (
    click.option(
        "--ssl-certfile",
        type=_FILE,
        metavar="FILE",
        envvar="REMIT_SERVE_SSL_CERTFILE",
        show_envvar=True,
        help="TLS certificate with its chain, PEM.",
    ),
    click.option(
        "--ssl-keyfile",
        type=_FILE,
        metavar="FILE",
        envvar="REMIT_SERVE_SSL_KEYFILE",
        show_envvar=True,
        help="Its private key, PEM.",
    ),
    click.option(
        "--proxy",
        metavar="ADDRESS",
        envvar="REMIT_SERVE_PROXY",
        show_envvar=True,
        help="Comma-separated addresses of reverse proxies whose X-Forwarded-For is trusted.",
    ),
    click.option(
        "--access-log",
        metavar="FILE",
        envvar="REMIT_SERVE_ACCESS_LOG",
        show_envvar=True,
        help="Append a line of JSON for each request; - is standard output.",
    ),
)


def limit_options(command: F) -> F:
    """Add the options for the limits of a collector, named like its settings."""
    defaults = Settings()
    command = _option(
        "metrics",
        click.Choice([each.value for each in MetricsFor]),
        str(defaults.metrics),
        "Who may read /metrics.",
    )(command)
    for name, least, text in reversed(LIMITS):
        default = getattr(defaults, name)
        kind = click.FloatRange(least) if isinstance(default, float) else click.IntRange(least)
        command = _option(name, kind, default, text)(command)
    return command


def _option(name: str, kind: click.ParamType[Any], default: object, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=kind,
        default=default,
        show_default=True,
        envvar=VARIABLE_PREFIX + name.upper(),
        show_envvar=True,
        help=text,
    )


def server_options(command: F) -> F:
    """Add the options for TLS, proxies and the access log."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


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
@server_options
@limit_options
@db_option
def serve(host: str, port: int, workers: int, db: Database | None, **more: Any) -> None:  # noqa: ANN401 - the limits by name
    """Serve the API from a database, until Ctrl-C.

    Clients need a token: `remit token create` creates one. Without --host, only this machine can
    reach the server. /healthz reports whether the process lives, /readyz whether its database
    answers, and /metrics has counters for Prometheus.
    """
    options = ServerOptions(**{name: more.pop(name) for name in SERVER_OPTIONS})
    if (options.ssl_certfile is None) != (options.ssl_keyfile is None):
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
        emit(faint(_exposed(host, options)), err=True)
    if not tokens:
        emit(faint(f"There is no token yet, so nobody can use it: {create}"), err=True)
    try:
        serve_database(
            host,
            port,
            path,
            workers=workers,
            settings=Settings(**more),
            options=options,
            on_start=partial(_announce, name),
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


def _announce(name: str, url: str) -> None:
    # An error here is one of standard output, not of the address.
    with writing_output():
        emit(f"remit serves {name} at {url}")


def _exposed(host: str, options: ServerOptions) -> str:
    told = (
        f"{host} can be reached from other machines; every request needs a token. A proxy must "
        f"limit slow clients and floods of connections: see {EXPOSED}."
    )
    if options.ssl_certfile is None and options.proxy is None:
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
    """Return whether only this machine can reach *host*; an unknown name is an error."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise Failed(f"the host {host} is not known: {error.strerror or error}") from error
    return all(ip_address(str(address).partition("%")[0]).is_loopback for address in found)
