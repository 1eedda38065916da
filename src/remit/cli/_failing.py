"""How a command fails: one sentence on stderr, and exit status 1."""

from __future__ import annotations

from typing import Final

import click

from remit._base.text import install_extra
from remit.cli._terminal import printable

OWN: Final = "remit"


class Failed(click.ClickException):
    """The command cannot be carried out; the message says why, and what to do."""

    exit_code = 1

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        """Write the sentence."""
        lines = self.format_message().split("\n")
        click.echo("remit: " + "\n".join(map(printable, lines)), err=True)


def missing_library(command: str, error: ModuleNotFoundError) -> Failed:
    """Return the failure of a command whose library is not installed.

    Raises:
        ModuleNotFoundError: *error*, if a module of remit's own is missing.
    """
    missing = (error.name or OWN).partition(".")[0]
    if missing == OWN:
        raise error
    return Failed(
        f"remit {command} needs the collector, and {missing} is not installed: "
        + install_extra("collector")
    )
