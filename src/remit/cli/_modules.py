"""Imports the module, or the modules of the package, that a command is about."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pkgutil import iter_modules
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
        usage: What the command expects, for the message.

    Raises:
        Failed: It is not there, or fails while it is imported.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as Python itself puts it there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    if not all(part.isidentifier() for part in name.split(".")):
        raise click.UsageError(f"{name!r} is not the name of a module: expected {usage}")
    module = _import(name)
    if isinstance(module, ModuleType):
        return module
    if isinstance(module, ModuleNotFoundError) and _begins(name, module.name):
        raise Failed(
            f"there is no module {module.name!r} on the path: run this where "
            f"`python -c 'import {name}'` works"
        ) from module
    raise Failed(_failure(name, module)) from module


def submodules(package: ModuleType) -> tuple[list[ModuleType], list[str]]:
    """Import the modules below *package*, except `__main__`, which runs the program.

    Returns:
        The modules, and one sentence for each that fails while it is imported; none of both if
        *package* is a plain module.
    """
    modules: list[ModuleType] = []
    failures: list[str] = []
    for found in iter_modules(vars(package).get("__path__", ()), f"{package.__name__}."):
        if found.name.endswith(".__main__"):
            continue
        module = _import(found.name)
        if isinstance(module, Exception):
            failures.append(_failure(found.name, module))
            continue
        below, failures_below = submodules(module)
        modules += [module, *below]
        failures += failures_below
    return modules, failures


def _import(name: str) -> ModuleType | Exception:
    with setup.unrecorded(), redirect_stdout(sys.stderr):
        return attempt(lambda: import_module(name))


def _failure(name: str, error: Exception) -> str:
    """Return the sentence for a module that cannot be imported."""
    if isinstance(error, EscapeError):
        return (
            f"{name} ends the program while it is imported ({error}): keep that out of the import "
            'with `if __name__ == "__main__":`'
        )
    return f"{name} fails while it is imported: {type(error).__name__}: {error}"


def _begins(name: str, missing: str | None) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")
