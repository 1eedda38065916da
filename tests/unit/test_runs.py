"""Runs: how they begin, nest and end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import pytest
from pydantic import BaseModel, Field

import remit
from remit._base.clock import NS_PER_S
from remit.errors import UsageError
from remit.testing import FakeClock, RecordingSink, isolated
from tests.subtests import each

pytestmark = pytest.mark.python


def stopped() -> AbstractContextManager[RecordingSink]:
    """Record into memory with a clock that stands still."""
    return isolated(clock=FakeClock())


@pytest.fixture
def recorder() -> Iterator[RecordingSink]:
    """Record with a clock that stands still."""
    with stopped() as sink:
        yield sink


def test_a_run_has_a_root_span_sent_active_at_start(recorder: RecordingSink) -> None:
    """The root span `remit:run` is there before anything else happens in the run."""

    @remit.agent
    def answer() -> str:
        return "ok"

    with answer.run(subject="customer 7", labels={"team": "support"}, purpose="eval") as run:
        (recorded,) = recorder.runs
        root = recorded.root
        assert root.name == "remit:run"
        assert root.status == "active"
        assert root.parent is None
        assert root.payload["subject"] == "customer 7"
        assert root.payload["labels"] == {"team": "support"}
        assert root.payload["purpose"] == "eval"
        assert root.payload["sdk"].startswith("remit@")
        assert isinstance(root.payload["pid"], int)
        assert set(root.payload) == {"subject", "labels", "purpose", "sdk", "pid", "host"}
        assert run.key == recorded.key
        assert run.id is None
        assert run.status == "active"
    assert root.status == "complete"
    assert root.result == {"status": "complete", "reason": None, "spans": 0, "lost": 0}
    assert recorded.status == run.status == "complete"


def test_the_call_of_an_agent_in_its_run_is_a_span_under_the_root(
    recorder: RecordingSink,
) -> None:
    """`run:` holds the root, the root the agent's call, the call its steps."""

    @remit.span_type
    def step(n: int) -> int:
        return n + 1

    @remit.agent("Answerer")
    def answer(n: int) -> int:
        return step(n)

    with answer.run():
        assert answer(1) == 2
    (name, children) = recorder.tree()[0][0]
    assert name.endswith(
        ":test_the_call_of_an_agent_in_its_run_is_a_span_under_the_root.<locals>.answer"
    )
    assert [child[0].rpartition(".")[2] for child in children] == ["step"]


def test_an_agent_called_outside_a_run_opens_one(recorder: RecordingSink) -> None:
    """A bare call of the agent is a run with the call in it."""

    @remit.agent
    def answer(question: str) -> str:
        assert remit.current_run() is not None
        return question.upper()

    assert answer("why") == "WHY"
    (run,) = recorder.runs
    assert run.status == "complete"
    (span,) = recorder.spans("answer")
    assert span.payload == {"question": "why"}
    assert span.result == {"result": "WHY"}
    assert remit.current_run() is None


def test_an_agent_that_fails_outside_a_run_fails_its_run(recorder: RecordingSink) -> None:
    """The user's exception passes through untouched, and span and run are failed."""

    @remit.agent
    def answer() -> None:
        raise KeyError("nothing")

    with pytest.raises(KeyError, match="nothing"):
        answer()
    assert recorder.runs[0].status == "failed"
    error = (recorder.spans("answer")[0].result or {})["error"]
    assert error["type"] == "KeyError"
    assert "nothing" in error["message"]
    assert (recorder.runs[0].root.result or {})["reason"] == "KeyError"


def test_a_run_inside_a_run_is_separate_and_the_outer_is_current_again(
    recorder: RecordingSink,
) -> None:
    """Spans go to the run that is current; leaving the inner restores the outer."""

    @remit.span_type
    def step() -> None:
        return None

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as outer:
        with answer.run() as inner:
            step()
            assert remit.current_run() is not None
            assert remit.current_run().key == inner.key  # type: ignore[union-attr]
        assert remit.current_run().key == outer.key  # type: ignore[union-attr]
        step()
    assert [span.run_key for span in recorder.spans("step")] == [inner.key, outer.key]


def test_a_nested_agent_is_a_child_span_of_the_outer_run(recorder: RecordingSink) -> None:
    """An agent called inside a run does not open another."""

    @remit.agent
    def inner() -> int:
        return 1

    @remit.agent
    def outer() -> int:
        return inner()

    assert outer() == 1
    assert len(recorder.runs) == 1
    (inner_span,) = recorder.spans("inner")
    assert inner_span.parent == recorder.spans("outer")[0].key


@each(
    ("error", "status"),
    [
        pytest.param(ValueError("x"), "failed", id="exception"),
        pytest.param(KeyboardInterrupt(), "cancelled", id="ctrl-c"),
        pytest.param(asyncio.CancelledError(), "cancelled", id="cancelled"),
        pytest.param(SystemExit(0), "complete", id="exit-0"),
        pytest.param(SystemExit(3), "failed", id="exit-3"),
    ],
    recorder=stopped,
)
def test_a_block_left_by_an_exception_has_the_status_of_it(
    recorder: RecordingSink, error: BaseException, status: str
) -> None:
    """Interrupts are cancelled, exceptions failed; the exception itself passes through."""

    @remit.agent
    def answer() -> None:
        return None

    with pytest.raises(type(error)), answer.run() as run:
        raise error
    assert recorder.runs[0].status == run.status == status


def test_fail_and_cancel_decide_the_status_of_a_block_that_ends_normally(
    recorder: RecordingSink,
) -> None:
    """What the user says about the run holds."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as run:
        run.fail("the customer was not helped")
    with answer.run() as other:
        other.cancel()
    assert [r.status for r in recorder.runs] == ["failed", "cancelled"]
    assert (recorder.runs[0].root.result or {})["reason"] == "the customer was not helped"
    assert (run.status, other.status) == ("failed", "cancelled")


def test_quality_is_recorded_by_name_and_removed_by_none(recorder: RecordingSink) -> None:
    """The last payload of a name counts."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as run:
        run.record_quality("helpful", {"score": 0.5})
        run.record_quality("polite", {"score": 1})
        run.record_quality("helpful", {"score": 0.9})
        run.record_quality("polite", None)
    assert recorder.runs[0].quality == {"helpful": {"score": 0.9}}


@each("name", [5, ""])
def test_a_quality_without_a_name_is_an_error(name: Any) -> None:
    """A mistake in a call, and no fault of remit's; in mode `off`, too."""

    @remit.agent
    def answer() -> None:
        return None

    with isolated(mode="off"), answer.run() as run, pytest.raises(UsageError, match="a string"):
        run.record_quality(name, {})


class Review(BaseModel):
    """How good an answer was."""

    score: float = Field(ge=0, le=1)
    by: Literal["human", "model"] = "human"
    notes: list[str] = []


@dataclass
class Pace:
    """How fast an answer was."""

    seconds: float


class Turns(TypedDict):
    """How long a talk was."""

    count: int


WRITTEN = {"type": "object", "required": ["a"], "properties": {"a": {"exclusiveMinimum": 0}}}
ENDLESS = {
    "$ref": "#/$defs/A",
    "$defs": {"A": {"type": "object", "allOf": [{"$ref": "#/$defs/A"}]}},
}
BROKEN = {"type": "object", "required": True, "properties": {"a": {"minimum": "five"}}}
DECLARED = {
    "broken": BROKEN,
    "endless": ENDLESS,
    "pace": Pace,
    "rating": int | None,
    "review": Review,
    "stars": int,
    "turns": Turns,
    "verdict": Pace | Literal["good", 0],
    "written": WRITTEN,
}


@each(
    ("name", "payload", "wrong"),
    [
        ("review", Review(score=1), []),
        ("review", {"score": 0.5, "by": "model", "notes": ["a"], "more": 1}, []),
        ("review", {"score": float("nan"), "notes": b"..."}, []),
        ("pace", Pace(1.5), []),
        ("turns", Turns(count=2), []),
        ("stars", {"value": 5}, []),
        ("rating", {"value": 5}, []),
        ("verdict", {"value": "good"}, []),
        ("verdict", Pace(1.5), []),
        ("written", {"a": 1}, []),
        ("review", None, []),
        (
            "reveiw",
            {"score": 1},
            ["the name is not declared; declared names: broken, endless, pace, "],
        ),
        ("review", {}, ["`score` is missing"]),
        ("review", {"score": 7}, ["`score` is more than 1"]),
        ("review", {"score": "high"}, ["`score` is not of type number"]),
        ("review", {"score": True}, ["`score` is not of type number"]),
        ("review", {"score": 1, "by": "me"}, ["`by` is not one of the allowed values"]),
        ("review", {"score": 1, "notes": [1]}, ["`notes[0]` is not of type string"]),
        ("pace", {}, ["`seconds` is missing"]),
        ("turns", {"count": 1.5}, ["`count` is not of type integer"]),
        ("stars", {"value": "five"}, ["`value` is not of type integer"]),
        ("rating", {"value": "five"}, ["`value` matches none of the allowed forms"]),
        ("verdict", {"value": "bad"}, ["the payload matches none of the allowed forms"]),
        ("written", {"a": 0}, ["`a` is not more than 0"]),
        ("endless", {"a": 0}, []),
        ("broken", {"a": 0}, []),
    ],
)
def test_a_quality_payload_is_compared_with_its_declaration_and_sent_all_the_same(
    caplog: pytest.LogCaptureFixture, name: str, payload: object, wrong: list[str]
) -> None:
    """What is not as declared is one line in the log and a finding on the run."""
    caplog.clear()
    with isolated() as recorder:

        @remit.agent(quality=DECLARED)
        def answer() -> None:
            return None

        for _ in range(2):
            with answer.run() as run:
                run.record_quality(name, payload)

    for recorded in recorder.runs:
        found = recorded.quality_errors.get(name, [])
        assert [text[: len(start)] for text, start in zip(found, wrong, strict=True)] == wrong
        assert (name in recorded.quality) is (payload is not None)
    assert len([line for line in caplog.messages if f"the quality '{name}'" in line]) == len(wrong)


def test_an_agent_that_declares_no_quality_has_nothing_to_compare_with(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """The first steps of a newcomer are no mistakes."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as run:
        run.record_quality("helpful", {"score": 0.9})

    assert recorder.runs[0].quality_errors == {}
    assert caplog.messages == []


def test_a_block_is_entered_once(recorder: RecordingSink) -> None:
    """A second entry is an error that says to call `run()` again."""

    @remit.agent
    def answer() -> None:
        return None

    block = answer.run()
    with block:
        pass
    with pytest.raises(UsageError, match=r"entered twice"), block:
        pass
    assert len(recorder.runs) == 1


def test_an_unknown_purpose_is_an_error_that_names_the_allowed_ones(
    recorder: RecordingSink,
) -> None:
    """The mistake is said at the call of `run`."""

    @remit.agent
    def answer() -> None:
        return None

    with pytest.raises(UsageError, match="live, smoke_test, eval"):
        answer.run(purpose="test")
    assert recorder.runs == []


@remit.agent
def noter() -> None:
    """Hold runs with labels."""


@each(
    ("given", "said"),
    [
        pytest.param({"subject": 17}, "subject.*of type int; expected a string", id="number"),
        pytest.param({"subject": {"id": 17}}, "subject.*of type dict", id="mapping-as-subject"),
        pytest.param({"labels": "mail"}, "labels.*saw 'mail'; expected a list", id="one-word"),
        pytest.param({"labels": 17}, "labels.*of type int", id="number-as-labels"),
        pytest.param({"labels": object()}, "labels.*of type object", id="object"),
    ],
    recorder=stopped,
)
def test_a_subject_or_labels_of_another_kind_are_errors(
    recorder: RecordingSink, given: dict[str, Any], said: str
) -> None:
    """Said where `run` is called, before anything is recorded."""
    with pytest.raises(UsageError, match=said):
        noter.run(**given)
    assert recorder.runs == []


@each("labels", [["a"], ("a",), {"a"}, {"a": 1}, Counter(["a"])], recorder=stopped)
def test_labels_are_words_or_a_mapping(recorder: RecordingSink, labels: Collection[str]) -> None:
    """Of any class."""
    with noter.run(labels=labels):
        pass
    assert recorder.runs[0].root.payload["labels"]


def test_a_span_outside_any_run_is_said_once_with_file_and_line(
    recorder: RecordingSink, caplog: pytest.LogCaptureFixture
) -> None:
    """It is recorded nowhere, and one line tells where the call stands."""

    @remit.span_type("lonely")
    def lonely() -> int:
        return 1

    for _ in range(3):
        assert lonely() == 1
    assert __file__ in caplog.text
    lines = [record for record in caplog.records if record.name == "remit"]
    assert len(lines) == 1
    assert recorder.runs == []


@each(
    ("resume", "seen"),
    [
        (5, "an object of type int"),
        (None, "an object of type NoneType"),
        ("", "''"),
        ("nonsense", "'nonsense'"),
        ("x" * 50, f"'{'x' * 40}'\\.\\.\\."),
    ],
    recorder=stopped,
)
def test_what_is_no_id_cannot_be_resumed(
    recorder: RecordingSink, resume: object, seen: str
) -> None:
    """The mistake is said at the call of `run`, with what was seen, and nothing is registered."""

    @remit.agent
    def answer() -> None:
        return None

    with pytest.raises(UsageError, match=f"saw {seen}; expected Run.key of a run, 26"):
        answer.run(resume=resume)  # type: ignore[arg-type] # wrong on purpose
    assert recorder.runs == []


def test_an_id_that_is_not_known_yet_names_the_key(recorder: RecordingSink) -> None:
    """The mistake of a program that does not wait for the server."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as run:
        run.leave_open()
    with pytest.raises(UsageError, match=r"store run\.key, which is known at once"):
        answer.run(resume=run.id)  # type: ignore[arg-type] # wrong on purpose
    assert len(recorder.runs) == 1


def test_a_run_is_resumed_by_its_key(recorder: RecordingSink) -> None:
    """It keeps its key and its root, also when it is resumed again."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as first:
        first.leave_open()
    with answer.run(resume=first.key) as second:
        assert second.id is None
        second.leave_open()
    with answer.run(resume=second.key) as third:
        answer()
    assert first.key == second.key == third.key
    assert [run.status for run in recorder.runs] == ["open", "open", "complete"]
    assert len({run.root.key for run in recorder.runs}) == 1


def test_a_run_and_a_span_may_fail_for_an_error(recorder: RecordingSink) -> None:
    """It is recorded as if it had been raised."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as run, remit.span("check") as check:
        check.fail(ValueError("too late"))
        run.fail(ValueError("too late"))
    (span,) = recorder.spans("check")
    assert (span.status, span.result) == (
        "failed",
        {"error": {"type": "ValueError", "message": "too late"}},
    )
    root = recorder.runs[0].root.result
    assert root is not None
    assert root["reason"] == "ValueError"


def test_a_quality_name_is_made_fit_to_send(recorder: RecordingSink) -> None:
    """Half a surrogate pair is replaced; what is no text is refused, and the program goes on."""

    @remit.agent
    def answer() -> None:
        return None

    with answer.run() as run:
        run.record_quality("half \ud800", {"score": 1})
        with pytest.raises(UsageError, match="the name an object of type int; expected a string"):
            run.record_quality(5, {"score": 1})  # type: ignore[arg-type] # wrong on purpose
        with pytest.raises(UsageError, match="the name ''; expected a string"):
            run.record_quality("", {"score": 1})
    assert recorder.runs[0].quality == {"half ?": {"score": 1}}


def test_a_clock_before_1970_does_not_raise_into_the_program() -> None:
    """What has no battery for its clock begins there; the times of its record are those of 1970."""

    @remit.span_type
    def look(page: int) -> int:
        return page

    @remit.agent
    def reader(page: int) -> int:
        return look(page)

    clock = FakeClock(datetime(1969, 7, 20, tzinfo=UTC))
    with isolated(clock=clock) as recorder:
        with reader.run() as run:
            clock.advance(1)
            assert reader(7) == 7
            with remit.span("plan"):
                run.record_quality("score", {"value": 1})
        assert [span.status for span in recorder.spans()] == ["complete"] * 3
        assert {span.started_ns // NS_PER_S for span in recorder.spans()} == {1}
        assert recorder.runs[0].status == "complete"
