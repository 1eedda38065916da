"""The Claude Agent SDK, with Claude Code replaced by a process that speaks its protocol."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import claude_agent_sdk
import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    Message,
    ToolResultBlock,
    Transport,
    UserMessage,
    create_sdk_mcp_server,
    query,
    tool,
)

import remit
from remit.errors import DeclarationError, RunTerminated
from remit.integrations.claude_agent_sdk import SUGGESTED, govern
from remit.models.data_risk import DataRisk
from remit.testing import RecordedSpan, RecordingSink, isolated
from tests import claude_code, scenarios
from tests.claude_code import Play, Process
from tests.inside import guard
from tests.messages_api import ANSWER_TOKENS, serving
from tests.scenarios import PAYS_NOT, Ran, Scenario, Tool, Turn

# The SDK leaves the generator inside `query` to the event loop if it is left, also without remit.
pytestmark = pytest.mark.filterwarnings("ignore:.*MemoryObjectReceiveStream")

SERVER: Final = "mcp__desk__"
"""Beginning of the names of the tools of a program."""
JSON_TYPES: Final = {"str": "string", "int": "integer"}


def transport(play: Play) -> Transport:
    """Return a process in which *play* is played."""
    return cast("Transport", Process(play))


def server(*tools: Tool) -> dict[str, Any]:
    """Return servers with functions as tools of the SDK."""
    return {"desk": create_sdk_mcp_server("desk", tools=[as_tool(each) for each in tools])}


def as_tool(function: Tool) -> Any:
    """Return a function as a tool of the SDK."""

    @functools.wraps(function)
    async def call(arguments: dict[str, Any]) -> dict[str, Any]:
        result = function(**arguments)
        if inspect.isawaitable(result):
            result = await result
        text = result if isinstance(result, str) else json.dumps(result)
        return {"content": [{"type": "text", "text": text}]}

    parameters = inspect.signature(function).parameters.values()
    properties = {each.name: {"type": JSON_TYPES[str(each.annotation)]} for each in parameters}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return tool(function.__name__, inspect.getdoc(function) or "", schema)(call)


def played(turns: Sequence[Turn], **fields: Any) -> Play:
    """Return a play of the turns of a scenario."""
    return Play([{"text": turn.text, "calls": turn.calls} for turn in turns], **fields)


class ClaudeDriver:
    """Asks Claude Code."""

    prefix = "claude-agent-sdk"
    tool_prefix = f"claude-agent-sdk:tool:{SERVER}"
    has_agent = True
    has_tools = True
    lacks: Mapping[str, str] = MappingProxyType({})

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Ask once, and read the answer to its end."""
        del stream  # answers are always streamed
        named = [
            Turn(turn.text, tuple((SERVER + name, arguments) for name, arguments in turn.calls))
            for turn in turns
        ]
        play = played(named, on_model_call=on_model_call, has_partial_messages=True)
        options = ClaudeAgentOptions(mcp_servers=server(*tools), include_partial_messages=True)
        ask = govern(query, risks={SERVER + name: risk for name, risk in (risks or {}).items()})
        answer = ""
        async for message in ask(
            prompt="Where is A-1?", options=options, transport=transport(play)
        ):
            answer = getattr(message, "result", None) or answer
        return Ran(answer, play.read, play.model_calls)


DRIVER: Final = ClaudeDriver()


@scenarios.each_scenario_of(DRIVER)
def test_scenario(scenario: Scenario) -> None:
    """Each cell of the table."""
    scenarios.check(scenario, DRIVER)


# What only this framework has


async def ask(
    play: Play, prompt: Any = "Go.", governed: Any = None, **options: Any
) -> list[Message]:
    """Ask Claude Code once; return its messages."""
    with_options = ClaudeAgentOptions(**options)
    return [
        message
        async for message in (governed or govern(query))(
            prompt=prompt, options=with_options, transport=transport(play)
        )
    ]


def bash(command: str = "ls") -> tuple[str, dict[str, object]]:
    """Return a call of the shell."""
    return ("Bash", {"command": command})


def names_of(recorder: RecordingSink) -> list[tuple[str, str]]:
    """Return the type and the status of each span."""
    return [(span.name, span.status) for span in recorder.spans()]


def only(recorder: RecordingSink, name: str) -> RecordedSpan:
    """Return the one span of a type."""
    (span,) = recorder.spans(name)
    return span


def result_of(span: RecordedSpan) -> dict[str, Any]:
    """Return the result of a span."""
    return dict(span.result or {})


SUBAGENT: Final = ("Agent", {"subagent_type": "helper", "prompt": "Help.", "description": "d"})
HELPED: Final[Mapping[str, Any]] = {"helper": [{"calls": [bash()]}, {"text": "Helped."}]}


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Return a command that the SDK starts in place of `claude`."""
    path = tmp_path / "claude"
    file = Path(claude_code.__file__)
    path.write_text(f"#!{sys.executable}\n" + file.read_text("utf-8"), "utf-8")
    path.chmod(0o755)
    return path


def options_for(command: Path, script: dict[str, Any], **options: Any) -> ClaudeAgentOptions:
    """Return options with which the SDK starts the command."""
    env = {"CLAUDE_SCRIPT": json.dumps(script)}
    return ClaudeAgentOptions(cli_path=command, env=env, **options)


def test_the_spans_of_a_process(command: Path) -> None:
    """Agents, model calls and tools of the command are a tree, with tokens, cost and session."""
    script = {
        "turns": [{"text": "I look.", "calls": [bash(), bash("exit 3"), SUBAGENT]}, {"text": "ok"}],
        "subagents": HELPED,
        "session": "s-1",
    }
    options = options_for(command, script, include_partial_messages=True)

    async def run() -> str | None:
        last: Any = None
        async for message in govern(query, name="Coder")(prompt="Go.", options=options):
            last = message
        return cast("str | None", last.result)

    with isolated() as recorder:
        assert asyncio.run(run()) == "ok"
        (tree,) = recorder.tree()
        assert recorder.runs[0].status == "complete"
        agent, helper = recorder.spans("claude-agent-sdk:agent")
    llm, bash_tool = "claude-agent-sdk:llm", "claude-agent-sdk:tool:Bash"
    assert recorder.runs[0].agent == "claude-agent-sdk.agents:Coder"
    by_key = {span.key: span for span in recorder.spans()}
    parents = [
        (span.name, getattr(by_key.get(span.parent or ""), "name", "the run"), span.status)
        for span in recorder.spans()
    ]
    assert sorted(parents) == sorted([
        ("claude-agent-sdk:agent", "the run", "complete"),
        (llm, "claude-agent-sdk:agent", "complete"),
        (bash_tool, "claude-agent-sdk:agent", "complete"),
        (bash_tool, "claude-agent-sdk:agent", "failed"),
        ("claude-agent-sdk:tool:Agent", "claude-agent-sdk:agent", "complete"),
        ("claude-agent-sdk:agent", "claude-agent-sdk:tool:Agent", "complete"),
        (llm, "claude-agent-sdk:agent", "complete"),
        (bash_tool, "claude-agent-sdk:agent", "complete"),
        (llm, "claude-agent-sdk:agent", "complete"),
        (llm, "claude-agent-sdk:agent", "complete"),
    ])  # fmt: skip
    assert tree
    assert (agent.payload["agent_name"], agent.payload["inputs"]) == ("Coder", {"prompt": "Go."})
    result = result_of(agent)
    assert result["outputs"] == {"output": "ok", "finish_reasons": ["end_turn"]}
    assert (result["session_id"], result["cost"]["amount"]) == ("s-1", "0.01")
    assert "token_usage" not in result  # the model calls have them
    below = [span.name for span in recorder.spans() if span.parent == helper.key]
    assert sorted(below) == [llm, llm, bash_tool]
    assert result_of(helper)["outputs"] == {"output": "Helped."}
    answer = result_of(recorder.spans(llm)[0])
    assert answer["token_usage"] == {
        "prompt_tokens": 16, "completion_tokens": 5, "total_tokens": 21,
    }  # fmt: skip
    assert answer["usage_details"] == {"cache_read": 4, "cache_write": 2}
    assert answer["outputs"]["finish_reasons"] == ["tool_use"]


def test_claude_code_itself_over_a_model_that_is_replaced(tmp_path: Path) -> None:
    """The command that the SDK brings asks the hooks, and tells the model what they said."""
    if not [*Path(claude_agent_sdk.__file__).parent.glob("_bundled/claude*")]:
        pytest.skip("only on Linux with glibc, macOS and Windows")

    @remit.span_type("shop:lookup", data_risk=PAYS_NOT)
    async def lookup(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": arguments["order_id"] + " is shipped"}]}

    found = tool("lookup", "Look up.", {"order_id": str})(lookup)
    tools = [found, as_tool(scenarios.ask_to_pay)]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("Bash", {"command": "touch made", "description": "d"}),
        (f"{SERVER}lookup", {"order_id": "A-1"}),
        (f"{SERVER}ask_to_pay", {"amount": 5}),
    ]
    options = ClaudeAgentOptions(
        mcp_servers={"desk": create_sdk_mcp_server("desk", tools=tools)},
        allowed_tools=[name for name, _ in calls],
        setting_sources=[],
        include_partial_messages=True,
        cwd=tmp_path,
    )
    governed = govern(
        query,
        name="Coder",
        risks={**SUGGESTED, f"{SERVER}ask_to_pay": PAYS_NOT},
        remits={"Coder": PAYS_NOT},
    )
    read: dict[str, str] = {}

    async def run(url: str) -> None:
        options.env = {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        async for message in governed(prompt="Go.", options=options):
            for block in message.content if isinstance(message, UserMessage) else ():
                assert isinstance(block, ToolResultBlock)
                read[block.tool_use_id] = str(block.content)

    with isolated(on_violation="deny") as recorder, serving(calls) as url:
        asyncio.run(run(url))
        agent = only(recorder, "claude-agent-sdk:agent")
        steps = {span.name: (span.parent, span.status) for span in recorder.spans()}
        first, _ = recorder.spans("claude-agent-sdk:llm")
        refund = only(recorder, f"claude-agent-sdk:tool:{SERVER}ask_to_pay")
    assert not (tmp_path / "made").exists()
    assert steps["claude-agent-sdk:tool:Bash"] == (agent.key, "failed")
    assert steps["shop:lookup"] == (agent.key, "complete")
    assert steps["desk:pay"] == (refund.key, "failed")
    assert "Policy denied this step" in read["toolu_0"]
    assert "A-1 is shipped" in read["toolu_1"]
    assert read["toolu_2"].startswith("Policy denied this step")
    assert result_of(first)["token_usage"]["completion_tokens"] == ANSWER_TOKENS
    assert (agent.status, result_of(agent)["outputs"]["output"]) == ("complete", "Done.")
    assert float(result_of(agent)["cost"]["amount"]) > 0


def test_tokens_without_partial_messages_are_those_of_the_agent() -> None:
    """Claude Code tells the tokens of an answer before it is written: that count is no use."""
    play = Play([{"calls": [bash()]}, {"text": "ok"}])
    with isolated() as recorder:
        asyncio.run(ask(play))
        agent = result_of(only(recorder, "claude-agent-sdk:agent"))
        calls = [result_of(span) for span in recorder.spans("claude-agent-sdk:llm")]
    assert agent["token_usage"] == {
        "prompt_tokens": 32, "completion_tokens": 10, "total_tokens": 42,
    }  # fmt: skip
    assert [call.get("token_usage") for call in calls] == [None, None]
    assert [call["response_model"] for call in calls] == [claude_code.MODEL] * 2


def test_calls_of_one_answer_that_run_at_once() -> None:
    """One model call has both; each tool has its own span."""
    play = Play([{"calls": [bash("one"), bash("two")]}, {"text": "ok"}], at_once=True)
    with isolated() as recorder:
        asyncio.run(ask(play))
        first, _ = recorder.spans("claude-agent-sdk:llm")
        tools = recorder.spans("claude-agent-sdk:tool:Bash")
    (message,) = result_of(first)["outputs"]["messages"]
    assert [call["args"]["command"] for call in message["tool_calls"]] == ["one", "two"]
    assert [result_of(span)["outputs"]["output"]["stdout"] for span in tools] == ["one", "two"]


DELETES_NOT: Final = remit.risk(forbids="destroy_data")


@pytest.mark.parametrize("risks", [SUGGESTED, {}], ids=["suggested", "undeclared"])
def test_a_built_in_tool_is_denied_and_the_model_goes_on(risks: Mapping[str, DataRisk]) -> None:
    """Nothing is guessed: a tool whose risk the program does not declare is denied as well."""
    play = Play([{"calls": [bash("rm -rf build")]}, {"text": "I cannot."}])
    governed = govern(query, risks=risks, remits={"claude": DELETES_NOT})
    with isolated(on_violation="deny") as recorder:
        *_, last = asyncio.run(ask(play, governed=governed))
        assert names_of(recorder)[:1] == [("claude-agent-sdk:agent", "complete")]
        assert only(recorder, "claude-agent-sdk:tool:Bash").status == "failed"
    assert (play.ran, play.denied, getattr(last, "result", None)) == ([], 1, "I cannot.")
    assert "Policy denied this step and it did not run" in play.read[0]


def test_the_suggested_risk_of_a_tool_that_reads_lets_it_run() -> None:
    """A remit against deleting does not keep an agent from reading."""
    play = Play([{"calls": [("Read", {"file_path": "a"})]}, {"text": "ok"}])
    governed = govern(query, risks=SUGGESTED, remits={"claude": DELETES_NOT})
    with isolated(on_violation="deny"):
        asyncio.run(ask(play, governed=governed))
    assert play.ran == ["Read"]


def test_a_subagent_has_its_own_remit() -> None:
    """It holds for the tools of the subagent, not for those of the main agent."""
    calls = [bash("first"), SUBAGENT, bash("last")]
    play = Play([{"calls": calls}, {"text": "ok"}], subagents=HELPED)
    governed = govern(query, risks=SUGGESTED, remits={"helper": DELETES_NOT})
    with isolated(on_violation="deny") as recorder:
        asyncio.run(ask(play, governed=governed))
        tools = recorder.spans("claude-agent-sdk:tool:Bash")
    assert [span.status for span in tools] == ["complete", "failed", "complete"]
    assert play.ran == ["Bash", "Agent", "Bash"]


def test_a_remit_of_an_agent_that_does_not_exist_is_an_error() -> None:
    """Claude Code names its agents before the first model call."""
    play = Play([{"text": "ok"}], subagents=HELPED)
    governed = govern(query, remits={"helpr": DELETES_NOT})
    with isolated() as recorder, pytest.raises(DeclarationError, match="did you mean 'helper'"):
        asyncio.run(ask(play, governed=governed))
    assert "active" not in {span.status for span in recorder.spans()}


def test_a_decorated_tool_has_one_span() -> None:
    """That of the decorator, with its risk, below the agent that called it."""

    @remit.span_type("desk:lookup")
    async def lookup(arguments: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": scenarios.find(arguments["order_id"])}]}

    decorated = tool("lookup", "Look up.", {"order_id": str})(lookup)
    servers = {"my desk": create_sdk_mcp_server("desk", tools=[decorated])}
    name = "mcp__my_desk__lookup"
    play = Play([{"calls": [SUBAGENT]}, {"text": "ok"}], subagents={
        "helper": [{"calls": [(name, {"order_id": "A-1"})]}, {"text": "ok"}],
    })  # fmt: skip
    # The name of a server is the one in the options, as Claude Code writes it.
    servers["my_desk"] = servers["my desk"]
    with isolated() as recorder:
        asyncio.run(ask(play, mcp_servers=servers))
        _, helper = recorder.spans("claude-agent-sdk:agent")
        assert only(recorder, "desk:lookup").parent == helper.key
        assert only(recorder, "desk:find").parent == only(recorder, "desk:lookup").key
        assert not any(each.endswith("__lookup") for each, _ in names_of(recorder))
    assert play.read[0] == "A-1 is shipped"


def test_hooks_of_the_program_stay() -> None:
    """They are called beside the others, and may deny a tool; its span has failed."""
    seen: list[str] = []

    async def no(data: Any, _call: object, _context: object) -> Any:
        seen.append(data["tool_name"])
        return {"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny",
                                       "permissionDecisionReason": "Not today."}}  # fmt: skip

    play = Play([{"calls": [bash()]}, {"text": "ok"}])
    hooks: Any = {"PreToolUse": [HookMatcher(hooks=[no])]}
    with isolated() as recorder:
        asyncio.run(ask(play, hooks=hooks))
        span = only(recorder, "claude-agent-sdk:tool:Bash")
    assert (seen, play.ran, len(hooks["PreToolUse"])) == (["Bash"], [], 1)
    assert (span.status, "Not today." in str(span.result)) == ("failed", True)


def test_a_tool_for_which_no_hook_was_called_is_recorded_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The settings of Claude Code can disable hooks."""
    play = Play([{"calls": [bash()]}, {"text": "ok"}], hooks_disabled=True)
    with isolated() as recorder:
        asyncio.run(ask(play))
        assert only(recorder, "claude-agent-sdk:tool:Bash").status == "complete"
    assert "ran without a hook" in caplog.text


@pytest.mark.parametrize("capture", ["new", "all", "none"])
def test_which_messages_are_recorded(capture: Any) -> None:
    """As in the other integrations."""
    play = Play([{"calls": [bash()]}, {"text": "secretly"}])
    governed = govern(query, capture_messages=capture)
    with isolated() as recorder:
        asyncio.run(ask(play, prompt="secretly", governed=governed))
        calls = recorder.spans("claude-agent-sdk:llm")
        agent = only(recorder, "claude-agent-sdk:agent")
    roles = [
        [message["role"] for message in call.payload["inputs"].get("messages", ())]
        for call in calls
    ]
    expected = {
        "new": [["user"], ["tool"]],
        "all": [["user"], ["user", "assistant", "tool"]],
        "none": [[], []],
    }
    assert roles == expected[capture]
    texts = str([(span.payload, span.result) for span in (*calls, agent)])
    assert ("secretly" in texts) == (capture != "none")


@pytest.mark.parametrize("captured", [False, True], ids=["not captured", "captured"])
def test_thinking_is_recorded_where_the_program_says_so(captured: bool) -> None:
    """It may hold what the answer leaves out."""
    play = Play([{"thinking": "Hm.", "text": "ok"}])
    with isolated() as recorder:
        asyncio.run(ask(play, governed=govern(query, capture_reasoning=captured)))
        span = only(recorder, "claude-agent-sdk:llm")
    (message,) = result_of(span)["outputs"]["messages"]
    parts = [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "ok"}]
    assert message["content"] == (parts if captured else "ok")


def test_an_answer_that_is_an_error_is_a_failed_call() -> None:
    """As when the provider is overloaded."""
    play = Play([{"text": "API Error: 529", "error": "server_error"}])
    with isolated() as recorder:
        asyncio.run(ask(play))
        span = only(recorder, "claude-agent-sdk:llm")
    assert span.status == "failed"
    assert result_of(span)["outputs"]["finish_reasons"] == ["server_error"]


def test_prompts_that_are_streamed() -> None:
    """They reach Claude Code and the model call."""

    async def prompts() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "user", "message": {"role": "user", "content": "One."}}

    play = Play([{"text": "ok"}])
    with isolated() as recorder:
        asyncio.run(ask(play, prompts()))
        (message,) = only(recorder, "claude-agent-sdk:llm").payload["inputs"]["messages"]
    assert message == {"role": "user", "content": "One."}


# Clients


async def talk(
    client: ClaudeSDKClient, *prompts: str, between: Callable[[], object] = int
) -> list[Message]:
    """Ask one prompt after the other; return all messages."""
    messages: list[Message] = []
    async with client:
        for prompt in prompts:
            await client.query(prompt)
            messages += [message async for message in client.receive_response()]
            between()
    return messages


def test_each_turn_of_a_client_has_a_span_of_the_agent() -> None:
    """Also where the client was connected before the run; a turn has its own cost and tokens."""
    play = Play([{"calls": [bash()]}, {"text": "one"}, {"text": "two"}])

    async def run() -> None:
        client = govern(ClaudeSDKClient(transport=transport(play)))
        async with client:
            for prompt in ("First.", "Second."):
                async with scenarios.desk.run():
                    await client.query(prompt)
                    async for _ in client.receive_response():
                        pass

    with isolated() as recorder:
        asyncio.run(run())
        assert [run.status for run in recorder.runs] == ["complete"] * 2
        first, second = recorder.spans("claude-agent-sdk:agent")
        tools = recorder.spans("claude-agent-sdk:tool:Bash")
        calls = recorder.spans("claude-agent-sdk:llm")
    assert [span.parent for span in tools] == [first.key]
    assert [span.parent for span in calls] == [first.key, first.key, second.key]
    assert [result_of(span)["cost"]["amount"] for span in (first, second)] == ["0.005", "0.0025"]
    assert [result_of(span)["token_usage"]["total_tokens"] for span in (first, second)] == [42, 21]
    assert second.payload["inputs"] == {"prompt": "Second."}


def test_a_client_opens_a_run_for_each_turn_outside_any() -> None:
    """And leaves none open."""
    play = Play([{"text": "one"}, {"text": "two"}])
    with isolated() as recorder:
        asyncio.run(talk(govern(ClaudeSDKClient(transport=transport(play))), "1", "2"))
        assert [run.status for run in recorder.runs] == ["complete", "complete"]


def test_a_client_whose_run_is_terminated_asks_nothing_more() -> None:
    """Not even by its next prompt."""
    play = Play([{"text": "one"}, {"text": "two"}])
    with isolated() as recorder:

        def stop() -> None:
            recorder.runs[0].feed.terminated = "enough"

        async def run() -> None:
            async with scenarios.desk.run():
                client = govern(ClaudeSDKClient(transport=transport(play)))
                await talk(client, "1", "2", between=stop)

        with pytest.raises(RunTerminated, match="enough"):
            asyncio.run(run())
        assert play.model_calls == 1
        assert "active" not in {span.status for span in recorder.spans()}


def test_the_cost_of_a_resumed_session_is_counted_once() -> None:
    """Claude Code counts over the session; what another process spent is not known."""
    with isolated() as recorder:
        first = Play([{"text": "one"}], session="resumed")
        asyncio.run(ask(first))
        again = Play([{"text": "two"}], session="resumed", model_calls=1)
        asyncio.run(ask(again, resume="resumed"))
        other = Play([{"text": "three"}], session="of another process", model_calls=7)
        asyncio.run(ask(other, resume="of another process"))
        results = [result_of(span) for span in recorder.spans("claude-agent-sdk:agent")]
    assert [result.get("cost", {}).get("amount") for result in results] == [
        "0.0025", "0.0025", None,
    ]  # fmt: skip
    assert [result["token_usage"]["total_tokens"] for result in results] == [21, 21, 21]


def test_a_client_that_is_connected_cannot_be_governed() -> None:
    """Its hooks were sent already."""

    async def run() -> None:
        async with ClaudeSDKClient(transport=transport(Play([]))) as client:
            with pytest.raises(DeclarationError, match="connected already"):
                govern(client)

    asyncio.run(run())


# Options


def test_options_alone_have_the_agent_and_its_tools() -> None:
    """Hooks tell the bounds of a turn; the remits hold."""
    play = Play([{"calls": [bash(), ("Read", {"file_path": "a"})]}, {"text": "ok"}])
    options = govern(ClaudeAgentOptions(), risks=SUGGESTED, remits={"claude": DELETES_NOT})
    with isolated(on_violation="deny") as recorder:

        async def run() -> None:
            messages = query(prompt="Go.", options=options, transport=transport(play))
            async for _ in messages:
                pass

        asyncio.run(run())
        assert names_of(recorder) == [
            ("claude-agent-sdk:agent", "complete"),
            ("claude-agent-sdk:tool:Bash", "failed"),
            ("claude-agent-sdk:tool:Read", "complete"),
        ]
        agent = only(recorder, "claude-agent-sdk:agent")
        assert recorder.runs[0].status == "complete"
    assert agent.payload["inputs"] == {"prompt": "Go."}
    assert result_of(agent) == {"outputs": {"output": "ok"}}
    assert play.ran == ["Read"]


def test_options_that_are_governed_twice_have_one_span_for_each_tool() -> None:
    """The later risks count, and every remit holds."""
    options = govern(ClaudeAgentOptions(), remits={"claude": DELETES_NOT})
    governed = govern(query, risks={"Read": SUGGESTED["Read"]})
    play = Play([{"calls": [("Read", {}), bash()]}, {"text": "ok"}])

    async def run() -> None:
        async for _ in governed(prompt="Go.", options=options, transport=transport(play)):
            pass

    with isolated(on_violation="deny") as recorder:
        asyncio.run(run())
        assert len(recorder.spans("claude-agent-sdk:tool:Read")) == 1
        assert len(recorder.spans("claude-agent-sdk:agent")) == 1
    assert play.ran == ["Read"]


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        (3, {}, "expected the function query"),
        (ClaudeSDKClient, {}, "expected the function query"),
        (query, {"risks": ["Bash"]}, "expected a mapping of names"),
        (query, {"remits": 1}, "expected a mapping of names"),
        (query, {"name": ""}, "expected a text"),
        (query, {"capture_messages": "some"}, "expected one of"),
        (query, {"capture_reasoning": 1}, "expected True or False"),
        (query, {"risks": {"Bash": 1}}, "Bash"),
    ],
    ids=itertools.count(),
)
def test_what_govern_refuses(target: Any, arguments: dict[str, Any], message: str) -> None:
    """At once, with the argument."""
    with pytest.raises(DeclarationError, match=message):
        govern(target, **arguments)


# The program is not hurt


PLAYS: Final[Mapping[str, dict[str, Any]]] = {
    "tools": {"turns": [{"text": "t", "calls": [bash(), bash("exit 3")]}, {"text": "ok"}]},
    "subagent": {"turns": [{"calls": [SUBAGENT]}, {"text": "ok"}], "subagents": HELPED},
    "streamed": {
        "turns": [{"thinking": "Hm.", "text": "t", "calls": [bash()]}, {"text": "ok"}],
        "has_partial_messages": True,
    },
    "at once": {"turns": [{"calls": [bash(), bash("exit 3")]}, {"text": "ok"}], "at_once": True},
}


@pytest.mark.parametrize("fields", PLAYS.values(), ids=PLAYS)
@pytest.mark.parametrize("by_client", [False, True], ids=["query", "client"])
def test_messages_are_the_same_with_and_without(fields: dict[str, Any], by_client: bool) -> None:
    """Each message, in order; and what Claude Code was told."""

    async def run(play: Play, *, governed: bool) -> list[Message]:
        if by_client:
            client = ClaudeSDKClient(transport=transport(play))
            return await talk(govern(client) if governed else client, "Go.")
        return await ask(play, governed=None if governed else query)

    with isolated():
        bare, recorded = Play(**fields, session="s"), Play(**fields, session="s")
        assert asyncio.run(run(bare, governed=False)) == asyncio.run(run(recorded, governed=True))
    assert (bare.read, bare.ran) == (recorded.read, recorded.ran)


@pytest.mark.parametrize("governed", [False, True], ids=["bare", "governed"])
def test_an_error_of_the_process_reaches_the_program(governed: bool) -> None:
    """With its type."""

    def fail(number: int) -> None:
        raise OSError(f"{number} is gone")

    play = Play([], on_model_call=fail)
    with isolated() as recorder, pytest.raises(OSError, match="0 is gone"):
        asyncio.run(ask(play, governed=None if governed else query))
    assert {span.status for span in recorder.spans()} <= {"failed"}


@pytest.mark.parametrize("message", ["AssistantMessage", "ResultMessage"])
def test_a_program_that_stops_reading_leaves_nothing_open(message: str) -> None:
    """The agent is complete if its result was read."""

    async def run() -> None:
        play = Play([{"calls": [bash()]}, {"text": "ok"}])
        options = ClaudeAgentOptions()
        messages = govern(query)(prompt="Go.", options=options, transport=transport(play))
        async for each in messages:
            if type(each).__name__ == message:
                break
        await cast("Any", messages).aclose()

    with isolated() as recorder:
        asyncio.run(run())
        agent = only(recorder, "claude-agent-sdk:agent")
        assert "active" not in {span.status for span in recorder.spans()}
    assert agent.status == ("complete" if message == "ResultMessage" else "cancelled")


def test_two_hundred_requests_at_once() -> None:
    """Each has its own run, tools and results, though all share the options and the function."""
    governed = govern(query, risks=SUGGESTED)
    options = ClaudeAgentOptions(mcp_servers=server(scenarios.look_up))

    async def one(number: int) -> None:
        found = (f"{SERVER}look_up", {"order_id": f"A-{number}"})
        # The ids of calls are the same in all.
        play = Play([{"calls": [bash(f"echo {number}"), found]}, {"text": "ok"}], session="same")
        async with scenarios.desk.run():
            async for _ in governed(prompt="Go.", options=options, transport=transport(play)):
                pass
        assert play.read[1] == f"A-{number} is shipped"

    with isolated() as recorder:

        async def run() -> None:
            await asyncio.gather(*(one(number) for number in range(200)))

        asyncio.run(run())
        assert len(recorder.runs) == 200
        assert len({str(tree) for tree in recorder.tree()}) == 1
        assert {span.status for span in recorder.spans()} == {"complete"}
        assert len(recorder.spans("desk:find")) == 200


def test_a_terminated_run_ends_the_process(command: Path) -> None:
    """The program gets `RunTerminated`, and the command is gone."""
    script = {"turns": [{"calls": [bash()]}, {"calls": [bash()]}, {"text": "ok"}]}
    options = options_for(command, script)
    messages: list[Message] = []
    with isolated() as recorder:

        async def run() -> None:
            async with scenarios.desk.run():
                async for message in govern(query)(prompt="Go.", options=options):
                    messages.append(message)
                    if isinstance(message, AssistantMessage):
                        recorder.runs[0].feed.terminated = "enough"

        with pytest.raises(RunTerminated, match="enough"):
            asyncio.run(run())
        assert "active" not in {span.status for span in recorder.spans()}
        assert len(recorder.spans("claude-agent-sdk:llm")) == 1
    assert isinstance(messages[-1], AssistantMessage), "no message was read after it"
    with pytest.raises(ChildProcessError):
        os.waitpid(int(Path(f"{command}.pid").read_text("utf-8")), os.WNOHANG)


def test_a_tool_does_not_run_if_its_hook_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claude Code is told so: by default, it lets the tool run."""

    async def fail(*_args: object) -> None:
        raise RecursionError

    play = Play([{"calls": [bash()]}, {"text": "ok"}])
    with isolated():
        monkeypatch.setattr("remit.integrations.claude_agent_sdk._Hook.__call__", fail)
        asyncio.run(ask(play))
    assert (play.ran, play.denied) == ([], 1)


def test_a_fault_of_ours_denies_a_tool_and_loses_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Governance fails closed, telemetry open."""

    def fault(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError

    fields = PLAYS["tools"]
    with isolated(on_violation="deny"), guard.counting(guard.Faults()) as faults:
        bare = asyncio.run(ask(Play(**fields, session="s"), governed=query))
        monkeypatch.setattr("remit.integrations.claude_agent_sdk._Conversation._take_answer", fault)
        play = Play(**fields, session="s")
        assert asyncio.run(ask(play)) == bare
        monkeypatch.setattr("remit.integrations.claude_agent_sdk._Conversation._begin_tool", fault)
        denied = Play(**fields)
        governed = govern(query, remits={"claude": DELETES_NOT})
        asyncio.run(ask(denied, governed=governed))
    assert faults.counts
    assert (len(play.ran), denied.ran, denied.denied) == (2, [], 2)
