"""The laws of comparing two locks: nothing goes untold, and nothing widens both ways."""

from __future__ import annotations

import copy
import json
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from tests.inside import Change, Effect, Kind, Leaves, Lock, What, changes, grouped

SUBJECTS = ("desk:find", "desk:send", "shop:find", "bot")
ACTIONS = ("read_data", "destroy_data", "external_communication", "others")
CATEGORIES = ("minors_data", "contact_information", "others")
CLASSES = ("public", "internal", "secret", "of a later version")
PLACES = ("", "name", "name?", "lines[].note", "lines[].note?", "customer.email", "{}.x")
TEXTS = (
    "string",
    "integer | null",
    "string, redacted: type:Sensitive",
    "string, redacted: name:token",
    "string | null, redacted in part: type:Sensitive, redacted in part: name:token",
    "string, off: name:token",
    "string, redacted: type:Sensitive, off: name:token, pattern:jwt",
)


def some(words: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """Return a few of *words*, each once."""
    return st.lists(st.sampled_from(words), unique=True, max_size=3)


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects of which any member may be missing."""
    return st.fixed_dictionaries({}, optional=members)


names = st.sampled_from(SUBJECTS)
risks = optional(
    allows=some(ACTIONS[:-1]),
    forbids=some(ACTIONS),
    takes=some(CATEGORIES[:-1]),
    gives=some(CATEGORIES[:-1]),
    excludes=some(CATEGORIES),
    excludes_params=some(CATEGORIES),
    excludes_result=some(CATEGORIES),
    classification=st.sampled_from(CLASSES),
    classification_result=st.sampled_from(CLASSES),
    extra=st.dictionaries(st.sampled_from(["owner"]), st.sampled_from(["Ada", "Grace"])),
)
reasons = st.dictionaries(names, some(("minors_data in the params", "destroy_data")), max_size=2)
agents = optional(
    risk=risks,
    registers=st.sampled_from(["schema-1", "schema-2"]),
    steps=optional(allowed=some(SUBJECTS), undeclared=reasons, denied=reasons),
    leaves=st.dictionaries(
        st.sampled_from(CATEGORIES[:-1]),
        st.dictionaries(st.sampled_from(SUBJECTS), st.sampled_from(list(Leaves)), max_size=2),
        max_size=2,
    ),
    later=st.integers(0, 1),
)
places = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(TEXTS), max_size=4)
steps = optional(
    risk=risks,
    description=st.none() | st.sampled_from(["Find.", "Find it.", "Find `it`\n| now"]),
    params=places,
    result=places,
    later=st.integers(0, 1),
)
locks: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda of_agents, of_steps: {
        "remit_lock": 1,
        "agents": of_agents,
        # An agent has its risk in both places.
        "steps": {
            name: {key: value for key, value in step.items() if key != "risk"}
            | {key: value for key, value in of_agents[name].items() if key == "risk"}
            if name in of_agents
            else step
            for name, step in of_steps.items()
        },
    },
    st.dictionaries(names, agents, max_size=2),
    st.dictionaries(names, steps, max_size=3),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Lock, Lock]:
    """Return two locks, often with one difference only."""
    old = draw(locks)
    if draw(st.booleans()):
        return cast("Lock", old), cast("Lock", draw(locks))
    new, other = copy.deepcopy(old), draw(locks)
    part = draw(st.sampled_from(["agents", "steps"]))
    for name in other[part]:
        for key in draw(
            st.lists(st.sampled_from(sorted(other[part][name]) or ["risk"]), max_size=1)
        ):
            if name in new[part] and key in other[part][name]:
                new[part][name][key] = other[part][name][key]
                if key == "risk" and name in new["agents"] and name in new["steps"]:
                    new["agents"][name][key] = new["steps"][name][key] = other[part][name][key]
    return cast("Lock", old), cast("Lock", new)


def key(change: Change) -> tuple[Kind, str, What, str, str]:
    """Return what a change is of."""
    return change.kind, change.subject, change.what, change.name, change.by


@given(locks)
def test_a_lock_does_not_differ_from_itself(lock: dict[str, Any]) -> None:
    """Nor from a copy that a file gave back."""
    old, new = cast("Lock", lock), cast("Lock", json.loads(json.dumps(lock)))
    assert changes(old, new) == []
    assert grouped([], old, new) == []


@given(pairs())
def test_no_change_goes_untold(pair: tuple[Lock, Lock]) -> None:
    """Each agent and each step that differs has at least one change."""
    old, new = pair
    told = changes(old, new)
    assert bool(told) is (old != new)
    subjects = {change.subject for change in told}
    for before, after in ((old["agents"], new["agents"]), (old["steps"], new["steps"])):
        for name in before.keys() | after.keys():
            entries = [
                cast("dict[str, Any]", part.get(name, {"gone": 1})) for part in (before, after)
            ]
            # A new schema version is a change only if no other change explains it.
            known = [{**entry, "registers": ""} for entry in entries]
            assert known[0] == known[1] or name in subjects


@given(pairs())
def test_what_widens_one_way_never_widens_back(pair: tuple[Lock, Lock]) -> None:
    """Of each thing that changes, for itself."""
    old, new = pair
    widens, back = (
        {key(change) for change in told if change.effect is Effect.WIDENS}
        for told in (changes(old, new), changes(new, old))
    )
    assert widens & back == set()


@given(pairs())
def test_the_reverse_has_the_same_changes(pair: tuple[Lock, Lock]) -> None:
    """With old and new exchanged."""
    old, new = pair
    forth = sorted((key(each), repr(each.old), repr(each.new)) for each in changes(old, new))
    back = sorted((key(each), repr(each.new), repr(each.old)) for each in changes(new, old))
    assert forth == back


@given(pairs())
def test_each_verdict_is_in_the_report(pair: tuple[Lock, Lock]) -> None:
    """Grouping loses no kind of change."""
    old, new = pair
    told = changes(old, new)
    lines = [line for group in grouped(told, old, new) for line in group.lines]
    assert {change.effect for change in told} <= {line.effect for line in lines}
    assert bool(lines) is bool(told)
