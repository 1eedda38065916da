"""What the pages read beside the API: declarations, erasures, facts about the database."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from remit.collector import Store, create_token
from remit.collector.store.questions.count_lists import CountCriteria, step_counts
from remit.collector.store.questions.facts import database_facts
from remit.collector.store.questions.records import agents, erasures
from remit.collector.store.questions.scope import scope_of
from tests.collecting import Api, World, details
from tests.declared_agents import PURPOSES, TYPES, filled
from tests.stores import EACH_STORE, empty_store


@pytest.fixture(params=EACH_STORE)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    """Return an empty database of each kind."""
    with empty_store(request.param, tmp_path) as made:
        yield made


def test_an_agent_is_read_with_what_it_declared_last(store: Store) -> None:
    """The newest agent comes first; one without declarations has none."""
    world = World(store)
    api = world.account()
    for names in ("one", "two"):
        types = [{"name": f"desk:{names}", "params_schema": {}}]
        version = {"external_identifier": names, "name": names}
        schema = {"external_identifier": names, "span_type_schemas": types}
        api.instance("pending", agent_version=version, agent_schema_version=schema)
    world.account()

    with store.reading() as tx:
        account = tx.accounts()[0].id
        scope, own = scope_of(tx, account), scope_of(tx, account, api.agent_id)
        assert scope is not None
        assert own is not None
        newest, oldest = agents(tx, scope, 10)
        assert agents(tx, scope, 1) == [newest]
        assert agents(tx, own, 10) == [oldest]

    assert (newest.version, newest.span_types) == (None, None)
    assert oldest.version == "two"
    assert '"desk:two"' in (oldest.span_types or "")


def test_steps_are_counted_by_agent(store: Store) -> None:
    """Types of the same name of two agents are two."""
    made = filled(store, runs=1)

    with store.reading() as tx:
        scope = scope_of(tx, tx.accounts()[0].id)
        assert scope is not None
        counts = step_counts(tx, CountCriteria(scope=scope))

    found = {(each.agent_id, each.name): each for each in counts}
    refused = found[made.agents["Careful desk"], "shop:pay_back"]
    assert (refused.spans, refused.denied, refused.violation) == (3, 3, 0)
    assert found[made.agents["Support desk"], "shop:purge"].violation == 1
    assert found[made.agents["Mail sorter"], "shop:chat"].spans == 7
    assert found[made.agents["Support desk"], "shop:chat"].spans == 1
    assert set(PURPOSES) < set(TYPES)


def test_erasures_are_listed_newest_first(store: Store) -> None:
    """Those since a time."""
    world = World(store)
    api = world.account()
    eraser = Api(world.http(create_token(store, "account", may="erase").secret), api.agent_id)
    runs = [api.instance("complete")["id"] for _ in range(2)]
    for run in runs:
        answer = eraser.http.post(
            "/api/remit/v1/erasures", json={"run_id": run, "reason": f"why {run}"}
        )
        assert answer.json()["runs"] == 1

    with store.reading() as tx:
        account = tx.accounts()[0].id
        listed = erasures(tx, account, 0, 10)
        assert [row.agent_instance_id for row in listed] == runs[::-1]
        assert erasures(tx, account, 0, 1) == listed[:1]
        assert erasures(tx, account, listed[0].inserted_at + 1, 10) == []
        assert erasures(tx, "another", 0, 10) == []


def test_a_database_says_what_it_is(store: Store) -> None:
    """Its kind, version and size."""
    details(World(store).account().post("/environment", {"details": {"name": "here"}}))

    with store.reading() as tx:
        facts = database_facts(tx)

        assert facts.kind == {"sqlite": "SQLite", "postgres": "PostgreSQL"}[tx.dialect]
    assert facts.version[0].isdigit()
    assert facts.size > 4096
