"""The benchmarks' own arithmetic: what the sink counts, what is kept, how figures are written.

What they measure is nobody's promise; that they count right is.
"""

from __future__ import annotations

import asyncio
import gzip
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks import protocols, reads, report, shown
from benchmarks.__main__ import rounds_of
from benchmarks.measure import Case, Size
from benchmarks.peers import by_hand
from benchmarks.results import Results, Spread
from benchmarks.sink import Sink
from benchmarks.tables import budgets, collectors, growth

WHOLE = {"order": "order-7"}
CUT = {"$remit": "cut", "of": 33, "unit": "bytes"}


def otlp(*sizes: int, pending: int = 0) -> bytes:
    """Return a request with a resource for each size, and with some spans that are announced."""
    request = ExportTraceServiceRequest()
    for size in sizes:
        scope = request.resource_spans.add().scope_spans.add()
        scope.scope.name = "scope"
        for number in range(size):
            ids = {"trace_id": bytes(16), "span_id": (1000 * size + number).to_bytes(8)}
            span = scope.spans.add(**ids, name=f"span {number}", start_time_unix_nano=number)
            span.attributes.add(key="text").value.string_value = "x" * 200
    for number in range(pending):
        ids = {"trace_id": bytes(16), "span_id": (10**6 + number).to_bytes(8)}
        announced = request.resource_spans[0].scope_spans[0].spans.add(**ids, name="announced")
        announced.attributes.add(key="type").value.string_value = "pending_span"
    body: bytes = request.SerializeToString()
    return body


def agent(*sizes: int, strings: Sequence[str] | None = None) -> bytes:
    """Return a trace for each size as ddtrace sends it, 0.5 where there are strings, else 0.4."""
    ids = [[(size, number) for number in range(size)] for size in sizes]
    if strings is None:
        return msgspec.msgpack.encode(
            [[{"name": "a", "trace_id": t, "span_id": s} for t, s in trace] for trace in ids]
        )
    return msgspec.msgpack.encode(
        [strings, [[[0, 1, 1, t, s, 0, 7, 9, 0, {}, {}, 0] for t, s in trace] for trace in ids]]
    )


def envelope(spans: int, *, length: bool) -> bytes:
    """Return a Sentry envelope with a transaction and something else."""
    told = [{"op": "a", "span_id": f"{number:016}"} for number in range(spans)]
    contexts = {"trace": {"span_id": "root"}}
    event = {"type": "transaction", "contexts": contexts, "spans": told}
    transaction = json.dumps(event).encode()
    header = {"type": "transaction", **({"length": len(transaction)} if length else {})}
    parts = [b'{"event_id":"1"}', json.dumps(header).encode(), transaction]
    return b"\n".join([*parts, b'{"type":"client_report","length":2}', b"{}"]) + b"\n"


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param("/v1/traces", otlp(3, 200), 203, id="OTLP"),
        pytest.param("/api/public/otel/v1/traces", otlp(2, pending=2), 2, id="announcements"),
        pytest.param("/v0.4/traces", agent(2, 1), 3, id="agent 0.4"),
        pytest.param("/v0.5/traces", agent(4, strings=["", "a"]), 4, id="agent 0.5"),
        pytest.param("/api/1/envelope/", envelope(5, length=True), 6, id="envelope"),
        pytest.param("/api/1/envelope/", envelope(5, length=False), 6, id="without lengths"),
        pytest.param("/info", b"", 0, id="a question"),
    ],
)
def test_the_sink_counts_each_span_once(path: str, body: bytes, expected: int) -> None:
    """In the protocol of each peer; the root of a transaction is a span of it."""
    assert len(set(protocols.spans_in(path, body))) == expected
    counting = Sink()
    for _ in range(2):
        counting.answer(path, body)
    counts = counting.answer("/counts", b"")
    assert counts["distinct"] == expected
    assert counts.get("spans", 0) == 2 * expected


def test_a_span_of_otlp_that_does_not_begin_with_its_ids_is_an_error() -> None:
    """And not one more that is counted."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="a")
    with pytest.raises(ValueError, match="not with its ids"):
        list(protocols.spans_in("/v1/traces", request.SerializeToString()))


def created(key: str, status: str, **values: object) -> dict[str, object]:
    """Return the item that tells of a span, as it goes to the bulk API."""
    details = {"schema_name": "agent:step", "status": status, **values}
    return {"_type": "agent_spans/create", "idempotency_key": f"c-{key}", "details": details}


def finished(key: str, **values: object) -> dict[str, object]:
    """Return the item that tells of the end of a span."""
    return {"_type": "agent_spans/finish", "idempotency_key": f"f-{key}", **values}


@pytest.mark.parametrize(
    ("items", "partial"),
    [
        pytest.param([created("a", "complete", payload=WHOLE, result_payload=WHOLE)], 0, id="all"),
        pytest.param([created("a", "complete", payload=CUT)], 1, id="payload cut"),
        pytest.param([created("a", "complete", result_payload=CUT)], 1, id="result cut"),
        pytest.param([created("a", "complete", payload=CUT, result_payload=CUT)], 1, id="both cut"),
        pytest.param([created("a", "active", payload=WHOLE)], 1, id="no end"),
        pytest.param(
            [created("a", "active", payload=WHOLE), finished("a", result_payload=WHOLE)], 0,
            id="ended later",
        ),
        pytest.param(
            [created("a", "active", payload=CUT), finished("a", result_payload=CUT)], 1,
            id="both cut, ended later",
        ),
        pytest.param(
            [created("a", "active", payload=WHOLE), finished("a", result_payload=CUT)], 1,
            id="result cut, ended later",
        ),
    ],
)  # fmt: skip
def test_a_span_that_did_not_arrive_whole_is_counted_once(
    items: list[dict[str, object]], partial: int
) -> None:
    """Whether its payload was cut, its result, or its end never came; sent again, too."""
    counting = Sink()
    for _ in range(2):
        counting.answer("/api/v1/bulk", msgspec.json.encode({"items": items}))
    counts = counting.answer("/counts", b"")
    assert (counts["distinct"], counts["cut"]) == (1, partial)


def test_the_sink_reads_compressed_bodies() -> None:
    """An encoding that it does not know is an error, and not a body without spans."""
    body = otlp(7)
    assert protocols.plain(gzip.compress(body), "gzip") == body
    assert protocols.plain(body, "") == body
    with pytest.raises(ValueError, match="br"):
        protocols.plain(body, "br")


def written_by_hand(function: Callable[..., Any], **named: object) -> dict[str, str]:
    """Return what the decorator by hand writes of a call with 3 and what is *named*."""
    put: dict[str, str] = {}
    decorate = by_hand.decorator(nullcontext, lambda _, name, text: put.update({name: text}))
    found = decorate(function)(3, **named)
    if inspect.iscoroutine(found):
        asyncio.run(found)
    elif inspect.isgenerator(found):
        list(found)
    return put


def twice(number: int, more: int = 0) -> int:
    """Return twice a number."""
    return 2 * number + more


async def twice_awaited(number: int, more: int = 0) -> int:
    """Return the same, from a coroutine."""
    return 2 * number + more


def twice_yielded(number: int, more: int = 0) -> Iterator[int]:
    """Yield the same."""
    yield 2 * number + more


@pytest.mark.parametrize("function", [twice, twice_awaited, twice_yielded])
def test_the_decorator_by_hand_writes_keywords_where_there_are_some(
    function: Callable[..., Any],
) -> None:
    """A peer is not charged for an attribute that says nothing."""
    assert written_by_hand(function).keys() == {"args", "result"}
    written = written_by_hand(function, more=1)
    assert written["args"] == "[3]"
    assert written["kwargs"] == '{"more": 1}'
    assert written["result"].strip("[]") == "7"


def test_results_are_kept_as_they_come_and_failures_are_measured_again(tmp_path: Path) -> None:
    """A run that broke goes on with what is missing."""
    path = tmp_path / "build" / "results.json"
    results = Results(path)
    for number, cpu_us in enumerate((3.0, 1.0, 2.0)):
        results.add(("calls", "remit", "sync", number), {"cpu_us": cpu_us})
    results.add(("calls", "ddtrace", "sync", 0), {"error": "gave up after 60 s"})
    again = Results(path)
    assert again.spread("calls", "remit", "sync", "cpu_us") == Spread(2.0, 1.0, 3.0)
    assert again.has(("calls", "remit", "sync", 2))
    assert not again.has(("calls", "remit", "sync", 3))
    assert not again.has(("calls", "ddtrace", "sync", 0))
    assert again.errors() == {"calls": ["ddtrace, sync, round 1: gave up after 60 s"]}
    again.forget("calls")
    assert again.spread("calls", "remit", "sync", "cpu_us") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (0, "0"), (0.01234, "0.0123"), (5.678, "5.68"), (123456, "123,000")],
)
def test_a_figure_has_three_digits_that_count(value: float | None, expected: str) -> None:
    """More would say what the next run does not."""
    assert shown.figure(value) == expected


def run_of(folder: Path, name: str, *cpu_us: float, load: float = 0.5) -> Results:
    """Return the results of a run in which a call of remit took so long, round after round."""
    results = Results(folder / f"{name}.json")
    results.about = {"date": name, "cores": 2, "load before": load, "load after": 2.0}
    for number, each in enumerate(cpu_us):
        results.add(("calls", "remit", "sync", number), {"cpu_us": each})
    return results


def budget(*runs: Results) -> list[str]:
    """Return the cells of the budget of a sync call: the figures, and whether it is kept."""
    line = next(each for each in budgets.budgets(runs).splitlines() if "sync call, us" in each)
    return [cell.strip() for cell in line.split("|")[3:5]]


def test_a_budget_is_kept_if_each_run_has_kept_it(tmp_path: Path) -> None:
    """One run tells its spread, several tell a median each; one that lacks the figure says so."""
    kept = run_of(tmp_path, "first", 3.9, 3.8, 4.1)
    again = run_of(tmp_path, "second", 3.85)
    slower = run_of(tmp_path, "third", 5.2)
    nothing = run_of(tmp_path, "fourth")
    assert budget(kept) == ["3.90 (3.80 to 4.10)", "yes"]
    assert budget(kept, again) == ["3.90 / 3.85", "yes"]
    assert budget(kept, slower, again) == ["3.90 / 5.20 / 3.85", "**no**"]
    assert budget(kept, nothing) == ["3.90 / -", "not measured"]
    assert budget(slower, nothing) == ["5.20 / -", "**no**"]


def test_the_page_tells_which_runs_it_is_of(tmp_path: Path) -> None:
    """What differs between them is told of each; that one had a busy machine is told, too."""
    quiet, busy = run_of(tmp_path, "first"), run_of(tmp_path, "second", load=7.5)
    found = dict(report.sections((quiet, busy)))
    assert "| date | first / second |" in found["machine"]
    assert "| cores | 2 |" in found["machine"]
    assert "1 of 2 runs (a load of 7.5 on 2 cores)" in found["budgets"]
    assert "other things to do" not in dict(report.sections((quiet,)))["budgets"]


def test_growth_is_told_from_the_fewest_spans_to_the_most(tmp_path: Path) -> None:
    """In the order of the numbers, for each peer as far as it was measured."""
    results = Results(tmp_path / "results.json")
    for count, cpu_us in ((1_000_000, 4.2), (1_000, 4.1), (10_000, 4.0)):
        told = {"cpu_us": cpu_us, "wall_us": 5.7, "lost": 0}
        results.add(("growth", "remit", str(count), 0), told)
    results.add(("growth", "opentelemetry", "10000", 0), {"cpu_us": 30.0, "lost": 0})
    assert growth.flatness(results, "remit") == pytest.approx(1.05)
    assert growth.flatness(results, "opentelemetry") is None
    head, _, row, *_ = growth.grown(results).splitlines()
    assert "| 1,000 spans | 10,000 spans | 1,000,000 spans | CPU, highest / lowest |" in head
    assert "| 4.10 / 5.70 | 4.00 / 5.70 | 4.20 / 5.70 | 1.05 |" in row


def test_what_budgets_stand_on_is_measured_in_each_round_and_slow_peers_once() -> None:
    """As spans grow, remit is measured in each round, and the others are in the first."""
    cases = [
        Case("calls", "remit", "sync", dict[str, float]),
        Case("calls", "sentry", "sync", dict[str, float]),
        Case("import", "sentry", "import", dict[str, float], rounds=2),
    ]
    measured = [(number, case.peer, case.table) for number, case in rounds_of(cases, 3)]
    assert measured == [
        (0, "remit", "calls"), (0, "sentry", "calls"), (0, "sentry", "import"),
        (1, "sentry", "import"), (1, "remit", "calls"),
        (2, "remit", "calls"),
    ]  # fmt: skip
    most = [case for case in growth.cases(Size()) if case.case == "1000000"]
    assert {case.peer: case.rounds_of(3) for case in most} == {"floor": 1, "remit": 3, "ddtrace": 1}


def test_the_reads_of_a_store_are_read_back_with_their_budgets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By the program that measures them: each has a figure, and the budgets find theirs."""
    measured = reads.report("sqlite", 10, with_plans=False)
    assert measured.keys() >= {*collectors.BUDGETS_MS, "ingest at 10"}
    assert "last 50 runs" in capsys.readouterr().out
    results = Results(tmp_path / "results.json")
    results.add(("reads", "sqlite", "10", 0), {**measured, "took_s": 1.0})
    told = budgets.budgets([results])
    line = next(each for each in told.splitlines() if "read: last 50 runs" in each)
    assert "not measured" not in line
