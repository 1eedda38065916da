"""What is no secret is recorded: ordinary prose, code and names, in large numbers.

The corpus is half of the standard library's single modules: thousands of docstrings, and the names
of all parameters. A redaction that eats words is one that people turn off.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from remit._capture.rules.names import name_rule
from remit._capture.rules.patterns import key_shaped

LIBRARY: Final = Path(sysconfig.get_paths()["stdlib"])
MIN_DOCSTRINGS: Final = 1_500
MIN_NAMES: Final = 800
SECRET_NOUNS: Final = ("auth", "cookie", "cred", "key", "pass", "pwd", "secret", "token")


@cache
def trees() -> tuple[tuple[str, ast.Module], ...]:
    """Return every other module of the standard library, by name."""
    paths = sorted(LIBRARY.glob("*.py"))[::2]
    return tuple((path.name, ast.parse(path.read_bytes())) for path in paths)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield module and text of every docstring."""
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield name, text


def test_no_docstring_of_the_standard_library_is_redacted() -> None:
    """Nor is any part of one taken for a key."""
    told = list(docstrings())
    assert len(told) > MIN_DOCSTRINGS
    assert [(name, key_shaped(text)) for name, text in told if key_shaped(text) is not None] == []


def test_hardly_a_name_of_the_standard_library_is_redacted() -> None:
    """Only those that are of a password, a cookie, a token by their last word."""
    names = {
        node.arg for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.arg)
    }
    eaten = {name for name in names if name_rule(name) is not None}
    assert len(names) > MIN_NAMES
    assert len(eaten) < len(names) / 200
    assert [name for name in eaten if not any(noun in name for noun in SECRET_NOUNS)] == []
