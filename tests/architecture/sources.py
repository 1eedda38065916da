"""The source tree as values: what the architecture tests look at."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "remit"


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree."""
        return tuple(ast.walk(self.tree))


@cache
def package() -> tuple[Module, ...]:
    """Return the modules of `remit` itself, by path."""
    paths = sorted(SOURCE.rglob("*.py"))
    return tuple(Module(path, text := path.read_text(), ast.parse(text)) for path in paths)
