"""The source tree as values: what the architecture tests look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "remit"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of Python.

    Attributes:
        path: Where it stands.
        text: What it says.
        tree: The same, parsed.
    """

    path: Path
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """Its path inside the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())

    def functions(self) -> Iterator[Function]:
        """Yield every function, methods and inner ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Return the modules below *folders* of the repository, by path."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(Module(path, text := path.read_text(), ast.parse(text)) for path in paths)


def package() -> tuple[Module, ...]:
    """Return the modules of `remit` itself."""
    return modules("src")


def body_lines(function: Function) -> int:
    """Return the lines of *function* from `def` to its end, without the docstring's."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines
