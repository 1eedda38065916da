"""The outline of a run: its slices, what changed, a text in it."""

from __future__ import annotations

import itertools

import pytest

from remit.collector import Store
from tests.collecting import NOBODY, World, details
from tests.inside_collector import to_bytes
from tests.signing_in import Visitor, visitor
from tests.stores import on_each_store
from tests.waterfalls import Step, begun, deep, id_of, record


@pytest.fixture
def person(store: Store) -> Visitor:
    """Sign in."""
    return visitor(store)


@on_each_store
def test_slices_have_every_step_once(person: Visitor) -> None:
    """In the order of the ids, with parents in their slice as places and other ones as ids."""
    run = begun(person.api)
    steps = list(deep(620))
    record(person.api, run, steps)

    first = person.data(f"/runs/{run}/outline")
    second = person.data(f"/runs/{run}/outline", after=first["next"])

    assert (len(first["status"]), len(second["status"]), second["next"]) == (500, 120, None)
    assert first["run"] == {**first["run"], "status": "active", "spans": 620}
    ids: list[str] = []
    parents: list[str | None] = []
    for part in (first, second):
        own = split(part["ids"])
        ids += own
        parents += [
            None if place == -1 else own[place] if place >= 0 else part["outside"][-place - 2]
            for place in part["parents"]
        ]
        assert len(part["outside"]) == len(set(part["outside"]))
    assert ids == [digits(id_of(run, number)) for number in range(620)]
    assert parents == [
        None if step.parent is None else digits(id_of(run, step.parent)) for step in steps
    ]
    starts = list(itertools.accumulate(first["start"]))
    assert [at - starts[0] for at in starts] == [
        round((step.start_ms or 0) * 1000) for step in steps[:500]
    ]
    assert first["took"] == [
        pytest.approx((step.took_ms or 0) * 1000, abs=2) for step in steps[:500]
    ]
    names = [first["types"][place][0] for place in first["type"]]
    assert names[1:] == [step.name for step in steps[1:500]]
    assert names[0] == "Run"


@on_each_store
def test_labels_are_summaries_and_models_but_nothing_confidential(person: Visitor) -> None:
    """Tokens come from the result; of what is confidential or of article 9 nothing is listed."""
    run = begun(person.api)
    usage = {"prompt_tokens": 1500, "completion_tokens": 20, "total_tokens": 1520}
    steps = [
        Step("open_questions", result={"found": 412}),
        Step("chat", payload={"model_name": "gpt-5-mini"}, result={"token_usage": usage}),
        Step("chat", payload={}, result={"said": '"token_usage":{"prompt_tokens":7,'}),
        Step("charge", payload={"found": "iban"}),
        Step("diagnose", result={"found": "asthma"}),
    ]
    record(person.api, run, steps)

    outline = person.data(f"/runs/{run}/outline")

    assert outline["labels"] == {"0": "412 found"}
    assert outline["calls"] == {"1": ["gpt-5-mini", 1520], "2": [None, None]}


@on_each_store
def test_a_text_is_found_in_names_and_payloads(person: Visitor) -> None:
    """Letters of any case; what is confidential or of article 9 is not searched."""
    run = begun(person.api)
    record(
        person.api,
        run,
        [
            Step("search_help", payload={"query": "Where is my KETTLE?"}),
            Step("search_help", result={"pages": 'a "kettle" for tea'}),
            Step("charge", payload={"item": "kettle"}),
            Step("write", payload={"text": "radio"}),
            Step("diagnose", result={"found": "a kettle"}),
        ],
    )

    numbers = {digits(id_of(run, number)): number for number in range(5)}

    def found(text: str) -> list[int]:
        answer = person.data(f"/runs/{run}/find", q=text)
        assert answer["next"] is None
        assert answer["hidden"] == ["charge", "diagnose"]
        return [numbers[each] for each in answer["ids"]]

    assert found("kettle") == [0, 1]
    assert found('"KETTLE"') == [1]
    assert found("Charge") == [2]
    assert found("100%") == []


def test_a_search_is_bounded(person: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says from where to go on."""
    run = begun(person.api)
    record(person.api, run, (Step("write", start_ms=number) for number in range(2300)))
    monkeypatch.setattr("remit.collector.page.run.outline.FIND_S", -1.0)

    first = person.data(f"/runs/{run}/find", q="write")
    second = person.data(f"/runs/{run}/find", q="write", after=first["next"])

    assert len(first["ids"]) == len(second["ids"]) == 1000
    assert first["ids"][-1] < second["ids"][0]


@on_each_store
def test_changes_are_told_once(person: Visitor) -> None:
    """204 while nothing changes; then the steps that were written since."""
    run = begun(person.api)
    record(person.api, run, [Step("remit:run", took_ms=None, status="active")])
    before = person.data(f"/runs/{run}/outline")

    quiet = person.http.get("/live", params={"run": run, "since": before["cursor"]})
    assert quiet.status_code == 204
    record(person.api, run, [Step("write", 0)], first=1)
    details(person.api.post(f"/agent_instance/{run}/terminate", {"reason": "enough"}))

    live = person.data("/live", run=run, since=before["cursor"])
    assert live["runs"] == [{"id": run, "status": "terminated"}]
    changed = person.data(f"/runs/{run}/outline", changed=before["now"])
    assert changed["ids"] == digits(id_of(run, 1))
    assert changed["outside"] == [digits(id_of(run, 0))]
    assert changed["run"]["status"] == "terminated"
    quiet = person.http.get("/live", params={"run": run, "since": live["cursor"]})
    assert quiet.status_code == 204


def test_runs_of_others_and_wrong_questions_are_rejected(person: Visitor, world: World) -> None:
    """As the API rejects them."""
    run = begun(person.api)
    foreign = world.foreign().instance()["id"]
    for path in ("outline", "find?q=a"):
        assert person.http.get(f"/runs/{foreign}/{path}").status_code == 404
        assert person.http.get(f"/runs/{NOBODY}/{path}").status_code == 404
    for path in ("outline?after=x", "outline?changed=now", "find", "find?q=" + "a" * 201):
        assert person.http.get(f"/runs/{run}/{path}").status_code == 422
    signed_out = person.http.get(f"/runs/{run}/outline", headers={"Cookie": ""})
    assert signed_out.status_code == 401


def split(text: str) -> list[str]:
    """Return the ids of an outline."""
    return [text[at : at + 40] for at in range(0, len(text), 40)]


def digits(span_id: str) -> str:
    """Return an id as an outline has it."""
    return to_bytes(span_id).hex()
