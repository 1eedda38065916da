"""Runs with model calls, and pairs of runs, as a program would have recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from tests.collecting import Api, details
from tests.inside_collector import root_id

Content: TypeAlias = Mapping[str, object] | None
START: Final = datetime(2026, 11, 29, 9, 33, 10, tzinfo=UTC)
REDACTED: Final = {"$remit": "redacted", "rule": "type:SecretStr"}
RESTRICTED: Final = {"$remit": "redacted", "rule": "classification:restricted"}

DECLARED: Final = {
    "external_identifier": "conversing",
    "span_type_schemas": [
        {"name": "openai:llm", "params_schema": {"x-remit-kind": "llm"}},
        {"name": "openai:tool:find_order", "params_schema": {}},
    ],
}
"""The declarations of a program that says something of its runs."""


@dataclass
class Program:
    """A program that records a run; its clock stands still between its steps.

    Attributes:
        api: The collector.
        version: Version of its agent.
        began: When its run began.
        said: What the program says of its run, which then has the root span of remit.
        now: Its clock.
        run: The id of its run.
        root: The id of the root span.
    """

    api: Api
    version: str = "1.5.0"
    began: datetime = START
    said: Content = None
    now: datetime = field(init=False)
    run: str = field(init=False)
    root: str = field(init=False)

    def __post_init__(self) -> None:
        """Begin the run."""
        self.now = self.began
        more: dict[str, Any] = {
            "agent_version": {"external_identifier": self.version, "name": self.version}
        }
        if self.said is not None:
            more["agent_schema_version"] = DECLARED
        made = details(self.api.post("/agent_instance/register", self.api.registration(**more)))
        self.run = made["id"]
        details(self.api.post(f"/agent_instance/{self.run}/start", {"timestamp": self.time()}))
        self.root = root_id(self.run) or ""
        if self.said is None:
            self.root = self.begin("remit:run", None)
        else:
            named = {"schema_name": "remit:run", "id": self.root, "payload": self.said}
            self.api.span(self.run, started_at=self.time(), **named)

    def time(self) -> str:
        """Return the time of the clock."""
        return self.now.isoformat()

    def wait(self, ms: float) -> None:
        """Move the clock on."""
        self.now += timedelta(milliseconds=ms)

    def begin(self, name: str, parent: str | None, payload: Content = None) -> str:
        """Return the id of a step that begins now."""
        more = {"schema_name": name, "parent_span_id": parent, "payload": payload or {}}
        made: str = self.api.span(self.run, started_at=self.time(), **more)["id"]
        return made

    def end(self, span: str, result: Content = None, status: str = "complete") -> None:
        """End a step now."""
        body = {"status": status, "timestamp": self.time(), "result_payload": result or {}}
        assert self.api.post(f"/agent_spans/{span}/finish", body).status_code == 200

    def step(
        self, name: str, parent: str, ms: float, payload: Content = None, result: Content = None
    ) -> str:
        """Return the id of a step that takes so long."""
        span = self.begin(name, parent, payload)
        self.wait(ms)
        self.end(span, result)
        return span

    def finish(self, status: str = "complete", result: Content = None) -> str:
        """End the run; return its id."""
        self.end(self.root, result, status)
        body = {"status": status, "timestamp": self.time()}
        details(self.api.post(f"/agent_instance/{self.run}/finish", body))
        return self.run


def error(message: str = "card declined") -> dict[str, object]:
    """Return the result of a step that failed."""
    place = "shop/pay.py:88 in charge"
    return {"error": {"type": "shop.PaymentError", "message": message, "at": place}}


def says(role: str, content: object, **more: object) -> dict[str, object]:
    """Return a message."""
    return {"role": role, "content": content, **more}


def calls(call_id: str, name: str, **args: object) -> dict[str, object]:
    """Return a message that calls a tool."""
    called = {"id": call_id, "name": name, "args": args}
    return {"role": "assistant", "content": None, "tool_calls": [called]}


def model_call(
    program: Program,
    parent: str,
    messages: list[object],
    answer: dict[str, object],
    *,
    omitted: int = 0,
    tokens: tuple[int, int] = (100, 20),
    **result: object,
) -> str:
    """Return the id of a model call as an integration records it."""
    inputs: dict[str, object] = {"model": "gpt-5-mini", "messages": messages}
    if omitted:
        inputs["omitted"] = {"count": omitted}
    payload = {
        "operation": "chat", "provider": "openai", "model_name": "gpt-5-mini", "inputs": inputs,
    }  # fmt: skip
    usage = {
        "prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens),
    }  # fmt: skip
    outputs = {"messages": [answer], "finish_reasons": ["stop"]}
    full = {"outputs": outputs, "token_usage": usage, **result}
    return program.step("openai:llm", parent, 4100, payload, full)


def tool(program: Program, parent: str, name: str, call_id: str) -> str:
    """Return the id of a step that a model called, as an integration records it."""
    payload = {"tool_name": name, "call_id": call_id, "inputs": {}}
    return program.step(f"openai:tool:{name}", parent, 4.2, payload, {"outputs": {"output": 1}})


def talked(
    api: Api, conversation: str, *exchanges: tuple[str, str], again: bool = True
) -> list[str]:
    """Return the runs of a conversation in which a model answered.

    Args:
        api: The collector.
        conversation: Its name.
        *exchanges: A question and an answer for each run.
        again: Whether the program sends the earlier messages to the model again.
    """
    runs: list[str] = []
    messages: list[object] = [says("system", "Be short.")]
    for question, answer in exchanges:
        program = Program(api, said={"conversation": conversation})
        messages = [*messages, says("user", question)] if again else [says("user", question)]
        model_call(program, program.root, messages, says("assistant", answer))
        tool(program, program.root, "find_order", f"c{len(runs)}")
        messages = [*messages, says("assistant", answer)]
        runs.append(program.finish())
    return runs


LONG: Final = "\n".join(f"Rule {number}: never promise what no step did." for number in range(40))


def conversation(api: Api) -> tuple[str, list[str]]:
    """Return the id of a run with three model calls, and theirs."""
    program = Program(api)
    parent = program.begin("desk:support", program.root)
    asked = says("user", "My radio broke after two days. The order is 1021.")
    first = model_call(
        program, parent, [says("system", LONG), asked], calls("c1", "find_order", number=1021)
    )
    tool(program, parent, "find_order", "c1")
    found = says("tool", '{"item": "radio", "price": "63.90"}', tool_call_id="c1")
    second = model_call(
        program,
        parent,
        [found],
        says("assistant", "I am sorry that the radio broke. Would you rather have it repaired?"),
        omitted=3,
        tokens=(180, 64),
    )
    third = model_call(
        program,
        parent,
        [
            says("user", "No, the money please. It came in the wrong colour as well."),
            says("tool", RESTRICTED, tool_call_id="c2"),
        ],
        {
            **calls("c3", "refund", order=1021, token=REDACTED),
            "content": "I am paying back 63.90 euros now.",
        },
        omitted=5,
        tokens=(18204, 312),
        usage_details={"cache_read": 17152},
        first_token_ms=640.0,
        chunks=118,
        cost={"amount": "0.0021", "currency": "USD", "source": "genai-prices"},
    )
    tool(program, parent, "refund", "c3")
    program.end(parent)
    return program.finish(), [first, second, third]


def complete_and_failed(api: Api) -> tuple[str, str]:
    """Return the ids of a run that is complete, and of a later one that failed at `charge`."""
    runs: list[str] = []
    for version, began, fails in (("1.4.0", START, False), ("1.5.0", START + timedelta(1), True)):
        program = Program(api, version, began)
        support = program.begin("desk:support", program.root)
        program.step("desk:understand", support, 0.06)
        look_up = program.begin("desk:look_up", support)
        program.step("desk:Shop.find_customer", look_up, 0.4)
        program.step("desk:Shop.find_order", look_up, 0.3)
        program.end(look_up)
        plan = program.begin("desk:plan", support)
        if fails:
            program.step("desk:chat", plan, 1880)
        program.wait(0.8)
        program.end(plan)
        refund = program.begin("desk:refund", support)
        pay_back = program.begin("desk:pay_back", refund)
        charge = program.begin("desk:charge", pay_back)
        program.wait(6360 if fails else 410)
        status, result = ("failed", error()) if fails else ("complete", None)
        for span in (charge, pay_back):
            program.end(span, result, status)
        if not fails:
            program.step("desk:Shop.close_order", refund, 1.5)
        program.end(refund, result, status)
        if not fails:
            program.step("desk:write", support, 580)
        program.end(support, result, status)
        runs.append(program.finish(status, result))
    return runs[0], runs[1]
