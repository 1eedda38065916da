"""Which step of a run failed first: the one rule, for the collector and for recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias, cast

PROCESS_ENDED: Final = "ProcessEnded"
"""Class of the error of steps that a later process closed."""
DENIED: Final = "remit.errors.DeniedError"
"""Class of the error of a denied step, and of the steps around it that do not handle it."""
_REASON: Final = "process ended"
"""The reason in the root span of such a run, which has no error."""

Raised: TypeAlias = tuple[str | None, str | None]
"""Class and place of an exception, which the spans that it passed through have in common.

A denied step has no place, because its body did not run: the message replaces it.
"""


class FailedSpan(NamedTuple):
    """A failed span; times are numbers of any unit.

    Attributes:
        origins: The possible sources of the exception: itself, its causes, the members of a group.
    """

    id: str
    parent_id: str | None
    is_root: bool
    began: float
    ended: float
    exception: Raised
    origins: frozenset[Raised]


def failed_span(
    span_id: str,
    parent_id: str | None,
    *,
    is_root: bool,
    began: float,
    ended: float,
    result: Mapping[str, object] | None,
) -> FailedSpan:
    """Return a failed span, whose exception is read from its *result*."""
    result = result or {}
    error = result.get("error")
    if is_root and not error and result.get("reason") == _REASON:
        error = {"type": PROCESS_ENDED}
    exception = raised(error)
    listed = [*_items(error, "causes"), *_items(error, "members")]
    origins = frozenset({exception, *map(raised, listed)} if listed else {exception})
    return FailedSpan(span_id, parent_id, is_root, began, ended, exception, origins)


def first_failed(failed: Iterable[FailedSpan]) -> FailedSpan | None:
    """Return the span where the failure of a run began; None without one.

    The failure is the one that ended the root span, else the earliest. It began at the earliest
    span with its exception, with a cause of it, or with a member of a group. Of spans that ended
    at the same time, the innermost is the first, then the one that began last.
    """
    spans = sorted(failed, key=lambda span: span.id, reverse=True)
    depths = _depths({span.id: span for span in spans})

    def order(span: FailedSpan) -> tuple[float, bool, int, float]:
        return span.ended, span.is_root, -depths[span.id], -span.began

    first = next((span for span in spans if span.is_root), min(spans, key=order, default=None))
    while first is not None:
        origins = first.origins
        earlier = min((span for span in spans if span.exception in origins), key=order)
        if earlier is first:
            break
        first = earlier
    return first


def _depths(spans: Mapping[str, FailedSpan]) -> dict[str, int]:
    """Return the number of failed spans around each; clients choose the ids, so circles occur."""
    depths: dict[str, int] = {}
    for span in spans.values():
        path: list[str] = []
        at: FailedSpan | None = span
        while at is not None and at.id not in depths:
            depths[at.id] = 0
            path.append(at.id)
            at = spans.get(at.parent_id or "")
        outermost = 0 if at is None else depths[at.id] + 1
        depths |= {span_id: depth for depth, span_id in enumerate(reversed(path), outermost)}
    return depths


def raised(error: object) -> Raised:
    """Return the values that link the spans which one exception passed through."""
    if not isinstance(error, dict):
        return None, None
    members = cast("dict[str, object]", error)
    kind = members.get("type")
    place = members.get("message" if kind == DENIED else "at")
    return kind if isinstance(kind, str) else None, place if isinstance(place, str) else None


def _items(error: object, name: str) -> Sequence[object]:
    items = cast("dict[str, object]", error).get(name) if isinstance(error, dict) else None
    return cast("list[object]", items) if isinstance(items, list) else ()
