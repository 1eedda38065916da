"""A click group that imports a command's module when the command is named, and not before.

The whole of remit takes ten times as long to import as the one command that was asked for, and
without the collector's extra some commands cannot be imported at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import click

from remit.cli._failing import Failed, missing_library
from remit.errors import RemitError


class LazyGroup(click.Group):
    """A group that knows its commands by name.

    Attributes:
        lazy: Where each command is, as `module:attribute`, and its line of help.
    """

    lazy: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, imported now.

        Raises:
            Failed: A library that it needs is not installed.
        """
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise missing_library(cmd_name, error) from error
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what remit says went wrong becomes one sentence on stderr."""
        try:
            return super().invoke(ctx)
        except RemitError as error:
            raise Failed(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise Failed(f"the database cannot be read ({error}): is it one of remit's?") from error
