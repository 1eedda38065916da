"""Records and governs the agents of the Google Agent Development Kit.

A program adds a plugin to its app::

    from remit.integrations.google_adk import RemitPlugin

    app = App(name="shop", root_agent=agent, plugins=[RemitPlugin(risks={"pay": PAYS})])

Agents, model calls and tools become spans. A tool that violates the remit is not called, and the
model receives the denial as the tool's result. Outside any run, the outermost agent opens a run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, cast

from remit._adapters import spans
from remit._adapters.declare import (
    AgentIdentity,
    add_to_header,
    agent_of,
    declare,
    declare_agent,
    risks_by_name,
    step_of,
    undeclared,
)
from remit._adapters.spans import ManualSpan, Status
from remit._adapters.tables import SessionTable, SpanTable
from remit._base.guard import guarded
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._decorators.agent import AgentRuns
from remit._policy.limits import Ceiling
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError, DeniedError, SettingsError, UsageError
from remit.integrations import _llm
from remit.integrations._llm import get, listed
from remit.models.data_risk import DataRisk

PACKAGE: Final = "google-adk"
LOWEST: Final = "2.5"
"""The earliest tested version. Version 2.0 does not report the end of an invocation."""
_llm.required(PACKAGE, LOWEST, _llm.installed(PACKAGE))

from google.adk.agents import BaseAgent
from google.adk.plugins import BasePlugin
from google.adk.tools import AgentTool, BaseTool, FunctionTool
from google.adk.tools.base_toolset import BaseToolset

__all__ = ["RemitPlugin"]

FRAMEWORK: Final = "google-adk"
WORKFLOW: Final = declare(f"{FRAMEWORK}:workflow", "agent", title="Workflow")
AGENT: Final = declare(f"{FRAMEWORK}:agent", "agent", title="Agent")
MODEL: Final = declare(f"{FRAMEWORK}:llm", "llm", title="Model call")
TOOL: Final = undeclared(f"{FRAMEWORK}:tool", "tool")
"""Step name of a tool that could not be declared, so that it can still be denied."""
AGENTS: Final = declare_agent(f"{FRAMEWORK}.agents:agent", name="agent")
"""Opens the runs of an agent that could not be declared."""

add_to_header(f"remit-google-adk@{__version__}")

PASSED: Final = (DeniedError, SettingsError, UsageError)
"""Exceptions that opening a run can raise."""
CONTROLS: Final = frozenset({"exit_loop", "finish_task", "set_model_response", "transfer_to_agent"})
"""Framework tools that have no effect: they only choose the next action of an agent."""
SETTINGS: Final = (
    "temperature", "top_p", "top_k", "max_output_tokens", "stop_sequences", "presence_penalty",
    "frequency_penalty", "seed", "candidate_count", "response_mime_type",
)  # fmt: skip
MADE_BY_FRAMEWORK: Final = "adk-"
"""Prefix of a tool call's ID if the model did not provide an ID."""
PROVIDERS: Final = {"AnthropicLlm": "anthropic", "Claude": "gcp.vertex_ai", "Gemini": "gcp.gemini"}
"""OpenTelemetry's `gen_ai.provider.name`, by the class of the model."""

_agent: ContextVar[_Agent | None] = ContextVar("remit.google_adk.agent", default=None)
_model: ContextVar[_ModelCall | None] = ContextVar("remit.google_adk.model", default=None)
_tools: Final[SpanTable[int]] = SpanTable()
"""Spans of tools, by the `id()` of the context of the tool call."""
_workflows: Final[SpanTable[str]] = SpanTable()
"""Spans of workflows, by invocation ID."""
_runs: Final[SessionTable[str]] = SessionTable()
"""Runs that invocations opened, by invocation ID. Agents that transfer to each other share a run.
"""


class RemitPlugin(BasePlugin):
    """Records the agents of a runner and denies tools that violate a remit.

    Add it before other plugins. If an earlier plugin returns the result of a call, later plugins do
    not see the call.
    """

    def __init__(
        self,
        *,
        risks: Mapping[str, DataRisk] | None = None,
        remits: Mapping[str, DataRisk] | None = None,
        capture_messages: _llm.CaptureMessages = "new",
        capture_reasoning: bool = False,
        agent_id: str | None = None,
        external_identifier: str | None = None,
    ) -> None:
        """Store the declarations of the runner's agents and tools.

        Args:
            risks: Risk declarations for tools, by the name that the model uses. If a tool's
                function is decorated, the decorator's risk declaration is used.
            remits: Remits of agents, by name, in addition to the run's remit. Each applies to all
                steps under the agent.
            capture_messages: `new` records the messages that the previous model call did not
                contain, `all` records all messages, and `none` records no messages.
            capture_reasoning: Whether the model's thoughts are recorded.
            agent_id: ID on the server of the agent whose runs this plugin opens. It overrides
                *external_identifier* and the setting `agent_id`.
            external_identifier: Identifier by which the server finds that agent.

        Raises:
            DeclarationError: If an argument is wrong. If a name in *risks* or *remits* is not a
                tool or an agent, the first run raises a `RuntimeError` with this error as its
                cause.
        """
        super().__init__(name="remit")
        self._declared = _Declared(
            risks_by_name(risks, "RemitPlugin: risks"),
            risks_by_name(remits, "RemitPlugin: remits", "agents"),
            AgentIdentity.of_caller(
                FRAMEWORK,
                where="RemitPlugin",
                agent_id=agent_id,
                external_identifier=external_identifier,
            ),
        )
        history = _llm.history("RemitPlugin", capture_messages, capture_reasoning)
        self._read = _Reader(history, thoughts=capture_reasoning)

    # Runs

    async def before_run_callback(self, *, invocation_context: Any) -> None:
        """Declare the tools and agents, and start the span of a workflow.

        Raises:
            DeclarationError: If a name in `risks` or `remits` is unknown.
            RunTerminated: If the run was terminated.
        """
        root = invocation_context.agent
        if isinstance(root, BaseAgent):
            self._declared.check(self._declared.add(root), nested=_agent.get() is not None)
        else:
            self._start_workflow(invocation_context)

    @spans.judging(WORKFLOW, None)
    def _start_workflow(self, invocation_context: Any) -> None:
        key, name = str(invocation_context.invocation_id), str(invocation_context.app_name)
        runs, ceiling = self._declared.agent(name)
        payload = partial(self._read.prompt, invocation_context.user_content)
        options: Any = {"agent": runs, "ceiling": ceiling, "current": True}
        _workflows.start(key, WORKFLOW, payload, **options)
        _watch_reader(key)

    async def on_event_callback(self, *, invocation_context: Any, **_: Any) -> None:
        """Restore the context of the program that reads a workflow's events."""
        span = _workflows.get(str(invocation_context.invocation_id))
        if span is not None:
            span.make_previous_current()

    async def after_run_callback(self, *, invocation_context: Any) -> None:
        """End a workflow and the run that the invocation opened."""
        _end_run(str(invocation_context.invocation_id))

    async def on_run_error_callback(self, *, invocation_context: Any, error: Exception) -> None:
        """End a failed workflow and the run that the invocation opened."""
        _end_run(str(invocation_context.invocation_id), error)

    # Agents

    async def before_agent_callback(self, *, agent: Any, callback_context: Any) -> None:
        """Start the span of an agent. Outside any run, open a run for the invocation.

        Raises:
            RunTerminated: If the run was terminated.
            DeniedError: If no run could be opened. Without a run, the remit would not apply.
        """
        _end_model()
        self._start_agent(agent, callback_context)

    @spans.judging(AGENT, None, passes=PASSED)
    def _start_agent(self, agent: Any, context: Any) -> None:
        key = str(context.invocation_id)
        runs, ceiling = self._declared.agent(agent.name)
        of_root, _ = self._declared.agent(agent.root_agent.name)
        parent = _tools.context() or _runs.context(key, of_root.open)
        payload = partial(self._read.agent, agent, context)
        span = spans.start(AGENT, payload, parent=parent, agent=runs, ceiling=ceiling)
        record = _Agent(agent, span.make_current(), _agent.get(), key)
        _agent.set(record)
        _at_end_of_task(record.settle)

    async def after_agent_callback(self, *, agent: Any, **_: Any) -> None:
        """End the span of an agent."""
        _end_agent(agent)

    async def on_agent_error_callback(self, *, agent: Any, error: Exception, **_: Any) -> None:
        """End the span of a failed agent."""
        _end_agent(agent, error)

    # Model calls

    async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> None:
        """Start the span of a model call.

        Raises:
            RunTerminated: If the run was terminated.
        """
        _end_model()
        self._start_model(callback_context, llm_request)

    @spans.judging(MODEL, None)
    def _start_model(self, context: Any, request: Any) -> None:
        call = _ModelCall(self._read)
        payload = partial(self._read.request, context, request, call.parent)
        call.span = spans.start(MODEL, payload).make_current()
        _model.set(call)
        if _agent.get() is None:
            _at_end_of_task(call.settle)

    async def after_model_callback(self, *, llm_response: Any, **_: Any) -> None:
        """Read a response, or a part of a streamed response."""
        call = _model.get()
        if call is not None:
            call.add(llm_response)

    async def on_model_error_callback(self, *, error: Exception, **_: Any) -> None:
        """End the span of a failed model call."""
        _end_model(error)

    # Tools

    async def before_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any
    ) -> dict[str, Any] | None:
        """Start the span of a tool, or return a denial, which the model receives.

        Raises:
            RunTerminated: If the run was terminated.
        """
        _end_model()
        try:
            recorder = self._recorder(tool)
            if recorder is not None:
                payload = partial(_called, tool, tool_args, tool_context)
                admission = await spans.ask(recorder, payload)
                self._start_tool(recorder, payload, tool_context, admission)
        except DeniedError as denial:
            return _answer_of(denial)
        return None

    @spans.judging(TOOL, None)
    def _recorder(self, tool: Any) -> SpanRecorder | None:
        """Return the recorder of a tool; None if the tool records itself, or will not be called.

        The ADK represents a tool whose name the model invented by an instance of the base class.
        """
        return None if type(tool) is BaseTool else self._declared.tool(tool)

    @spans.judging(TOOL, None)
    def _start_tool(
        self,
        recorder: SpanRecorder,
        payload: spans.Content,
        context: Any,
        admission: spans.Admission | None,
    ) -> None:
        key = id(context)
        span = _tools.start(key, recorder, payload, current=True, admission=admission)
        _at_end_of_task(partial(_settle, span, context))

    async def after_tool_callback(self, *, tool_context: Any, result: object, **_: Any) -> None:
        """End the span of a tool, as cancelled if the tool waits for a person."""
        _end_tool(tool_context, result)

    async def on_tool_error_callback(
        self, *, tool_context: Any, error: BaseException, **_: Any
    ) -> dict[str, Any] | None:
        """End the span of a failed tool. Return the denial of a step inside the tool, if any."""
        _tools.end(id(tool_context), error=error)
        return _answer_of(error) if isinstance(error, DeniedError) else None


def _called(tool: Any, arguments: dict[str, Any], context: Any) -> dict[str, object]:
    """Return the payload of a tool."""
    return {"tool_name": tool.name, "call_id": context.function_call_id, "inputs": arguments}


def _answer_of(denial: DeniedError) -> dict[str, Any]:
    return {"error": denial.for_model()}


@guarded("the end of a tool")
def _end_tool(context: Any, result: object) -> None:
    """End the span of a tool, as cancelled if it asked for a confirmation or credentials."""
    actions, call_id = context.actions, context.function_call_id
    asked = {*actions.requested_tool_confirmations, *actions.requested_auth_configs}
    status: Status | None = "cancelled" if call_id in asked else None
    _tools.end(id(context), {"outputs": {"output": result}}, status=status)


@guarded("the end of a task of the framework")
def _at_end_of_task(settle: Any) -> None:
    """Call *settle* when the current task ends, because some steps end without a callback."""
    task = asyncio.current_task()
    if task is not None:
        task.add_done_callback(settle)


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return the error that ended a task, which can be its cancellation."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


def _settle(span: ManualSpan, _kept: object, task: asyncio.Task[Any]) -> None:
    """End a span if it is open. *_kept* keeps an object alive so that its `id()` is not reused."""
    if span.is_open:
        span.end(error=_error_of(task))


@guarded("the end of a run")
def _end_run(key: str, error: BaseException | None = None) -> None:
    """End the workflow of an invocation and the run that the invocation opened."""
    task, settle = _readers.pop(key, (None, None))
    if task is not None and settle is not None:
        task.remove_done_callback(settle)  # the task can live as long as the program
    _workflows.end(key, error=error)
    _runs.end(key, error)


@guarded("the start of a workflow")
def _watch_reader(key: str) -> None:
    """End a workflow when the task that reads its events ends. No callback reports cancellation."""
    task = asyncio.current_task()
    if task is not None:

        def settle(task: asyncio.Task[Any]) -> None:
            _end_run(key, _error_of(task))

        _readers[key] = task, settle
        task.add_done_callback(settle)


_readers: Final[dict[str, tuple[asyncio.Task[Any], Any]]] = {}
"""The task that reads a workflow's events, and the task's callback, by invocation ID."""


class _Agent:
    """One invocation of an agent that has a span.

    Attributes:
        outer: The parent agent, in the same task or in the task that created it.
        key: The runner's invocation ID.
        answer: The text of the model's last response.
    """

    def __init__(self, agent: object, span: ManualSpan, outer: _Agent | None, key: str) -> None:
        self.agent, self.span, self.outer, self.key = agent, span, outer, key
        self.model: _ModelCall | None = None
        self.answer: object = None

    def end(self, error: BaseException | None = None) -> None:
        """End the span with the response. If an outermost agent is cancelled, also end its run."""
        outputs = _llm.known_only(output=self.answer)
        handled = error or sys.exception()
        self.span.end({"outputs": outputs} if outputs else None, error=error)
        if self.outer is None and isinstance(handled, asyncio.CancelledError):
            _runs.end(self.key, handled)

    def settle(self, task: asyncio.Task[Any]) -> None:
        """End the spans that are still open when the agent's task ends."""
        if self.model is not None:
            self.model.settle(task)
        _settle(self.span, None, task)
        error = _error_of(task)
        if self.outer is None and error is not None:
            _runs.end(self.key, error)


@guarded("the end of an agent")
def _end_agent(agent: object, error: BaseException | None = None) -> None:
    """End the innermost span of *agent*, and all spans inside it that are still open."""
    _end_model(None if isinstance(error, DeniedError) else error)
    record = innermost = _agent.get()
    while record is not None and record.agent is not agent:
        record = record.outer
    if record is None or innermost is None:
        return
    while innermost is not record:
        innermost.end(error)
        innermost = cast("_Agent", innermost.outer)
    record.end(error)
    _agent.set(record.outer)


class _ModelCall:
    """One model call: its span and the data received so far.

    Attributes:
        parent: The context in which the call started.
    """

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        self._agent = _agent.get()
        self.parent = None if self._agent is None else self._agent.span.context
        self.span = ManualSpan()
        self._texts: list[str] = []
        self._answer: Any = None
        self._ended_ns: int | None = None
        self._started_s = time.perf_counter()
        self._first_token_ms: float | None = None
        if self._agent is not None:
            self._agent.model = self

    @guarded("the answer of a model")
    def add(self, response: Any) -> None:
        """Read a response or a part of a stream. A stream's last part contains the whole text."""
        if get(response, "partial"):
            if self._first_token_ms is None:
                elapsed_s = time.perf_counter() - self._started_s
                self._first_token_ms = round(elapsed_s * 1000, 3)
            parts = listed(get(response, "content"), "parts")
            self._texts += [text for part in parts if isinstance(text := _text(part), str)]
            return
        self._answer, self._ended_ns = response, time.time_ns()
        if self._agent is not None:
            self._agent.answer = self._reader.output(response)
        self.span.make_previous_current()

    def end(self, error: BaseException | None = None) -> None:
        """End the span with the response. Without a response, end it as cancelled."""
        if error is not None:
            self.span.end(self._so_far, error=error)
        elif self._answer is None:
            self.span.end(self._so_far, status="cancelled")
        else:
            self.span.end(self._result, ended_ns=self._ended_ns, status="complete")

    def settle(self, task: asyncio.Task[Any]) -> None:
        """End the span if it is still open when its task ends."""
        self.end(None if self._answer is not None else _error_of(task))

    def _result(self) -> dict[str, object]:
        return self._reader.result(self._answer, self.parent, self._first_token_ms)

    def _so_far(self) -> dict[str, object]:
        return self._reader.partial_result("".join(self._texts))


@guarded("the end of a model call")
def _end_model(error: BaseException | None = None) -> None:
    """End the current task's model call, if any. The ADK has no callback for this."""
    call = _model.get()
    if call is not None:
        call.end(error)
        _model.set(None)


# Declarations


class _Declared:
    """Declarations of the agents and tools of a runner."""

    def __init__(
        self, risks: dict[str, DataRisk], remits: dict[str, DataRisk], identity: AgentIdentity
    ) -> None:
        """Store the declarations. *identity* is that of the object that the program made."""
        self._risks, self._remits, self._identity = risks, remits, identity
        self._checked = False

    @guarded("the declaration of tools", None)
    def add(self, root: BaseAgent) -> tuple[set[str], set[str]] | None:
        """Declare the tools below an agent. Return the names of all agents and tools, if known."""
        agents: set[str] = set()
        tools: set[str] = set()
        all_known = True
        for agent in _agents_below(root):
            agents.add(agent.name)
            tools.update((agent.name, *CONTROLS))
            for tool in _tools_of(agent):
                if tool is None:
                    all_known = False
                else:
                    tools.add(tool.name)
                    self.tool(tool)
        return (agents, tools) if all_known else None

    def check(self, names: tuple[set[str], set[str]] | None, *, nested: bool) -> None:
        """Check once that `remits` and `risks` name agents and tools, if all of these are known.

        Raises:
            DeclarationError: If a name does not match an agent or a tool.
        """
        if self._checked or nested or names is None:
            return
        for argument, what, given, known in (
            ("remits", "agents", self._remits, names[0]),
            ("risks", "tools", self._risks, names[1]),
        ):
            unknown = sorted(given.keys() - known)
            if unknown:
                raise DeclarationError(
                    f"RemitPlugin at {self._identity.place}: {argument} names "
                    f"{', '.join(map(describe_value, unknown))}; expected names of {what}, which "
                    f"are {', '.join(sorted(known - CONTROLS))}"
                )
        self._checked = True

    def agent(self, name: str) -> tuple[AgentRuns, Ceiling | None]:
        """Return the opener of an agent's runs and the agent's limits, even after a fault."""
        return agent_of(self._identity, name, self._remits.get(name), AGENTS)

    @guarded("the declaration of a tool", TOOL)
    def tool(self, tool: BaseTool) -> SpanRecorder | None:
        """Return the recorder of a tool, or None if the tool's function is decorated."""
        if step_of(get(tool, "func")) is not None:
            return None
        risk = self._risks.get(tool.name)
        return declare(
            f"{FRAMEWORK}:tool:{tool.name}",
            "agent" if risk is None and _has_no_effect(tool) else "tool",
            params=_schema(tool),
            title=tool.name,
            description=tool.description or None,
            data_risk=risk,
            place=self._identity.place,
        )


def _agents_below(root: BaseAgent) -> Iterator[Any]:
    """Yield an agent and all agents below it, including agents that are tools."""
    waiting: list[Any] = [root]
    seen: set[int] = set()
    while waiting:
        agent = waiting.pop()
        if id(agent) in seen:
            continue
        seen.add(id(agent))
        yield agent
        waiting += agent.sub_agents
        waiting += [tool.agent for tool in listed(agent, "tools") if isinstance(tool, AgentTool)]


def _tools_of(agent: Any) -> Iterator[BaseTool | None]:
    """Yield the tools of an agent, or None for a tool that is not known before a model call."""
    for item in listed(agent, "tools"):
        if isinstance(item, BaseTool):
            yield item
        elif callable(item) and not isinstance(item, BaseToolset):
            yield FunctionTool(item)
        else:
            yield None


def _has_no_effect(tool: BaseTool) -> bool:
    """Return whether a tool only chooses an agent's next action. The agent's steps are judged."""
    if isinstance(tool, AgentTool):
        return bool(tool.include_plugins)
    source: Any = get(tool, "func") or type(tool)
    return tool.name in CONTROLS and str(source.__module__).startswith("google.adk.")


@guarded("the schema of a tool")
def _schema(tool: BaseTool) -> dict[str, Any] | None:
    """Return the JSON Schema of a tool's arguments."""
    declaration = tool._get_declaration()  # noqa: SLF001 - the method that each tool overrides
    schema = get(declaration, "parameters_json_schema")
    if schema is None and (parameters := get(declaration, "parameters")) is not None:
        schema = parameters.json_schema.model_dump(mode="json", by_alias=True, exclude_none=True)
    return cast("dict[str, Any] | None", schema)


# Contents


class _Reader:
    """Converts model requests and responses to payloads and results."""

    def __init__(self, history: _llm.History, *, thoughts: bool) -> None:
        self._history, self._thoughts = history, thoughts

    def prompt(self, content: object) -> dict[str, object]:
        """Return `inputs` with the user's message."""
        text = None if self._history.capture == "none" else self._content(content)
        return {"inputs": _llm.known_only(prompt=text)}

    def agent(self, agent: Any, context: Any) -> dict[str, object]:
        """Return the payload of an agent."""
        return {"agent_name": agent.name, **self.prompt(context.user_content)}

    def output(self, response: Any) -> object:
        """Return the text of a response."""
        return None if self._history.capture == "none" else self._content(get(response, "content"))

    def request(self, context: Any, request: Any, parent: Any) -> dict[str, object]:
        """Return the payload of a model call."""
        config = request.config
        messages, omitted = self._history.new(parent, list(self._messages(request.contents)))
        system = get(config, "system_instruction")
        return _llm.payload(
            "chat",
            _provider(_model_of(context)),
            request.model or None,
            messages,
            omitted=omitted,
            system=None if self._history.capture == "none" else self._system(system),
            tools=_llm.described(_functions(get(config, "tools"))),
            settings=_llm.known_only(**{name: get(config, name) for name in SETTINGS}),
        )

    def result(
        self, response: Any, parent: Any, first_token_ms: float | None = None
    ) -> dict[str, object]:
        """Return the result of a model call."""
        messages = list(self._messages([response.content]))
        # Requests do not contain the IDs that the framework generated, so IDs are not compared.
        if not self._history.answered(parent, list(map(_without_ids, messages))):
            messages = []
        reason = response.finish_reason or response.error_code
        return _llm.result(
            messages,
            [getattr(reason, "value", reason)],
            tokens=_tokens(response.usage_metadata),
            response_model=response.model_version,
            response_id=get(response, "interaction_id"),
            first_token_ms=first_token_ms,
        )

    def partial_result(self, text: str) -> dict[str, object]:
        """Return the received part of an abandoned stream."""
        shown = text and self._history.capture != "none"
        return _llm.result([_llm.message("assistant", text)]) if shown else {}

    def _messages(self, contents: Iterable[Any]) -> Iterator[_llm.Message]:
        """Yield the messages of *contents*. Each tool result is a separate message."""
        for content in contents:
            parts = listed(content, "parts")
            for part in parts:
                response = get(part, "function_response")
                if response is not None:
                    yield _llm.message("tool", _told(response), tool_call_id=get(response, "id"))
            calls = [
                _llm.tool_call(get(call, "id"), get(call, "name"), get(call, "args"))
                for part in parts
                if (call := get(part, "function_call")) is not None
            ]
            text = self._content(content)
            if text is not None or calls:
                role = "assistant" if get(content, "role") == "model" else "user"
                yield _llm.message(role, text, tool_calls=calls)

    def _content(self, content: object) -> object:
        """Return the text of a content, or its parts if some are not text."""
        parts = [item for part in listed(content, "parts") for item in self._items(part)]
        return _llm.text_or_parts(parts)

    def _items(self, part: object) -> Iterator[object]:
        text = get(part, "text")
        if text and get(part, "thought"):
            if self._thoughts:
                yield {"type": "reasoning", "text": text}
        elif text:
            yield text
        else:
            yield from _media(part)

    def _system(self, value: object) -> object:
        if isinstance(value, list | tuple):
            texts = [self._system(item) for item in cast("list[object]", value)]
            return "\n".join(str(text) for text in texts if text) or None
        if value is None or isinstance(value, str):
            return value or None
        return get(value, "text") or self._content(value)


def _without_ids(message: _llm.Message) -> _llm.Message:
    """Return a message without the IDs that the framework generated for its calls."""
    calls = [
        {**call, "id": None} if str(call["id"]).startswith(MADE_BY_FRAMEWORK) else call
        for call in listed(message, "tool_calls")
    ]
    return {**message, "tool_calls": calls} if calls else message


def _text(part: object) -> object:
    """Return the text of a part, or None for a thought."""
    return None if get(part, "thought") else get(part, "text")


def _media(part: object) -> Iterator[object]:
    """Yield the record of an image, a file or code in a part."""
    inline, file = get(part, "inline_data"), get(part, "file_data")
    code, output = get(part, "executable_code"), get(part, "code_execution_result")
    if inline is not None:
        yield _llm.media(get(inline, "mime_type"), get(inline, "data") or b"")
    elif file is not None:
        yield _llm.known_only(type=get(file, "mime_type"), url=get(file, "file_uri"))
    elif code is not None:
        yield {"type": "executable_code", "text": get(code, "code")}
    elif output is not None:
        yield {"type": "code_execution_result", "text": get(output, "output")}


def _told(response: object) -> str:
    """Return a tool's result as text: its only member `result` or `error`, or else its JSON."""
    value: object = get(response, "response")
    if isinstance(value, Mapping) and len(cast("Mapping[str, object]", value)) == 1:
        (only,) = cast("Mapping[str, object]", value).items()
        if only[0] in {"result", "error"} and isinstance(only[1], str):
            return only[1]
    return json.dumps(value, default=str, ensure_ascii=False)


def _functions(tools: object) -> Iterator[tuple[object, Any]]:
    """Yield the name and description of each function that a request offers."""
    for tool in listed(tools):
        for function in listed(tool, "function_declarations"):
            yield get(function, "name"), get(function, "description")


def _tokens(usage: Any) -> dict[str, object]:
    """Return the counts. Thoughts count as output, and tool results count as input."""
    before, total = get(usage, "prompt_token_count"), get(usage, "total_token_count")
    of_tools, thoughts = (
        get(usage, "tool_use_prompt_token_count"),
        get(usage, "thoughts_token_count"),
    )
    after = get(usage, "candidates_token_count")
    if type(before) is int:
        before += of_tools or 0
        # LiteLLM models already include thoughts in the output. The total is the same.
        after = total - before if type(total) is int else after
    cached = get(usage, "cached_content_token_count")
    return _llm.token_usage(before, after, total, cache_read=cached, reasoning=thoughts)


def _model_of(context: Any) -> object:
    """Return the model of the agent that a callback belongs to."""
    agent = get(context.get_invocation_context(), "agent")
    return get(agent, "canonical_model")


def _provider(model: object) -> str:
    """Return the provider of a model, as in OpenTelemetry's `gen_ai.provider.name`."""
    names = [cls.__name__ for cls in type(model).__mro__]
    if "LiteLlm" in names:
        prefix, slash, _ = str(get(model, "model")).partition("/")
        return prefix if slash else "openai"
    known = (PROVIDERS[name] for name in names if name in PROVIDERS)
    return next(known, names[0])
