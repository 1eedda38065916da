"""The integration of the Google ADK: the shared scenarios, and what only the ADK has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

import pytest
from google.adk.agents import LlmAgent, LoopAgent, ParallelAgent, RunConfig, SequentialAgent
from google.adk.agents.run_config import StreamingMode
from google.adk.apps import App
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.plugins import BasePlugin
from google.adk.runners import InMemoryRunner
from google.adk.tools import AgentTool, FunctionTool, exit_loop
from google.adk.workflow import START, Workflow
from google.genai import types
from pydantic import PrivateAttr
from typing_extensions import override

import remit
from remit.errors import DeclarationError, RunTerminated
from remit.integrations.google_adk import RemitPlugin
from remit.models.data_risk import DataRisk
from remit.testing import RecordingSink, isolated
from tests.inside import declare, guard, start
from tests.refunding import WHY, decide, decide_now
from tests.scenarios import (
    DONE,
    LOOK_UP,
    PAYS,
    PAYS_NOT,
    TOLD,
    Driver,
    Ran,
    Scenario,
    Tool,
    Turn,
    careful,
    check,
    desk,
    each_scenario_of,
    fail,
    find,
    look_up,
    spend,
)

AGENT: Final = "google-adk:agent"
LLM: Final = "google-adk:llm"
TOOL: Final = "google-adk:tool"
TRANSFER: Final = Turn(calls=(("transfer_to_agent", {"agent_name": "payer"}),))
SPEND: Final = Turn(calls=(("spend", {"amount": 5}),))


class Script(BaseLlm):
    """A model that answers with the scripted turns."""

    model: str = "scripted"
    _turns: Sequence[Turn] = PrivateAttr()
    _on_model_call: Callable[[int], object] | None = PrivateAttr()
    _calls: int = PrivateAttr(default=0)
    _read: list[str] = PrivateAttr(default_factory=list[str])
    _thought: str | None = PrivateAttr()

    def __init__(
        self,
        turns: Sequence[Turn],
        on_model_call: Callable[[int], object] | None = None,
        thought: str | None = None,
    ) -> None:
        """Answer with *turns*, each after *on_model_call*, and after a *thought*."""
        super().__init__()
        self._turns, self._on_model_call, self._thought = turns, on_model_call, thought

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self._calls

    @property
    def read(self) -> list[str]:
        """The results of tools that the last call was given."""
        return self._read

    @override
    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        """Answer, in pieces if it is streamed."""
        self._read = [
            str(value)
            for content in llm_request.contents
            for part in content.parts or ()
            if part.function_response is not None
            for value in (part.function_response.response or {}).values()
        ]
        number, self._calls = self._calls, self._calls + 1
        if self._on_model_call is not None:
            self._on_model_call(number)
        turn = self._turns[number]
        if stream:
            for index, word in enumerate((turn.text or "").split()):
                await asyncio.sleep(0.005)
                piece = types.Part(text=f" {word}" if index else word)
                yield LlmResponse(content=model_says(piece), partial=True)
        texts = [] if turn.text is None else [types.Part(text=turn.text)]
        if self._thought is not None:
            texts.insert(0, types.Part(text=self._thought, thought=True))
        calls = [types.Part.from_function_call(name=name, args=args) for name, args in turn.calls]
        yield LlmResponse(
            content=model_says(*texts, *calls),
            partial=False if stream else None,
            finish_reason=types.FinishReason.STOP,
            model_version="scripted-001",
            usage_metadata=types.GenerateContentResponseUsageMetadata(
                prompt_token_count=7,
                candidates_token_count=3,
                thoughts_token_count=2,
                total_token_count=12,
            ),
        )


def model_says(*parts: types.Part) -> types.Content:
    """Return a content of a model."""
    return types.Content(role="model", parts=list(parts))


async def ask(
    agent: Any,
    *,
    plugins: Sequence[Any] = (),
    stream: bool = False,
    prompt: Any = "Where is A-1?",
    on_event: Callable[[Any], object] = lambda _: None,
) -> str:
    """Run an agent in a new session; return its last text."""
    runner = InMemoryRunner(app=App(name="shop", root_agent=agent, plugins=list(plugins)))
    session = await runner.session_service.create_session(app_name="shop", user_id="ada")
    mode = StreamingMode.SSE if stream else StreamingMode.NONE
    answer = ""
    async for event in runner.run_async(
        user_id="ada",
        session_id=session.id,
        new_message=types.UserContent(prompt),
        run_config=RunConfig(streaming_mode=mode),
    ):
        on_event(event)
        if event.is_final_response() and event.content and event.content.parts:
            answer = "".join(part.text or "" for part in event.content.parts)
    return answer


class GoogleAdk:
    """Runs agents of the ADK."""

    prefix = "google-adk"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = {}

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Run an agent once."""
        script = Script(turns, on_model_call)
        agent = LlmAgent(name="clerk", model=script, tools=list(tools))
        answer = await ask(agent, plugins=[RemitPlugin(risks=risks)], stream=stream)
        return Ran(answer, script.read, script.calls)


DRIVER: Final[Driver] = GoogleAdk()


@each_scenario_of(DRIVER)
def test_a_scenario(scenario: Scenario) -> None:
    """As with every framework."""
    check(scenario, DRIVER)


def agent_of(turns: Sequence[Turn], *tools: Any, name: str = "clerk", **fields: Any) -> LlmAgent:
    """Return an agent with a scripted model."""
    return LlmAgent(
        name=name, model=Script(turns), tools=list(tools), description=f"Is {name}.", **fields
    )


def run(agent: Any, plugin: RemitPlugin | None = None, **options: Any) -> str:
    """Run an agent with the plugin."""
    return asyncio.run(ask(agent, plugins=[plugin or RemitPlugin()], **options))


# Payloads


def test_a_model_call_has_what_the_framework_knows(recorder: RecordingSink) -> None:
    """Settings, instructions, media, tokens, provider, and the model that answered."""
    agent = agent_of(
        [LOOK_UP, DONE],
        look_up,
        instruction="Be short.",
        generate_content_config=types.GenerateContentConfig(temperature=0.5),
    )
    image = types.Part.from_bytes(data=b"image", mime_type="image/png")
    with desk.run():
        run(agent, prompt=[types.Part(text="What is it?"), image])
    first, second = recorder.spans(LLM)
    assert (first.payload["operation"], first.payload["model_name"]) == ("chat", "scripted")
    assert (first.payload["provider"], first.payload["temperature"]) == ("Script", 0.5)
    inputs = first.payload["inputs"]
    assert "Be short." in inputs["system"]
    assert inputs["tools"] == [{"name": "look_up", "description": "Look an order up."}]
    text, media = inputs["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    assert (media["type"], media["size"]) == ("image/png", 5)
    result = second.result or {}
    assert result["token_usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
    }
    assert result["usage_details"] == {"reasoning": 2}
    assert result["outputs"]["finish_reasons"] == ["STOP"]
    assert result["response_model"] == "scripted-001"
    assert second.payload["inputs"]["omitted"] == {"count": 2}
    (told,) = second.payload["inputs"]["messages"]
    assert (told["role"], told["content"]) == ("tool", "A-1 is shipped")


@pytest.mark.parametrize(
    ("name", "model", "provider"),
    [
        ("Gemini", "gemini-3-flash", "gcp.gemini"),
        ("Claude", "claude-5", "gcp.vertex_ai"),
        ("LiteLlm", "deepseek/chat", "deepseek"),
        ("LiteLlm", "gpt-5", "openai"),
    ],
)
def test_the_provider_is_read_from_the_model(
    recorder: RecordingSink, name: str, model: str, provider: str
) -> None:
    """By the class of the framework, or by the prefix of LiteLLM."""
    script: Any = type(name, (Script,), {})([DONE])
    script.model = model
    with desk.run():
        run(LlmAgent(name="clerk", model=script))
    (call,) = recorder.spans(LLM)
    assert (call.payload["provider"], call.payload["model_name"]) == (provider, model)


def test_an_agent_has_its_prompt_and_its_output(recorder: RecordingSink) -> None:
    """Inputs and outputs, where the redaction that follows the run looks."""
    with desk.run():
        run(agent_of([LOOK_UP, DONE], look_up))
    (agent,) = recorder.spans(AGENT)
    assert agent.payload == {"agent_name": "clerk", "inputs": {"prompt": "Where is A-1?"}}
    assert agent.result == {"outputs": {"output": TOLD}}


def test_messages_are_left_out_on_request(recorder: RecordingSink) -> None:
    """Counts, tokens and the arguments of tools stay."""
    with desk.run():
        run(agent_of([LOOK_UP, DONE], look_up), RemitPlugin(capture_messages="none"))
    texts = [str((span.payload, span.result)) for span in recorder.spans() if span.name != "desk"]
    assert not [text for text in texts if "Where is" in text or TOLD in text]
    first, second = recorder.spans(LLM)
    assert second.payload["inputs"]["omitted"]["count"] == 3
    assert (first.result or {})["token_usage"]["total_tokens"] == 12


def test_all_messages_are_recorded_on_request(recorder: RecordingSink) -> None:
    """Each call repeats the history."""
    with desk.run():
        run(agent_of([LOOK_UP, DONE], look_up), RemitPlugin(capture_messages="all"))
    _, second = recorder.spans(LLM)
    roles = [message["role"] for message in second.payload["inputs"]["messages"]]
    assert roles == ["user", "assistant", "tool"]


@pytest.mark.parametrize("captured", [False, True])
def test_thoughts_are_recorded_on_request_only(recorder: RecordingSink, captured: bool) -> None:
    """They may hold what the answer withholds."""
    agent = LlmAgent(name="clerk", model=Script([DONE], thought="Hm, a thief."))
    with desk.run():
        assert run(agent, RemitPlugin(capture_reasoning=captured)).endswith(TOLD)
    (call,) = recorder.spans(LLM)
    content = (call.result or {})["outputs"]["messages"][0]["content"]
    thought, text = {"type": "reasoning", "text": "Hm, a thief."}, {"type": "text", "text": TOLD}
    assert content == ([thought, text] if captured else TOLD)
    assert ("thief" in str([span.result for span in recorder.spans()])) is captured


# Trees


def test_agents_that_transfer_to_each_other_share_a_run() -> None:
    """The transfer has no effect of its own, so no remit forbids it."""

    def count(order_id: str) -> int:
        """Count what was ordered."""
        return len(order_id)

    turn = Turn(calls=(("count", {"order_id": "A-1"}),))
    payer = agent_of([turn, DONE], count, name="payer")
    first = agent_of([TRANSFER], name="first", sub_agents=[payer])
    with isolated(on_violation="deny") as recorder:
        plugin = RemitPlugin(risks={"count": PAYS_NOT}, remits={"first": PAYS_NOT})
        assert run(first, plugin) == TOLD
        (run_of_both,) = recorder.runs
        assert (run_of_both.agent, run_of_both.status) == ("google-adk.agents:first", "complete")
        transfer = [AGENT, [[LLM, []], [f"{TOOL}:transfer_to_agent", []]]]
        answer = [AGENT, [[LLM, []], [f"{TOOL}:count", []], [LLM, []]]]
        assert recorder.tree() == [[transfer, answer]]


def test_a_transfer_does_not_leave_the_remit_of_the_run() -> None:
    """The remit of the outermost agent is that of the run which it opened."""
    payer = agent_of([SPEND, DONE], spend, name="payer")
    first = agent_of([TRANSFER], name="first", sub_agents=[payer])
    with isolated(on_violation="deny") as recorder:
        assert run(first, RemitPlugin(risks={"spend": PAYS}, remits={"first": PAYS_NOT})) == TOLD
        (tool,) = recorder.spans(f"{TOOL}:spend")
        assert tool.status == "failed"


def inner_tree() -> list[Any]:
    """Return the tree of an agent that looks an order up."""
    return [AGENT, [[LLM, []], [f"{TOOL}:look_up", [["desk:find", []]]], [LLM, []]]]


@pytest.mark.parametrize("kind", [SequentialAgent, ParallelAgent])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_sub_agents_are_beneath_their_agent(recorder: RecordingSink, kind: Any) -> None:
    """In one task or in several."""
    agents = [agent_of([LOOK_UP, DONE], look_up, name=name) for name in ("a", "b")]
    run(kind(name="both", sub_agents=agents))
    assert len(recorder.runs) == 1
    assert recorder.tree() == [[[AGENT, [inner_tree(), inner_tree()]]]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_loop_ends_where_the_model_says_so() -> None:
    """The framework's own tool for it has no effect."""
    turn = Turn(calls=(("exit_loop", {}),))
    loop = LoopAgent(name="loop", sub_agents=[agent_of([LOOK_UP, turn], look_up, exit_loop)])
    with isolated(on_violation="deny") as recorder, careful.run():
        run(loop)
        assert [span.status for span in recorder.spans(f"{TOOL}:exit_loop")] == ["complete"]


@pytest.mark.filterwarnings("ignore:The `plugins` argument:DeprecationWarning")
@pytest.mark.parametrize("own_plugins", [False, True])
def test_an_agent_as_a_tool_is_beneath_it(recorder: RecordingSink, own_plugins: bool) -> None:
    """If the plugins do not see the inner agent, the tool itself is judged."""
    inner = agent_of([LOOK_UP, DONE], look_up, name="inner")
    tool = AgentTool(inner, include_plugins=not own_plugins)
    outer = agent_of([Turn(calls=(("inner", {"request": "A-1"}),)), DONE], tool, name="outer")
    run(outer)
    below = [["desk:find", []]] if own_plugins else [inner_tree()]
    assert recorder.tree() == [[[AGENT, [[LLM, []], [f"{TOOL}:inner", below], [LLM, []]]]]]
    assert len(recorder.runs) == 1


def test_a_workflow_holds_its_functions_and_agents(recorder: RecordingSink) -> None:
    """The program that reads its events is outside it."""

    def step(node_input: str) -> str:
        return find(node_input)

    currents: list[object] = []
    workflow = Workflow(
        name="orders", edges=[(START, step, agent_of([LOOK_UP, DONE], look_up, name="inner"))]
    )
    run(workflow, on_event=lambda _: currents.append(remit.current_run()))
    assert recorder.runs[0].agent == "google-adk.agents:shop"
    assert recorder.tree() == [[["google-adk:workflow", [["desk:find", []], inner_tree()]]]]
    assert set(currents) == {None}
    assert recorder.runs[0].status == "complete"


def test_a_workflow_that_is_cancelled_ends(recorder: RecordingSink) -> None:
    """No callback of the framework says so."""
    started = asyncio.Event()

    async def wait(node_input: str) -> str:
        started.set()
        await asyncio.sleep(60)
        return node_input

    async def program() -> None:
        workflow = Workflow(name="orders", edges=[(START, wait)])
        task = asyncio.create_task(ask(workflow, plugins=[RemitPlugin()]))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(program())
    assert [span.status for span in recorder.spans("google-adk:workflow")] == ["cancelled"]
    assert recorder.runs[0].status == "cancelled"


def test_a_decorated_tool_has_one_span(recorder: RecordingSink) -> None:
    """Its own."""
    turns = [Turn(calls=(("find", {"order_id": "A-1"}),)), DONE]
    run(agent_of(turns, find))
    assert recorder.tree() == [[[AGENT, [[LLM, []], ["desk:find", []], [LLM, []]]]]]


def test_a_client_that_is_watched_as_well_records_nothing(recorder: RecordingSink) -> None:
    """A model call is one span."""
    client = declare("test:llm", "llm")

    def call(_: int) -> None:
        with start(client, {}):
            pass

    for stream in (False, True):
        agent = LlmAgent(name="clerk", model=Script([DONE], call))
        run(agent, stream=stream)
    assert {span.name for span in recorder.spans()} == {AGENT, LLM}


def test_a_second_turn_of_a_session_is_a_second_run(recorder: RecordingSink) -> None:
    """Its model call records the new messages; outside a run of the program, all of them."""

    async def program() -> None:
        app = App(name="shop", root_agent=agent_of([DONE, DONE]), plugins=[RemitPlugin()])
        runner = InMemoryRunner(app=app)
        session = await runner.session_service.create_session(app_name="shop", user_id="ada")
        for prompt in ("Hello.", "And A-2?"):
            message = types.UserContent(prompt)
            async for _ in runner.run_async(
                user_id="ada", session_id=session.id, new_message=message
            ):
                pass

    asyncio.run(program())
    assert [each.status for each in recorder.runs] == ["complete", "complete"]
    second = recorder.spans(LLM)[1]
    assert len(second.payload["inputs"]["messages"]) == 3


def test_the_runner_without_asyncio_opens_a_run_of_its_own(recorder: RecordingSink) -> None:
    """It runs on a thread of its own."""
    app = App(name="shop", root_agent=agent_of([LOOK_UP, DONE], look_up), plugins=[RemitPlugin()])
    runner = InMemoryRunner(app=app)
    session = runner.session_service.create_session_sync(app_name="shop", user_id="ada")
    message = types.UserContent("Where is A-1?")
    events = [*runner.run(user_id="ada", session_id=session.id, new_message=message)]
    assert events
    assert recorder.tree() == [[inner_tree()]]


def test_two_hundred_requests_at_once_do_not_mix(recorder: RecordingSink) -> None:
    """One plugin; each request has a run of its own."""

    async def program() -> None:
        plugin = RemitPlugin()

        async def one(number: int) -> None:
            turn = Turn(calls=(("look_up", {"order_id": f"A-{number}"}),))
            await ask(agent_of([turn, DONE], look_up), plugins=[plugin])

        await asyncio.gather(*(one(number) for number in range(200)))

    asyncio.run(program())
    assert len(recorder.runs) == 200
    assert {each.status for each in recorder.runs} == {"complete"}
    assert recorder.tree() == [[inner_tree()]] * 200
    assert len({str(span.payload) for span in recorder.spans("desk:find")}) == 200


# Streams


def test_a_stream_has_the_time_of_its_first_token(recorder: RecordingSink) -> None:
    """And one answer, joined."""
    run(agent_of([DONE]), stream=True)
    (call,) = recorder.spans(LLM)
    result = call.result or {}
    assert result["first_token_ms"] >= 0
    assert [each["content"] for each in result["outputs"]["messages"]] == [TOLD]


def test_a_stream_that_is_left_is_cancelled_with_what_came(recorder: RecordingSink) -> None:
    """No span stays open, and the program is outside the run."""

    class LeftError(Exception):
        """The program leaves."""

    def leave(event: Any) -> None:
        if event.partial:
            raise LeftError

    async def program() -> None:
        with pytest.raises(LeftError):
            await ask(agent_of([DONE]), plugins=[RemitPlugin()], stream=True, on_event=leave)
        await asyncio.sleep(0.1)  # the loop closes the generator
        assert remit.current_run() is None

    asyncio.run(program())
    statuses = {span.name: span.status for span in recorder.spans()}
    assert statuses == {AGENT: "cancelled", LLM: "cancelled"}
    (call,) = recorder.spans(LLM)
    assert (call.result or {})["outputs"]["messages"][0]["content"] in TOLD
    assert recorder.runs[0].status == "cancelled"


def test_a_timeout_in_a_task_that_goes_on_ends_the_run(recorder: RecordingSink) -> None:
    """No callback of the runner says so."""
    limits: list[asyncio.Timeout] = []

    async def wait(order_id: str) -> str:
        """Wait for an order, for which the time is over."""
        limits[0].reschedule(asyncio.get_running_loop().time())
        await asyncio.sleep(60)
        return order_id

    turn = Turn(calls=(("wait", {"order_id": "A-1"}),))

    async def ask_in_time() -> None:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await ask(agent_of([turn, DONE], wait), plugins=[RemitPlugin()])

    async def program() -> None:
        with pytest.raises(TimeoutError):
            await ask_in_time()
        assert {span.status for span in recorder.spans(AGENT)} == {"cancelled"}
        assert recorder.runs[0].status == "cancelled"

    asyncio.run(program())


# Tools


def test_one_of_two_parallel_tools_is_refused() -> None:
    """The other one runs, and the model reads both."""

    def count(order_id: str) -> int:
        """Count what was ordered."""
        return len(order_id)

    both = Turn(calls=(("count", {"order_id": "A-1"}), ("spend", {"amount": 5})))
    script = Script([both, DONE])
    agent = LlmAgent(name="clerk", model=script, tools=[count, spend])
    with isolated(on_violation="deny") as recorder, careful.run():
        plugin = RemitPlugin(risks={"count": PAYS_NOT, "spend": PAYS})
        assert run(agent, plugin) == TOLD
        assert script.read[0] == "3"
        assert script.read[1].startswith("Policy denied this step and it did not run")
        statuses = {span.name: span.status for span in recorder.spans()}
        assert statuses[f"{TOOL}:count"] == "complete"
        assert statuses[f"{TOOL}:spend"] == "failed"


def test_a_tool_without_a_risk_is_refused_if_anything_is_forbidden() -> None:
    """As with every framework."""
    script = Script([SPEND, DONE])
    agent = LlmAgent(name="clerk", model=script, tools=[spend])
    with isolated(on_violation="deny"):
        assert run(agent, RemitPlugin(remits={"clerk": PAYS_NOT})) == TOLD
    assert script.read[0].startswith("Policy denied this step")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_remit_of_an_agent_applies_beneath_it() -> None:
    """And not beside it."""
    calls: list[int] = []

    def count(amount: int) -> str:
        """Spend an amount."""
        calls.append(amount)
        return "spent"

    turn = Turn(calls=(("count", {"amount": 1}),))
    agents = [agent_of([turn, DONE], count, name=name) for name in ("careful", "free")]
    both = SequentialAgent(name="both", sub_agents=agents)
    with isolated(on_violation="deny") as recorder:
        run(both, RemitPlugin(risks={"count": PAYS}, remits={"careful": PAYS_NOT}))
        assert calls == [1]
        statuses = [span.status for span in recorder.spans(f"{TOOL}:count")]
        assert statuses == ["failed", "complete"]


def test_an_agent_that_opens_its_own_run_is_registered_with_its_remit() -> None:
    """A refusal names it once."""
    with isolated(on_violation="deny") as recorder:
        plugin = RemitPlugin(risks={"spend": PAYS}, remits={"clerk": PAYS_NOT})
        assert run(agent_of([SPEND, DONE], spend), plugin) == TOLD
        assert recorder.runs[0].agent == "google-adk.agents:clerk"
        (tool,) = recorder.spans(f"{TOOL}:spend")
        assert len((tool.result or {})["error"]["violations"]) == 1


def test_a_tool_that_waits_for_a_person_is_cancelled(recorder: RecordingSink) -> None:
    """The approved call is another span."""
    agent = agent_of([LOOK_UP, DONE], FunctionTool(look_up, require_confirmation=True))

    async def program() -> None:
        app = App(name="shop", root_agent=agent, plugins=[RemitPlugin()])
        runner = InMemoryRunner(app=app)
        session = await runner.session_service.create_session(app_name="shop", user_id="ada")
        asked: list[types.FunctionCall] = []
        message: Any = types.UserContent("Where is A-1?")
        async for event in runner.run_async(
            user_id="ada", session_id=session.id, new_message=message
        ):
            asked += [
                each
                for each in event.get_function_calls()
                if each.name == "adk_request_confirmation"
            ]
        approved = types.FunctionResponse(
            id=asked[0].id, name=asked[0].name, response={"confirmed": True}
        )
        message = types.Content(role="user", parts=[types.Part(function_response=approved)])
        async for _ in runner.run_async(user_id="ada", session_id=session.id, new_message=message):
            pass

    asyncio.run(program())
    statuses = [span.status for span in recorder.spans(f"{TOOL}:look_up")]
    assert statuses == ["cancelled", "complete"]
    assert {each.status for each in recorder.runs} == {"complete"}


def test_a_tool_that_a_callback_of_the_agent_answers_is_complete(recorder: RecordingSink) -> None:
    """Its result is that answer."""

    def answer(**_: Any) -> dict[str, Any]:
        return {"result": "cached"}

    run(agent_of([LOOK_UP, DONE], look_up, before_tool_callback=answer))
    (tool,) = recorder.spans(f"{TOOL}:look_up")
    assert (tool.status, tool.result) == ("complete", {"outputs": {"output": {"result": "cached"}}})


def test_a_model_that_a_callback_of_the_agent_answers_is_cancelled(recorder: RecordingSink) -> None:
    """It was not called."""

    def answer(**_: Any) -> LlmResponse:
        return LlmResponse(content=model_says(types.Part(text="cached")))

    assert run(agent_of([], before_model_callback=answer)) == "cached"
    assert [span.status for span in recorder.spans(LLM)] == ["cancelled"]
    assert [span.status for span in recorder.spans(AGENT)] == ["complete"]


def test_an_agent_that_a_callback_answers_ends(recorder: RecordingSink) -> None:
    """The framework calls no callback at its end, and some versions cancel its task."""

    def answer(**_: Any) -> types.Content:
        return model_says(types.Part(text="cached"))

    assert run(agent_of([], before_agent_callback=answer)) == "cached"
    (agent,) = recorder.spans()
    assert agent.status in {"complete", "cancelled"}
    assert recorder.runs[0].status == agent.status


def test_a_plugin_before_ours_that_answers_a_tool_hides_it(recorder: RecordingSink) -> None:
    """Its span ends with what came of it."""

    class Answers(BasePlugin):
        """Answers the end of each tool."""

        async def after_tool_callback(self, **_: Any) -> dict[str, Any]:
            return {"result": "shortened"}

    plugins = [Answers(name="answers"), RemitPlugin()]
    asyncio.run(ask(agent_of([LOOK_UP, DONE], look_up), plugins=plugins))
    assert {span.status for span in recorder.spans()} == {"complete"}


# Bare and instrumented


def outcome_of(agent: LlmAgent, plugins: Sequence[Any], *, stream: bool) -> tuple[Any, ...]:
    """Return the texts of all events, or the error, and what the model read."""
    texts: list[Any] = []

    def keep(event: Any) -> None:
        parts = event.content.parts if event.content else ()
        shown = [part.model_dump(exclude_none=True, exclude={"function_call"}) for part in parts]
        texts.append((event.author, event.partial, [str(each)[:60] for each in shown]))

    try:
        answer = asyncio.run(ask(agent, plugins=plugins, stream=stream, on_event=keep))
    except (LookupError, OSError, ValueError) as error:
        answer = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    script: Any = agent.model
    return answer, [text for text in texts if "adk-" not in str(text)], script.read, script.calls


def broken(number: int) -> None:
    """Fail at the second call."""
    if number:
        raise OSError("gone")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("turns", "tools", "on_model_call"),
    [
        ([LOOK_UP, DONE], [look_up], None),
        ([Turn(calls=LOOK_UP.calls * 2), DONE], [look_up], None),
        ([Turn(calls=(("fail", {"order_id": "A-1"}),)), DONE], [fail], None),
        ([Turn(calls=(("unknown", {}),)), DONE], [look_up], None),
        ([Turn(calls=(("look_up", {}),)), DONE], [look_up], None),
        ([LOOK_UP, DONE], [look_up], broken),
    ],
    ids=["answer", "parallel", "tool fails", "no such tool", "no argument", "model fails"],
)
def test_an_agent_does_the_same_with_and_without(
    recorder: RecordingSink,
    turns: Sequence[Turn],
    tools: Sequence[Tool],
    on_model_call: Callable[[int], object] | None,
    stream: bool,
) -> None:
    """Events, errors, and what the model reads."""
    outcomes = [
        outcome_of(
            LlmAgent(name="clerk", model=Script(turns, on_model_call), tools=list(tools)),
            plugins,
            stream=stream,
        )
        for plugins in ([], [RemitPlugin()])
    ]
    assert outcomes[0] == outcomes[1]
    assert "active" not in {span.status for span in recorder.spans()}


def test_a_model_that_fails_is_a_failed_span(recorder: RecordingSink) -> None:
    """With the error; so are its agent and the run."""
    agent = LlmAgent(name="clerk", model=Script([LOOK_UP, DONE], broken), tools=[look_up])
    with pytest.raises(OSError, match="gone"):
        run(agent)
    assert [span.status for span in recorder.spans(LLM)] == ["complete", "failed"]
    assert [span.status for span in recorder.spans(AGENT)] == ["failed"]
    assert recorder.runs[0].status == "failed"


# Termination


def test_a_terminated_stream_calls_no_model_again() -> None:
    """The termination reaches the caller."""
    with isolated() as recorder:

        def stop(order_id: str) -> str:
            """Stop the run."""
            recorder.runs[0].feed.terminated = "stopped"
            return order_id

        turns = [Turn(calls=(("stop", {"order_id": "A-1"}),)), DONE]
        script = Script(turns)
        agent = LlmAgent(name="clerk", model=script, tools=[stop])
        with pytest.raises(RunTerminated):
            run(agent, stream=True)
        assert script.calls == 1
        assert "active" not in {span.status for span in recorder.spans()}
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"


def test_the_runner_without_asyncio_wraps_the_termination() -> None:
    """As it does with each exception that is not an `Exception`."""
    with isolated() as recorder:

        def stop(order_id: str) -> str:
            """Stop the run."""
            recorder.runs[0].feed.terminated = "stopped"
            return order_id

        agent = agent_of([Turn(calls=(("stop", {"order_id": "A-1"}),)), DONE], stop)
        runner = InMemoryRunner(app=App(name="shop", root_agent=agent, plugins=[RemitPlugin()]))
        session = runner.session_service.create_session_sync(app_name="shop", user_id="ada")
        message = types.UserContent("Where is A-1?")
        with pytest.raises(RuntimeError) as raised:
            [*runner.run(user_id="ada", session_id=session.id, new_message=message)]
        assert isinstance(raised.value.__cause__, RunTerminated)
        assert (recorder.runs[0].root.result or {})["status"] == "terminated"


# Faults


def test_a_fault_loses_a_span_at_most(
    monkeypatch: pytest.MonkeyPatch, recorder: RecordingSink
) -> None:
    """It is counted."""
    monkeypatch.setattr(guard.faults, "strict", False)

    def broken(*_: object, **__: object) -> None:
        raise TypeError("not as expected")

    monkeypatch.setattr("remit.integrations.google_adk._Reader._messages", broken)
    monkeypatch.setattr("remit.integrations.google_adk._Reader.prompt", broken)
    monkeypatch.setattr("remit.integrations.google_adk._has_no_effect", broken)
    assert run(agent_of([LOOK_UP, DONE], look_up)) == TOLD
    assert remit.status().faults
    assert recorder.tree() == [[[AGENT, [[LLM, []], [TOOL, [["desk:find", []]]], [LLM, []]]]]]


@pytest.mark.parametrize("of_run", [False, True], ids=["of the agent", "of the run"])
def test_a_fault_lifts_no_remit(monkeypatch: pytest.MonkeyPatch, of_run: bool) -> None:
    """That of an agent which could not be declared holds, and a tool that could not is refused."""

    def broken(*_: object, **__: object) -> None:
        raise TypeError("not as expected")

    with isolated(on_violation="deny") as recorder:
        monkeypatch.setattr(guard.faults, "strict", False)
        monkeypatch.setattr("remit._adapters.declare.declare_agent", broken)
        monkeypatch.setattr("remit.integrations.google_adk.declare", broken)
        plugin = RemitPlugin(risks={"spend": PAYS}, remits=None if of_run else {"clerk": PAYS_NOT})
        agent = agent_of([SPEND, SPEND, DONE], spend)
        if of_run:
            with careful.run():
                assert run(agent, plugin) == TOLD
        else:
            assert run(agent, plugin) == TOLD
        assert remit.status().faults
        assert [span.status for span in recorder.spans(TOOL)] == ["failed", "failed"]


# Arguments


PAID: list[int] = []


def refund(euros: int) -> str:
    """Pay money back."""
    PAID.append(euros)
    return f"paid {euros}"


@remit.span_type("adk:refund_later", data_risk=remit.risk(allows="financial_transactions"))
async def refund_later(euros: int) -> str:
    """Pay money back."""
    return refund(euros)


@pytest.mark.parametrize("approver", [decide, decide_now], ids=["awaited", "in a thread"])
@pytest.mark.parametrize("tool", [refund, refund_later])
def test_a_person_is_asked_before_a_tool_runs(approver: Any, tool: Any) -> None:
    """The model reads the reason of a no."""
    PAID.clear()
    name = tool.__name__
    turns = [Turn(calls=((name, {"euros": euros}),)) for euros in (40, 9999)]
    asks = remit.risk(allows="read_data", asks="financial_transactions")
    risks = {"refund": PAYS} if tool is refund else {}
    agent = agent_of([*turns, DONE], tool)
    with isolated(on_violation="deny", approver=approver) as recorder:
        plugin = RemitPlugin(risks=risks, remits={agent.name: asks})
        assert run(agent, plugin) == TOLD
    assert PAID == [40]
    assert WHY in agent.model.read[-1]
    answers = [span.payload for span in recorder.spans("remit:answered")]
    assert [(each["decision"], each["by"]) for each in answers] == [
        ("approved", "dana"),
        ("refused", "dana"),
    ]


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ({"risks": ["pay"]}, "risks is .*expected a mapping of names of tools"),
        ({"remits": ["clerk"]}, "remits is .*expected a mapping of names of agents"),
        ({"risks": {"pay": 5}}, "RemitPlugin"),
        ({"capture_messages": "some"}, "capture_messages is 'some'"),
    ],
)
def test_a_wrong_argument_is_said(arguments: dict[str, Any], seen: str) -> None:
    """What was seen, and what was expected."""
    with pytest.raises(DeclarationError, match=seen):
        RemitPlugin(**arguments)


@pytest.mark.parametrize("argument", ["risks", "remits"])
def test_a_name_that_does_not_exist_is_said_at_the_first_run(argument: str) -> None:
    """The framework wraps the error of a plugin."""
    arguments: Any = {argument: {"pya": PAYS}}
    plugin = RemitPlugin(**arguments)
    with isolated(), pytest.raises(RuntimeError, match=f"{argument} names 'pya'") as raised:
        run(agent_of([DONE], look_up), plugin)
    assert isinstance(raised.value.__cause__, DeclarationError)


@pytest.mark.parametrize("key", ["agent_id", "external_identifier"])
def test_an_identifier_that_is_not_a_text_is_an_error(key: str) -> None:
    """The message names the argument."""
    given: Any = {key: 3}
    with pytest.raises(DeclarationError, match=f"RemitPlugin: {key} is of type int"):
        RemitPlugin(**given)
