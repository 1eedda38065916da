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
        "demo": ("remit.cli._demo:demo", "Watch an agent run, from its first call to the record."),
        "serve": ("remit.cli._serve:serve", "Serve the API over a database of this machine."),
        "runs": ("remit.cli._runs:runs", "Look at what was recorded, and end a run."),
        "schema": ("remit.cli._schema:schema", "Look at what a program declares."),
        "spool": ("remit.cli._spool:spool", "Look at what is not delivered yet, and send it."),
        "token": ("remit.cli._token:token", "Make and take back tokens of a server."),
        "db": ("remit.cli._db:db", "Look after a database: forget, erase, copy."),
        "doctor": ("remit.cli._doctor:doctor", "Find out why nothing arrives."),
    }


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="remit", message="%(prog)s %(version)s")
def main() -> None:
    """Say what an AI agent may do and with whose data, and see what it did."""
