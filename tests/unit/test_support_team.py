"""A team of agents whose steps are declared openly, and completely."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast

import remit
from remit.models.data_risk import DataRisk
from remit.testing import isolated
from tests.support_team import Risk, declare, exceeding

COMPLETE: Final[Risk] = partial(remit.risk, forbids="others", excludes="others")


def test_open_declarations_show_nothing_under_observe_and_stop_each_agent_under_deny() -> None:
    """`observe` is no rehearsal of them: what is unknown passes without a record."""
    assert exceeding(remit.risk, "observe") == {
        "triage": [],
        "support": [],
        "analyst": ["read inbox"],
    }
    refused = exceeding(remit.risk, "deny")
    assert refused == {
        "triage": ["read inbox"],
        "support": ["find customer"],
        "analyst": ["count tickets"],
    }


def test_complete_declarations_are_refused_where_observe_records() -> None:
    """The one true violation, in both modes."""
    expected = {"triage": [], "support": [], "analyst": ["read inbox"]}
    assert exceeding(COMPLETE, "observe") == expected
    assert exceeding(COMPLETE, "deny") == expected


def test_a_complete_declaration_says_no_word_twice() -> None:
    """The two words are said once, in the `partial` that the steps share."""
    assert words(COMPLETE) == words(remit.risk) + 2


def words(risk: Risk) -> int:
    """Return how many words a program says: those of its `partial`, and those of each step."""
    shared = dict(getattr(risk, "keywords", {}))
    count = len(shared)

    def counted(**arguments: str | tuple[str, ...]) -> DataRisk:
        nonlocal count
        count += sum(1 if isinstance(words, str) else len(words) for words in arguments.values())
        return cast("DataRisk", cast("Any", risk)(**arguments))

    with isolated():
        declare(counted)
    return count
