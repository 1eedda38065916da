"""Imports the module that a command is about."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from types import ModuleType

import click

from remit._base.guard import EscapeError, attempt
from remit._runtime import setup
from remit.cli._failing import Failed


def imported(name: str, usage: str) -> ModuleType:
    """Return the module of *name*; the current folder is looked into, as with `python -m`.

    What the module does while it is imported is not recorded, and what it prints goes to standard
    error: standard output is the command's own.

    Args:
        name: Dotted name of the module.
        usage: What the command expects, for the message.

    Raises:
        Failed: It is not there, or fails while it is imported.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as Python itself puts it there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    if not all(part.isidentifier() for part in name.split(".")):
        raise click.UsageError(f"{name!r} is not the name of a module: expected {usage}")
    with setup.unrecorded(), redirect_stdout(sys.stderr):
        module = attempt(lambda: import_module(name))
    if not isinstance(module, Exception):
        return module
    if isinstance(module, ModuleNotFoundError) and _begins(name, module.name):
        raise Failed(
            f"there is no module {module.name!r} on the path: run this where "
            f"`python -c 'import {name}'` works"
        ) from module
    if isinstance(module, EscapeError):
        raise Failed(
            f"{name} ends the program while it is imported ({module}): keep that out of the import "
            'with `if __name__ == "__main__":`'
        ) from module
    raise Failed(
        f"{name} fails while it is imported: {type(module).__name__}: {module}"
    ) from module


def _begins(name: str, missing: str | None) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")
