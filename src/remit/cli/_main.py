"""The group `remit`, with its commands by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import click

from remit._version import __version__
from remit.cli._lazy import LazyGroup


class Commands(LazyGroup):
    """The commands of `remit`, in the order of their help."""

    lazy: ClassVar[Mapping[str, tuple[str, str]]] = {
        "demo": ("remit.cli._demo:demo", "Run an example agent and show its record."),
        "serve": ("remit.cli._serve:serve", "Serve the API from a database."),
        "runs": ("remit.cli._runs:runs", "List, show and terminate runs."),
        "schema": ("remit.cli._schema:schema", "Show and check the declarations of a program."),
        "spool": ("remit.cli._spool:spool", "Show, send and delete undelivered items."),
        "token": ("remit.cli._token:token", "Create, list and revoke API tokens."),
        "db": ("remit.cli._db:db", "Database maintenance: retention, erasure, backup."),
        "doctor": ("remit.cli._doctor:doctor", "Check settings, server and spool."),
    }


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="remit", message="%(prog)s %(version)s")
def main() -> None:
    """Record what AI agents do, and keep them within their remit."""
