"""`remit open`: the web UI of a running server, signed in."""

from __future__ import annotations

import socket
import webbrowser
from typing import Final
from urllib.parse import urlsplit

import click

from remit.cli._database import database, opened
from remit.cli._failing import Failed
from remit.cli._options import Database, DatabaseType
from remit.cli._terminal import emit, faint
from remit.collector.page.account.sessions import create_code
from remit.collector.store.open import shown

DEFAULT: Final = "http://127.0.0.1:8420"
ANSWER_S: Final = 5
HTTP: Final = 80
HTTPS: Final = 443


def show_page(path: Database, url: str, *, in_browser: bool) -> None:
    """Print a link to the web UI at *url* that signs in once, or open it in a browser."""
    with opened(path, create=True) as store:
        link = f"{url.rstrip('/')}/sign-in#{create_code(store)}"
    if in_browser and webbrowser.open(link):
        emit(f"Opened the web UI in a browser: {url}")
    else:
        emit(f"The web UI, signed in (valid once, for ten minutes): {link}")


@click.command("open")
@click.option(
    "--db",
    type=DatabaseType(),
    metavar="FILE|URL",
    help="Database of the server: a file, or postgresql://... By default, the database of local "
    "mode.",
)
@click.option("--url", default=DEFAULT, show_default=True, help="Address of the server.")
@click.option("--print", "print_only", is_flag=True, help="Print the link instead of opening it.")
def open_(db: Database | None, url: str, *, print_only: bool) -> None:
    """Open the web UI of a running server in a browser, signed in.

    The link works once, within ten minutes. The command creates it in the database, so it needs
    write access to the database. On another machine, sign in with a token.
    """
    path = database(db)
    parts = urlsplit(url)
    port = parts.port or (HTTPS if parts.scheme == "https" else HTTP)
    try:
        socket.create_connection((parts.hostname or "", port), ANSWER_S).close()
    except OSError as error:
        start = f"remit serve --db {shown(path)} --open"
        raise Failed(f"no server responds at {url}: start one with `{start}`") from error
    show_page(path, url, in_browser=not print_only)
    emit(faint(f"Sessions are listed at {url.rstrip('/')}/account"), err=True)
