"""Imports a module, or the modules of a package, for a command."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

import click

from remit._base.guard import EscapeError, attempt
from remit._base.version import sdk_header
from remit._runtime import setup
from remit.cli._failing import Failed

_WITHOUT_AGENTS: Final = {"anthropic", "openai", "remit"}
"""Names in the header of requests that are not those of frameworks with agents."""


def imported(name: str, usage: str) -> ModuleType:
    """Import a module; the current directory is on the path, as with `python -m`.

    The import is not recorded, and its output goes to standard error.

    Args:
        usage: What the command expects, for the message.

    Raises:
        Failed: There is no such module, or its import fails.
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
        The modules, and one sentence for each import that fails; both empty for a plain module.
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


def without_agent(module: str) -> str:
    """Return that *module* declares no agent, and what to do."""
    message = f"{module} declares no agent: decorate its entry point with @remit.agent"
    adapters = {name.partition("@")[0].removeprefix("remit-") for name in sdk_header().split()}
    frameworks = sorted(adapters - _WITHOUT_AGENTS)
    if not frameworks:
        return message
    return (
        f"{message}. An agent of {' or '.join(frameworks)} is declared when it runs: after a run, "
        f"`remit lock --server {' '.join(frameworks)} {module}` prints its lock"
    )


def _import(name: str) -> ModuleType | Exception:
    with setup.unrecorded(), redirect_stdout(sys.stderr):
        return attempt(lambda: import_module(name))


def _failure(name: str, error: Exception) -> str:
    if isinstance(error, EscapeError):
        return (
            f"importing {name} ends the program ({error}): guard that code with "
            '`if __name__ == "__main__":`'
        )
    return f"importing {name} fails: {type(error).__name__}: {error}"


def _begins(name: str, missing: str | None) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")
