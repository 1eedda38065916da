"""Runs in a collector that a test of the page opens: each with steps that a program could leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from remit.errors import Violation
from tests.collecting import Api, details
from tests.inside import coerce
from tests.inside_collector import root_id
from tests.violating import denial, violations_of

BEGIN: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
"""An hour ago: a run that goes on has not taken a day."""
REDACTED: Final = {"$remit": "redacted", "rule": "type:SecretStr"}
PLACE: Final = "shop/tools.py:41 in charge"


def declared(
    name: str,
    *,
    allows: tuple[str, ...] = (),
    takes: tuple[str, ...] = (),
    never: tuple[str, ...] = (),
    excludes: tuple[str, ...] = (),
    classification: str = "unknown",
) -> dict[str, Any]:
    """Return a span type as it is registered."""
    actions = dict.fromkeys(allows, "allowed") | dict.fromkeys(never, "disallowed")
    excluded = dict.fromkeys(excludes, "excluded")
    return {
        "name": name,
        "params_schema": {},
        "data_risk": {
            "action_profile": actions,
            "params_data_categories": {
                **dict.fromkeys(takes, "included"),
                **excluded,
                "classification": classification,
            },
            "result_data_categories": excluded,
        },
    }


TYPES: Final = [
    declared("shop.desk:support"),
    declared("shop.tools:look_up", allows=("read_data",)),
    declared(
        "shop.tools:charge", allows=("financial_transactions",), takes=("financial_information",)
    ),
    declared("shop.tools:secret", allows=("update_data",), classification="confidential"),
    declared(
        "shop.desk:careful",
        never=("financial_transactions",),
        excludes=("financial_information",),
    ),
]

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
"""What a program says of its run that says nothing."""


@dataclass
class Story:
    """A run that a test tells step by step.

    Attributes:
        api: The collector.
        version: Version of the agent.
        types: Span types that it declares beside `TYPES`.
        said: What its program says of it.
        key: Key of the run, by which its program knows it.
        run_id: The run.
        root: Its root span.
    """

    api: Api
    version: str = "1.5.0"
    types: Sequence[dict[str, Any]] = ()
    said: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: str | None = None
    run_id: str = field(init=False)
    root: str = field(init=False)

    def __post_init__(self) -> None:
        """Register and start the run."""
        types = [*TYPES, *self.types]
        schema = {"external_identifier": "shop-1", "span_type_schemas": types}
        run = self.api.instance(
            "pending",
            agent_version={"external_identifier": self.version, "name": self.version},
            agent_schema_version=schema,
            external_identifier=self.key,
        )
        self.run_id = run["id"]
        details(self.api.post(f"/agent_instance/{self.run_id}/start", {"timestamp": _at(0)}))
        self.root = self.begin(
            "remit:run",
            None,
            {"subject": "d38e4b1d8652", "pid": 48112, **self.said},
            id=root_id(self.run_id),
        )

    def begin(
        self,
        name: str,
        parent: str | None,
        payload: dict[str, Any] | None = None,
        *,
        ms: int = 0,
        **more: Any,
    ) -> str:
        """Begin a step some milliseconds after the first one."""
        span = self.api.span(
            self.run_id,
            schema_name=name,
            parent_span_id=parent,
            payload=payload or {},
            started_at=_at(ms),
            **more,
        )
        return str(span["id"])

    def end(
        self, span_id: str, status: str = "complete", result: object = None, *, ms: int = 10
    ) -> None:
        """End a step."""
        body = {"status": status, "timestamp": _at(ms), "result_payload": result or {}}
        details(self.api.post(f"/agent_spans/{span_id}/finish", body))

    def finish(self, status: str, *, ms: int = 8420) -> str:
        """End the run; return its id."""
        body = {"status": status, "timestamp": _at(ms)}
        details(self.api.post(f"/agent_instance/{self.run_id}/finish", body))
        return self.run_id


def _at(ms: int) -> str:
    return (BEGIN + timedelta(milliseconds=ms)).isoformat()


def error(message: object, kind: str = "shop.tools.PaymentError", **more: object) -> dict[str, Any]:
    """Return the result of a step that an exception ended."""
    frames = [
        {"file": "shop/tools.py", "line": 41, "function": "charge"},
        {"file": "asyncio/runners.py", "line": 118, "function": "run"},
    ]
    shown = {"type": kind, "message": message, "at": PLACE, "frames": frames, **more}
    return {"error": shown}


def failed(
    api: Api,
    message: object = "the provider answered 502 three times",
    said: Mapping[str, Any] = NOTHING,
) -> str:
    """Return a run whose step `charge` failed through two causes."""
    story = Story(api, said=said)
    top = story.begin("shop.desk:support", story.root, {"question": "refund"}, ms=5)
    looked = story.begin("shop.tools:look_up", top, ms=10)
    story.end(looked, result={"result": "Grace"}, ms=20)
    charge = story.begin("shop.tools:charge", top, {"order": 1021, "token": REDACTED}, ms=2050)
    causes = [
        {"type": "httpx.HTTPStatusError", "message": REDACTED, "relation": "cause"},
        {"type": "httpx.ReadTimeout", "message": "", "relation": "context"},
    ]
    result = error(message, causes=causes)
    story.end(charge, "failed", result, ms=8400)
    story.end(top, "failed", result, ms=8410)
    story.end(story.root, "failed", {"status": "failed", **result}, ms=8420)
    return story.finish("failed")


def graph(api: Api) -> str:
    """Return a run of a LangGraph graph, in whose agent `refunds` a tool failed."""
    chain, agent = declared("langchain:chain"), declared("langchain:agent")
    story = Story(api, types=[chain, agent])
    desk = {"agent_name": "desk", "agent_kind": "graph", "inputs": {}}
    top = story.begin("langchain:agent", story.root, desk, ms=5)
    supervisor = story.begin("langchain:chain", top, {"node_name": "supervisor"}, ms=10)
    story.end(supervisor, ms=1400)
    for name, ms in (("orders", 1410), ("refunds", 4500)):
        below = story.begin("langchain:agent", top, {"agent_name": name}, ms=ms)
        story.end(story.begin("shop.tools:look_up", below, ms=ms + 10), ms=ms + 90)
        if name == "orders":
            story.end(below, ms=ms + 3000)
    tools = story.begin("langchain:chain", below, {"node_name": "tools"}, ms=5700)
    charge = story.begin("shop.tools:charge", tools, {"order": "1021", "token": REDACTED}, ms=5800)
    result = error("the provider answered 502 three times")
    for step, ms in ((charge, 8400), (tools, 8405), (below, 8408), (top, 8410)):
        story.end(step, "failed", result, ms=ms)
    story.end(story.root, "failed", {"status": "failed", **result}, ms=8420)
    return story.finish("failed")


def grouped(api: Api) -> str:
    """Return a run that a group of two failures ended, of which the second one was declared."""
    story = Story(api)
    top = story.begin("shop.desk:support", story.root, ms=5)
    late = story.begin("shop.tools:charge", top, ms=10)
    early = story.begin("shop.tools:look_up", top, ms=11)
    cut = story.begin("shop.tools:secret", top, ms=12)
    locked = {
        "type": "sqlite3.OperationalError",
        "message": "locked",
        "at": "shop/store.py:88 in f",
    }
    slow = {"type": "TimeoutError", "message": "", "at": "shop/fraud.py:19 in check"}
    story.end(early, "failed", {"error": locked}, ms=400)
    story.end(late, "failed", {"error": slow}, ms=1280)
    story.end(cut, "cancelled", ms=1280)
    group = error("two", "ExceptionGroup", members=[slow, locked], of=2)
    story.end(top, "failed", group, ms=1300)
    story.end(story.root, "failed", {"status": "failed", **group}, ms=1310)
    return story.finish("failed")


def handled(api: Api) -> str:
    """Return a complete run in which `charge` failed twice."""
    story = Story(api)
    top = story.begin("shop.desk:support", story.root, ms=5)
    for number in range(2):
        charge = story.begin("shop.tools:charge", top, ms=10 + number)
        story.end(charge, "failed", error("no"), ms=20 + number)
    story.end(top, ms=50)
    story.end(story.root, result={"status": "complete"}, ms=60)
    return story.finish("complete")


def denied(api: Api, *, handled: bool = True, said: Mapping[str, Any] = NOTHING) -> str:
    """Return a run in which `charge` was denied; it failed if that was not handled."""
    story = Story(api, said=said)
    top = story.begin("shop.desk:careful", story.root, ms=5)
    charge = story.begin("shop.tools:charge", top, {"order": 1021}, ms=10)
    denied = violations_of(
        "shop.tools:charge",
        coerce(TYPES[2]["data_risk"], "shop/tools.py:9"),
        "shop.desk:careful",
        coerce(TYPES[4]["data_risk"], "shop/desk.py:7"),
    )
    result = denial("shop.tools:charge", *denied)
    story.end(charge, "failed", result, ms=11)
    if handled:
        story.end(top, ms=50)
        story.end(story.root, result={"status": "complete"}, ms=60)
        return story.finish("complete")
    passed_on = {"error": {**result["error"], "at": "shop/desk.py:9 in careful"}}
    del passed_on["error"]["violations"]
    story.end(top, "failed", passed_on, ms=50)
    story.end(story.root, "failed", passed_on, ms=60)
    return story.finish("failed")


def held(api: Api, said: Mapping[str, Any] = NOTHING) -> str:
    """Return a run in which a hold denied `charge`."""
    story = Story(api, said=said)
    top = story.begin("shop.desk:support", story.root, ms=5)
    charge = story.begin("shop.tools:charge", top, {"order": 1021}, ms=10)
    action: Final = "financial_transactions"
    step = "shop.tools:charge"
    sentence = f"{action}: hold 01h denies {step}, which declares it (held by ada)"
    violation = Violation(
        sentence,
        "action_profile",
        action,
        "allowed",
        "",
        "held",
        hold="01h",
        held_by="ada@shop.example",
        reason="wrong prices",
    )
    story.end(charge, "failed", denial(step, violation), ms=11)
    story.end(top, ms=50)
    story.end(story.root, result={"status": "complete"}, ms=60)
    return story.finish("complete")


def confidential(api: Api, payload: dict[str, Any]) -> tuple[str, str]:
    """Return a run with a step of a confidential type, and the step."""
    story = Story(api)
    step = story.begin("shop.tools:secret", story.root, payload, ms=5)
    story.end(step, "failed", error("a private word"), ms=10)
    story.end(story.root, "failed", {"status": "failed"}, ms=20)
    return story.finish("failed"), step


def confidential_call(api: Api, said: Mapping[str, Any] = NOTHING) -> tuple[str, str]:
    """Return a run with a call of a model whose values are confidential, and the call."""
    types = (declared("shop.tools:chat", classification="confidential"),)
    story = Story(api, types=types, said=said)
    messages = [{"role": "user", "content": "a private word"}]
    call = story.begin("shop.tools:chat", story.root, {"messages": messages, "model_name": "small"})
    story.end(call, result={"result": "a private answer", "stop_reason": "end"})
    return story.finish("complete"), call


def ended_process(api: Api) -> str:
    """Return a run that a later process closed."""
    story = Story(api)
    charge = story.begin("shop.tools:charge", story.root, {"order": 1021}, ms=5)
    ended = {"error": {"type": "ProcessEnded", "message": "process ended"}}
    story.end(charge, "failed", ended, ms=3400)
    story.end(story.root, "failed", {"status": "failed", "reason": "process ended"}, ms=3400)
    return story.finish("failed", ms=3400)


def cancelled(api: Api) -> str:
    """Return a run that its caller cancelled."""
    story = Story(api)
    charge = story.begin("shop.tools:look_up", story.root, ms=5)
    story.end(charge, "cancelled", ms=400)
    story.end(story.root, "cancelled", {"status": "cancelled"}, ms=410)
    return story.finish("cancelled")


def running(api: Api) -> str:
    """Return a run with an open step."""
    story = Story(api)
    story.begin("shop.tools:charge", story.root, ms=5)
    return story.run_id
