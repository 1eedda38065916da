"""The lines that remit can log, as the source has them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.architecture.sources import PACKAGE, package

ANY: Final = "…"
"""Placeholder for a value in a line."""
LEVELS: Final = ("debug", "info", "warning", "error", "exception", "critical")
FORWARDING: Final = {
    "_log_once": "remit: {}",
    "_try": f"{{}}: {ANY}",
    "_warn": f"a run of {ANY}: {{}}",
}
"""Functions that log their first argument, with the format of the line."""
REPORTING: Final = "report"
"""The function that logs the messages of `_deliver/reactions.py`."""
WORDS: Final = re.compile("[a-z]{3}")
COMPUTED: Final = {
    "_declare/inference.py": (f"{ANY} ({ANY}): data_risk excludes {ANY}",),
    "_deliver/circuit.py": (
        f"the server rejected an item for good: {ANY}. It is set aside, and {ANY}",
        f"the server rejected a run of {ANY} and all of its items: {ANY}",
        f"the registration of {ANY} could not be built because of a fault inside remit{ANY}",
        f"an item could not be sent because of a fault inside remit{ANY}",
        f"a run could not be opened at the server because of a fault inside remit{ANY}",
    ),
    "_record/spans.py": (
        f"{ANY} excludes it, but received a value that this run redacted as {ANY}",
    ),
    "cli/_serve.py": (
        f"{ANY} can be reached from other machines; every request needs a token{ANY}",
        f"There is no token yet, so the API rejects every request until {ANY} creates one{ANY}",
    ),
}
"""Lines that are put together elsewhere, by the file that logs them."""


class Line(NamedTuple):
    """A line of the log."""

    level: str
    text: str


def log_lines() -> Iterator[Line]:
    """Yield the line of each call of a logger, and of each call of a function that forwards one.

    Raises:
        AssertionError: A call logs words that are put together elsewhere, and `COMPUTED` has no
            line for its file.
    """
    for module in package():
        place = module.path.relative_to(PACKAGE).as_posix()
        for node in module.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _lines_of(place, node)


def _lines_of(place: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Line]:
    for call in _calls_in(function):
        called, _, name = ast.unparse(call.func).rpartition(".")
        if re.fullmatch(r"(\w+\.)?logger", called) and name in LEVELS:
            text = _filled(*call.args, inside=function)
            if WORDS.search(text.removeprefix("a run of").removeprefix("remit:")):
                yield Line(name, text)
            elif function.name not in {*FORWARDING, REPORTING}:
                assert place in COMPUTED, f"{place}:{call.lineno} logs words from elsewhere"
        elif name in FORWARDING and call.args:
            text = _text(call.args[0], function)
            if WORDS.search(text):
                yield Line("warning", _squeezed(FORWARDING[name].format(text)))


def _calls_in(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.Call]:
    """Yield the calls in *function*, without those of the functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += ast.iter_child_nodes(node)


def _filled(template: ast.expr, *values: ast.expr, inside: ast.AST) -> str:
    """Return the text of a format with the values that are texts themselves."""
    texts = iter([_text(value, inside) for value in values])
    fixed = str(template.value) if isinstance(template, ast.Constant) else "%s"
    return _squeezed(re.sub("%[srd]", lambda _: next(texts, ANY), fixed))


def _text(node: ast.expr, function: ast.AST) -> str:
    """Return the text of an expression, with `ANY` for each value in it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _squeezed(re.sub("%[srd]", ANY, node.value))
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else ANY for part in node.values]
        return _squeezed("".join(map(str, parts)))
    if not isinstance(node, ast.Name):
        return ANY
    for assigned in ast.walk(function):
        if isinstance(assigned, ast.Assign) and ast.unparse(assigned.targets[0]) == node.id:
            return _text(assigned.value, function)
    return ANY


def texts() -> str:
    """Return all texts in the source, one a line."""
    return "\n".join(
        " ".join(node.value.split())
        for module in package()
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _squeezed(text: str) -> str:
    """Return *text* on one line, with one `ANY` where several follow each other."""
    return re.sub(f"{ANY}+", ANY, " ".join(text.split()))
