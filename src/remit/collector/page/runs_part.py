"""A search for runs that takes longer than one question may: what is found in shorter times."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from remit.collector.errors import RequestError
from remit.collector.page.formats import US_PER_S
from remit.collector.page.run_filters import PAGE_ROWS
from remit.collector.page.run_rows import Run
from remit.collector.page.visits import RUNS, Visit
from remit.collector.page.windows import HOUR_US, Window
from remit.collector.store.ids import ms_of
from remit.collector.times import format_us

SECONDS: Final = 3.0
"""How long shorter times are searched after a question that took too long."""
_FIRST_US: Final = HOUR_US
_SHORTEST_US: Final = 60 * US_PER_S


class Part(NamedTuple):
    """The runs of a page.

    Attributes:
        runs: The runs.
        until_us: All runs after this were compared before the time for a search was over; None if
            the page is full, or all were.
        next: Where the next page begins, if this one is full.
        is_whole: Whether all runs were compared, in an order by a measure.
    """

    runs: Sequence[Run]
    until_us: int | None = None
    next: str | None = None
    is_whole: bool = True


def found_in_time(
    visit: Visit, criteria: Mapping[str, str | None], window: Window, before: str | None
) -> Part:
    """Return the newest runs that are found in a few seconds, from the end of the time back."""
    end_us = visit.now_us if window.until_us is None else window.until_us
    if before is not None:
        end_us = min(end_us, (ms_of(before) + 1) * 1000)
    runs: list[Run] = []
    length_us, stop = _FIRST_US, time.monotonic() + SECONDS
    while len(runs) < PAGE_ROWS and time.monotonic() < stop:
        since_us = max(end_us - length_us, window.since_us or 0)
        limits = {"since": format_us(since_us), "until": format_us(end_us)}
        try:
            answer = visit.api.get(
                RUNS,
                **{**criteria, **limits},
                before=before,
                limit=str(PAGE_ROWS - len(runs)),
            )
        except RequestError as refusal:
            if refusal.status != HTTPStatus.GATEWAY_TIMEOUT or length_us <= _SHORTEST_US:
                break
            length_us //= 8
            continue
        runs += answer["runs"]
        if answer["next"] is not None:
            return Part(runs, next=answer["next"])
        end_us = since_us
        if end_us <= (window.since_us or 0):
            return Part(runs)
        length_us *= 2
    return Part(runs, end_us) if len(runs) < PAGE_ROWS else Part(runs, next=runs[-1]["id"])
