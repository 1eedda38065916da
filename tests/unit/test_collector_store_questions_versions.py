"""Questions about declarations of agents and their runs, compared with the rows in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from remit.collector.store.ids import first_at
from remit.collector.store.questions.durations import last_durations
from remit.collector.store.questions.scope import Scope, scope_of
from remit.collector.store.questions.versions import (
    agents_of,
    last_runs,
    rules_by_type,
    tokens_of,
    version_uses,
)
from tests.filled import BEGAN_US, DAY_US, RULES, Filled, Row, fill, schema_of
from tests.stores import EACH_STORE

AGENT: Final = "agent-4"
MOST: Final = 10_000
SINCE_US: Final = BEGAN_US + 9 * DAY_US


@pytest.fixture(scope="module", params=EACH_STORE)
def data(request: pytest.FixtureRequest) -> Iterator[Filled]:
    """Return a database with 300 runs of two accounts."""
    with schema_of(request.param) as filled:
        fill(filled)
        yield filled


def agent(data: Filled, environment_id: str | None = None) -> Scope:
    """Return the scope of an agent."""
    scope = scope_of(data.tx, "account two", AGENT, environment_id)
    assert scope is not None
    return scope


def runs_of(data: Filled, agent_id: str = AGENT) -> list[Row]:
    """Return the runs of an agent, the newest first."""
    runs = [run for run in data.tables["runs"] if run["_place"]["agent_id"] == agent_id]
    return sorted(runs, key=lambda run: bytes(run["id"]), reverse=True)


def test_the_runs_of_a_version_are_counted_among_the_newest(data: Filled) -> None:
    """A version without one of them is there too."""
    runs = runs_of(data)
    (use,) = version_uses(data.tx, agent(data), most=MOST)
    assert use == ("version-4", "schema-4", len(runs), runs[0]["inserted_at"])
    (few,) = version_uses(data.tx, agent(data), most=3)
    assert few.runs == 3
    (none,) = version_uses(data.tx, agent(data), most=0)
    assert (none.runs, none.last_us) == (0, None)


def test_the_last_run_of_each_agent_is_its_newest(data: Filled) -> None:
    """An agent that is not known, or of another account, has none."""
    account = scope_of(data.tx, "account two")
    assert account is not None
    agents = {row["id"]: row["account_id"] for row in data.tables["agents"]}
    last = last_runs(data.tx, account, [*agents, "unknown"])
    assert last == {
        name: runs[0]["inserted_at"] // 1000 * 1000
        for name, account_id in agents.items()
        if account_id == "account two" and (runs := runs_of(data, name))
    }
    assert last_runs(data.tx, account, []) == {}


def test_the_last_run_in_an_environment_is_none_of_another(data: Filled) -> None:
    """A token of an environment does not show when others were used."""
    environments = {run["_place"]["environment_id"] for run in runs_of(data)}
    for name in environments:
        runs = [run for run in runs_of(data) if run["_place"]["environment_id"] == name]
        last = last_runs(data.tx, agent(data, name), [AGENT])
        assert last == {AGENT: runs[0]["inserted_at"] // 1000 * 1000}


def test_agents_are_those_of_the_account(data: Filled) -> None:
    """Or the only one of the scope."""
    account = scope_of(data.tx, "account two")
    assert account is not None
    listed = [one.id for one in agents_of(data.tx, account, most=MOST)]
    expected = {row["id"] for row in data.tables["agents"] if row["account_id"] == "account two"}
    assert set(listed) == expected
    assert [one.id for one in agents_of(data.tx, agent(data), most=MOST)] == [AGENT]
    assert agents_of(data.tx, account, most=1) == agents_of(data.tx, account, most=MOST)[:1]


def test_rules_are_counted_by_type(data: Filled) -> None:
    """Together with what is not folded yet."""
    names = {row["ref"]: row["name"] for row in data.tables["span_types"]}
    first = SINCE_US // DAY_US
    expected: Counter[tuple[str, str]] = Counter()
    for span in data.tables["spans"]:
        day = (span["started_at"] or span["inserted_at"]) // DAY_US
        ours = span["_place"]["agent_id"] == AGENT
        if ours and span["flags"] & 1024 and first <= day < first + 20:
            expected[names[span["type_ref"]], RULES[span["ref"] % 2]] += 2

    counted = rules_by_type(data.tx, agent(data), (first, first + 20))

    assert {(one.type, one.rule): one.times for one in counted} == expected
    assert [one.times for one in counted] == sorted(expected.values(), reverse=True)


def test_tokens_of_runs_are_added(data: Filled) -> None:
    """Runs that counted none are told apart."""
    wanted = [run for run in runs_of(data) if run["inserted_at"] >= SINCE_US]
    counted = [run for run in wanted if run["tokens_in"] is not None]
    sums = tokens_of(data.tx, agent(data), SINCE_US, most=MOST)
    assert (sums.runs, sums.counted) == (len(wanted), len(counted))
    assert sums.tokens_in == sum(run["tokens_in"] for run in counted)
    assert tokens_of(data.tx, agent(data), SINCE_US, most=2).runs == 2


@pytest.mark.parametrize(
    ("account", "agent_id", "environment", "most"),
    [("account two", AGENT, None, 5), ("account one", "agent-1", "staging", MOST)],
)
def test_durations_are_those_of_the_newest_steps(
    data: Filled, account: str, agent_id: str, environment: str | None, most: int
) -> None:
    """That ended and were not refused, of each type; an id is made within a day of the start."""
    names = {row["ref"]: row["name"] for row in data.tables["span_types"]}
    expected: dict[str, list[int]] = {}
    for name in sorted({*names.values()}):
        newest = sorted(
            (
                span
                for span in data.tables["spans"]
                if names[span["type_ref"]] == name
                and span["_place"]["agent_id"] == agent_id
                and (span["started_at"] or 0) >= SINCE_US
                and bytes(span["id"]) >= first_at(SINCE_US - DAY_US)
            ),
            key=lambda span: -span["started_at"],
        )[:most]
        ran = [
            span["finished_at"] - span["started_at"]
            for span in newest
            if span["finished_at"] is not None
            and not span["flags"] & 512
            and environment in {None, span["_place"]["environment_id"]}
        ]
        if ran:
            expected[name] = sorted(ran)
    scope = scope_of(data.tx, account, agent_id, environment)
    assert scope is not None
    assert len(expected) > 1

    last = last_durations(data.tx, scope, [*expected, "desk:none"], SINCE_US, most=most)

    assert last == expected
    assert last_durations(data.tx, scope, [], SINCE_US, most=5) == {}
