"""The tree of a run: what stands below what, and how it looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from inline_snapshot import snapshot

from remit.cli._records import Record
from remit.cli._terminal import width
from remit.cli._tree import drawn, took
from remit.models.agent import Agent
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan
from tests.subtests import each

BEGIN = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


def span(
    key: str, parent: str | None, *, after_ms: float = 0, took_ms: float | None = 1, **more: object
) -> AgentSpan:
    """Return a span that began *after_ms* after the run."""
    start = BEGIN + timedelta(milliseconds=after_ms)
    given: dict[str, Any] = {
        "type": "agent_span",
        "id": key,
        "agent_instance_id": "run",
        "parent_span_id": parent,
        "schema_name": f"shop:{key}",
        "status": "active" if took_ms is None else "complete",
        "started_at": start,
        "finished_at": None if took_ms is None else start + timedelta(milliseconds=took_ms),
    }
    return AgentSpan.model_validate(given | more)


def record(*spans: AgentSpan, **more: object) -> Record[AgentSpan]:
    """Return a run of the agent `shop:answer`."""
    agent = Agent(
        type="agent", id="agent", name="Answer", external_identifier="shop:answer", status="active"
    )
    given: dict[str, Any] = {
        "type": "agent_instance",
        "id": "run",
        "account_id": "account",
        "agent_id": "agent",
        "agent_version_id": "version",
        "environment_id": "environment",
        "status": "complete",
        "inserted_at": BEGIN,
        "updated_at": BEGIN,
        "started_at": BEGIN,
        "finished_at": BEGIN + timedelta(seconds=2),
        "external_identifier": "01k0000000000000000000run1",
    }
    return Record.of(agent, AgentInstance.model_validate(given | more), spans)


ROOT = span(
    "root",
    None,
    took_ms=2000,
    schema_name="remit:run",
    payload={"subject": "customer 7", "labels": {"channel": "chat"}, "purpose": "live"},
    result_payload={"status": "complete", "reason": None, "spans": 5, "lost": 0},
)


@pytest.fixture(autouse=True)
def place() -> Iterator[None]:
    """Show in eighty columns, in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def shown(given: Record[AgentSpan]) -> str:
    """Return the drawing of *given* without colours."""
    return "\n".join(click.unstyle(line) for line in drawn(given))


def test_a_run_is_drawn_with_statuses_times_values_and_errors() -> None:
    """Everything that a first look needs, in eighty columns and without colours."""
    given = record(
        ROOT,
        span("answer", "root", took_ms=1500, payload={"question": "Why? " * 40}),
        span(
            "find",
            "answer",
            after_ms=2,
            status="failed",
            payload={"email": {"$remit": "redacted", "rule": "type:Sensitive"}},
            result_payload={"error": {"type": "LookupError", "message": "nobody"}},
        ),
        span("write", "answer", after_ms=4, took_ms=None, payload={"words": ["日本語"] * 30}),
        span("stamp", "write", after_ms=5, status="cancelled"),
        span(
            "read",
            "answer",
            after_ms=9,
            took_ms=61_000,
            result_payload={"items": ["a", "b"], "count": 2, "first_item_ms": 0.5},
        ),
        span("other", "root", schema_name="kit:sum", after_ms=10, result_payload={"result": 3}),
        quality_payloads={"service": {"solved": True}},
    )
    assert shown(given) == snapshot("""\
Answer  complete
  run            01k0000000000000000000run1
  started        2026-11-25 09:30:00, took 2.0 s
  spans          6, 1 failed, 1 cancelled, 1 active
  purpose        live
  subject        customer 7
  labels         channel="chat"
  score service  solved=true

answer       complete      +0.00 ms       1.5 s
│    question="Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why?…
├─ find      failed         +2.0 ms      1.0 ms
│       email=<redacted: type:Sensitive>
│       ✗ LookupError: nobody
├─ write     active         +4.0 ms
│  │    words=["日本語", "日本語", "日本語", "日本語", "日本語", "日本語", "日…
│  └─ stamp  cancelled      +5.0 ms      1.0 ms
└─ read      complete       +9.0 ms  1 min 01 s
        → 2 items, the first after 0.50 ms: "a", "b"
kit:sum      complete      +10.0 ms      1.0 ms
     → 3\
""")
    assert all(width(line) <= 80 for line in shown(given).splitlines())


def test_a_step_whose_parent_is_unknown_stands_at_the_top() -> None:
    """It is late, lost, or of a client that sends an id of its own."""
    given = record(span("child", "nobody"), span("other", None, after_ms=1))
    assert [(each.span.id, each.follows) for each in given.tree()] == [("child", ()), ("other", ())]


def test_spans_in_a_circle_are_each_shown_once() -> None:
    """Clients choose the ids: a reader must come to an end all the same."""
    given = record(span("one", "two"), span("two", "one", after_ms=1), span("self", "self"))
    assert sorted(each.span.id for each in given.tree()) == ["one", "self", "two"]


def test_a_tree_of_five_thousand_levels_is_drawn() -> None:
    """An agent that calls itself must not end in a fault of the reader's."""
    chain = [span(f"s{n}", f"s{n - 1}" if n else None, after_ms=n) for n in range(5000)]
    assert [len(each.follows) for each in record(*chain).tree()] == list(range(5000))


def test_a_terminated_run_says_why() -> None:
    """Whoever ended it gave the reason for those who look later."""
    given = record(status="terminated", termination_reason="it paid\ntwice")
    assert shown(given).splitlines()[0] == r"Answer  terminated  it paid\ntwice"


@each(
    ("seconds", "text"),
    [
        pytest.param(0.00025, "0.25 ms", id="microseconds"),
        pytest.param(0.25, "250.0 ms", id="milliseconds"),
        pytest.param(59.94, "59.9 s", id="seconds"),
        pytest.param(61.2, "1 min 01 s", id="minutes"),
        pytest.param(3723, "1 h 02 min", id="hours"),
    ],
)
def test_a_duration_is_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    """Four characters of number at most."""
    assert took(BEGIN, BEGIN + timedelta(seconds=seconds)) == text


def test_a_step_that_exceeds_its_agents_remit_says_so_below_its_parameters() -> None:
    """What remit added to the payload is not shown as one of them."""
    said = (
        "financial_transactions: shop:pay declares allowed, but the agent shop:answer declares "
        "disallowed"
    )
    payload = {"order": 7, "$remit": {"violations": [{"sentence": said}]}}
    drawing = shown(record(ROOT, span("pay", "root", payload=payload))).splitlines()
    assert drawing[-2].strip() == "order=7"
    assert drawing[-1].strip().startswith("✗ violates the remit: financial_transactions: shop:pay")


@each(
    ("result", "said"),
    [
        pytest.param(
            {"count": 1, "items": ["a"], "first_item_ms": 0.5},
            '→ 1 item, the first after 0.50 ms: "a"',
            id="one",
        ),
        pytest.param(
            {
                "count": 2000,
                "items": {"$remit": "cut", "head": ["a", "b"], "of": 2000, "unit": "items"},
                "first_item_ms": 0.5,
            },
            '→ 2,000 items, the first after 0.50 ms: "a", "b" <cut, 2000 items>',
            id="cut as by an earlier version",
        ),
        pytest.param(
            {
                "count": 2000,
                "items": ["a", {"$remit": "cut", "of": 2000, "unit": "items"}],
                "first_item_ms": 0.5,
            },
            '→ 2,000 items, the first after 0.50 ms: "a", … 1999 more items …',
            id="cut",
        ),
    ],
)
def test_a_stream_is_shown_by_its_count_and_its_first_items(
    result: dict[str, object], said: str
) -> None:
    """However many there were, and however much of them is kept."""
    drawing = shown(record(ROOT, span("write", "root", result_payload=result))).splitlines()
    assert drawing[-1].strip() == said


def test_a_quality_payload_that_is_not_as_declared_is_marked() -> None:
    """As a span is."""
    given = record(
        span("root", None, schema_name="remit:run"),
        quality_payloads={"review": {"score": 7}},
        quality_errors={"review": ["/score it is greater than the maximum of 1"]},
    )

    marked = "  ! score review not as declared: /score it is greater than the maximum of 1\n"
    assert marked in shown(given)


def test_nodes_agents_and_model_calls_have_their_names() -> None:
    """Names are data: hostile ones are escaped; a redacted one is not shown."""
    answered = {"token_usage": {"prompt_tokens": 1100, "completion_tokens": 100}}
    asked = {"model_name": "gpt-5.2", "inputs": {"model": "gpt-5.2"}}
    redacted = {"node_name": {"$remit": "redacted", "rule": "name"}}
    run = record(
        ROOT,
        span("a", "root", schema_name="langchain:agent", payload={"agent_name": "desk"}),
        span("b", "a", schema_name="langchain:chain", payload={"node_name": "supervisor"}),
        span("c", "b", schema_name="langchain:llm", payload=asked, result_payload=answered),
        span("d", "a", schema_name="langchain:chain", payload={"node_name": "\u202egpj\x1b[31m"}),
        span("e", "a", schema_name="langchain:chain", payload=redacted),
        span("f", "a", schema_name="shop:agent", payload={"agent_name": "not a name"}),
    )
    assert tree_of(run) == snapshot("""\
desk agent                        complete      +0.00 ms      1.0 ms
│    agent_name="desk"
├─ supervisor node                complete      +0.00 ms      1.0 ms
│  │    node_name="supervisor"
│  └─ llm gpt-5.2 · 1,200 tokens  complete      +0.00 ms      1.0 ms
│          inputs={model: "gpt-5.2"} model_name="gpt-5.2"
│          → token_usage={prompt_tokens: 1100, completion_tokens: 100}
├─ \\u202egpj\\x1b[31m node         complete      +0.00 ms      1.0 ms
│       node_name="\\u202egpj\\u001b[31m"
├─ langchain:chain                complete      +0.00 ms      1.0 ms
│       node_name=<redacted: name>
└─ agent                          complete      +0.00 ms      1.0 ms
        agent_name="not a name"\
""")


def tree_of(run: Record[AgentSpan]) -> str:
    """Return the lines of the tree."""
    return click.unstyle("\n".join(drawn(run))).partition("\n\n")[2]
