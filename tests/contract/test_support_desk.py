"""The support desk, recorded through `remit serve`: what arrives is what happened, once.

The server is another process, reached over the network with a token of its own; what is sent is
read on its way.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import signal
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from inline_snapshot import snapshot
from pydantic import SecretStr

from examples.support_desk import TICKETS, Shop, answer
from remit.cli import main
from remit.client import Client
from remit.config import Settings
from remit.errors import NotFoundError
from remit.models.agent_instance import AgentInstance
from remit.models.agent_span import AgentSpan
from remit.testing import RecordedSpan, isolated
from tests.inside import httpx, setup
from tests.serving import Ended, serving

PAYMENT_TOKEN = "pay_live_9f8e7d6c5b4a39281706"
DESK = "examples.support_desk:"

# A run reads the wall clock once and goes by the monotonic one, from which it may drift.
DRIFT = timedelta(milliseconds=5)
# What differs from run to run: times, and what names the process.
MASKED = ("paid_at", "first_item_ms", "pid", "host")


@dataclass
class Wire(httpx.BaseTransport):
    """The network, with everything that is sent kept as it went out."""

    inner: httpx.HTTPTransport = field(default_factory=httpx.HTTPTransport)
    bodies: list[bytes] = field(default_factory=list[bytes])
    heads: list[bytes] = field(default_factory=list[bytes])

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Keep a request and pass it on."""
        self.bodies.append(request.read())
        headers = [each for each in request.headers.raw if each[0].lower() != b"authorization"]
        self.heads.append(repr((request.url, headers)).encode())
        return self.inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self.inner.close()


@dataclass(frozen=True)
class Server:
    """`remit serve` in another process.

    Attributes:
        url: Where it is.
        db: Its database file.
        token: The one to record with.
        account_token: One that may read everything.
    """

    url: str
    db: Path
    token: str
    account_token: str


@dataclass(frozen=True)
class Told:
    """What became of the desk's work.

    Attributes:
        server: Where it was recorded.
        wire: What went there.
        log: What the SDK logged.
        answers: What the customers read.
        runs: What the server kept: each run with its spans.
        before: When the work began.
        after: When it was delivered.
    """

    server: Server
    wire: Wire
    log: str
    answers: list[str]
    runs: list[tuple[AgentInstance, list[AgentSpan]]]
    before: datetime
    after: datetime


def token_for(db: Path, *words: str) -> str:
    """Return a new token of the server over *db*."""
    create = ["token", "create", "--quiet", "--db", str(db), *words]
    made = CliRunner().invoke(main, create)
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@contextmanager
def served(folder: Path, *token: str) -> Generator[Server]:
    """Serve a new database, with tokens that the command line made."""
    db = folder / "served.db"
    tokens = token_for(db, *token), token_for(db)
    with serving(db) as collector:
        yield Server(collector.url, db, *tokens)
        assert collector.end(signal.SIGINT) == Ended(0)


def answer_all(folder: Path) -> list[str]:
    """Let the desk answer every ticket; return the answers."""
    shop, answers = Shop(folder), list[str]()
    for ticket in TICKETS:
        words = list[str]()
        asyncio.run(answer(ticket, SecretStr(PAYMENT_TOKEN), shop, words.append))
        answers.append(" ".join(words))
    return answers


def masked(value: object) -> object:
    """Return *value* without what differs from run to run."""
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return {key: "*" if key in MASKED else masked(each) for key, each in pairs}
    return (
        [masked(each) for each in cast("list[object]", value)] if isinstance(value, list) else value
    )


@dataclass(frozen=True)
class Step:
    """A span, wherever it was seen."""

    key: str
    parent: str | None
    name: str
    status: str
    payload: dict[str, Any]
    result: dict[str, Any] | None

    @classmethod
    def recorded(cls, span: RecordedSpan) -> Step:
        """Return what the SDK recorded."""
        return cls(span.key, span.parent, span.name, span.status, span.payload, span.result)

    @classmethod
    def arrived(cls, span: AgentSpan) -> Step:
        """Return what the server keeps."""
        return cls(
            span.id,
            span.parent_span_id,
            span.schema_name,
            span.status,
            span.payload or {},
            span.result_payload,
        )


def story(steps: Iterable[Step]) -> list[Any]:
    """Return the steps with the path to each, without keys and times, in the order of the paths."""
    by_key = {step.key: step for step in steps}

    def path(step: Step) -> list[str]:
        above = by_key[step.parent] if step.parent is not None else None
        return [*(path(above) if above is not None else []), step.name]

    told = [
        [path(step), step.status, masked(step.payload), masked(step.result)]
        for step in by_key.values()
    ]
    return sorted(told, key=json.dumps)


def expected(folder: Path) -> list[list[Any]]:
    """Return the story of each run as the SDK records it in memory."""
    with isolated() as recorder:
        answer_all(folder)
    assert {run.status for run in recorder.runs} == {"complete"}
    return [story(map(Step.recorded, run.spans)) for run in recorder.runs]


def arrived(server: Server) -> list[tuple[AgentInstance, list[AgentSpan]]]:
    """Return the runs that the server keeps by their start, each with its spans.

    Their ids have the order of the registrations; one that was tried again comes later.
    """
    with Client(server.url, server.account_token) as client:
        try:
            agent = client.agents.show(external_identifier=f"remit/{DESK}support")
        except NotFoundError:  # the one of the deployment's token, which has the name that it got
            agent = client.agents.show(external_identifier=f"{DESK}support")
        runs = client.agent_instances.list(agent_id=agent.id, sorting="started_at").summaries
        return [
            (
                client.agent_instances.get(run.id),
                client.agent_spans.list(agent_instance_id=run.id).summaries,
            )
            for run in runs
        ]


def sent_starts(wire: Wire) -> dict[str, datetime]:
    """Return the start of each span by its id, as it went over the wire."""
    items = [item for body in wire.bodies for item in json.loads(body or b"{}").get("items", ())]
    details = [item.get("details", item) for item in items]
    return {
        each["id"]: datetime.fromisoformat(each["started_at"])
        for each in details
        if "started_at" in each
    }


@pytest.fixture(scope="module", params=["account", "agent_deployment"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Let the desk work once for each kind of token."""
    folder = tmp_path_factory.mktemp(request.param)
    of_agent = ["--agent", f"{DESK}support"] if request.param == "agent_deployment" else []
    wire, log = Wire(), io.StringIO()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger("remit")
    level, logger.level = logger.level, logging.DEBUG
    logger.addHandler(handler)
    with served(folder, "--scope", request.param, *of_agent) as server:
        settings = Settings(api_url=server.url, api_token=SecretStr(server.token), transport=wire)
        before = datetime.now(UTC)
        with setup.isolated(settings) as runtime:
            answers = answer_all(folder / "shop")
            result = runtime.flush(60)
        assert result, result
        after = datetime.now(UTC)
        runs = arrived(server)
    logger.removeHandler(handler)
    logger.level = level
    return Told(server, wire, log.getvalue(), answers, runs, before, after)


def test_the_desk_does_its_work(told: Told) -> None:
    """Recording changes nothing in what customers read."""
    shipped, paid, unknown, warranty, refused = told.answers
    assert shipped == "Hello Ada Lovelace! Your order 1240, the kettle, is shipped."
    assert "We pay 63.90 euros back, reference R1021-" in paid
    assert "I could not find your order" in unknown
    assert "warranty of two years" in warranty
    assert "It cannot be refunded: it is shipped" in refused


def test_every_span_arrives_once_with_its_parent_payload_and_result(
    told: Told, tmp_path: Path
) -> None:
    """They equal the spans of the same work recorded in memory."""
    assert [story(map(Step.arrived, spans)) for _, spans in told.runs] == expected(tmp_path)
    ids = [span.id for _, spans in told.runs for span in spans]
    assert len(ids) == len(set(ids))


def test_a_customer_who_does_not_exist_is_a_failed_step_of_a_run_that_went_well(told: Told) -> None:
    """The agent went on and answered."""
    run, spans = told.runs[2]
    failed = [span for span in spans if span.status == "failed"]
    assert run.status == "complete"
    assert [span.schema_name for span in failed] == [f"{DESK}Shop.find_customer"]
    error: Any = (failed[0].result_payload or {})["error"]
    assert (error["type"], error["message"]) == (
        "LookupError",
        "nobody has ordered with this address",
    )
    assert error["at"].endswith(" in find_customer")


def test_the_runs_end_well_and_are_judged(told: Told) -> None:
    """The quality payloads have the counted words."""
    assert [run.status for run, _ in told.runs] == ["complete"] * len(TICKETS)
    solved = (True, True, False, True, False)
    assert [run.quality_payloads for run, _ in told.runs] == [
        {"service": {"solved": well, "words": len(text.split())}}
        for well, text in zip(solved, told.answers, strict=True)
    ]


def test_times_are_those_of_the_steps(told: Told) -> None:
    """They are exact to the microsecond; each step lies within the one around it."""
    starts = sent_starts(told.wire)
    for run, spans in told.runs:
        by_id = {span.id: span for span in spans}
        for span in spans:
            begin, end = span.started_at, span.finished_at
            assert begin is not None
            assert end is not None
            assert told.before - DRIFT <= begin <= end <= told.after + DRIFT
            assert begin == starts[span.id]
            above = by_id.get(span.parent_span_id or "")
            if above is not None and above.started_at and above.finished_at:
                assert above.started_at <= begin
                assert end <= above.finished_at
        assert run.started_at is not None
        assert run.finished_at is not None
        assert told.before - DRIFT <= run.started_at <= run.finished_at
        assert run.finished_at <= told.after + DRIFT


def test_the_payment_token_is_nowhere(told: Told) -> None:
    """It is not in the database, in a body or head of a request, or in a log."""
    places = [*told.wire.bodies, *told.wire.heads, told.log.encode()]
    places += [file.read_bytes() for file in told.server.db.parent.glob("serve*")]
    assert len(places) > len(TICKETS)
    assert [place for place in places if PAYMENT_TOKEN.encode() in place] == []
    assert b"R1021-" in b"".join(places)


def test_the_api_token_is_in_the_authorization_and_nowhere_else(told: Told) -> None:
    """The server keeps a hash of it."""
    places = [*told.wire.bodies, *told.wire.heads, told.log.encode()]
    places += [file.read_bytes() for file in told.server.db.parent.glob("serve*")]
    assert [place for place in places if told.server.token.encode() in place] == []


def test_addresses_of_customers_are_redacted(told: Told) -> None:
    """They were declared as sensitive, in the types that every step shares."""
    payloads = [span.payload for _, spans in told.runs for span in spans]
    assert "@example.com" not in json.dumps(payloads)


def normalised(text: str) -> str:
    """Return a drawing without keys and times, and without what is cut because of their length."""
    for found, instead in (
        (r"^(Support|examples\.support_desk:support)  ", "AGENT  "),
        (r"\b[0-9a-hjkmnp-tv-z]{26}\b", "KEY"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d, took .*", "TIME"),
        (r" +\+[\d.]+ m?s +[\d.]+ m?s$", "  TIMES"),
        (r"(the first after|paid_at=).*", r"\1 ..."),
        (r"^Read from .*", "Read from PLACE"),
    ):
        text = re.sub(found, instead, text, flags=re.MULTILINE)
    return text


def test_a_run_is_shown_as_a_tree_with_statuses_times_values_and_errors(told: Told) -> None:
    """`remit runs show` on the database of the server, a hundred columns wide."""
    refused = told.runs[4][0].external_identifier or ""
    words = ["runs", "show", refused, "--db", str(told.server.db)]
    shown = CliRunner().invoke(main, words, env={"COLUMNS": "100"})
    assert normalised(shown.stdout) == snapshot("""\
AGENT  complete
  run            KEY
  started        TIME
  spans          9, 1 failed
  purpose        live
  subject        d38e4b1d8652
  labels         channel="chat"
  score service  solved=false words=24

support                   complete  TIMES
│    ticket={question: "I want my money back for 1263.", sender: <redacted: type:Sensitive>} paymen…
│    → 24 items, the first after ...
├─ understand             complete  TIMES
│       question="I want my money back for 1263."
│       → topic="refund" number=1263
├─ look_up                complete  TIMES
│  │    request={topic: "refund", number: 1263} sender=<redacted: type:Sensitive>
│  │    → customer="Hedy Lamarr" order={number: 1263, item: "clock", price: "107.90", status: "ship…
│  ├─ Shop.find_customer  complete  TIMES
│  │       email=<redacted: type:Sensitive>
│  │       → "Hedy Lamarr"
│  └─ Shop.find_order     complete  TIMES
│          customer="Hedy Lamarr" number=1263
│          → number=1263 item="clock" price="107.90" status="shipped" placed_at="2026-11-12T20:11:0…
├─ search_help            complete  TIMES
│  │    question="I want my money back for 1263." most=1
│  │    → []
│  └─ score pages         complete  TIMES
│          words=["back", "money", "want"]
│          → Delivery=2 Contact=1 Refunds=1 Returns=1 Your account=1
├─ refund                 failed  TIMES
│       order={number: 1263, item: "clock", price: "107.90", status: "shipped", placed_at: "2026-11…
│       ✗ RefundRefusedError: it is shipped, and only what was delivered can be
│         at examples/support_desk.py:224 in refund
└─ write                  complete  TIMES
        case={customer: "Hedy Lamarr", order: {number: 1263, item: "clock", price: "107.90", status…
        → 24 items, the first after ...

Read from PLACE
""")
