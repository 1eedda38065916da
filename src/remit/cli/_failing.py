"""How a command fails: one sentence on stderr, and exit status 1."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Final

import click
from click.exceptions import Exit

from remit._base.system import is_closed_pipe
from remit._base.text import install_extra
from remit.cli._terminal import printable

OWN: Final = "remit"
CLOSED_PIPE: Final = 128 + 13
"""Exit status when the reader of the output has ended: a shell's for a command that SIGPIPE ends.

SIGPIPE itself stays ignored, as Python leaves it: it would end a process that writes to a socket.
"""


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


@contextmanager
def writing_output() -> Generator[None]:
    """End the command if standard output cannot be written within the block.

    Raises:
        Failed: It cannot, as on a full disk.
        Exit: Its reader has ended, as `head` does; the status is `CLOSED_PIPE`.
    """
    try:
        yield
    except OSError as error:
        # Files that a command writes fail with errors of the same types.
        if all(
            frame.f_code is not click.echo.__code__ for frame, _ in walk_tb(error.__traceback__)
        ):
            raise
        _discard_output()
        if is_closed_pipe(error):
            raise Exit(CLOSED_PIPE) from error
        raise Failed(f"standard output cannot be written: {error.strerror}") from error


def _discard_output() -> None:
    """Write to nothing what standard output still holds; Python writes it again when it ends.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
