"""The failure that a list of runs shows, and how many failed steps were handled."""

from __future__ import annotations

from http.client import OK
from itertools import permutations
from typing import Any

from remit.collector import Store, create_token
from tests.collecting import Api, Json, World
from tests.stores import on_each_store

RUNS = "/api/remit/v1/runs"
CLASSES = ("public", "internal", "confidential", "secret")


def time(second: int) -> str:
    """Return a time on the day of the tests."""
    return f"2026-01-05T10:00:{second:02}.000000Z"


def error(kind: str, message: str, at: str, *causes: tuple[str, str]) -> dict[str, Json]:
    """Return the result of a step that an exception ended."""
    listed = [
        {"type": cause, "message": "m", "at": place, "relation": "cause"} for cause, place in causes
    ]
    return {"error": {"type": kind, "message": message, "at": at, "causes": listed}}


def step(api: Api, run: str, name: str, parent: str | None, began: int) -> str:
    """Return the id of a step that has begun."""
    body = {"schema_name": name, "parent_span_id": parent, "started_at": time(began)}
    made: str = api.span(run, **body)["id"]
    return made


def end(api: Api, span: str, second: int, result: dict[str, Json] | None = None) -> None:
    """End a step; one with a result has failed."""
    status = "complete" if result is None else "failed"
    body = {"status": status, "timestamp": time(second), "result_payload": result}
    assert api.post(f"/agent_spans/{span}/finish", body).status_code == 200


def listed(api: Api, run: str) -> dict[str, Any]:
    """Return a run as the list shows it."""
    response = api.http.get(RUNS)
    assert response.status_code == 200, response.text
    return next(each for each in response.json()["runs"] if each["id"] == run)


def failure(api: Api, run: str) -> tuple[str | None, ...]:
    """Return step, class, place and text of the failure of a run."""
    shown = listed(api, run)["failure"]
    return shown["step"], shown["type"], shown["place"], shown["text"]


STORE = error("StoreError", "no such order\nand more", "store.py:13 in find")


@on_each_store
def test_a_failure_is_that_of_the_step_where_it_began(api: Api) -> None:
    """The steps above it, through which it passed, are not mentioned."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    outer = step(api, run, "desk:answer", root, 1)
    inner = step(api, run, "store:find", outer, 2)
    for second, span in enumerate((inner, outer, root), 3):
        end(api, span, second, STORE)

    expected = ("store:find", "StoreError", "store.py:13 in find", "no such order")
    assert failure(api, run) == expected
    assert listed(api, run)["failure"]["at"] == time(3)
    assert listed(api, run)["span_counts"]["failed"] == 3


@on_each_store
def test_the_end_of_a_process_names_an_open_step(api: Api) -> None:
    """As a later process reports it: the run has a reason, and no error."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    outer = step(api, run, "desk:answer", root, 1)
    inner = step(api, run, "store:find", outer, 2)
    ended: dict[str, Json] = {"error": {"type": "ProcessEnded", "message": "process ended"}}
    for span in (inner, outer):
        end(api, span, 3, ended)
    end(api, root, 3, {"reason": "process ended", "status": "failed", "lost": 0})
    assert failure(api, run)[:2] == ("store:find", "ProcessEnded")


@on_each_store
def test_a_failure_that_caused_another_is_shown(api: Api) -> None:
    """The other one is how the parent reported it."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    inner = step(api, run, "store:find", root, 1)
    end(api, inner, 2, STORE)
    end(
        api,
        root,
        3,
        error("DeskError", "later", "desk.py:7 in answer", ("StoreError", "store.py:13 in find")),
    )

    assert failure(api, run)[:2] == ("store:find", "StoreError")


@on_each_store
def test_a_handled_failure_gives_way_to_the_one_that_ended_the_run(api: Api) -> None:
    """Its step is the one that failed first with the exception of the root."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    outer = step(api, run, "desk:answer", root, 1)
    handled = step(api, run, "store:find", outer, 2)
    end(api, handled, 3, STORE)
    end(api, outer, 4)
    fatal = step(api, run, "desk:send", root, 5)
    for second, span in ((6, fatal), (7, root)):
        end(api, span, second, error("SendError", "no route", "send.py:2 in send"))
    api.post(f"/agent_instance/{run}/finish", {"status": "failed"})

    assert failure(api, run) == ("desk:send", "SendError", "send.py:2 in send", "no route")
    assert listed(api, run)["handled"] == 1


@on_each_store
def test_steps_that_fail_in_the_same_microsecond_are_told_apart(api: Api) -> None:
    """The failure began in the innermost one, as a coarse clock reports it."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    handled = step(api, run, "store:find", root, 1)
    end(api, handled, 2, STORE)
    outer = step(api, run, "desk:answer", root, 3)
    inner = step(api, run, "desk:send", outer, 3)
    for span in (inner, outer, root):
        end(api, span, 4, error("SendError", "no route", "send.py:2 in send"))

    assert failure(api, run) == ("desk:send", "SendError", "send.py:2 in send", "no route")


@on_each_store
def test_a_run_that_went_on_shows_its_first_failure(api: Api) -> None:
    """Also if it arrives last."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    first, second = (step(api, run, f"desk:{name}", root, 1) for name in ("first", "second"))
    end(api, second, 5, error("Late", "late", "a.py:2 in a"))
    end(api, first, 3, error("Early", "early", "a.py:1 in a"))
    end(api, root, 6)
    api.post(f"/agent_instance/{run}/finish", {"status": "complete"})

    assert failure(api, run)[:2] == ("desk:first", "Early")
    assert listed(api, run)["handled"] == 2


@on_each_store
def test_steps_that_arrive_after_the_end_are_counted_as_handled_too(api: Api) -> None:
    """As a program sends them that was offline."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    end(api, root, 4)
    api.post(f"/agent_instance/{run}/finish", {"status": "complete"})
    assert listed(api, run)["handled"] == 0

    late = step(api, run, "store:find", root, 1)
    end(api, late, 2, STORE)

    assert listed(api, run)["handled"] == 1


def test_a_message_is_shown_up_to_the_class_internal(api: Api) -> None:
    """Beyond it, the class of the exception and the place are all that a list tells."""
    for name in CLASSES:
        categories = {"classification": name}
        risk = {
            "action_profile": {},
            "params_data_categories": {},
            "result_data_categories": categories,
        }
        types = [{"name": "store:find", "params_schema": {}, "data_risk": risk}]
        run = api.instance(agent_schema_version={"span_type_schemas": types})["id"]
        end(api, step(api, run, "store:find", None, 0), 1, STORE)
        text = "no such order" if name in {"public", "internal"} else None
        assert failure(api, run) == ("store:find", "StoreError", "store.py:13 in find", text)


@on_each_store
def test_equal_failures_have_one_fingerprint(api: Api) -> None:
    """Step, class and place are equal; the message may differ."""
    results = [STORE, error("StoreError", "other", "store.py:13 in find")]
    results.append(error("StoreError", "no such order", "store.py:14 in find"))
    prints: list[str] = []
    for result in results:
        run = api.instance()["id"]
        end(api, step(api, run, "store:find", None, 0), 1, result)
        prints.append(listed(api, run)["failure"]["fingerprint"])

    assert prints[0] == prints[1] != prints[2]
    same = api.http.get(RUNS, params={"fingerprint": prints[0]}).json()["runs"]
    assert len(same) == 2


def test_a_failure_without_an_error_has_a_step(api: Api) -> None:
    """As clients send it that record no error, or one of another form."""
    for result in ({}, {"error": "x"}, {"error": {"type": 5, "causes": [1]}}):
        run = api.instance()["id"]
        end(api, step(api, run, "store:find", None, 0), 1, result)
        assert failure(api, run) == ("store:find", None, None, None)


@on_each_store
def test_tokens_are_added_up(api: Api) -> None:
    """Of all spans that have some; a run without any has none."""
    run = api.instance()["id"]
    assert listed(api, run)["tokens"] == {"in": None, "out": None}
    for usage in (
        {"prompt_tokens": 10, "completion_tokens": 3},
        {"prompt_tokens": 5},
        {"x": -1},
        7,
    ):
        span = step(api, run, "llm", None, 0)
        end_with = {"status": "complete", "result_payload": {"token_usage": usage}}
        assert api.post(f"/agent_spans/{span}/finish", end_with).status_code == 200

    assert listed(api, run)["tokens"] == {"in": 15, "out": 3}


def ended(api: Api, run: str, *ends: tuple[str, int, dict[str, Json]]) -> str | None:
    """Return the step that is kept as the first, after steps have failed in this order."""
    for span, second, result in ends:
        end(api, span, second, result)
    shown = listed(api, run)["failure"]
    alone = api.http.get(f"/api/v1/agent_instance/{run}").json()["details"]["failure"]
    assert alone == shown
    kept: str | None = shown["span"]
    return kept


@on_each_store
def test_the_span_where_the_failure_began_is_kept(api: Api) -> None:
    """In whichever order the ends arrive: also if the outermost comes first, as after a fault."""
    for places in permutations(range(3)):
        run = api.instance()["id"]
        root = step(api, run, "remit:run", None, 0)
        outer = step(api, run, "desk:answer", root, 1)
        inner = step(api, run, "store:find", outer, 1)
        ends = [(inner, 3, STORE), (outer, 3, STORE), (root, 4, STORE)]
        assert ended(api, run, *(ends[place] for place in places)) == inner


@on_each_store
def test_the_failure_of_a_group_began_at_its_first_member(api: Api) -> None:
    """Not at a failure that was handled before, nor at the step that raised the group."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    handled = step(api, run, "store:find", root, 1)
    top = step(api, run, "desk:answer", root, 2)
    late, early = (step(api, run, f"desk:{name}", top, 3) for name in ("late", "early"))
    slow, locked = error("Slow", "s", "a.py:1 in a"), error("Locked", "l", "a.py:2 in a")
    members = [each["error"] for each in (slow, locked)]
    group = error("ExceptionGroup", "two", "desk.py:7 in answer")
    group["error"]["members"] = members
    ends = [(handled, 2, STORE), (early, 4, locked), (late, 5, slow)]
    assert ended(api, run, *ends, (top, 6, group), (root, 7, group)) == early
    assert failure(api, run) == ("desk:early", "Locked", "a.py:2 in a", "l")


@on_each_store
def test_a_cause_after_a_handled_failure_is_the_first(api: Api) -> None:
    """The exception that ended the run was raised from it."""
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    handled, inner = (step(api, run, f"desk:{name}", root, 1) for name in ("early", "late"))
    end(api, handled, 2, error("Other", "o", "a.py:1 in a"))
    cause = ("StoreError", "store.py:13 in find")
    passed_on = error("DeskError", "later", "desk.py:7 in answer", cause)
    assert ended(api, run, (inner, 3, STORE), (root, 4, passed_on)) == inner


@on_each_store
def test_the_failure_of_an_erased_run_stays(world: World, store: Store) -> None:
    """Its steps have no errors any more, and what arrives later has none."""
    api = world.account()
    eraser = world.http(create_token(store, "account", may="erase", clock=world.clock).secret)
    run = api.instance()["id"]
    root = step(api, run, "remit:run", None, 0)
    inner = step(api, run, "store:find", root, 1)
    end(api, inner, 3, STORE)
    assert (
        eraser.post("/api/remit/v1/erasures", json={"run_id": run, "reason": "asked"}).status_code
        == OK
    )

    assert ended(api, run, (root, 4, STORE)) == inner
    assert failure(api, run) == ("store:find", "StoreError", "store.py:13 in find", None)
