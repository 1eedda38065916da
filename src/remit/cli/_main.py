"""The group `remit`, with its commands by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import click

from remit._base.version import __version__
from remit.cli._failing import Failed, missing_library, writing_output
from remit.errors import RemitError


class LazyGroup(click.Group):
    """A group that imports the module of a command when it is called.

    Importing all of them takes ten times as long, and some need the extra `collector`.

    Attributes:
        lazy: Place of each command, as `module:attribute`, and its line of help.
    """

    lazy: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
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
        """Run the command; an error of remit becomes one sentence on stderr."""
        try:
            return super().invoke(ctx)
        except RemitError as error:
            raise Failed(str(error)) from error
        except sqlite3.DatabaseError as error:
            raise Failed(
                f"the database cannot be read ({error}): was it created by remit?"
            ) from error


class Commands(LazyGroup):
    """The commands of `remit`, in the order of their help."""

    lazy: ClassVar[Mapping[str, tuple[str, str]]] = {
        "demo": ("remit.cli._demo:demo", "Run an example agent and show its record."),
        "serve": ("remit.cli._serve:serve", "Start the collector: web UI and API."),
        "open": ("remit.cli._open:open_", "Open the web UI of a server in a browser."),
        "runs": ("remit.cli._runs:runs", "List, show, export, follow and terminate runs."),
        "hold": ("remit.cli._hold:hold", "Hold actions: deny them in all running programs."),
        "spans": ("remit.cli._spans:spans", "List spans."),
        "asks": ("remit.cli._asks:asks", "List, show and answer requests for approval."),
        "agents": ("remit.cli._agents:agents", "List and show agents."),
        "stats": ("remit.cli._stats:stats", "Count spans by type, category of data or agent."),
        "costs": ("remit.cli._costs:costs", "Show the total tokens and costs of model calls."),
        "prices": ("remit.cli._prices:prices", "Create a file for model prices."),
        "schema": ("remit.cli._schema:schema", "Show and check the declarations of a program."),
        "lock": (
            "remit.cli._lock:lock",
            "Write the declarations of a program into a file for review.",
        ),
        "diff": ("remit.cli._diff:diff", "Compare two locks to see what a change lets agents do."),
        "spool": ("remit.cli._spool:spool", "Show, send and delete undelivered items."),
        "token": ("remit.cli._token:token", "Create, list and revoke API tokens."),
        "db": ("remit.cli._db:db", "Database maintenance: size, retention, erasure, backup."),
        "config": ("remit.cli._config:config_group", "Show the settings."),
        "doctor": ("remit.cli._doctor:doctor", "Check settings, server and spool."),
    }

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Return the context; `--help` and `--version` are written here."""
        with writing_output():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with writing_output():
            return super().invoke(ctx)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="remit", message="%(prog)s %(version)s")
def main() -> None:
    """Record what AI agents do, and keep them within their remit."""
