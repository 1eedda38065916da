"""The steps of a run in pages, and the oldest run that meets criteria, on every database."""

from __future__ import annotations

from tests.collecting import World
from tests.inside_collector import (
    RunCriteria,
    oldest_run,
    run_ref_of,
    scope_of,
    steps_of,
)
from tests.stores import on_each_store


@on_each_store
def test_steps_are_listed_in_pages(world: World) -> None:
    """In the order of their ids, without those of other runs."""
    api = world.account()
    run, other = api.instance(), api.instance()
    top = api.span(run["id"])
    spans = [top, *(api.span(run["id"], parent_span_id=top["id"]) for _ in range(4))]
    api.span(other["id"])
    with world.store.reading() as tx:
        ref = run_ref_of(tx, run["id"])
        assert ref is not None
        steps = steps_of(tx, ref, limit=10)
        first = steps_of(tx, ref, limit=3)
        rest = steps_of(tx, ref, limit=3, after=first[-1].id)
    assert [step.id for step in steps] == sorted(span["id"] for span in spans)
    assert [*first, *rest] == steps
    assert {(step.parent_id, step.schema_name, step.status) for step in steps[1:]} == {
        (top["id"], "desk:answer", "active")
    }


@on_each_store
def test_the_oldest_run_is_read_alone(world: World) -> None:
    """Of those that meet the criteria."""
    api = world.account()
    api.instance("complete")
    failed = [api.instance("failed")["id"] for _ in range(3)]
    account_id = api.shown(failed[0])["account_id"]
    with world.store.reading() as tx:
        scope = scope_of(tx, account_id)
        assert scope is not None
        oldest = oldest_run(tx, RunCriteria(scope=scope, status="failed"))
        none = oldest_run(tx, RunCriteria(scope=scope, status="terminated"))
    assert oldest is not None
    assert oldest.id == min(failed)
    assert none is None
