"""Any order of steps, with keys repeated at will, against a small model of what must hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from remit.collector.store import SqliteStore
from remit.testing import FakeClock
from tests.collecting import FINISHED, Json, World

KEYS = st.none() | st.sampled_from(["key-0001", "key-0002", "key-0003", "key-0004"])
ENDS = st.sampled_from(FINISHED)
SPAN_STATUSES = st.sampled_from(["pending", "active", *FINISHED])


@dataclass
class Run:
    """What the model knows of an instance.

    Attributes:
        status: Where it stands.
        start_seen: Whether a start came.
        spans: Where its spans stand.
    """

    status: str = "pending"
    start_seen: bool = False
    spans: dict[str, str] = field(default_factory=dict[str, str])


class Collector(RuleBasedStateMachine):
    """A collector and its model, asked the same."""

    runs = Bundle("runs")
    spans = Bundle("spans")

    def __init__(self) -> None:
        """Begin with an agent and nothing else."""
        super().__init__()
        self.store = SqliteStore(":memory:")
        self.clock = FakeClock()
        self.api = World(self.store, clock=self.clock).account()
        self.known: dict[str, Run] = {}
        self.run_of: dict[str, str] = {}
        self.first: dict[tuple[str, str], Json] = {}

    def teardown(self) -> None:
        """Let go of the store."""
        self.store.close()

    def send(
        self, operation: str, path: str, body: dict[str, Json], key: str | None, *, bulk: bool
    ) -> Json:
        """Return the envelope that the endpoint answers, or the bulk item of the same operation."""
        self.clock.advance(1)
        if bulk and key is not None:
            return self.api.bulk({"_type": operation, "idempotency_key": key, **body})[key]
        keyed = body if key is None else {**body, "idempotency_key": key}
        return self.api.post(path, keyed).json()

    def step(
        self, operation: str, key: str | None, answer: Json, *, allowed: bool
    ) -> tuple[bool, Json]:
        """Check an answer; return whether the step was taken now, and its details.

        A key that was used answers first, except that a control signal may have come since.
        """
        if key is not None and (operation, key) in self.first:
            details = answer["details"]
            assert details == self.first[operation, key]
            return False, details
        if not allowed:
            assert answer["status"] == "error", answer
            assert answer["code"] == "invalid_action"
            return False, None
        assert answer["status"] == "success", answer
        if key is not None:
            self.first[operation, key] = answer["details"]
        return True, answer["details"]

    @rule(target=runs, key=KEYS, bulk=st.booleans())
    def register(self, key: str | None, *, bulk: bool) -> Json:
        """Register an instance."""
        operation = "agent_instances/register"
        body = self.api.registration()
        answer = self.send(operation, "/agent_instance/register", body, key, bulk=bulk)
        new, details = self.step(operation, key, answer, allowed=True)
        if not new:
            return multiple()
        self.known[details["id"]] = Run()
        return details["id"]

    def on_run(
        self, name: str, run_id: str, body: dict[str, Json], key: str | None, *, bulk: bool
    ) -> tuple[str, Json]:
        """Send a step on an instance; return the operation and the answer."""
        operation = f"agent_instances/{name}"
        item = {**body, "agent_instance_id": run_id} if bulk and key else body
        path = f"/agent_instance/{run_id}/{name}"
        return operation, self.send(operation, path, item, key, bulk=bulk)

    @rule(run_id=runs, key=KEYS, bulk=st.booleans())
    def start(self, run_id: str, key: str | None, *, bulk: bool) -> None:
        """Start an instance; once, also late, but not after a termination."""
        run = self.known[run_id]
        operation, answer = self.on_run("start", run_id, {}, key, bulk=bulk)
        allowed = not run.start_seen and run.status != "terminated"
        new, _ = self.step(operation, key, answer, allowed=allowed)
        if new:
            run.start_seen = True
            run.status = "active" if run.status == "pending" else run.status

    @rule(run_id=runs, status=ENDS, key=KEYS, bulk=st.booleans())
    def finish(self, run_id: str, status: str, key: str | None, *, bulk: bool) -> None:
        """Finish an instance."""
        run = self.known[run_id]
        operation, answer = self.on_run("finish", run_id, {"status": status}, key, bulk=bulk)
        allowed = run.status in {"pending", "active"}
        new, _ = self.step(operation, key, answer, allowed=allowed)
        run.status = status if new else run.status

    @rule(run_id=runs, key=KEYS, bulk=st.booleans())
    def terminate(self, run_id: str, key: str | None, *, bulk: bool) -> None:
        """End an instance from outside."""
        run = self.known[run_id]
        operation, answer = self.on_run("terminate", run_id, {"reason": "r"}, key, bulk=bulk)
        new, _ = self.step(operation, key, answer, allowed=run.status == "active")
        run.status = "terminated" if new else run.status

    @rule(target=spans, run_id=runs, status=SPAN_STATUSES, key=KEYS, bulk=st.booleans())
    def create_span(self, run_id: str, status: str, key: str | None, *, bulk: bool) -> Json:
        """Create a span, whatever the run is."""
        operation = "agent_spans/create"
        body = self.api.span_body(run_id, status=status)
        answer = self.send(operation, "/agent_spans", body, key, bulk=bulk)
        new, details = self.step(operation, key, answer, allowed=True)
        self.check_control(answer, details)
        if not new:
            return multiple()
        self.known[run_id].spans[details["id"]] = status
        self.run_of[details["id"]] = run_id
        return details["id"]

    @rule(span_id=spans, status=ENDS, key=KEYS, bulk=st.booleans())
    def finish_span(self, span_id: str, status: str, key: str | None, *, bulk: bool) -> None:
        """Finish a span, whatever the run is."""
        operation = "agent_spans/finish"
        spans = self.known[self.run_of[span_id]].spans
        before = spans[span_id]
        body = {"status": status}
        item = {**body, "agent_span_id": span_id} if bulk and key else body
        answer = self.send(operation, f"/agent_spans/{span_id}/finish", item, key, bulk=bulk)
        allowed = before == "active" or (before == "pending" and status == "cancelled")
        new, details = self.step(operation, key, answer, allowed=allowed)
        if details is not None:
            self.check_control(answer, details)
        if new:
            spans[span_id] = status

    def check_control(self, answer: Json, details: Json) -> None:
        """A span's answer tells of a termination, and of nothing else."""
        terminated = self.known[details["agent_instance_id"]].status == "terminated"
        assert ("control" in answer) == terminated

    @invariant()
    def instances_stand_where_the_model_says(self) -> None:
        """With their counts."""
        for run_id, run in self.known.items():
            shown = self.api.shown(run_id)
            counts = Counter(run.spans.values())
            assert shown["status"] == run.status
            assert (shown["started_at"] is None) == (run.status == "pending")
            assert (shown["finished_at"] is None) == (run.status in {"pending", "active"})
            assert shown["span_counts"]["total"] == len(run.spans)
            for status in ("pending", "active", *FINISHED):
                assert shown["span_counts"][status] == counts[status]

    @invariant()
    def spans_stand_where_the_model_says(self) -> None:
        """None is missing, none is there twice."""
        for run_id, run in self.known.items():
            listed = self.api.spans(run_id)
            assert {one["id"]: one["status"] for one in listed} == run.spans
            assert len(listed) == len(run.spans)


Collector.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestCollector = Collector.TestCase
