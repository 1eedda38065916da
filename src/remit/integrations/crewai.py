"""Records and governs the crews of CrewAI.

A program adds one line, before it makes its crews::

    from remit.integrations.crewai import RemitListener

    RemitListener(risks={"refund": PAYS}, remits={"Clerk": NO_PAYMENTS})

Crews, flows, agents, model calls and tools become spans. A tool that violates the remit is not
called, and the model receives the denial as the tool's result. Outside any run, the outermost crew,
flow or agent opens a run.

CrewAI's hooks start spans on the thread of the step. CrewAI's events, which other threads handle,
add tokens and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, ParamSpec, Self, TypeVar

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
from remit._adapters.spans import Content, ManualSpan, Status
from remit._adapters.tables import SessionTable, SpanTable
from remit._base.guard import guarded, handing_faults_to, logger
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._decorators.agent import AgentRuns
from remit._policy.limits import Ceiling
from remit._record.spans import SpanRecorder
from remit.errors import DeniedError, RunTerminated
from remit.integrations import _llm
from remit.integrations._llm import get, listed
from remit.models.data_risk import DataRisk

PACKAGE: Final = "crewai"
LOWEST: Final = "1.15.10"
"""The earliest tested version. Version 1.15.0 has no hooks for crews and tasks."""
_llm.required(PACKAGE, LOWEST, _llm.installed(PACKAGE))

from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.agent_events import (
    AgentExecutionErrorEvent,
    LiteAgentExecutionCompletedEvent,
    LiteAgentExecutionErrorEvent,
)
from crewai.events.types.llm_events import (
    LLMCallCompletedEvent,
    LLMCallFailedEvent,
    LLMCallStartedEvent,
    LLMThinkingChunkEvent,
)
from crewai.events.types.tool_usage_events import ToolUsageErrorEvent
from crewai.hooks import HookAborted, InterceptionPoint, register_hook, unregister_hook
from crewai.utilities.string_utils import sanitize_tool_name

__all__ = ["RemitListener"]

P = ParamSpec("P")
T = TypeVar("T")

FRAMEWORK: Final = "crewai"
CREW: Final = declare(f"{FRAMEWORK}:crew", "agent", title="Crew")
FLOW: Final = declare(f"{FRAMEWORK}:flow", "agent", title="Flow")
AGENT: Final = declare(f"{FRAMEWORK}:agent", "agent", title="Agent")
MODEL: Final = declare(f"{FRAMEWORK}:llm", "llm", title="Model call")
TOOL: Final = undeclared(f"{FRAMEWORK}:tool", "tool")
"""Step name of a tool that could not be declared, so that it can still be denied."""
AGENTS: Final = declare_agent(f"{FRAMEWORK}.agents:agent", name="agent")
"""Opens the runs of an agent that could not be declared."""

add_to_header(f"remit-crewai@{__version__}")

UNNAMED: Final = "crew"
"""Name of a crew without one."""
HANDLED_S: Final = 1.0
"""Seconds that the end of a step waits for other threads to handle the step's events."""
DELEGATION: Final = "crewai.tools.agent_tools."
"""Package of the tools that ask another agent. The other agent's steps are judged."""
SETTINGS: Final = (
    "temperature", "top_p", "max_tokens", "seed", "stop_sequences", "frequency_penalty",
    "presence_penalty", "n",
)  # fmt: skip
PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
}
"""OpenTelemetry's `gen_ai.provider.name`, by CrewAI's name of the provider."""

_agent: ContextVar[_Agent | None] = ContextVar("remit.crewai.agent", default=None)
_tool: ContextVar[_ToolCall | None] = ContextVar("remit.crewai.tool", default=None)
_execution: ContextVar[_Execution | None] = ContextVar("remit.crewai.execution", default=None)
_direct: ContextVar[_ModelCall | None] = ContextVar("remit.crewai.model", default=None)
"""The current model call, if the program calls a model without an agent."""
_spans: Final[SpanTable[int]] = SpanTable()
"""Is used only to get the current span."""
_runs: Final[SessionTable[int]] = SessionTable()
"""Runs that crews, flows and agents opened, by the `id()` of the opener.

A span that opens its own run would end this run with the exception that the caller is handling.
CrewAI starts flows while it handles an exception.
"""


def _refuse(error: Exception, recorder: SpanRecorder) -> None:
    """Deny a step that could not be judged because of a fault.

    Raises:
        HookAborted: If the setting is `deny`. CrewAI ignores other exceptions from hooks.
    """
    try:
        spans.react_to_fault(error, recorder)
    except DeniedError as denied:
        raise HookAborted(denied.for_model()) from denied


def _closed(recorder: SpanRecorder) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Return a decorator for a hook before a step. A fault in the hook denies the step."""
    return handing_faults_to(partial(_refuse, recorder=recorder), None, passes=(HookAborted,))


class RemitListener:
    """Records all crews, flows and agents of the process and denies tools that violate a remit.

    The listener takes effect when it is created. A second listener replaces the first.
    """

    _active: RemitListener | None = None

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
        """Store the declarations of agents and tools, and register the hooks.

        Args:
            risks: Risk declarations for tools, by the tool's name or by the name that CrewAI makes
                of it for the model. If a tool's function is decorated, the decorator's risk
                declaration is used.
            remits: Remits of agents, crews and flows. A key is an agent's role, a crew's name or a
                flow's class name. Each remit applies to all steps under the agent, crew or flow, in
                addition to the run's remit.
            capture_messages: `new` records the messages that the previous model call did not
                contain, `all` records all messages, and `none` records no messages.
            capture_reasoning: Whether the thoughts that the model reports are recorded.
            agent_id: ID on the server of the agent whose runs this listener opens. It overrides
                *external_identifier* and the setting `agent_id`.
            external_identifier: Identifier by which the server finds that agent.

        Raises:
            DeclarationError: If an argument is wrong.
        """
        self._declared = _Declared(
            risks_by_name(risks, "RemitListener: risks"),
            risks_by_name(remits, "RemitListener: remits", "agents"),
            AgentIdentity.of_caller(
                FRAMEWORK,
                UNNAMED,
                where="RemitListener",
                agent_id=agent_id,
                external_identifier=external_identifier,
            ),
        )
        self._history = _llm.history("RemitListener", capture_messages, capture_reasoning)
        self._thoughts = capture_reasoning
        if RemitListener._active is not None:
            RemitListener._active.close()
        RemitListener._active = self
        for point, hook in self._hooks():
            register_hook(point, hook)
        for event, handler in HANDLERS:
            crewai_event_bus.on(event)(handler)

    def close(self) -> None:
        """Remove the hooks. Later crews are neither recorded nor governed."""
        for point, hook in self._hooks():
            unregister_hook(point, hook)
        for event, handler in HANDLERS:
            crewai_event_bus.off(event, handler)
        if RemitListener._active is self:
            RemitListener._active = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks."""
        self.close()

    def _hooks(self) -> Iterator[tuple[InterceptionPoint, Callable[[Any], Any]]]:
        yield InterceptionPoint.EXECUTION_START, self._start_execution
        yield InterceptionPoint.EXECUTION_END, self._end_execution
        yield InterceptionPoint.PRE_STEP, self._start_task
        yield InterceptionPoint.POST_STEP, self._end_task
        yield InterceptionPoint.PRE_MODEL_CALL, self._start_model
        yield InterceptionPoint.POST_MODEL_CALL, self._end_model
        yield InterceptionPoint.PRE_TOOL_CALL, self._start_tool
        yield InterceptionPoint.POST_TOOL_CALL, self._end_tool

    # Crews and flows

    @_closed(CREW)
    def _start_execution(self, context: Any) -> None:
        """Start the span of a crew or a flow. Outside any run, open a run."""
        _stopping(context, self._open_execution)

    @spans.judging(CREW, None)
    def _open_execution(self, context: Any) -> None:
        crew = context.crew
        owner = context.flow if crew is None else crew
        if _is_agent(owner):
            self._open_agent(owner.agent, {})
            return
        name = str((get(crew, "name") or UNNAMED) if crew is not None else type(owner).__name__)
        runs, ceiling = self._declared.agent(name)
        self._declared.add_tools(*listed(crew, "agents"), *listed(crew, "tasks"))
        inputs = {} if self._history.capture == "none" else dict(context.inputs or {})
        payload = {"agent_name": name, "inputs": inputs}
        parent = _spans.context() or _runs.context(id(owner), runs.open)
        recorder = FLOW if crew is None else CREW
        span = spans.start(recorder, payload, parent=parent, agent=runs, ceiling=ceiling)
        _execution.set(_Execution(span.make_current(), owner, _execution.get()))

    @guarded("the end of a crew")
    def _end_execution(self, context: Any) -> None:
        """End the span of a crew or a flow, and all spans inside it that are still open."""
        error: BaseException | None = context.error
        _catch_up()
        owner = context.flow if context.crew is None else context.crew
        agent = _agent.get()
        if _is_agent(owner):
            if agent is not None and agent.agent is owner.agent:
                agent.answer = get(context.output, "output")
                agent.end(error)
                _agent.set(agent.outer)
                self._declared.check(agent.outer)
            return
        record = _execution.get()
        if record is None or record.owner is not owner:
            return
        output = None if self._history.capture == "none" else get(context.output, "raw")
        record.end(None if output is None else {"outputs": {"output": output}}, error)
        _execution.set(record.outer)
        self._declared.check(record.outer)

    # Agents

    @_closed(AGENT)
    def _start_task(self, context: Any) -> None:
        """Start the span of the agent that performs a task."""
        if context.kind == "task":
            _stopping(context, self._open_task)

    @spans.judging(AGENT, None)
    def _open_task(self, context: Any) -> None:
        text = None if self._history.capture == "none" else str(context.task.description)
        self._open_agent(context.agent, {"prompt": text})

    def _open_agent(self, agent: Any, inputs: dict[str, object]) -> _Agent:
        self._declared.add_tools(agent)
        name = str(get(agent, "role") or "agent").strip()
        runs, ceiling = self._declared.agent(name)
        payload = {"agent_name": name, "inputs": _llm.known_only(**inputs)}
        parent = _spans.context() or _runs.context(id(agent), runs.open)
        span = spans.start(AGENT, payload, parent=parent, agent=runs, ceiling=ceiling)
        keeps_texts = self._history.capture != "none"
        record = _Agent(agent, span.make_current(), _agent.get(), keeps_texts=keeps_texts)
        _agent.set(record)
        execution = _execution.get()
        if execution is not None:
            execution.agents.append(record)
        return record

    @guarded("the end of a task")
    def _end_task(self, context: Any) -> None:
        """End the span of the agent that performed a task."""
        record = _agent.get()
        if context.kind == "task" and record is not None and record.agent is context.agent:
            record.answer = get(context.output, "raw")
            record.end()
            _agent.set(record.outer)

    # Model calls

    @_closed(MODEL)
    def _start_model(self, context: Any) -> None:
        """Start the span of a model call."""
        _stopping(context, self._open_model)

    @spans.judging(MODEL, None)
    def _open_model(self, context: Any) -> None:
        record = _agent.get()
        agent = context.agent
        is_known = record is not None and record.span.is_open and record.agent is agent
        if agent is not None and not is_known:  # started without a task: no hook reports it
            record = self._open_agent(agent, {})
        if record is not None and record.model is not None:
            record.model.end()
        parent = None if record is None else record.span.context
        call = _ModelCall(self._history, parent, context.llm, [*context.messages])
        call.thoughts = [] if self._thoughts else None
        call.span = spans.start(MODEL, call.payload).make_current()
        if record is None:
            _direct.set(call)
        else:
            record.model = call

    @guarded("the end of a model call")
    def _end_model(self, context: Any) -> None:
        """End the span of a model call that returned text."""
        call = _current_model()
        if call is not None:
            call.text = context.response
            call.end()

    # Tools

    @_closed(TOOL)
    def _start_tool(self, context: Any) -> bool | None:
        """Start the span of a tool, or deny the tool. Return False if it must not be called."""
        _end_last_model()
        call = _ToolCall(context.tool_input, _agent.get())
        _tool.set(call)
        try:
            _stopping(context, partial(self._open_tool, call))
        except HookAborted as aborted:
            if not isinstance(aborted.__cause__, DeniedError):
                raise
            call.denial = aborted.__cause__
            return False
        return None

    @spans.judging(TOOL, None)
    def _open_tool(self, call: _ToolCall, context: Any) -> None:
        if context.tool is None:  # a name that the model invented
            return
        recorder, is_decorated = self._declared.tool(context.tool_name, context.tool)
        payload = {"tool_name": context.tool_name, "inputs": dict(context.tool_input)}
        if is_decorated:  # it has a separate span; CrewAI would retry it
            spans.permit(recorder, context.tool_input)
        else:
            call.span = spans.start(recorder, payload).make_current()
        call.denials = spans.collect_denials()

    @guarded("the end of a tool")
    def _end_tool(self, context: Any) -> str | None:
        """End the span of a tool. If a denial is returned, the model receives it as the result."""
        call = _tool.get()
        if call is None or call.arguments is not context.tool_input:
            return None
        if call.denial is not None:
            return call.denial.for_model()
        _agent.set(call.agent)
        _catch_up()
        result = context.raw_tool_result
        text = str(context.tool_result)
        denied = next((each for each in call.denials if str(each) in text), None)
        error = denied or call.error
        call.span.end({"outputs": {"output": result}}, error=error)
        return None if denied is None else denied.for_model()


def _is_agent(owner: object) -> bool:
    """Return whether a flow is CrewAI's internal flow, which runs an agent without a crew."""
    of_framework = type(owner).__module__.startswith("crewai.")
    return of_framework and get(owner, "agent") is not None


def _stopping(context: Any, start: Callable[[Any], object]) -> None:
    """Call *start*. If the run is terminated, end all spans, because no hook is called after it.

    Raises:
        RunTerminated: If the run was terminated.
        HookAborted: If the step is denied. Also if the run was terminated and the task has its own
            thread, because the waiting thread receives only subclasses of `Exception`. CrewAI
            ignores other exceptions from hooks.
    """
    try:
        start(context)
    except DeniedError as denied:
        raise HookAborted(denied.for_model()) from denied
    except RunTerminated as terminated:
        _end_all(terminated)
        if get(get(context, "task"), "async_execution"):
            raise HookAborted(str(terminated)) from terminated
        raise


@guarded("the end of a terminated crew")
def _end_all(error: BaseException) -> None:
    tool, agent, execution = _tool.get(), _agent.get(), _execution.get()
    if tool is not None:
        tool.span.end(error=error)
    while agent is not None:
        agent.end(error)
        agent = agent.outer
    while execution is not None:
        execution.end(error=error)
        execution = execution.outer


@guarded("the events of a step")
def _catch_up() -> None:
    """Wait until other threads have handled all events emitted so far."""
    crewai_event_bus.flush(timeout=HANDLED_S)


class _Execution:
    """A crew or a flow that has a span.

    Attributes:
        agents: The agents that it started.
    """

    def __init__(self, span: ManualSpan, owner: object, outer: _Execution | None) -> None:
        self.span, self.owner, self.outer = span, owner, outer
        self.agents: list[_Agent] = []

    def end(self, result: Content | None = None, error: BaseException | None = None) -> None:
        """End the span, the open spans of its agents, and the run that it opened."""
        for agent in reversed(self.agents):
            agent.end(error)
        self.span.end(result, error=error, status=None if error else "complete")
        _runs.end(id(self.owner), error)


class _Agent:
    """An agent that has a span.

    Attributes:
        model: Its last model call.
        answer: The result of its task.
    """

    def __init__(
        self, agent: object, span: ManualSpan, outer: _Agent | None, *, keeps_texts: bool
    ) -> None:
        self.agent, self.span, self.outer = agent, span, outer
        self._keeps_texts = keeps_texts
        self.model: _ModelCall | None = None
        self.answer: object = None

    def end(self, error: BaseException | None = None) -> None:
        """End the spans of the agent and its model call, if they are open."""
        if self.model is not None:
            self.model.end(error)
        outputs = {"output": self.answer} if self._keeps_texts and self.answer is not None else None
        result = None if outputs is None else {"outputs": outputs}
        self.span.end(result, error=error, status=None if error else "complete")
        _runs.end(id(self.agent), error)


class _ToolCall:
    """One call of a tool.

    Attributes:
        agent: The agent that calls it.
        denial: The reason why the tool was not called.
        denials: Denials of steps inside the tool.
        error: The error that an event reported.
    """

    def __init__(self, arguments: object, agent: _Agent | None) -> None:
        self.arguments, self.agent = arguments, agent
        self.span = ManualSpan()
        self.denial: DeniedError | None = None
        self.denials: list[DeniedError] = []
        self.error: BaseException | None = None


class _ModelCall:
    """One model call and the data from its events.

    Attributes:
        text: The response, if it is text.
        thoughts: Numbered parts of the thoughts, or None if thoughts are not recorded.
    """

    def __init__(self, history: _llm.History, parent: Any, llm: Any, messages: list[Any]) -> None:
        self._history, self._parent, self._llm = history, parent, llm
        self._messages, self._omitted = history.new(parent, list(_read(messages)))
        self.span = ManualSpan()
        self.text: object = None
        self.started: Any = None
        self.completed: Any = None
        self.failed: str | None = None
        self.thoughts: list[tuple[int, str]] | None = None

    def payload(self) -> dict[str, object]:
        """Return the payload. Settings and tools are included after the start event is handled."""
        event = self.started
        settings = {} if event is None else {name: get(event, name) for name in SETTINGS}
        functions = [get(tool, "function") or tool for tool in listed(event, "tools")]
        tools = _llm.described((get(each, "name"), get(each, "description")) for each in functions)
        return _llm.payload(
            "chat",
            _provider(self._llm),
            get(self._llm, "model") or None,
            self._messages,
            omitted=self._omitted,
            tools=tools,
            settings=_llm.known_only(**settings),
            stream=get(event, "stream"),
        )

    def end(self, error: BaseException | None = None) -> None:
        """End the span, if it is open."""
        if not self.span.is_open:
            return
        _catch_up()
        self.span.describe(self.payload)
        ended = get(self.completed, "timestamp")
        ended_ns = None if ended is None else ended.timestamp() * 1e9
        status: Status | None = None
        if error is None and self.completed is None and self.failed is not None:
            status = "failed"
        self.span.end(self._result, error=error, status=status, ended_ns=ended_ns)

    def _result(self) -> dict[str, object]:
        event = self.completed
        response = self.text if event is None else event.response
        messages = self._history.answered(self._parent, [*_answered(response)])
        if self.thoughts and messages:
            text = "".join(chunk for _, chunk in sorted(self.thoughts))
            parts: list[object] = [{"type": "reasoning", "text": text}]
            if messages[0]["content"]:
                parts.append(messages[0]["content"])
            messages = [{**messages[0], "content": _llm.text_or_parts(parts)}]
        return _llm.result(
            messages,
            [get(event, "finish_reason")],
            tokens=_tokens(get(event, "usage")),
            response_id=get(event, "response_id"),
        )


@guarded("the end of a model call")
def _end_last_model() -> None:
    """End the model call that requested a tool, because no hook is called after it."""
    call = _current_model()
    if call is not None:
        call.end()


def _current_model() -> _ModelCall | None:
    agent = _agent.get()
    return _direct.get() if agent is None else agent.model


# Events: other threads handle them in a copy of the step's context


@guarded("an event of a model call")
def _on_model_started(_source: Any, event: Any) -> None:
    call = _current_model()
    if call is not None:
        call.started = event


@guarded("an event of a model call")
def _on_model_completed(_source: Any, event: Any) -> None:
    call = _current_model()
    if call is not None:
        call.completed = event


@guarded("an event of a model call")
def _on_model_failed(_source: Any, event: Any) -> None:
    call = _current_model()
    if call is not None:
        call.failed = str(event.error)


@guarded("an event of a model call")
def _on_thought(_source: Any, event: Any) -> None:
    call = _current_model()
    if call is not None and call.thoughts is not None:
        call.thoughts.append((event.emission_sequence, event.chunk))


@guarded("an event of a tool")
def _on_tool_error(_source: Any, event: Any) -> None:
    call, error = _tool.get(), event.error
    if call is not None:
        call.error = error if isinstance(error, BaseException) else RuntimeError(str(error))


@guarded("an event of an agent")
def _on_agent_error(_source: Any, event: Any) -> None:
    agent = _agent.get()
    if agent is not None and agent.model is not None:
        agent.model.failed = str(event.error)


@guarded("an event of an agent")
def _on_lite_completed(_source: Any, event: Any) -> None:
    """End an agent that was started without a task."""
    agent = _agent.get()
    if agent is not None:
        agent.answer = event.output
        agent.end()


@guarded("an event of an agent")
def _on_lite_error(_source: Any, event: Any) -> None:
    agent = _agent.get()
    if agent is not None:
        agent.end(RuntimeError(str(event.error)))


HANDLERS: Final[tuple[tuple[Any, Any], ...]] = (
    (LLMCallStartedEvent, _on_model_started),
    (LLMCallCompletedEvent, _on_model_completed),
    (LLMCallFailedEvent, _on_model_failed),
    (LLMThinkingChunkEvent, _on_thought),
    (ToolUsageErrorEvent, _on_tool_error),
    (AgentExecutionErrorEvent, _on_agent_error),
    (LiteAgentExecutionCompletedEvent, _on_lite_completed),
    (LiteAgentExecutionErrorEvent, _on_lite_error),
)


# Declarations


class _Declared:
    """Declarations of agents and tools."""

    def __init__(
        self, risks: dict[str, DataRisk], remits: dict[str, DataRisk], identity: AgentIdentity
    ) -> None:
        """Store the declarations. *identity* is that of the object that the program made."""
        self._remits, self._identity = remits, identity
        self._risks = {sanitize_tool_name(name): risk for name, risk in risks.items()}
        self._unseen = {sanitize_tool_name(name): name for name in risks}
        """Names in the declarations that no tool has had so far, by the names for the model."""
        self._tools: set[str] = set()
        """The names of tools, as the model uses them."""

    @guarded("the names of tools")
    def add_tools(self, *owners: Any) -> None:
        """Note the tools of agents and tasks."""
        for owner in owners:
            for tool in listed(owner, "tools"):
                self._add_tool(tool.name)

    def _add_tool(self, name: str) -> str:
        """Note a tool, and return its name as the model uses it."""
        name = sanitize_tool_name(name)
        self._tools.add(name)
        self._unseen.pop(name, None)
        return name

    @guarded("the names of tools")
    def check(self, around: object) -> None:
        """Log once which names in *risks* no tool has, if some tools are not declared.

        Args:
            around: The crew, flow or agent around the one that ended: tools may follow there.
        """
        unseen, tools = sorted(self._unseen.values()), sorted(self._tools)
        if around is None and unseen and not self._tools <= self._risks.keys():
            self._unseen.clear()
            logger.warning(
                "RemitListener at %s: risks names %s, which no tool has had so far; the tools are "
                "%s",
                self._identity.place,
                ", ".join(map(describe_value, unseen)),
                ", ".join(tools),
            )

    def agent(self, name: str) -> tuple[AgentRuns, Ceiling | None]:
        """Return the opener of an agent's runs and the agent's limits, even after a fault."""
        return agent_of(self._identity, name, self._remits.get(name), AGENTS)

    @guarded("the declaration of a tool", (TOOL, False))
    def tool(self, name: str, tool: Any) -> tuple[SpanRecorder, bool]:
        """Return the recorder of a tool, and whether it belongs to a decorated function."""
        original = get(tool, "_original_tool")
        functions = (get(original, "func"), get(tool, "func"), get(original, "_run"))
        step = next(filter(None, map(step_of, functions)), None)
        if step is not None:
            return step, True
        risk = self._risks.get(self._add_tool(name))
        no_effect = risk is None and type(original).__module__.startswith(DELEGATION)
        schema = get(tool, "args_schema")
        recorder = declare(
            f"{FRAMEWORK}:tool:{name}",
            "agent" if no_effect else "tool",
            params=None if schema is None else schema.model_json_schema(),
            title=name,
            description=get(original, "description") or None,
            data_risk=risk,
            place=self._identity.place,
        )
        return recorder, False


# Contents


def _read(messages: Iterable[Any]) -> Iterator[_llm.Message]:
    """Yield the messages of a request, in the Chat Completions format."""
    for each in messages:
        calls = [_call(call) for call in listed(each, "tool_calls")]
        content = get(each, "content")
        parts = [_part(part) for part in listed(content)] if isinstance(content, list) else None
        yield _llm.message(
            get(each, "role"),
            content if parts is None else _llm.text_or_parts(parts),
            tool_calls=calls,
            tool_call_id=get(each, "tool_call_id"),
        )


def _part(part: object) -> object:
    text = get(part, "text")
    if isinstance(text, str):
        return text
    image = get(get(part, "image_url"), "url")
    kind = get(part, "type")
    return _llm.media(kind, image) if isinstance(image, str) else {"type": kind}


def _call(call: object) -> dict[str, object]:
    function = get(call, "function") or call
    arguments = get(function, "arguments") or get(function, "input") or get(function, "args")
    return _llm.tool_call(get(call, "id"), get(function, "name"), arguments)


def _answered(response: object) -> Iterator[_llm.Message]:
    """Yield the response, which is text or tool calls."""
    if isinstance(response, list | tuple):
        yield _llm.message("assistant", None, tool_calls=[_call(call) for call in listed(response)])
    elif response is not None:
        yield _llm.message("assistant", response if isinstance(response, str) else str(response))


def _tokens(usage: Any) -> dict[str, object]:
    """Return the token counts. Each provider uses different names for them."""

    def first(*names: str) -> object:
        return next((value for name in names if type(value := get(usage, name)) is int), None)

    return _llm.token_usage(
        first("prompt_tokens", "input_tokens", "prompt_token_count", "inputTokens"),
        first("completion_tokens", "output_tokens", "candidates_token_count", "outputTokens"),
        first("total_tokens", "total_token_count", "totalTokens"),
        cache_read=first("cached_prompt_tokens", "cached_tokens", "cache_read_input_tokens"),
        cache_write=first("cache_creation_tokens", "cache_creation_input_tokens"),
        reasoning=first("reasoning_tokens", "thoughts_token_count"),
    )


def _provider(llm: object) -> str:
    """Return the provider of a model, as in OpenTelemetry's `gen_ai.provider.name`."""
    name = get(llm, "provider")
    known = str(name) if isinstance(name, str) and name else type(llm).__name__
    return PROVIDERS.get(known, known)
