"""Summaries: Liquid templates over what a span holds, rendered within limits of our own.

The library limits neither what a filter makes nor how long a render takes. Here every loop, lookup
and filter takes from one allowance, by the size of what it works on, so that a template can neither
hang nor grow; tags and filters that could not be bounded so do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from time import thread_time
from typing import Final, TypeAlias, cast

from remit.collector.meaning.budget import Budget

MAX_TEMPLATE_CHARS: Final = 4000
MAX_PAYLOAD_CHARS: Final = 256 * 1024
"""A span with more in it has no summary."""
_WORD: Final = re.compile(r"\w+")


Rendering: TypeAlias = Callable[[Mapping[str, object], int], str | None]
"""A parsed template: takes values and their length; None if they cannot be written."""


class Template:
    """One template; it is parsed when it is first rendered.

    Attributes:
        usable: Whether it may write anything.
    """

    __slots__ = ("_parsed", "_source", "usable")

    def __init__(self, source: str | None) -> None:
        """Keep the *source*; None means that there is no summary."""
        self._source = source or ""
        self._parsed: Rendering | None = None
        self.usable = source is not None and len(source) <= MAX_TEMPLATE_CHARS

    def summary(self, values: Mapping[str, object], chars: int, budget: Budget) -> str | None:
        """Return the summary of *values*; None without a template, and beyond its limits.

        Args:
            values: What the template can name.
            chars: Length of the JSON from which they were read.
            budget: Of the request: what all renders may take, and which failed in it.
        """
        if not self.usable or chars > MAX_PAYLOAD_CHARS or not budget.allows(self):
            return None
        parse = _parse()
        begin = thread_time()
        if self._parsed is None:
            self._parsed = parse(self._source, 1 + len(_WORD.findall(self._source)))
            self.usable = self._parsed is not None
        written = None if self._parsed is None else self._parsed(values, chars)
        took = thread_time() - begin
        budget.rendered(took)
        if written is None:
            budget.give_up(self, took)
        return written


@cache
def _parse() -> Callable[[str, int], Rendering | None]:
    # By name, as the library behind it takes 100 ms: a program in local mode need not wait for it.
    engine = import_module("remit.collector.meaning.liquid_engine")
    return cast("Callable[[str, int], Rendering | None]", engine.parsed)
