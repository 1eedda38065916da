"""Modules of ours that are imported at their first use: what nobody needs to declare.

Settings, delivery, spool, client and schemas take twice as long to import as all that a
declaration needs. A program that only declares, a command line for one, never imports them;
another does when it configures remit or opens its first run.
"""

from __future__ import annotations

# logging registers a fork hook that takes a lock which imports need. Hooks run in reverse order, so
# it has to be registered before those below.
import logging  # noqa: F401 # pyright: ignore[reportUnusedImport]
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from remit._gentle import gently

# An import has to end before a process forks, on however busy a machine: the child would wait for
# ever for the module.
FORK_LOOKS: Final = 200
FORK_LOOK_S: Final = 0.05


class _Importing:
    """Who imports, and who has to wait for that: one thread at a time, and no fork meanwhile."""

    def __init__(self) -> None:
        # Reentrant: a signal's handler may come in between, in the very thread.
        self.lock = threading.RLock()
        self.under_way = 0
        self.done: dict[str, ModuleType] = {}

    def module(self, name: str) -> ModuleType:
        """Return the module of this name, imported."""
        with self.lock, gently():
            self.under_way += 1
            try:
                module = self.done[name] = import_module(name)
            finally:
                self.under_way -= 1
        return module

    def before_fork(self) -> None:
        """Wait for the import of another thread."""
        for _ in range(FORK_LOOKS):
            if self.lock.acquire(timeout=FORK_LOOK_S) or not self.under_way:
                return

    def after_fork_in_parent(self) -> None:
        """Let the next import begin."""
        with suppress(RuntimeError):  # it was waited for in vain
            self.lock.release()

    def after_fork_in_child(self) -> None:
        """Take a new lock: whoever held the inherited one is gone."""
        self.lock = threading.RLock()
        self.under_way = 0


_importing: Final = _Importing()


class _Late(ModuleType):
    """Stands for a module that is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module holds
        """Return what the module holds."""
        found = _importing.done.get(self.__name__) or _importing.module(self.__name__)
        return getattr(found, name)


def late(name: str) -> ModuleType:
    """Return what stands for the module *name* until something of it is asked for.

    Type checkers are told of the module itself, under TYPE_CHECKING; so are the floors.
    """
    return _Late(name)


def lately(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package that has names of modules to be imported.

    The first name brings all of them: then the package has them, and whoever needs another waits
    for no import, not even for one that is under way in another thread.

    Args:
        package: Name of the package.
        homes: By name, the module that it is from.
    """
    modules = {home: late(home) for home in set(homes.values())}

    def find(name: str) -> Any:  # noqa: ANN401 - whatever the module holds
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        space = vars(sys.modules[package])
        space.update({each: getattr(modules[home], each) for each, home in homes.items()})
        return space[name]

    return find, lambda: sorted({*vars(sys.modules[package]), *homes})


os.register_at_fork(
    before=_importing.before_fork,
    after_in_parent=_importing.after_fork_in_parent,
    after_in_child=_importing.after_fork_in_child,
)
