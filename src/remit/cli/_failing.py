"""How a command fails: one sentence on stderr, and exit status 1."""

from __future__ import annotations

import click

from remit.cli._terminal import printable


class Failed(click.ClickException):
    """What was asked for cannot be done; the sentence says why, and what to do."""

    exit_code = 1

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        """Write the sentence."""
        lines = self.format_message().split("\n")
        click.echo("remit: " + "\n".join(map(printable, lines)), err=True)
