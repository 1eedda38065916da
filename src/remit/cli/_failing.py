"""Failures of a command: one sentence on stderr, and exit status 1."""

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
"""Exit status if the reader of the output has ended: that of a shell for SIGPIPE.

SIGPIPE itself stays ignored, as in all of Python: it would end a process that writes to a socket.
"""


class Failed(click.ClickException):
    """The command failed; the message gives the reason and advice."""

    exit_code = 1

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        lines = self.format_message().split("\n")
        click.echo("remit: " + "\n".join(map(printable, lines)), err=True)


def missing_library(command: str, error: ModuleNotFoundError) -> Failed:
    """Return the failure of a command whose library is not installed.

    Raises:
        ModuleNotFoundError: *error*, if a module of remit is missing.
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
        Failed: It cannot be written, as on a full disk.
        Exit: Its reader has ended, as `head` does; the status is `CLOSED_PIPE`.
    """
    try:
        yield
    except OSError as error:
        # Writing other files raises the same types.
        if all(
            frame.f_code is not click.echo.__code__ for frame, _ in walk_tb(error.__traceback__)
        ):
            raise
        _discard_output()
        if is_closed_pipe(error):
            raise Exit(CLOSED_PIPE) from error
        raise Failed(f"standard output cannot be written: {error.strerror}") from error


def _discard_output() -> None:
    """Discard the buffer of standard output, which Python writes again at exit.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
