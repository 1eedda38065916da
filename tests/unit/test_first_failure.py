"""Which of the failed spans of a run is the first."""

from __future__ import annotations

from remit._base.first_failure import FailedSpan, failed_span, first_failed
from tests.subtests import each


def failed(
    name: str,
    parent: str | None,
    ended: float,
    error: object = None,
    began: float = 0,
    reason: str | None = None,
) -> FailedSpan:
    """Return a failed span; one without a parent is the root."""
    result = {"error": error, "reason": reason}
    return failed_span(
        name, parent, is_root=parent is None, began=began, ended=ended, result=result
    )


ERROR = {"type": "Error", "at": "a.py:1"}
OTHER = {"type": "Other", "at": "a.py:2"}
DENIAL = {"type": "remit.errors.DeniedError", "message": "read was denied"}
CASES = {
    "none": ([], None),
    "the earliest": ([failed("b", "x", 2, OTHER), failed("a", "x", 1, ERROR)], "a"),
    "the innermost of those at once": (
        [failed("outer", "x", 1, ERROR), failed("inner", "outer", 1, ERROR)],
        "inner",
    ),
    "the last to begin of those beside each other": (
        [failed("b", "x", 1, ERROR, began=0), failed("a", "x", 1, ERROR, began=0.5)],
        "a",
    ),
    "a step and not the run, at once": (
        [failed("root", None, 1, ERROR), failed("a", "other", 1, ERROR)],
        "a",
    ),
    "what ended the run, after a handled failure": (
        [failed("a", "x", 1, OTHER), failed("b", "x", 2, ERROR), failed("root", None, 3, ERROR)],
        "b",
    ),
    "the run alone, after a handled failure": (
        [failed("a", "x", 1, OTHER), failed("root", None, 3, ERROR)],
        "root",
    ),
    "a cause of a member of a group": (
        [
            failed("a", "x", 1, OTHER),
            failed("b", "x", 2, {**ERROR, "causes": [OTHER]}),
            failed("root", None, 3, {"type": "Group", "members": [ERROR]}),
        ],
        "a",
    ),
    "a step that a later process closed": (
        [
            failed("a", "root", 3, {"type": "ProcessEnded"}),
            failed("b", "a", 3, {"type": "ProcessEnded"}),
            failed("root", None, 3, reason="process ended"),
        ],
        "b",
    ),
    "the denied step, after another denial that was handled": (
        [
            failed("a", "x", 1, DENIAL),
            failed("b", "y", 2, {**DENIAL, "message": "pay was denied"}),
            failed("root", None, 3, {**DENIAL, "message": "pay was denied", "at": "a.py:1"}),
        ],
        "b",
    ),
    "spans in a circle": ([failed("a", "b", 1, ERROR), failed("b", "a", 1, ERROR)], "b"),
    "errors of another form": (
        [
            failed("a", "x", 1, "no"),
            failed("root", None, 2, {"type": 5, "causes": [1], "members": 2}),
        ],
        "a",
    ),
}


@each("case", list(CASES))
def test_the_first_is(case: str) -> None:
    """In whichever order they are given."""
    spans, expected = CASES[case]
    for order in (spans, spans[::-1]):
        first = first_failed(order)
        assert (None if first is None else first.id) == expected
