"""What every integration must do, one body for each cell of the table; a driver for each framework.

A driver runs an agent of its framework over scripted answers of a model. Each body opens runs,
and looks at what was recorded, at what the model read, and at what reached the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import pytest

import remit
from remit.errors import DeniedError, RunTerminated, Violation
from remit.models.data_risk import DataRisk
from remit.testing import RecordedSpan, RecordingSink, isolated

PAYS: Final = remit.risk(allows="financial_transactions")
PAYS_ONLY: Final = remit.risk(allows="financial_transactions", forbids="others")
PAYS_NOT: Final = remit.risk(forbids="financial_transactions")
TOLD: Final = "It is shipped."
CANARY: Final = "canary"
COMMON_KEYS: Final = (
    "name", "id", "source", "status", "type", "model", "role", "index", "score", "count", "call_id",
    "tool_call_id", "finish_reasons",
)  # fmt: skip
"""Keys that a message has as well as a record of a person."""
MARKER: Final = {"$remit": "redacted", "rule": "classification:restricted"}


@dataclass(frozen=True)
class Turn:
    """One answer of the model: a text, or calls of tools by name with their arguments."""

    text: str | None = None
    calls: tuple[tuple[str, dict[str, object]], ...] = ()


@dataclass
class Ran:
    """What came of an agent.

    Attributes:
        answer: Its last text.
        read: What the model was given as results of tools, as texts, in order.
        model_calls: How often the model was called.
    """

    answer: str
    read: list[str] = field(default_factory=list[str])
    model_calls: int = 0


Tool: TypeAlias = Callable[..., Any]


class Driver(Protocol):
    """Runs agents of one framework.

    Attributes:
        prefix: The framework in the names of span types, such as `langchain`.
        has_agent: Whether its agents have spans, and open runs outside any.
        has_tools: Whether tools that are not decorated have spans, and can be refused.
        lacks: Reasons for which cells of the table do not apply, by the name of the scenario.
    """

    prefix: str
    has_agent: bool
    has_tools: bool
    lacks: Mapping[str, str]

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Make an agent, run it once over the scripted *turns*, and return what came of it.

        Args:
            turns: The answers of the model.
            tools: Functions, decorated or not; each has a docstring and annotations.
            risks: Data risks of tools, by name.
            stream: Whether the agent, and the model, are streamed and read to the end.
            on_model_call: Called with the number of each model call, from 0, before its answer.
        """
        ...


@remit.agent("Desk")
def desk() -> None:
    """Hold the runs."""


@remit.agent("Careful desk", data_risk=PAYS_NOT)
def careful() -> None:
    """Hold runs in which nothing may be paid."""


@remit.agent("Limited desk", limits=remit.limits(financial_transactions=2))
def limited() -> None:
    """Hold runs in which two steps may pay."""


@remit.span_type("desk:find")
def find(order_id: str) -> str:
    """Be a step beneath a tool."""
    return f"{order_id} is shipped"


@remit.span_type("desk:pay", data_risk=PAYS)
def pay(amount: int) -> str:
    """Pay an amount."""
    raise AssertionError(f"{amount} was paid")


def look_up(order_id: str) -> str:
    """Look an order up."""
    return find(order_id)


def fail(order_id: str) -> str:
    """Fail to look an order up."""
    raise LookupError(f"no {order_id}")


def spend(amount: int) -> str:
    """Spend an amount."""
    raise AssertionError(f"{amount} was spent")


def ask_to_pay(amount: int) -> str:
    """Pay through a step beneath."""
    return pay(amount)


LOOK_UP: Final = Turn(calls=(("look_up", {"order_id": "A-1"}),))
DONE: Final = Turn(text=TOLD)


def tool_type(driver: Driver, name: str) -> str:
    """Return the span type of a tool; `tool_prefix` of a driver replaces `<prefix>:tool:`."""
    return f"{getattr(driver, 'tool_prefix', f'{driver.prefix}:tool:')}{name}"


def spans_of(recorder: RecordingSink, name: str) -> list[RecordedSpan]:
    """Return the spans of a type, in the order of their start."""
    return list(recorder.spans(name))


async def nesting(driver: Driver) -> None:
    """Model calls and tools are beneath the agent, a step beneath its tool, what follows beside."""
    with isolated() as recorder:
        async with desk.run() as run:
            ran = await driver.run([LOOK_UP, DONE], [look_up])
            assert remit.current_run() is run
            find("after")
        assert ran.answer == TOLD
        assert ran.read == ["A-1 is shipped"]
        root = recorder.runs[0].root.key
        models = spans_of(recorder, f"{driver.prefix}:llm")
        inner, after = spans_of(recorder, "desk:find")
        assert after.parent == root
        outer = root
        if driver.has_agent:
            (agent,) = spans_of(recorder, f"{driver.prefix}:agent")
            crews = [span for span in recorder.spans() if span.name == f"{driver.prefix}:crew"]
            assert agent.parent == (crews[0].key if crews else root)
            outer = agent.key
        assert [span.parent for span in models] == [outer, outer]
        if driver.has_tools:
            (tool,) = spans_of(recorder, tool_type(driver, "look_up"))
            assert (tool.parent, inner.parent) == (outer, tool.key)
            assert tool.payload["inputs"] == {"order_id": "A-1"}
            assert tool.result == {"outputs": {"output": "A-1 is shipped"}}
        assert {span.status for span in recorder.spans()} == {"complete"}
        assert recorder.runs[0].status == "complete"


async def payload(driver: Driver) -> None:
    """A model call has its messages, answer and tokens; the second only what is new."""
    with isolated() as recorder:
        async with desk.run():
            await driver.run([LOOK_UP, DONE], [look_up])
        first, second = spans_of(recorder, f"{driver.prefix}:llm")
    assert first.payload["model_name"]
    roles = [message["role"] for message in first.payload["inputs"]["messages"]]
    assert "user" in roles
    calls = (first.result or {})["outputs"]["messages"][-1]["tool_calls"]
    named = [(call["name"].rpartition("__")[2], call["args"]) for call in calls]
    assert named == [("look_up", {"order_id": "A-1"})]  # Claude Code names the server as well
    assert second.payload["inputs"]["omitted"]["count"] >= 1
    assert second.payload["inputs"]["messages"][-1]["role"] == "tool"
    answer = (second.result or {})["outputs"]["messages"][-1]
    assert (answer["role"], answer["content"]) == ("assistant", TOLD)
    usage = (second.result or {})["token_usage"]
    assert set(usage) == {"prompt_tokens", "completion_tokens", "total_tokens"}


async def parallel_tools(driver: Driver) -> None:
    """Two tools of one answer are both beneath the agent."""
    both = Turn(calls=(("look_up", {"order_id": "A-1"}), ("look_up", {"order_id": "A-2"})))
    with isolated() as recorder:
        async with desk.run():
            ran = await driver.run([both, DONE], [look_up])
        assert sorted(ran.read) == ["A-1 is shipped", "A-2 is shipped"]
        steps = spans_of(recorder, "desk:find")
        assert len(steps) == 2
        if driver.has_tools:
            tools = spans_of(recorder, tool_type(driver, "look_up"))
            assert {step.parent for step in steps} == {tool.key for tool in tools}
            assert len({tool.parent for tool in tools}) == 1


async def streaming(driver: Driver) -> None:
    """A streamed answer is joined."""
    with isolated() as recorder:
        async with desk.run():
            ran = await driver.run([LOOK_UP, DONE], [look_up], stream=True)
        assert ran.answer == TOLD
        models = spans_of(recorder, f"{driver.prefix}:llm")
        assert [span.status for span in models] == ["complete", "complete"]
        assert (models[1].result or {})["outputs"]["messages"][-1]["content"] == TOLD


async def tool_error(driver: Driver) -> None:
    """A tool that fails is a failed span; the framework treats the error as without remit."""
    turns = [Turn(calls=(("fail", {"order_id": "A-1"}),)), DONE]
    with isolated() as recorder:
        async with desk.run():
            with suppress(LookupError):
                await driver.run(turns, [fail])
        if driver.has_tools:
            (tool,) = spans_of(recorder, tool_type(driver, "fail"))
            assert tool.status == "failed"


async def cancelled(driver: Driver) -> None:
    """A cancelled agent leaves cancelled spans, none open, and no current span."""
    waits = asyncio.Event()

    async def wait(order_id: str) -> str:
        """Wait for an order."""
        waits.set()
        await asyncio.sleep(60)
        return order_id

    with isolated() as recorder:
        async with desk.run() as run:
            turns = [Turn(calls=(("wait", {"order_id": "A-1"}),)), DONE]
            task = asyncio.ensure_future(driver.run(turns, [wait]))
            await waits.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert remit.current_run() is run
        statuses = {span.name: span.status for span in recorder.spans()}
        if driver.has_tools:
            assert statuses[tool_type(driver, "wait")] == "cancelled"
        if driver.has_agent:
            assert statuses[f"{driver.prefix}:agent"] == "cancelled"
        assert "active" not in statuses.values()


async def refused_decorated(driver: Driver) -> None:
    """A decorated tool that the remit forbids is not called; the model reads why, and goes on."""
    await _refused(driver, pay, "desk:pay", None)


async def refused_declared(driver: Driver) -> None:
    """As a decorated one, by the risk that `risks=` declares."""
    await _refused(driver, spend, tool_type(driver, "spend"), {"spend": PAYS})


async def refused_beneath(driver: Driver) -> None:
    """A step inside a tool is refused: the model reads that, not the framework's own words."""
    await _refused(driver, ask_to_pay, "desk:pay", {"ask_to_pay": PAYS_NOT})


async def _refused(
    driver: Driver, tool: Tool, step: str, risks: Mapping[str, DataRisk] | None
) -> None:
    turns = [Turn(calls=((tool.__name__, {"amount": 5}),)), DONE]
    with isolated(on_violation="deny") as recorder:
        async with careful.run():
            ran = await driver.run(turns, [tool], risks=risks)
        assert ran.answer == TOLD
        (read,) = ran.read
        assert "Policy denied this step and it did not run" in read
        assert "financial transactions" in read
        refused = spans_of(recorder, step)
        assert [span.status for span in refused] == ["failed"]
        assert recorder.runs[0].status == "complete"


async def limited_decorated(driver: Driver) -> None:
    """A decorated tool counts once a call: one runs, the model reads why the second did not."""

    @remit.span_type("scenarios:transfer", data_risk=PAYS_ONLY)
    def transfer(amount: int) -> str:
        """Transfer an amount."""
        return f"{amount} transferred"

    await _limited(driver, transfer, "scenarios:transfer", None)


async def limited_declared(driver: Driver) -> None:
    """So does one of which `risks=` declares the risk."""

    def transfer(amount: int) -> str:
        """Transfer an amount."""
        return f"{amount} transferred"

    await _limited(driver, transfer, tool_type(driver, "transfer"), {"transfer": PAYS_ONLY})


async def _limited(
    driver: Driver, tool: Tool, step: str, risks: Mapping[str, DataRisk] | None
) -> None:
    turns = [Turn(calls=(("transfer", {"amount": amount}),)) for amount in (1, 2, 3)]
    with isolated(on_violation="deny") as recorder:
        async with limited.run():
            ran = await driver.run([*turns, DONE], [tool], risks=risks)
        assert ran.answer == TOLD
        first, second, third = ran.read
        assert (first, second) == ("1 transferred", "2 transferred")
        assert "the limit of this run for financial transactions is reached" in third
        assert [span.denied for span in spans_of(recorder, step)] == [False, False, True]


async def terminated_between(driver: Driver) -> None:
    """A run that is terminated between two model calls calls no model again."""
    with isolated() as recorder:

        def stop(number: int) -> None:
            if number == 0:
                recorder.runs[0].feed.terminated = "stopped"

        ran: list[int] = []

        def count(number: int) -> None:
            ran.append(number)
            stop(number)

        with pytest.raises(RunTerminated):
            async with desk.run():
                await driver.run([LOOK_UP, DONE], [look_up], on_model_call=count)
        assert ran == [0]
        assert spans_of(recorder, "desk:find") == []
        assert "active" not in {span.status for span in recorder.spans()}
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"


async def terminated_beneath(driver: Driver) -> None:
    """So does one that is terminated while a tool runs; `RunTerminated` reaches the caller."""
    with isolated() as recorder:

        def stop(order_id: str) -> str:
            """Stop the run."""
            recorder.runs[0].feed.terminated = "stopped"
            return find(order_id)

        calls: list[int] = []
        turns = [Turn(calls=(("stop", {"order_id": "A-1"}),)), DONE]
        with pytest.raises(RunTerminated):
            async with desk.run():
                await driver.run(turns, [stop], on_model_call=calls.append)
        assert calls == [0]
        assert spans_of(recorder, "desk:find") == []
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"


async def registration(driver: Driver) -> None:
    """Tools have schema and risk in the registration, whatever agent; a second run adds nothing."""
    with isolated() as recorder:
        versions: list[Any] = []
        for _ in range(2):
            async with desk.run():
                await driver.run([LOOK_UP, DONE], [look_up], risks={"look_up": PAYS_NOT})
            versions.append(desk.registration()["agent_schema_version"])
        assert versions[0]["external_identifier"] == versions[1]["external_identifier"]
        entries = {each["name"]: each for each in versions[0]["span_type_schemas"]}
        assert f"{driver.prefix}:llm" in entries
        if driver.has_tools:
            entry = entries[tool_type(driver, "look_up")]
            assert "order_id" in str(entry["params_schema"])
            assert entry["data_risk"]["action_profile"]
        assert not any(span.payload.get("$remit") for span in recorder.spans())


async def outside_any_run(driver: Driver) -> None:
    """A framework's agent opens a run of its own; model calls alone are counted, not refused."""
    with isolated(on_violation="deny") as recorder:
        ran = await driver.run([LOOK_UP, DONE], [look_up])
        assert ran.answer == TOLD
        assert remit.current_run() is None
        if driver.has_agent:
            (run,) = recorder.runs
            # An agent without a name belongs to the module that made the integration's object.
            unnamed = f"{type(driver).__module__.rpartition('.')[2]}:"
            named = f"{driver.prefix}.agents:"
            assert run.agent.startswith((named, unnamed, f"{type(driver).__module__}:"))
            assert run.status == "complete"
        else:
            assert recorder.runs == []
            assert remit.status().outside_run[f"{driver.prefix}:llm"] == 2


async def twenty_at_once(driver: Driver) -> None:
    """Concurrent agents do not mix."""

    async def one(number: int) -> None:
        turn = Turn(calls=(("look_up", {"order_id": f"A-{number}"}),))
        async with desk.run():
            ran = await driver.run([turn, DONE], [look_up])
        assert ran.read == [f"A-{number} is shipped"]

    with isolated() as recorder:
        await asyncio.gather(*(one(number) for number in range(20)))
        assert len(recorder.runs) == 20
        assert len({str(tree) for tree in recorder.tree()}) == 1
        assert len(spans_of(recorder, "desk:find")) == 20


async def canary(driver: Driver) -> None:
    """Neither arguments nor result of a restricted tool are anywhere in the record."""
    turns = [
        Turn(calls=(("patient", {"who": f"{CANARY}-name"}),)),
        Turn(text=f"The answer is {CANARY}."),
    ]
    with isolated() as recorder:

        @remit.span_type("scenarios:patient", data_risk=remit.risk(classification="restricted"))
        def patient(who: str) -> str:
            """Look a patient up."""
            return f"{CANARY} {who}"

        async with desk.run():
            ran = await driver.run(turns, [patient])
        assert CANARY in ran.answer
        assert spans_of(recorder, "scenarios:patient")
        texts = [str((span.payload, span.result)) for span in recorder.spans()]
        assert not [text for text in texts if CANARY in text]


async def canary_in_fields(driver: Driver) -> None:
    """Nor is a structured value of one, whatever its keys are called, and be it a number."""
    number = 78_051_120
    record: dict[str, object] = {key: f"{CANARY}-{key}" for key in COMMON_KEYS}
    record |= {"score": number, CANARY: True}
    quoted: dict[str, object] = {key: f"{CANARY}-{key}" for key in ("name", "id", "status")}
    turns = [
        Turn(calls=(("look", {"number": 1}),)),
        Turn(calls=(("look_again", {**quoted, "score": number}),)),
        Turn(text=f"It is {CANARY}, {number}."),
    ]
    with isolated() as recorder:

        @remit.span_type("scenarios:record", data_risk=remit.risk(classification="restricted"))
        def read_record() -> dict[str, object]:
            return record

        def look(number: int) -> dict[str, object]:
            """Look a record up."""
            del number
            return read_record()

        def look_again(name: str, id: str, status: str, score: int) -> dict[str, object]:  # noqa: A002 - a column
            """Look a record up by what it says."""
            return {**read_record(), "name": name, "id": id, "status": status, "score": score}

        async with desk.run():
            ran = await driver.run(turns, [look, look_again])
        assert CANARY in ran.answer
        assert len(spans_of(recorder, "scenarios:record")) == 2
        texts = [str((span.payload, span.result)) for span in recorder.spans()]
        assert not [text for text in texts if CANARY in text or str(number) in text]


async def canary_in_a_later_tool(driver: Driver) -> None:
    """A model hands what it read to another tool, which has no restricted step inside."""
    turns = [
        Turn(calls=(("look", {"number": 1}),)),
        Turn(calls=(("tell", {"name": f"{CANARY}-name", "score": 78_051_120}),)),
        DONE,
    ]
    with isolated() as recorder:

        @remit.span_type("scenarios:card", data_risk=remit.risk(classification="restricted"))
        def look(number: int) -> dict[str, object]:
            """Look a record up."""
            return {"name": f"{CANARY}-name", "score": 78_051_119 + number}

        def tell(name: str, score: int) -> str:
            """Tell somebody of a record."""
            return f"told {name} of {score}"

        async with desk.run():
            ran = await driver.run(turns, [look, tell])
        assert f"told {CANARY}-name of 78051120" in ran.read[-1]
        if driver.has_tools:
            assert spans_of(recorder, tool_type(driver, "tell"))
        texts = [str((span.payload, span.result)) for span in recorder.spans()]
        assert not [text for text in texts if CANARY in text or "78051120" in text]


async def results_are_the_same(driver: Driver) -> None:
    """An exception of the model reaches the caller, and ends the spans around it."""

    def broken(number: int) -> None:
        raise DeniedError("s", (Violation("the model is gone"),)) if number < 0 else OSError("gone")

    with isolated() as recorder:
        async with desk.run():
            with pytest.raises(OSError, match="gone"):
                await driver.run([DONE], [], on_model_call=broken)
        assert {span.status for span in recorder.spans()} == {"failed"}


Scenario: TypeAlias = Callable[[Driver], Awaitable[None]]
SCENARIOS: Final[tuple[Scenario, ...]] = (
    nesting, payload, parallel_tools, streaming, tool_error, cancelled, refused_decorated,
    refused_declared, refused_beneath, limited_decorated, limited_declared,
    terminated_between, terminated_beneath, registration, outside_any_run, twenty_at_once, canary,
    canary_in_fields, canary_in_a_later_tool, results_are_the_same,
)  # fmt: skip


def each_scenario_of(driver: Driver) -> pytest.MarkDecorator:
    """Return the parameter `scenario` of a test: those that apply to the framework of *driver*."""
    apply = [each for each in SCENARIOS if each.__name__ not in driver.lacks]
    return pytest.mark.parametrize("scenario", apply, ids=lambda each: each.__name__)


def check(scenario: Scenario, driver: Driver) -> None:
    """Run a scenario."""

    async def run() -> None:
        await scenario(driver)

    asyncio.run(run())
