"""Any order of steps, with keys repeated at will, against a small model of what must hold."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from remit.testing import FakeClock
from tests.collecting import FINISHED, Json, World
from tests.stores import empty_store

pytestmark = pytest.mark.gate

EXAMPLES: Final = int(os.environ.get("REMIT_TEST_MODEL_EXAMPLES", "25"))
"""How many orders of steps are tried on SQLite; a third of them on PostgreSQL."""

KEYS = st.none() | st.sampled_from(["key-0001", "key-0002", "key-0003", "key-0004"])
ENDS = st.sampled_from(FINISHED)
NAMES = st.sampled_from(["review", "quality"])
QUALITIES = st.none() | st.fixed_dictionaries({"score": st.integers(0, 9)})
SPAN_STATUSES = st.sampled_from(["pending", "active", *FINISHED])
STEPS = (
    "agent_spans/create",
    "agent_spans/finish",
    "agent_instances/show",
    "agent_instances/start",
    "agent_instances/finish",
)
SEVERAL = st.tuples(st.sampled_from(STEPS), ENDS, SPAN_STATUSES, st.integers(0, 9))


@dataclass
class Run:
    """What the model knows of an instance.

    Attributes:
        status: Where it stands.
        start_seen: Whether a start came.
        spans: Where its spans stand.
        qualities: Its quality payloads by name.
    """

    status: str = "pending"
    start_seen: bool = False
    spans: dict[str, str] = field(default_factory=dict[str, str])
    qualities: dict[str, Json] = field(default_factory=dict[str, "Json"])


class Collector(RuleBasedStateMachine):
    """A collector and its model, asked the same.

    Attributes:
        kind: On which store.
    """

    kind: ClassVar[str]

    runs = Bundle("runs")
    spans = Bundle("spans")

    def __init__(self) -> None:
        """Begin with an agent and nothing else."""
        super().__init__()
        self.open = ExitStack()
        folder = self.open.enter_context(TemporaryDirectory())
        store = self.open.enter_context(empty_store(self.kind, Path(folder)))
        self.clock = FakeClock()
        self.api = World(store, clock=self.clock).account()
        self.known: dict[str, Run] = {}
        self.run_of: dict[str, str] = {}
        self.first: dict[tuple[str, str], tuple[Json, Json]] = {}
        self.sent = 0

    def teardown(self) -> None:
        """Close the store."""
        self.open.close()

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
        self, operation: str, key: str | None, asked: Json, answer: Json, *, allowed: bool
    ) -> tuple[bool, Json]:
        """Check an answer; return whether the step was taken now, and its details.

        A key that was used for the same is answered with the thing as it is now; for something
        else it is rejected.
        """
        if key is not None and (operation, key) in self.first:
            asked_first, details = self.first[operation, key]
            if asked != asked_first:
                assert list(answer["errors"]) == ["idempotency_key"]
                return False, None
            assert answer["details"]["id"] == details["id"]
            assert answer["details"]["status"] == self.status_of(details["id"])
            return False, answer["details"]
        if not allowed:
            assert answer["status"] == "error", answer
            assert answer["code"] == "invalid_action"
            return False, None
        assert answer["status"] == "success", answer
        if key is not None:
            self.first[operation, key] = (asked, answer["details"])
        return True, answer["details"]

    def status_of(self, thing_id: str) -> str:
        """Return the status of a run or a span."""
        if thing_id in self.known:
            return self.known[thing_id].status
        return self.known[self.run_of[thing_id]].spans[thing_id]

    @initialize(target=runs)
    def begin(self) -> Json:
        """Have a run, so that no step lacks one."""
        return self.register(None, bulk=False)

    @rule(target=runs, key=KEYS, bulk=st.booleans())
    def register(self, key: str | None, *, bulk: bool) -> Json:
        """Register an instance."""
        operation = "agent_instances/register"
        body = self.api.registration()
        answer = self.send(operation, "/agent_instance/register", body, key, bulk=bulk)
        new, details = self.step(operation, key, body, answer, allowed=True)
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
        new, _ = self.step(operation, key, run_id, answer, allowed=allowed)
        if new:
            run.start_seen = True
            run.status = "active" if run.status == "pending" else run.status

    @rule(run_id=runs, status=ENDS, key=KEYS, bulk=st.booleans())
    def finish(self, run_id: str, status: str, key: str | None, *, bulk: bool) -> None:
        """Finish an instance."""
        run = self.known[run_id]
        operation, answer = self.on_run("finish", run_id, {"status": status}, key, bulk=bulk)
        allowed = run.status in {"pending", "active"}
        new, _ = self.step(operation, key, (run_id, status), answer, allowed=allowed)
        run.status = status if new else run.status

    @rule(run_id=runs, key=KEYS, bulk=st.booleans())
    def terminate(self, run_id: str, key: str | None, *, bulk: bool) -> None:
        """End an instance from outside."""
        run = self.known[run_id]
        operation, answer = self.on_run("terminate", run_id, {"reason": "r"}, key, bulk=bulk)
        new, _ = self.step(operation, key, run_id, answer, allowed=run.status == "active")
        run.status = "terminated" if new else run.status

    @rule(run_id=runs, name=NAMES, payload=QUALITIES, key=KEYS, bulk=st.booleans())
    def record_quality(
        self, run_id: str, name: str, payload: Json, key: str | None, *, bulk: bool
    ) -> None:
        """Set or remove a quality, whatever the run is; the others stay."""
        body = {"name": name, "payload": payload}
        operation, answer = self.on_run("record_quality", run_id, body, key, bulk=bulk)
        new, _ = self.step(operation, key, (run_id, body), answer, allowed=True)
        if new and payload is None:
            self.known[run_id].qualities.pop(name, None)
        elif new:
            self.known[run_id].qualities[name] = payload

    @rule(target=spans, run_id=runs, status=SPAN_STATUSES, key=KEYS, bulk=st.booleans())
    def create_span(self, run_id: str, status: str, key: str | None, *, bulk: bool) -> Json:
        """Create a span, whatever the run is."""
        operation = "agent_spans/create"
        body = self.api.span_body(run_id, status=status)
        answer = self.send(operation, "/agent_spans", body, key, bulk=bulk)
        new, details = self.step(operation, key, body, answer, allowed=True)
        if details is None:
            return multiple()
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
        new, details = self.step(operation, key, (span_id, status), answer, allowed=allowed)
        if details is not None:
            self.check_control(answer, details)
        if new:
            spans[span_id] = status

    @rule(target=spans, run_id=runs, wanted=st.lists(SEVERAL, min_size=2, max_size=8))
    def send_several(self, run_id: str, wanted: list[tuple[str, str, str, int]]) -> Json:
        """Send several items at once: they happen in order, up to the first that is rejected."""
        chosen = [item for one in wanted for item in self.items_of(run_id, *one)]
        self.clock.advance(1)
        self.sent += 1
        if not chosen:
            return multiple()
        keyed = [
            {**item, "idempotency_key": f"several-{self.sent}-{number}"}
            for number, item in enumerate(chosen)
        ]
        outputs = self.api.bulk(*keyed)
        made: list[str] = []
        for number, item in enumerate(keyed):
            output = outputs.pop(item["idempotency_key"])
            if not self.happens(item):
                assert (output["status"], output["code"]) == ("error", "invalid_action")
                break
            assert output["status"] == "success", (number, output)
            made += self.note(item, output["details"])
        assert outputs == {}
        return multiple(*made)

    def items_of(
        self, run_id: str, operation: str, end: str, status: str, pick: int
    ) -> list[dict[str, Json]]:
        """Return the item of a bulk request; none for a finish where there is no span yet."""
        if operation == "agent_spans/create":
            return [{"_type": operation, **self.api.span_body(run_id, status=status)}]
        if operation != "agent_spans/finish":
            return [{"_type": operation, "agent_instance_id": run_id}]
        made = list(self.known[run_id].spans)
        named = made[pick % len(made)] if made else None
        return [{"_type": operation, "agent_span_id": named, "status": end}] if named else []

    def happens(self, item: dict[str, Json]) -> bool:
        """Return whether an item is carried out, as things stand."""
        if item["_type"] == "agent_spans/finish":
            before = self.known[self.run_of[item["agent_span_id"]]].spans[item["agent_span_id"]]
            return before == "active" or (before == "pending" and item["status"] == "cancelled")
        if item["_type"] == "agent_instances/start":
            run = self.known[item["agent_instance_id"]]
            return not run.start_seen and run.status != "terminated"
        if item["_type"] == "agent_instances/finish":
            return self.known[item["agent_instance_id"]].status in {"pending", "active"}
        return True

    def note(self, item: dict[str, Json], told: dict[str, Json]) -> list[str]:
        """Note what an item did; return the id of the span that it made."""
        if item["_type"] == "agent_spans/finish":
            span_id = item["agent_span_id"]
            self.known[self.run_of[span_id]].spans[span_id] = item["status"]
        elif item["_type"] == "agent_spans/create":
            run_id = item["details"]["agent_instance_id"]
            self.run_of[told["id"]] = run_id
            self.known[run_id].spans[told["id"]] = item["details"]["status"]
            return [told["id"]]
        else:
            run = self.known[item["agent_instance_id"]]
            if item["_type"] == "agent_instances/start":
                run.start_seen = True
                run.status = "active" if run.status == "pending" else run.status
            elif item["_type"] == "agent_instances/finish":
                run.status = "complete"
            assert told["status"] == run.status
        return []

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
            assert shown["quality_payloads"] == run.qualities
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


class OnSqlite(Collector):
    """On a file."""

    kind = "sqlite"


class OnPostgres(Collector):
    """On a server."""

    kind = "postgres"


OnSqlite.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
OnPostgres.TestCase.settings = settings(
    max_examples=EXAMPLES // 3, stateful_step_count=30, deadline=None
)
TestOnSqlite = OnSqlite.TestCase
TestOnPostgres = OnPostgres.TestCase
