"""Names of what is declared: they end up in people's history, so they last.

`<module>:<qualname>` unless the author chose a name: the same in a reload, under `python -m`, in a
script and in a spawned child.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, Final, cast

from remit._docstrings import sendable

RUN_TYPE: Final = "remit:run"
"""Type of each run's root span."""

LOSS_TYPE: Final = "remit:loss"
"""Type of the spans that tell what was lost."""

MAIN: Final = frozenset({"__main__", "__mp_main__"})
"""The program's own module, in the parent and in a spawned child."""

_NOTEBOOK: Final = "notebook"


def module_name(function: Callable[..., object]) -> str:
    """Return the module of *function*, by the name that it would be imported under.

    `__main__` is the module that `python -m` was given, else the script's name without suffix,
    else `notebook`.
    """
    own = getattr(function, "__module__", None)
    module = sendable(own) if isinstance(own, str) and own else _module_of_builtin(function)
    # From the function: a spawned child has these names before it has the module. Objects may
    # have every attribute that they are asked for.
    names: Any = getattr(function, "__globals__", None)
    has_names = isinstance(names, dict)
    return imported_as(module, cast("dict[str, Any]", names) if has_names else _names_of(module))


def imported_as(module: str, names: Mapping[str, Any]) -> str:
    """Return the name that a module would be imported under.

    Args:
        module: Its name.
        names: What it holds.
    """
    if module not in MAIN:
        return module
    spec = names.get("__spec__")
    if spec is not None:
        return str(spec.name)
    file = names.get("__file__")
    return PurePath(file).stem if isinstance(file, str) else _NOTEBOOK


def _names_of(module: str) -> Mapping[str, Any]:
    return vars(sys.modules[module]) if module in sys.modules else {}


def _module_of_builtin(function: Callable[..., object]) -> str:
    """Return the module of a method of a built-in type, which names none itself."""
    owner = getattr(function, "__objclass__", None) or getattr(function, "__self__", None)
    if owner is None:
        return _NOTEBOOK
    return (owner if isinstance(owner, type) else type(owner)).__module__


def qualname(function: Callable[..., object]) -> str:
    """Return the qualified name of *function*; of its class, if it is an object."""
    found = getattr(function, "__qualname__", None)
    return sendable(found if isinstance(found, str) else type(function).__qualname__)


def default_name(function: Callable[..., object]) -> str:
    """Return `<module>:<qualname>`, the name of what was given none."""
    return f"{module_name(function)}:{qualname(function)}"


def human(qualname: str) -> str:
    """Return the name of a function as people would write it: `Store.find_order`, Find order."""
    words = qualname.rpartition(".")[2].strip("_<>").replace("_", " ")
    return words[:1].upper() + words[1:]
