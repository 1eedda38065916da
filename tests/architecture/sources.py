"""The source tree as values: what the architecture tests look at."""

from __future__ import annotations

import ast
import re
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
    """

    path: Path
    text: str

    @property
    def place(self) -> str:
        """Its path inside the repository."""
        return str(self.path.relative_to(ROOT))

    @cached_property
    def tree(self) -> ast.Module:
        """The text, parsed."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree."""
        return tuple(ast.walk(self.tree))


@cache
def package() -> tuple[Module, ...]:
    """Return the modules of `remit` itself, by path."""
    return tuple(Module(path, path.read_text()) for path in sorted(SOURCE.rglob("*.py")))


def package_with(pattern: str) -> list[Module]:
    """Return those of `package` in which *pattern* stands: the others need not be parsed."""
    found = [module for module in package() if re.search(pattern, module.text, re.MULTILINE)]
    assert found, f"{pattern} stands nowhere, so there is nothing to look at"
    return found
