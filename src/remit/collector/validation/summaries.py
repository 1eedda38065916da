"""Summaries: Liquid templates over the payload and the result of a span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Final, TypeAlias, cast

from remit.collector.validation.budget import Budget

MAX_TEMPLATE_CHARS: Final = 4000
MAX_PAYLOAD_CHARS: Final = 256 * 1024
"""A span with a longer payload and result has no summary."""
MAX_SUMMARY_BYTES: Final = 64 * 1024

Rendering: TypeAlias = Callable[[Mapping[str, object]], str | None]
"""A parsed template: takes values, and returns None if they cannot be written."""


class Template:
    """One template; it is parsed when it is first rendered."""

    __slots__ = ("_render", "_source", "usable")

    def __init__(self, source: str | None) -> None:
        """Keep the *source*; None gives no summary."""
        self._source = source or ""
        self._render: Rendering | None = None
        self.usable = source is not None and len(source) <= MAX_TEMPLATE_CHARS

    def summary(self, values: Mapping[str, object], chars: int, budget: Budget) -> str | None:
        """Return the summary of *values*; None without a template, and beyond its limits.

        Args:
            chars: Length of the JSON from which they were read.
        """
        if not self.usable or chars > MAX_PAYLOAD_CHARS or budget.spent:
            return None
        parse = _parser()
        with budget.charged():
            if self._render is None:
                self._render = parse(self._source)
                self.usable = self._render is not None
            return None if self._render is None else self._render(values)


@cache
def _parser() -> Callable[[str], Rendering | None]:
    # By name, because importing the library takes 100 ms, and a program in local mode renders none.
    engine = import_module("remit.collector.validation.liquid_engine")
    return cast("Callable[[str], Rendering | None]", engine.parsed)
