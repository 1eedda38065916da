"""The options of `remit serve` about TLS, proxies and the access log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DOOR: Final = ("certificate", "key", "proxy", "access_log")
_FILE: Final = click.Path(exists=True, dir_okay=False)
_OPTIONS: Final = (
    click.option(
        "--ssl-certfile",
        "certificate",
        type=_FILE,
        metavar="FILE",
        envvar="REMIT_SERVE_SSL_CERTFILE",
        show_envvar=True,
        help="TLS certificate with its chain, PEM.",
    ),
    click.option(
        "--ssl-keyfile",
        "key",
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


def door_options(command: F) -> F:
    """Give *command* these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
