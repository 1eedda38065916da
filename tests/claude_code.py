"""Plays Claude Code for the Claude Agent SDK: its control protocol, with scripted answers.

In this process as `Process(play)`, a transport of the SDK; as the command that the SDK starts by
this file, with the turns as JSON in `CLAUDE_SCRIPT`. What it sends, and in which order, is what
Claude Code 2.1.332 sent over a model that was replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

MODEL: Final = "claude-sonnet-4-5"
PROMPT_TOKENS: Final = {
    "input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2,
}  # fmt: skip
ANSWER_TOKENS: Final = 5
COST_USD: Final = 0.0025
"""Cost of one model call."""
NUMBERS: Final = count()


def run_built_in(name: str, arguments: Mapping[str, Any]) -> Any:
    """Return the result of a built-in tool; an exception is its failure."""
    if name == "Bash":
        if arguments["command"].startswith("exit"):
            raise ValueError("Exit code 3")
        return {"stdout": arguments["command"], "stderr": "", "interrupted": False}
    return f"{name} has run"


@dataclass
class Play:
    """What is played.

    Attributes:
        turns: The answers of the model: `text`, `thinking`, `calls` (name and arguments), `error`.
        subagents: The answers of the model in subagents, by their type.
        on_model_call: Called with the number of each call, before its answer.
        has_partial_messages: Whether answers are streamed.
        hooks_disabled: Whether the settings of the user disable hooks.
        read: What the model was given as results of tools.
    """

    turns: Sequence[Mapping[str, Any]]
    subagents: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict[str, Any])
    on_model_call: Callable[[int], object] | None = None
    has_partial_messages: bool = False
    hooks_disabled: bool = False
    at_once: bool = False
    session: str = field(default_factory=lambda: f"session-{next(NUMBERS)}")
    read: list[str] = field(default_factory=list[str])
    ran: list[str] = field(default_factory=list[str])
    model_calls: int = 0
    denied: int = 0


class Stopped(Exception):  # noqa: N818 - no error
    """A hook answered `continue: false`."""


class ClaudeCode:
    """One process of Claude Code.

    Attributes:
        send: Sends a message to the SDK.
    """

    def __init__(self, play: Play, send: Callable[[dict[str, Any]], object]) -> None:
        """Wait for messages."""
        self.play, self.send = play, send
        self.hooks: dict[str, list[dict[str, Any]]] = {}
        self.answers: dict[str, asyncio.Future[Any]] = {}
        self.servers: dict[str, asyncio.Future[None]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self.turns = iter(play.turns)
        self.numbers, self.agents, self.calls = count(), count(), count()
        self.prompts: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run in a task."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        return task

    def receive(self, message: dict[str, Any]) -> None:
        """Take a message of the SDK."""
        kind = message["type"]
        if kind == "control_response":
            response = message["response"]
            future = self.answers.pop(response["request_id"])
            if not future.done():
                future.set_result(response)
        elif kind == "control_request":
            request, answer = message["request"], {}
            if request["subtype"] == "initialize":
                self.hooks = {} if self.play.hooks_disabled else request.get("hooks") or {}
                answer = {"commands": [], "hook_on_failure_supported": True}
            response = {"subtype": "success", "request_id": message["request_id"]}
            self.send({"type": "control_response", "response": {**response, "response": answer}})
        else:
            self.prompts.put_nowait(message)

    def close(self) -> None:
        """End, as the input was closed: no request is answered any more."""
        self.prompts.put_nowait(None)
        for future in self.answers.values():
            future.set_exception(EOFError("Stream closed"))

    async def run(self) -> None:
        """Answer prompts until there are no more."""
        while (prompt := await self.prompts.get()) is not None:
            await self.turn(prompt["message"]["content"])

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a control request, and return its response."""
        key = f"request-{next(self.numbers)}"
        self.answers[key] = asyncio.get_running_loop().create_future()
        self.send({"type": "control_request", "request_id": key, "request": request})
        answer: dict[str, Any] = await self.answers[key]
        return answer

    async def hook(self, event: str, call: str | None = None, **data: Any) -> str | None:
        """Call the hooks of an event at once; return why the tool is denied."""
        given = {"hook_event_name": event, "session_id": self.play.session, "cwd": "/",
                 "transcript_path": "", **data}  # fmt: skip
        waiting: list[tuple[Any, Any]] = [
            (matcher, self.ask({"subtype": "hook_callback", "callback_id": each, "input": given,
                                "tool_use_id": call}))
            for matcher in self.hooks.get(event, ())
            for each in matcher["hookCallbackIds"]
        ]  # fmt: skip
        reason: str | None = None
        answers = await asyncio.gather(*(each for _, each in waiting))
        for (matcher, _), answer in zip(waiting, answers, strict=True):
            if answer["subtype"] == "error":
                if matcher.get("onFailure") == "block":
                    reason = f"hook failed: {answer['error']}"
                continue
            output = answer["response"]
            specific = output.get("hookSpecificOutput", {})
            if specific.get("permissionDecision") == "deny":
                reason = specific["permissionDecisionReason"]
            if output.get("continue") is False:
                raise Stopped(reason or output["stopReason"])
        return reason

    async def turn(self, prompt: Any) -> None:
        """Answer one prompt."""
        session, told, number = self.play.session, "", 0
        await self.hook("UserPromptSubmit", prompt=prompt)
        self.send({"type": "system", "subtype": "init", "session_id": session, "model": MODEL,
                   "uuid": "u", "agents": ["claude", "general-purpose", *self.play.subagents],
                   "tools": ["Bash"], "claude_code_version": "2.1.332"})  # fmt: skip
        reason = "completed"
        try:
            told, number = await self.agent(self.turns)
            await self.hook("Stop", stop_hook_active=False, last_assistant_message=told)
        except Stopped:
            reason = "hook_stopped"
        usage = {**{name: tokens * number for name, tokens in PROMPT_TOKENS.items()},
                 "output_tokens": ANSWER_TOKENS * number}  # fmt: skip
        calls = self.play.model_calls
        model = {
            "inputTokens": PROMPT_TOKENS["input_tokens"] * calls,
            "cacheReadInputTokens": PROMPT_TOKENS["cache_read_input_tokens"] * calls,
            "cacheCreationInputTokens": PROMPT_TOKENS["cache_creation_input_tokens"] * calls,
            "outputTokens": ANSWER_TOKENS * calls,
        }
        self.send({"type": "result", "subtype": "success", "duration_ms": 1, "duration_api_ms": 1,
                   "is_error": False, "num_turns": number, "session_id": session, "result": told,
                   "stop_reason": "end_turn", "total_cost_usd": round(COST_USD * calls, 10),
                   "usage": usage, "modelUsage": {MODEL: model},
                   "terminal_reason": reason})  # fmt: skip

    async def agent(
        self, turns: Any, parent: str | None = None, agent: Mapping[str, str] | None = None
    ) -> tuple[str, int]:
        """Call the model until it answers with a text; return that, and how often it was called."""
        for number in count(1):
            index, self.play.model_calls = self.play.model_calls, self.play.model_calls + 1
            if self.play.on_model_call is not None:
                self.play.on_model_call(index)
            turn = next(turns)
            calls = [(f"toolu_{self.play.session}_{next(self.calls)}", name, arguments)
                     for name, arguments in turn.get("calls") or ()]  # fmt: skip
            self.answer(turn, calls, parent)
            run = [self.tool(*call, parent, agent or {}) for call in calls]
            if self.play.at_once:
                await asyncio.gather(*run)
            else:
                for each in run:
                    await each
            if not calls:
                return turn.get("text") or "", number
        raise AssertionError

    def answer(self, turn: Mapping[str, Any], calls: Any, parent: str | None) -> None:
        """Send an answer of the model: one message for each block."""
        key = f"msg_{self.play.session}_{self.play.model_calls}"
        blocks: list[dict[str, Any]] = []
        if "thinking" in turn:
            thinking = turn["thinking"]
            blocks.append({"type": "thinking", "thinking": thinking, "signature": "s"})
        if turn.get("text") is not None:
            blocks.append({"type": "text", "text": turn["text"]})
        blocks += [{"type": "tool_use", "id": call, "name": name, "input": arguments}
                   for call, name, arguments in calls]  # fmt: skip
        usage = {**PROMPT_TOKENS, "output_tokens": 1}  # as the message began
        message: dict[str, Any] = {"id": key, "type": "message", "role": "assistant"}
        message |= {"model": MODEL, "usage": usage, "stop_reason": None}
        common = {"session_id": self.play.session, "parent_tool_use_id": parent, "uuid": key}

        def event(**fields: Any) -> None:
            if self.play.has_partial_messages:
                self.send({"type": "stream_event", "event": fields, **common})

        event(type="message_start", message={**message, "content": []})
        error = {"error": turn["error"]} if "error" in turn else {}
        for block in blocks:
            event(type="content_block_delta", index=0, delta={"type": "text_delta"})
            message["content"] = [block]
            self.send({"type": "assistant", "message": {**message}, **common, **error})
        reason = "tool_use" if calls else "end_turn"
        event(type="message_delta", delta={"stop_reason": reason},
              usage={"output_tokens": ANSWER_TOKENS})  # fmt: skip
        event(type="message_stop")

    async def tool(
        self, call: str, name: str, arguments: dict[str, Any], parent: str | None,
        agent: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Run a tool, between its hooks."""
        data = {"tool_name": name, "tool_input": arguments, "tool_use_id": call, **agent}
        ended: Stopped | None = None
        content: Any = None
        response: Any = None
        is_error = True
        try:
            reason = await self.hook("PreToolUse", call, **data)
        except Stopped as stopped:
            reason, ended = str(stopped), stopped
        if reason is not None:
            self.play.denied += 1
            content = f"PreToolUse:{name} hook error: {reason}"
        else:
            try:
                response, is_error = await self.call(call, name, arguments), False
                content = response if isinstance(response, list) else str(response)
            except ValueError as error:
                content = str(error)
            try:
                if is_error:
                    await self.hook("PostToolUseFailure", call, **data, error=content,
                                    is_interrupt=False)  # fmt: skip
                else:
                    await self.hook("PostToolUse", call, **data, tool_response=response)
            except Stopped as stopped:
                ended = stopped
        self.play.read.append(content if isinstance(content, str) else content[0]["text"])
        block = {"type": "tool_result", "tool_use_id": call, "content": content,
                 "is_error": is_error}  # fmt: skip
        self.send({"type": "user", "message": {"role": "user", "content": [block]},
                   "parent_tool_use_id": parent, "session_id": self.play.session})  # fmt: skip
        if ended is not None:
            raise ended

    async def call(self, call: str, name: str, arguments: dict[str, Any]) -> Any:
        """Return the result of a tool."""
        self.play.ran.append(name)
        if name in {"Agent", "Task"}:
            return await self.subagent(call, arguments)
        if not name.startswith("mcp__"):
            return run_built_in(name, arguments)
        _, server, tool = name.split("__", 2)
        await self.server(server)
        meta = {"claudecode/toolUseId": call}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        result = (await self.mcp(server, "tools/call", params))["result"]
        if result.get("isError"):
            raise ValueError(result["content"][0]["text"])
        return result["content"]

    async def subagent(self, call: str, arguments: dict[str, Any]) -> Any:
        """Run a subagent."""
        kind = arguments["subagent_type"]
        agent = {"agent_id": f"a{next(self.agents)}", "agent_type": kind}
        self.send({"type": "system", "subtype": "task_started", "task_id": agent["agent_id"],
                   "tool_use_id": call, "description": "d", "uuid": "u", "task_type": "local_agent",
                   "session_id": self.play.session})  # fmt: skip
        await self.hook("SubagentStart", **agent)
        told, _ = await self.agent(iter(self.play.subagents[kind]), call, agent)
        await self.hook("SubagentStop", **agent, last_assistant_message=told)
        self.send({"type": "system", "subtype": "task_notification", "task_id": agent["agent_id"],
                   "tool_use_id": call, "status": "completed", "output_file": "", "summary": told,
                   "uuid": "u", "session_id": self.play.session})  # fmt: skip
        return [{"type": "text", "text": told}]

    async def server(self, name: str) -> None:
        """Shake hands with a server of the program, once."""
        if name in self.servers:
            await self.servers[name]
            return
        self.servers[name] = asyncio.get_running_loop().create_future()
        client = {"name": "claude-code", "version": "2.1.332"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        await self.mcp(name, "initialize", params)
        await self.mcp(name, "notifications/initialized", None)
        await self.mcp(name, "tools/list", {})
        self.servers[name].set_result(None)

    async def mcp(self, server: str, method: str, params: Any) -> Any:
        """Send a message to a server of the program, and return the response."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message |= {"id": next(self.numbers), "params": params}
        request = {"subtype": "mcp_message", "server_name": server, "message": message}
        answer = await self.ask(request)
        return answer["response"]["mcp_response"]


class Process:
    """A process of Claude Code in this one, as a `claude_agent_sdk.Transport`."""

    def __init__(self, play: Play) -> None:
        """Prepare the process."""
        self.play = play
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.claude: ClaudeCode | None = None
        self.running: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Start the process."""
        self.claude = ClaudeCode(self.play, self.messages.put_nowait)
        self.running = asyncio.ensure_future(self._run(self.claude))

    async def _run(self, claude: ClaudeCode) -> None:
        try:
            await claude.run()
        except Exception as error:  # noqa: BLE001 - it is told to the reader
            self.messages.put_nowait(error)
        self.messages.put_nowait(None)

    async def write(self, data: str) -> None:
        """Take messages."""
        assert self.claude is not None
        for line in data.splitlines():
            self.claude.receive(json.loads(line))

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages, through JSON as those of a process."""
        while (message := await self.messages.get()) is not None:
            if isinstance(message, Exception):
                raise message
            yield json.loads(json.dumps(message))

    async def close(self) -> None:
        """End the process."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    def is_ready(self) -> bool:
        """Return whether it runs."""
        return self.claude is not None

    async def end_input(self) -> None:
        """End the input."""
        assert self.claude is not None
        self.claude.close()


async def main() -> None:
    """Be the command `claude`."""
    script = json.loads(os.environ["CLAUDE_SCRIPT"])
    play = Play(**script, has_partial_messages="--include-partial-messages" in sys.argv)

    def send(message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    claude, loop = ClaudeCode(play, send), asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(claude.receive, json.loads(line))
        loop.call_soon_threadsafe(claude.close)

    threading.Thread(target=read, daemon=True).start()
    await claude.run()


if __name__ == "__main__":
    Path(f"{sys.argv[0]}.pid").write_text(str(os.getpid()), "utf-8")
    asyncio.run(main())
