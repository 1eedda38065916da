"""`remit serve`: the API from a database, with its options."""

from __future__ import annotations

import dataclasses
import shlex
import socket
import ssl
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from remit._base.guard import logger
from remit.cli._ages import AgeType
from remit.cli._database import database, opened
from remit.cli._failing import Failed, writing_output
from remit.cli._open import show_page
from remit.cli._options import Database, DatabaseType
from remit.cli._prices import configured_prices
from remit.cli._terminal import emit
from remit.collector import Settings, list_tokens
from remit.collector.prices import read_prices
from remit.collector.server.log import INFO, LEVELS, LogFormat, start_logging
from remit.collector.server.serve import ServerOptions
from remit.collector.server.serve import serve as serve_database
from remit.collector.settings import MetricsFor
from remit.collector.store.open import is_postgres, shown

F = TypeVar("F", bound=Callable[..., Any])

PORT: Final = 8420
ACTIVE: Final = "active"
MOST_WORKERS: Final = 64
FIRST: Final = 4
"""Number of the most important options: address, port, database, processes."""
EXPOSED: Final = "docs/operate/expose.md"

VARIABLE_PREFIX: Final = "REMIT_SERVE_"
"""Before the name of an option in capitals: the variable that sets it."""
LIMITS: Final = (
    (
        "max_body_bytes",
        1,
        "Maximum bytes of a request body, compressed or not; a longer body returns 413.",
    ),
    ("max_body_values", 1, "Maximum JSON values in a request body; a body with more returns 413."),
    (
        "max_pending_bytes",
        1,
        "Maximum bytes of request bodies in memory, in each process; further requests return 503.",
    ),
    (
        "body_timeout_s",
        1,
        "Seconds within which a request body must arrive; a later body returns 408.",
    ),
    ("max_bulk_items", 1, "Maximum operations in a bulk request; a request with more returns 413."),
    ("max_bulk_s", 0, "Time in seconds after which a bulk request starts no more operations."),
    (
        "max_response_bytes",
        1,
        "Size in bytes at which the response to a bulk request or a page of spans ends.",
    ),
    ("max_depth", 1, "Maximum nesting depth of a payload; a deeper one is rejected with 400."),
    (
        "max_requests_per_s",
        0,
        "Maximum requests per second and token, in each process; more return 429. 0: unlimited.",
    ),
    (
        "max_connections",
        1,
        "Maximum connections at once, in each process; further ones return 503.",
    ),
)
"""Name, least value and help of each limit."""
_FILE: Final = click.Path(exists=True, dir_okay=False)
_option: Final = partial(click.option, show_default=True, show_envvar=True)


def _limit_options(command: F) -> F:
    defaults = Settings()
    for name, least, text in reversed(LIMITS):
        default = getattr(defaults, name)
        kind = click.FloatRange(least) if isinstance(default, float) else click.IntRange(least)
        option = _option(f"--{name.replace('_', '-')}", type=kind, default=default, help=text)
        command = option(command)
    return command


def _check_proxies(ctx: click.Context, param: click.Parameter, proxies: str | None) -> str | None:
    """Return *proxies*; uvicorn would treat anything but an address or network as a host name."""
    if proxies is None or proxies == "*":
        return proxies
    for proxy in proxies.split(","):
        try:
            ip_network(proxy.strip())
        except ValueError as error:
            raise click.BadParameter(
                f"{error}. Specify addresses or networks separated by commas, such as "
                "127.0.0.1,10.0.0.0/8, or * for all.",
                ctx,
                param,
            ) from error
    return proxies


class ServeCommand(click.Command):
    """A command whose help begins with the most important options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = [
            record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))
        ]
        for title, rows in (("Options", records[:FIRST]), ("Further options", records[FIRST:])):
            with formatter.section(title):
                formatter.write_dl(rows)


@click.command(
    cls=ServeCommand,
    context_settings={"auto_envvar_prefix": VARIABLE_PREFIX.removesuffix("_")},
)
@_option("--host", default="127.0.0.1", help="Address to listen on.")
@_option(
    "--port",
    default=PORT,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 chooses a free one.",
)
@_option(
    "--db",
    type=DatabaseType(),
    metavar="FILE|URL",
    help="Database: a file, or postgresql://... Defaults to the local-mode database.",
)
@_option(
    "--workers",
    default=1,
    type=click.IntRange(1, MOST_WORKERS),
    help="Number of processes; more than one needs PostgreSQL.",
)
@_option("--ssl-certfile", type=_FILE, metavar="FILE", help="TLS certificate with its chain, PEM.")
@_option("--ssl-keyfile", type=_FILE, metavar="FILE", help="Private key of the certificate, PEM.")
@_option(
    "--proxy",
    metavar="ADDRESS",
    callback=_check_proxies,
    help="Comma-separated addresses and networks of reverse proxies whose X-Forwarded-For is "
    "trusted.",
)
@_option(
    "--access-log",
    metavar="FILE",
    help="Append a JSON line for each request to this file; - means standard output.",
)
@_option(
    "--log-format",
    type=click.Choice([str(each) for each in LogFormat]),
    default=str(LogFormat.TEXT),
    help="Format of the log on standard error.",
)
@_option(
    "--log-level",
    type=click.Choice(LEVELS),
    default=INFO,
    help="Lowest level of the log; debug includes the lines of the HTTP server.",
)
@_option(
    "--page",
    type=click.Choice(["on", "off"]),
    default="on",
    help="on: serve the web UI at / and the API; off: serve only the API.",
)
@_option(
    "--page-host",
    multiple=True,
    metavar="NAME",
    help="Host name with a dot that browsers use for the web UI. Names without a dot and "
    "addresses are always accepted. Repeatable.",
)
@_option(
    "--open",
    "open_page",
    is_flag=True,
    show_envvar=False,
    help="Open the web UI in a browser, signed in.",
)
@_option(
    "--metrics",
    type=click.Choice([str(readers) for readers in MetricsFor]),
    default=str(Settings().metrics),
    help="Who may read /metrics: clients with a token that permits it (`--may metrics`), or "
    "everyone.",
)
@_option(
    "--retain",
    type=AgeType(timedelta(days=1)),
    metavar="AGE",
    help="Age at which spans and runs are deleted, such as 400d; by default they are kept.",
)
@_option(
    "--retain-payloads",
    type=AgeType(timedelta(hours=1)),
    metavar="AGE",
    help="Age at which the payloads of spans are deleted, such as 30d.",
)
@_option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file with model prices, used to calculate costs; the default is the file in "
    "REMIT_PRICES.",
)
@_limit_options
def serve(
    host: str,
    port: int,
    db: Database | None,
    workers: int,
    **more: Any,
) -> None:
    """Start the collector (web UI and API). Ctrl-C stops it.

    Clients need a token, which `remit token create` creates. Without --host, only this machine can
    reach the server. /healthz reports whether the process runs, /readyz reports whether its
    database responds and can be written to, and /metrics contains counters for Prometheus.
    """
    open_page = more.pop("open_page")
    options = ServerOptions(
        **{field.name: more.pop(field.name) for field in dataclasses.fields(ServerOptions)}
    )
    path = more.pop("prices")
    more["prices"] = configured_prices() if path is None else read_prices(path)
    settings = Settings(**more)
    _check_options(options, settings)
    end_logging = start_logging(options.log_format, options.log_level)
    click.get_current_context().call_on_close(end_logging)
    path = database(db, create=True)
    if workers > 1 and not is_postgres(path):
        raise click.UsageError(
            f"--workers {workers} needs a PostgreSQL database (--db postgresql://...): an SQLite "
            "file has one writer at a time, so more processes would only wait for each other."
        )
    tokens = _active_tokens(path)
    name = shown(path)
    create = f"remit token create --db {shlex.quote(name)}"
    if not tokens and not _is_loopback(host):
        raise Failed(
            f"{host} can be reached from other machines, and {name} has no active token, so "
            f"it would reject every request: create one first ({create}), or omit --host"
        )
    if not _is_loopback(host):
        logger.warning(_exposed(host, options))
    try:
        serve_database(
            host,
            port,
            path,
            workers=workers,
            settings=settings,
            options=options,
            on_start=partial(_announce, path, options, open_page=open_page, has_token=tokens > 0),
        )
    except ssl.SSLError as error:
        reason = error.reason or "one of them is not a PEM file"
        raise Failed(f"the certificate or its key cannot be used: {reason}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno is None:
            raise Failed(reason) from error
        if error.filename is not None:
            raise Failed(f"{error.filename} cannot be used: {reason}") from error
        raise Failed(f"cannot listen on {host} port {port}: {reason}") from error


def _check_options(options: ServerOptions, settings: Settings) -> None:
    if (options.ssl_certfile is None) != (options.ssl_keyfile is None):
        raise click.UsageError("Use --ssl-certfile and --ssl-keyfile together.")
    payloads, spans = settings.retain_payloads, settings.retain
    if payloads is not None and spans is not None and payloads >= spans:
        raise click.UsageError("--retain-payloads must be less than --retain.")


def _announce(
    path: Database, options: ServerOptions, url: str, *, open_page: bool, has_token: bool
) -> None:
    # An error here is one of standard output, not of the address.
    with writing_output():
        emit(f"remit serves {shown(path)} at {url}")
        if not has_token:
            logger.warning(_without_token(path, options, url))
        host = urlsplit(url).hostname or ""
        if options.page == "on" and (open_page or (sys.stdout.isatty() and _is_loopback(host))):
            show_page(path, url, in_browser=open_page)


def _without_token(path: Database, options: ServerOptions, url: str) -> str:
    db = shlex.quote(shown(path))
    sentence = (
        "There is no token yet, so the API rejects every request until "
        f"`remit token create --db {db}` creates one"
    )
    if options.page == "off":
        return f"{sentence}."
    return f"{sentence}; `remit open --db {db} --url {url}` opens the web UI without a token."


def _exposed(host: str, options: ServerOptions) -> str:
    warning = (
        f"{host} can be reached from other machines; every request needs a token. A proxy must "
        f"limit slow clients and floods of connections: see {EXPOSED}."
    )
    if options.ssl_certfile is None and options.proxy is None:
        warning += (
            " Tokens and payloads are sent unencrypted: use --ssl-certfile and --ssl-keyfile, or "
            "put a proxy with TLS in front, and omit --host."
        )
    return warning


def _active_tokens(path: Database) -> int:
    if isinstance(path, Path) and not path.exists():
        return 0
    with opened(path, create=True) as store:
        return sum(token.status == ACTIVE for token in list_tokens(store))


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach *host*; an unknown name is an error."""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise Failed(f"the host {host} is unknown: {error.strerror or error}") from error
    return all(ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)
