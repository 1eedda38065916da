"""Records agents of the OpenAI Agents SDK, denies their tools and stops them.

A program adds two lines:

    agents.add_trace_processor(RemitProcessor())  # agents, model calls, hand-overs, guardrails
    agent = govern(agent)  # its tools, and those of the agents that it hands over to

Where runs wait for an approval, a third one: `if result.interruptions: run.leave_open()`. A tool
that an agent asks a person about waits for an approval, if no approver is set.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import sys
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from itertools import islice
from traceback import walk_stack
from typing import Any, ClassVar, Final, Self, TypeVar, cast
from weakref import WeakValueDictionary

from remit._adapters import questions, spans
from remit._adapters.declare import (
    AgentIdentity,
    add_to_header,
    ceiling_of,
    declare,
    declare_agent,
    step_of,
    undeclared,
)
from remit._adapters.spans import Content, ManualSpan, Status
from remit._adapters.tables import MAX_OPEN, SessionTable, SpanTable
from remit._base.guard import guarded, logger
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._decorators.agent import AgentRuns
from remit._policy import asks
from remit._policy.limits import Ceilings
from remit._record import binding
from remit._record.approvals import (
    APPROVED,
    REFUSED,
    ApprovalRequest,
    Approver,
    Outcome,
    Refused,
    Resumed,
    resumed,
)
from remit._record.asking import record_asked
from remit._record.context import open_context
from remit._record.questions import ASKED, HOW
from remit._record.questions import record_asked as record_question
from remit._record.runs import OpenRun, SpanContext
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError, DeniedError, UsageError, Violation
from remit.integrations import _llm
from remit.integrations._llm import get, listed
from remit.integrations._providers import provider_at, provider_named
from remit.integrations._responses import content_of, messages_of
from remit.models.data_risk import DataRisk

PACKAGE: Final = "openai-agents"
LOWEST: Final = "0.20"
"""The first version that hands `RunTerminated` to the reader of a stream; earlier ones wait on."""

try:
    _found: str | None = metadata.version(PACKAGE)
except metadata.PackageNotFoundError:
    _found = None
_llm.required(PACKAGE, LOWEST, _found)

from agents import (
    Agent,
    AgentSpanData,
    ComputerTool,
    FunctionSpanData,
    FunctionTool,
    FunctionToolResult,
    GenerationSpanData,
    GuardrailSpanData,
    Handoff,
    HandoffSpanData,
    ModelBehaviorError,
    RunContextWrapper,
    Span,
    Tool,
    ToolApprovalItem,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    ToolOutputGuardrail,
    ToolOutputGuardrailData,
    Trace,
    TracingProcessor,
    UserError,
    default_tool_error_function,
    get_current_span,
    get_current_trace,
)
from agents.agent_tool_state import get_agent_tool_state_scope, peek_agent_tool_run_result
from agents.tool_context import ToolContext
from agents.tracing.traces import NoOpTrace, ReattachedTrace

from remit.integrations import _openai_tools

TAgent = TypeVar("TAgent", bound=Agent[Any])

FRAMEWORK: Final = "openai-agents"
TOOL_FAILED: Final = default_tool_error_function(cast("Any", None), ValueError())
"""How the text begins that the SDK gives the model in place of a tool's exception."""

add_to_header(f"remit-openai-agents@{__version__}")
AGENT: Final = declare(f"{FRAMEWORK}:agent", "agent", title="Agent")
LLM: Final = declare(f"{FRAMEWORK}:llm", "llm", title="Model call")
TOOL: Final = undeclared(f"{FRAMEWORK}:tool", "tool")
"""Step name of a tool that could not be declared, so that it can still be denied."""
AGENTS: Final = declare_agent(f"{FRAMEWORK}.agents:agent", name="agent")
"""Opens the runs of an agent that could not be declared; no remit of an agent is the run's."""
# A hand-over and a guardrail have no effect of their own, as an agent; what they call is recorded.
HANDOFF: Final = declare(f"{FRAMEWORK}:handoff", "agent", title="Hand-over")
GUARDRAIL: Final = declare(f"{FRAMEWORK}:guardrail", "agent", title="Guardrail")
RECORDERS: Final = {
    "agent": AGENT, "generation": LLM, "response": LLM, "handoff": HANDOFF, "guardrail": GUARDRAIL,
}  # fmt: skip
"""By the type of the SDK's span."""

_spans: Final[SpanTable[str]] = SpanTable()
"""Spans of all processors, by the id of the SDK's span, so that each is recorded once."""
_handled: Final[dict[str, BaseException]] = {}
"""Exception handled when a span or a trace began, by its id: it did not end that."""
_tools: Final[SpanTable[int]] = SpanTable()
"""Spans of tools, by the id of the context of their call, which lives longer than the span."""
_traces: Final[SessionTable[str]] = SessionTable()
"""Runs of the SDK's traces, by the id of the trace."""
_runs: Final[SpanTable[int]] = SpanTable()
"""Spans of agents around single tools that no trace has a span around, by the same id."""
_not_governed: Final[dict[bytes, str]] = {}
"""Names of the open agents that have asked for no governed tools, by the key of their span."""
_next_governed: Final[ContextVar[str | None]] = ContextVar("remit_openai_agents", default=None)
"""Name of a governed agent whose span has not begun: older versions read its tools before."""
_denials: Final[dict[int, list[DeniedError]]] = {}
"""Denials below tools whose function is decorated, by the same id."""
_entered: Final[ContextVar[ToolContext[Any] | None]] = ContextVar("remit_call", default=None)
"""The context of the call in which code runs, if the limits of its agent are current."""
_waiting: Final[dict[tuple[bytes, str, str], str]] = {}
"""Tickets of the questions about tools without `govern`, by root of the run, tool and call."""
MAX_FRAMES: Final = 8
"""Frames between the end of a span and the code of the SDK that runs a tool."""
_answered_by: Final[ContextVar[str | None]] = ContextVar("remit_openai_agents_by", default=None)


class RemitProcessor(TracingProcessor):
    """Records the SDK's traces: agents, model calls, handoffs and guardrails.

    Tools are recorded. To also enforce a remit for them, pass their agent to `govern`.
    """

    def __init__(
        self,
        capture_messages: _llm.CaptureMessages = "new",
        *,
        capture_reasoning: bool = False,
        agent_id: str | None = None,
        external_identifier: str | None = None,
    ) -> None:
        """Check the arguments.

        Args:
            capture_messages: `new` records the messages that the previous call under the same
                parent did not contain, `all` records all messages, and `none` records no messages.
            capture_reasoning: Whether the models' reasoning is recorded.
            agent_id: ID on the server of the agent whose runs this processor opens. It overrides
                *external_identifier* and the setting `agent_id`.
            external_identifier: Identifier by which the server finds that agent.

        Raises:
            DeclarationError: If an argument is wrong.
        """
        self._history = _llm.history("RemitProcessor", capture_messages, capture_reasoning)
        self._identity = AgentIdentity.of_caller(
            FRAMEWORK,
            where="RemitProcessor",
            agent_id=agent_id,
            external_identifier=external_identifier,
        )

    def on_trace_start(self, trace: Trace) -> None:
        """Note what is handled; the first agent opens the run, which all agents share."""
        _note_handled(trace.trace_id)

    def on_trace_end(self, trace: Trace) -> None:
        """End the run of the trace."""
        _traces.end(trace.trace_id, _raised_since(trace.trace_id))

    def on_span_start(self, span: Span[Any]) -> None:
        """Start the span of an agent, model call, hand-over or guardrail.

        Raises:
            RunTerminated: The run was terminated; the SDK lets it pass.
        """
        data, key = span.span_data, span.span_id
        if _spans.get(key) is not None:  # another processor records it
            return
        _note_handled(key)
        recorder, parent = RECORDERS.get(data.type), _spans.context(span.parent_id or "")
        if parent and parent.key in _not_governed and isinstance(data, FunctionSpanData):
            _start_not_governed(key, data, parent, self._identity.place)
            return
        if recorder is None:
            if span.parent_id is not None:
                _spans.alias(key, span.parent_id)
            return
        options = spans.StartOptions(announce=recorder is AGENT)
        if recorder is AGENT and spans.reported_span(parent) is None:
            options["suggested"] = known = _known_of_run()
            if parent is None:
                agent = _agent_named(str(data.name), self._identity)
                parent = _traces.context(span.trace_id, partial(agent.open, suggested=known))
        payload = partial(_started, data)
        started = _spans.start(key, recorder, payload, current=True, outer=parent, **options)
        if recorder is AGENT:
            _note_agent(started.context, str(data.name))

    def on_span_end(self, span: Span[Any]) -> None:
        """End the span, with the SDK's data."""
        data, key = span.span_data, span.span_id
        started, error = _spans.get(key), _raised_since(key)
        if span.parent_id is None and isinstance(get_current_trace(), ReattachedTrace):
            _traces.end(span.trace_id, error)  # the SDK does not report the end of such a trace
        if started is None:
            _spans.end(key)
            return
        result: Content | None = None
        context = started.context
        if isinstance(data, AgentSpanData) and context is not None:
            name = _not_governed.pop(context.key, None)
            if name is not None and data.tools:
                _say_not_governed(context, name)
        if RECORDERS.get(data.type) is LLM:
            parent = _spans.context(span.parent_id or "")
            started.describe(partial(_asked, data, self._history, parent))
            result = partial(_answered, data, self._history, parent)
            error = _error_of_call(span, error)
        else:
            started.describe(partial(_started, data))
            if isinstance(data, GuardrailSpanData):
                result = {"outputs": {"triggered": data.triggered}}
            elif isinstance(data, FunctionSpanData):
                call, output = _ending_call()
                if call and context and _waits(span, context, call, output):
                    started.end(questions.SUSPENDED, status="cancelled")
                    return
                result = {"outputs": {"output": data.output}}
                error = error or _error_of_tool(span)
        _spans.end(key, result, error=error)

    def shutdown(self) -> None:
        """Do nothing: remit delivers by itself."""

    def force_flush(self) -> None:
        """Do nothing, as `shutdown`."""


def _note_handled(key: str) -> None:
    """Note the exception that is handled while a span or a trace begins."""
    handled = sys.exception()
    if handled is not None:
        _handled[key] = handled


def _raised_since(key: str) -> BaseException | None:
    """Return the exception that ends a span or a trace, if any."""
    error = sys.exception()
    return None if error is _handled.pop(key, None) else error


@guarded("what the SDK knows of a run", spans.NOTHING)
def _known_of_run() -> Mapping[str, object]:
    """Return the group of the current trace, and the user whom its metadata names."""
    trace: Any = get_current_trace()  # only the SDK's own class has these attributes
    metadata: Mapping[str, object] = getattr(trace, "metadata", None) or {}
    return {
        "conversation": getattr(trace, "group_id", None),
        "on_behalf_of": metadata.get("user_id"),
    }


_remits: Final[dict[str, DataRisk | None]] = {}
"""The remit of each agent, by its name, as of the latest call of `govern`."""


@guarded("the declaration of an agent", AGENTS)
def _agent_named(name: str, identity: AgentIdentity) -> AgentRuns:
    """Return the agent, with its remit, which holds for its own steps and not for the whole run."""
    remit = _remits.get(name)
    return declare_agent(
        identity.of(name), name=name, data_risk=remit, limits_run=False, identity=identity
    )


def _started(data: Any) -> dict[str, object]:
    """Return the payload of an agent, a hand-over or a guardrail."""
    if isinstance(data, AgentSpanData):
        return _llm.known_only(
            agent_name=data.name,
            tools=data.tools or None,
            handoffs=data.handoffs or None,
            output_type=data.output_type,
        )
    if isinstance(data, HandoffSpanData):
        return _llm.known_only(from_agent=data.from_agent, to_agent=data.to_agent)
    if isinstance(data, GuardrailSpanData):
        return {"guardrail_name": data.name}
    if isinstance(data, FunctionSpanData):
        inputs = None if data.input is None else _llm.json_of(data.input)
        return _llm.known_only(tool_name=data.name, inputs=inputs)
    return {}


# Agents without `govern`


@guarded("an agent without govern")
def _note_agent(context: SpanContext | None, name: str) -> None:
    """Note that an agent begins, unless its tools are governed already."""
    if _next_governed.get() == name:
        _next_governed.set(None)
    elif context is not None:
        _not_governed[context.key] = name


@guarded("an agent without govern")
def _note_governed(name: str) -> None:
    """Note that an agent is governed: that of the current span, or the one that begins next."""
    context = _spans.context()
    if context is not None and _not_governed.get(context.key) == name:
        del _not_governed[context.key]
    else:
        _next_governed.set(name)


@guarded("an agent without govern")
def _say_not_governed(context: SpanContext, name: str) -> None:
    if context.run.recorder.is_first(f"{FRAMEWORK} without govern: {name}"):
        logger.warning(
            "the agent %s runs without remit's govern: its tools are recorded but not denied", name
        )


def _start_not_governed(
    key: str, data: FunctionSpanData, parent: SpanContext, place: str | None
) -> None:
    """Start the span of a tool of an agent that is not governed, with its violations.

    The SDK contains the exceptions of a processor, except for a termination, so the tool is not
    denied.

    Raises:
        RunTerminated: The run was terminated.
    """
    _say_not_governed(parent, _not_governed[parent.key])
    denies = parent.run.recorder.on_violation == "deny"
    recorder = _declared_by_name(data.name, place)
    _spans.start(key, recorder, partial(_started, data), current=True, deny=not denies)


@guarded("the declaration of a tool", TOOL)
def _declared_by_name(name: str, place: str | None) -> SpanRecorder:
    return declare(f"{FRAMEWORK}:tool:{name}", "tool", title=name, place=place)


@guarded("a look at the call of a tool", (None, None))
def _ending_call() -> tuple[ToolContext[Any] | None, object]:
    """Return the call of a tool whose span ends, and its result.

    The span of a call that waits for an approval ends as if the tool had returned None. Only the
    frame of the SDK around the span knows better.
    """
    for frame, _ in islice(walk_stack(inspect.currentframe()), MAX_FRAMES):
        found = frame.f_locals
        if isinstance(found.get("tool_context"), ToolContext):
            return found["tool_context"], found.get("result")
    return None, None


@guarded("a look at the approval of a tool", default=False)
def _waits(span: Span[Any], context: SpanContext, call: ToolContext[Any], result: object) -> bool:
    """Return whether a call waits, or the agent that it called; record its question or answer.

    Without `govern`, the SDK does not report a rejection.
    """
    run, name = context.run, call.tool_name
    key = (run.feed.root, name, call.tool_call_id)
    if isinstance(result, FunctionToolResult) and isinstance(result.run_item, ToolApprovalItem):
        if key not in _waiting:
            if len(_waiting) >= MAX_OPEN:
                _waiting.pop(next(iter(_waiting)), None)
            ticket = _waiting[key] = span.span_id
            run.asks.asked_ns[ticket] = run.now_ns()
            record_question(run, context.key, ticket, {ASKED: f"May {name} run?", HOW: "approval"})
        return True
    if key in _waiting:
        yes = Outcome(APPROVED, _answered_by.get())
        questions.end_unanswered(context, _waiting.pop(key), None, yes)
    return _has_waiting_agent(call)


def _has_waiting_agent(call: ToolContext[Any]) -> bool:
    """Return whether the agent that a tool called waits for an approval inside."""
    if call.tool_call is None:
        return False
    scope = get_agent_tool_state_scope(call)
    return bool(get(peek_agent_tool_run_result(call.tool_call, scope_id=scope), "interruptions"))


def _error_of_tool(span: Span[Any]) -> BaseException | None:
    """Return the error of a tool, as far as its span has it."""
    error = span.error
    return None if error is None else UserError(f"{error['message']}: {error['data']}")


def _error_of_call(span: Span[Any], error: BaseException | None) -> BaseException | None:
    """Return the error that ended a model call.

    The SDK closes a stream after its last event, be it the answer or an error.
    """
    if error is not None and not isinstance(error, GeneratorExit):
        return error
    if span.error is not None:
        return ModelBehaviorError(f"{span.error['message']}: {span.error['data']}")
    data = span.span_data
    answer = (getattr(data, name, None) for name in ("usage", "output", "response"))
    return error if all(part is None for part in answer) else None


# Contents of model calls


def _asked(data: Any, history: _llm.History, parent: Any) -> dict[str, object]:
    """Return the payload of a model call."""
    messages, omitted = history.new(parent, messages_of(data.input))
    if isinstance(data, GenerationSpanData):
        config = data.model_config or {}
        prefix, _, name = (data.model or "").partition("/")  # of LiteLLM and any-llm
        provider = provider_at(config.get("base_url")) or "openai"
        return _llm.payload(
            "chat",
            provider_named(prefix) if name and "model_impl" in config else provider,
            data.model,
            messages,
            omitted=omitted,
            settings={name: config[name] for name in SETTINGS if config.get(name) is not None},
        )
    response = data.response
    tools = get(response, "tools")
    return _llm.payload(
        "responses",
        "openai",
        get(response, "model"),
        messages,
        omitted=omitted,
        system=content_of(get(response, "instructions")),
        tools=_llm.described(
            (get(tool, "name") or get(tool, "type"), get(tool, "description"))
            for tool in listed(tools)
        ),
        settings=_llm.known_only(**{name: get(response, name) for name in SETTINGS}),
    )


SETTINGS: Final = (
    "temperature", "top_p", "max_tokens", "max_output_tokens", "frequency_penalty",
    "presence_penalty", "tool_choice", "parallel_tool_calls",
)  # fmt: skip


def _answered(data: Any, history: _llm.History, parent: Any) -> dict[str, object]:
    """Return the result of a model call."""
    response = getattr(data, "response", None)
    output = get(response, "output") if response is not None else getattr(data, "output", None)
    messages = history.answered(parent, messages_of(output))
    reason = get(get(response, "incomplete_details"), "reason") or get(response, "status")
    usage = getattr(data, "usage", None) or get(response, "usage")
    return _llm.result(
        messages,
        [reason],
        tokens=_llm.tokens_of(usage),
        response_model=get(response, "model"),
        response_id=get(response, "id"),
    )


# Governed agents


def govern(
    agent: TAgent,
    *,
    risks: Mapping[str, DataRisk] | None = None,
    remits: Mapping[str, DataRisk] | None = None,
    agent_id: str | None = None,
    external_identifier: str | None = None,
) -> TAgent:
    """Return a copy of an agent and its handoffs, so that its tools are recorded and governed.

    Each tool is registered with its schema and risk declaration. If a tool violates the remit, it
    is not called, and the model receives the reason. If a hosted tool or a computer violates the
    remit, it is not offered to the model. Govern an agent before you call its `as_tool`.

    Args:
        agent: The agent.
        risks: Risk declarations for tools, by name. A decorated function uses its own risk
            declaration.
        remits: Remits of agents, by name. They apply in addition to the run's remit, to the tools
            of the agent and the steps inside these tools.
        agent_id: ID on the server of the agent whose runs a governed tool opens if no run is open,
            because the SDK's tracing is off. It overrides *external_identifier* and the setting
            `agent_id`.
        external_identifier: Identifier by which the server finds that agent.

    Raises:
        DeclarationError: If *agent* is not an agent, if a name or data risk is wrong, or if the
            installed SDK lacks a feature that remit requires to enforce the policy.
    """
    if not isinstance(agent, Agent):
        raise DeclarationError(f"govern: saw {describe_value(agent)}; expected an agents.Agent")
    _llm.check_relied_on("govern", PACKAGE, _missing_parts())
    for name, given in (("risks", risks), ("remits", remits)):
        if given is not None and not isinstance(given, Mapping):
            raise DeclarationError(
                f"govern: {name} is {describe_value(given)}; expected a mapping of names"
            )
    identity = AgentIdentity.of_caller(
        FRAMEWORK, where="govern", agent_id=agent_id, external_identifier=external_identifier
    )
    governance = _Governance(risks or {}, remits or {}, identity)
    governed = governance.agent(agent)
    governance.check()
    governance.declare()
    return cast("TAgent", governed)


def _missing_parts() -> Iterator[str]:
    """Yield the parts of the SDK without which an agent would not be governed."""
    yield from _llm.lacks(Agent, "get_all_tools", "get_mcp_tools")
    yield from _llm.lacks(FunctionTool, "tool_input_guardrails", "tool_output_guardrails")
    yield from _llm.lacks(FunctionTool, "needs_approval", "_is_agent_tool")
    yield from _llm.lacks(RunContextWrapper, "is_tool_approved", "get_rejection_message")
    yield from _llm.lacks(Handoff, "on_invoke_handoff", "_agent_ref")
    for cls, name in _openai_tools.WORK.items():
        yield from _llm.lacks(cls, name)
    if not _clones_are_governed():
        yield "clones of an Agent that have its class"


@guarded("a look at the clone of an agent", default=False)
def _clones_are_governed() -> bool:
    identity = AgentIdentity.of_caller(FRAMEWORK, where="govern")
    agent = _Governance({}, {}, identity).agent(Agent[Any](name="remit"))
    return isinstance(agent.clone(name="clone"), _GovernedAgent)


class _Governance:
    """One call of `govern`: its arguments, and the copies of the agents that it found.

    Each copy is made once: agents may hand over to each other in a circle.
    """

    def __init__(
        self,
        risks: Mapping[str, DataRisk],
        remits: Mapping[str, DataRisk],
        identity: AgentIdentity,
    ) -> None:
        self._risks, self._remits, self.identity = risks, remits, identity
        self._copies: WeakValueDictionary[int, Agent[Any]] = WeakValueDictionary()
        """By the id of the original, which the copy keeps, so that the id stays its own."""
        self._agents: set[str] = set()
        self._tools: set[str] = set()
        self._all_known = True

    def __deepcopy__(self, memo: object) -> _Governance:
        """Return itself: deep copies of agents are governed alike."""
        return self

    def check(self) -> None:
        """Check the names in `risks` and `remits`, where tools and agents are known.

        Raises:
            DeclarationError: There is no such tool or agent.
        """
        for what, names, known in (
            ("tool", self._risks, self._tools),
            ("agent", self._remits, self._agents),
        ):
            unknown = [name for name in names if name not in known]
            if unknown and self._all_known:
                raise DeclarationError(
                    f"govern: saw no {what} {', '.join(map(describe_value, unknown))}; expected "
                    f"one of {', '.join(sorted(known)) or 'none'}"
                )

    def declare(self) -> None:
        """Declare the agents, so that they can be locked before they run."""
        for name in sorted(self._agents):
            _agent_named(name, self.identity)

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        """Return the governed copy of *agent*, or itself if it is one."""
        earlier = agent.remit_rules if isinstance(agent, _GovernedAgent) else None
        if earlier is not None and earlier.governance is self:
            return agent
        known = self._copies.get(id(agent))
        if known is not None:
            return known
        rules = self._rules(agent, earlier)
        governed = copy.copy(agent)
        object.__setattr__(governed, "__class__", _governed_class(type(agent), rules))
        vars(governed).update(
            {ORIGINAL: agent, "tools": [*agent.tools], "handoffs": [*agent.handoffs]}
        )
        self._copies[id(agent)] = governed
        self._agents.add(agent.name)
        self._tools.update(map(_openai_tools.name_of, governed.tools))
        is_late = (_target(item) is None for item in governed.handoffs)
        # The tools of servers and of an agent in a sandbox are made at each turn.
        if agent.mcp_servers or getattr(agent, "capabilities", None) or any(is_late):
            self._all_known = False
        return governed

    def _rules(self, agent: Agent[Any], earlier: _Rules | None) -> _Rules:
        remit = self._remits.get(agent.name)
        ceiling = ceiling_of(self.identity.of(agent.name), remit, self.identity.place)
        ceilings = () if ceiling is None else (ceiling,)
        if earlier is None or remit is not None:
            _remits[agent.name] = remit
        if earlier is None:
            return _Rules(self, agent.name, self._risks, ceilings)
        risks = {**earlier.risks, **self._risks}
        return _Rules(self, agent.name, risks, earlier.ceilings + ceilings)


@dataclass(frozen=True, eq=False)
class _Rules:
    """State of one agent and its copies.

    Attributes:
        ceilings: The limits of the agent for its tools.
        elsewhere: The recorders of the tools that run at OpenAI, by name.
        withheld: The names of tools of which the log says that they are not offered.
    """

    governance: _Governance
    agent: str
    risks: Mapping[str, DataRisk]
    ceilings: Ceilings
    elsewhere: dict[str, SpanRecorder] = field(default_factory=dict[str, SpanRecorder])
    withheld: set[str] = field(default_factory=set[str])

    def tool(self, tool: Tool) -> Tool:
        """Return a governed copy of *tool*, or itself if it is one or runs elsewhere."""
        if isinstance(tool, FunctionTool):
            return self._function_tool(tool)
        if not _openai_tools.runs_here(tool):
            self._declare_elsewhere(tool)
            return tool
        earlier = _openai_tools.guard_of(tool)
        if isinstance(earlier, _WorkGuard) and earlier.rules is self:
            return tool
        guard = _WorkGuard(tool, self, cast("_WorkGuard | None", earlier))
        return _openai_tools.guarded_copy(tool, guard)

    def offers(self, tool: Tool) -> bool:
        """Return whether a model may call *tool*.

        It may not if the remit rules the tool out and no denial of a call reaches the model.
        """
        if _openai_tools.is_deniable(tool):
            return True
        guard = _openai_tools.guard_of(tool)
        recorder = (
            guard.recorder if isinstance(guard, _WorkGuard) else self._declare_elsewhere(tool)
        )
        if not spans.is_ruled_out(recorder, self.ceilings):
            return True
        if recorder.name not in self.withheld:
            self.withheld.add(recorder.name)
            logger.warning(
                "%s of the agent %s is not offered to the model, because it violates the remit "
                "and remit cannot deny single calls of it",
                recorder.name,
                self.agent,
            )
        return False

    def asking(self, tool: Tool) -> Tool:
        """Return a copy of *tool* that needs an approval, if a person is asked about it now."""
        if not isinstance(tool, FunctionTool):
            return tool
        guard = next(filter(None, map(_guard_of, tool.tool_input_guardrails or ())), None)
        if guard is None or not spans.asked_now(guard.recorder, guard.ceilings):
            return tool
        asking = copy.copy(tool)
        asking.needs_approval = partial(guard.needs_approval, tool.needs_approval)
        # With the SDK's own class of `on_invoke_tool`, some calls interrupt without that question.
        asking.on_invoke_tool = partial(tool.on_invoke_tool)
        return asking

    def _declare_elsewhere(self, tool: Tool) -> SpanRecorder:
        name = _openai_tools.name_of(tool)
        if name not in self.elsewhere:
            self.elsewhere[name] = _declared(
                tool, self.risks.get(name), self.governance.identity.place
            )
        return self.elsewhere[name]

    def _function_tool(self, tool: FunctionTool) -> FunctionTool:
        inputs = [*(tool.tool_input_guardrails or ())]
        outputs = [*(tool.tool_output_guardrails or ())]
        earlier = next(filter(None, map(_guard_of, inputs)), None)
        if earlier is not None and earlier.rules is self:
            return tool
        guard = _Guard(tool, self, earlier)
        governed = copy.copy(tool)
        # The user's guardrails are asked first: after ours, only the tool follows.
        governed.tool_input_guardrails = [
            *(each for each in inputs if _guard_of(each) is None),
            ToolInputGuardrail(guard.open, name="remit"),
        ]
        governed.tool_output_guardrails = [
            ToolOutputGuardrail(guard.close, name="remit"),
            *(each for each in outputs if _guard_of(each) is None),
        ]
        if tool._is_agent_tool:  # noqa: SLF001 - the SDK has no other mark
            governed.on_invoke_tool = partial(guard.invoke, governed.on_invoke_tool)
        return governed

    def handoff(self, item: Agent[Any] | Handoff[Any, Any]) -> Agent[Any] | Handoff[Any, Any]:
        """Return a hand-over to the governed copy of its agent, or itself if it is one."""
        governance = self.governance
        if isinstance(item, Agent):
            return governance.agent(item)
        earlier = getattr(item.on_invoke_handoff, "__self__", None)
        if isinstance(earlier, _HandOver) and earlier.governance is governance:
            return item
        target = _target(item)
        to_copy = _HandOver(governance, item.on_invoke_handoff, target and governance.agent(target))
        governed = copy.copy(item)
        governed.on_invoke_handoff = to_copy.invoke
        # A run that is resumed from its saved state looks for its agent there.
        if to_copy.target is not None:
            governed._agent_ref = weakref.ref(to_copy.target)  # noqa: SLF001 - see above
        return governed


class _HandOver:
    """Hands over to the governed copy of the agent that a hand-over chooses."""

    def __init__(
        self,
        governance: _Governance,
        choose: Callable[[RunContextWrapper[Any], str], Awaitable[Agent[Any]]],
        target: Agent[Any] | None,
    ) -> None:
        self.governance, self._choose = governance, choose
        self.target = target
        """Kept, as the hand-over refers to it weakly."""

    async def invoke(self, context: RunContextWrapper[Any], arguments: str) -> Agent[Any]:
        """Return the agent."""
        return self.governance.agent(await self._choose(context, arguments))


def _target(item: Agent[Any] | Handoff[Any, Any]) -> Agent[Any] | None:
    """Return the agent of a hand-over; None if it is chosen when it is needed."""
    if isinstance(item, Agent):
        return item
    reference = cast("Callable[[], Agent[Any] | None] | None", getattr(item, "_agent_ref", None))
    return None if reference is None else reference()


ORIGINAL: Final = "_remit_original"
"""Attribute of an agent's copy: the original."""


class _GovernedAgent(Agent[Any]):
    """An agent whose tools and hand-overs are governed when they are read.

    So are those of its copies, and those that are added later. For each agent there is a class,
    derived from this one and its own, since copies of an agent have its class.
    """

    remit_rules: ClassVar[_Rules]

    async def get_mcp_tools(self, run_context: RunContextWrapper[Any]) -> list[Tool]:
        """Return the tools of the MCP servers, governed."""
        return [*map(self.remit_rules.tool, await super().get_mcp_tools(run_context))]

    async def get_all_tools(self, run_context: RunContextWrapper[Any]) -> list[Tool]:
        """Return the tools, governed; the SDK asks for them before each call of a model.

        Raises:
            RunTerminated: The run was terminated.
        """
        rules = self.remit_rules
        tools = [*map(rules.tool, await super().get_all_tools(run_context))]
        _check_terminated()
        _note_governed(self.name)
        _note_rejections(run_context)
        return [*map(rules.asking, filter(rules.offers, tools))]


@guarded("the termination of a run")
def _check_terminated() -> None:
    """Raise `RunTerminated` if the run was terminated."""
    context = _spans.context()
    if context is not None:
        spans.permit(LLM, parent=context)


class _GovernedList:
    """A field of a governed agent: a list whose items are governed when it is read."""

    def __init__(self, name: str, govern_item: Callable[[Any], Any]) -> None:
        self._name, self._govern = name, govern_item

    def __get__(self, agent: Agent[Any] | None, _owner: type) -> Any:
        if agent is None or self._name not in vars(agent):
            raise AttributeError(self._name)
        items = cast("list[object]", vars(agent)[self._name])
        if isinstance(items, list):
            for index, item in enumerate(items):
                items[index] = self._govern(item)
        return items

    def __set__(self, agent: Agent[Any], items: list[object]) -> None:
        """Keep a list; another one if something in it has to be governed, as others may use it."""
        if isinstance(items, list):
            governed = [*map(self._govern, items)]
            if any(one is not other for one, other in zip(items, governed, strict=True)):
                items = governed
        vars(agent)[self._name] = items


def _governed_class(cls: type[Agent[Any]], rules: _Rules) -> type[Agent[Any]]:
    """Return a class of agents like *cls* that follow *rules*; it has the same name."""
    classes = cast("tuple[type[Agent[Any]], ...]", cls.__mro__)
    bare = next(each for each in classes if not issubclass(each, _GovernedAgent))
    names = ("__module__", "__qualname__", "__doc__")
    return type(
        bare.__name__,
        (_GovernedAgent, bare),
        {
            **{name: getattr(bare, name) for name in names},
            "remit_rules": rules,
            "tools": _GovernedList("tools", rules.tool),
            "handoffs": _GovernedList("handoffs", rules.handoff),
        },
    )


class _ToolGuard:
    """The risk, the limits and the step of one tool of one agent.

    Attributes:
        step: The recorder of the decorated function that the tool calls, if it does.
        recorder: The recorder of the tool, else *step*.
    """

    def __init__(self, tool: Tool, rules: _Rules, earlier: _ToolGuard | None, work: object) -> None:
        """Declare the tool, which calls *work*; the limits of an *earlier* guard apply as well."""
        self.rules = rules
        risk = rules.risks.get(_openai_tools.name_of(tool))
        self.risk: DataRisk | None = risk or (None if earlier is None else earlier.risk)
        self.ceilings: Ceilings = rules.ceilings
        if earlier is not None:
            more = (each for each in earlier.ceilings if each not in rules.ceilings)
            self.ceilings = (*rules.ceilings, *more)
        self.step = _decorated(work)
        self.recorder = self.step or _declared(tool, self.risk, rules.governance.identity.place)

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself, as the governance does."""
        return self

    def run_options(self) -> tuple[dict[str, object], spans.StartOptions]:
        """Return payload and options of a span around one call, as no trace has opened a run."""
        name, (ceiling, *_) = self.rules.agent, self.ceilings
        agent = _agent_named(name, self.rules.governance.identity)
        return {"agent_name": name}, {"agent": agent, "ceiling": ceiling}


class _WorkGuard(_ToolGuard):
    """Judges and records the calls of a tool that is no function tool, and runs in the program."""

    def __init__(self, tool: Tool, rules: _Rules, earlier: _WorkGuard | None) -> None:
        """Declare the tool."""
        work = _openai_tools.work_of(tool)
        super().__init__(tool, rules, earlier, getattr(work, "remit_work", work))
        self._tool, self._name = tool, _openai_tools.name_of(tool)

    async def call(
        self, work: Callable[..., Any], *args: Any, inputs: object, call_id: object = None
    ) -> Any:
        """Call *work*, and return its result, or the answer to a call that is denied.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: An action of a computer is denied, which has no answer for that.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        payload = _llm.known_only(tool_name=self._name, call_id=call_id, inputs=inputs)
        with spans.inside(_spans.context()), ExitStack() as stack:
            try:
                self._enter(stack)
                admission = None
                if self.step is None:  # else it judges and records itself
                    admission = await spans.ask(self.recorder, payload)
                with self._start(payload, admission) as span:
                    result = work(*args)
                    if inspect.isawaitable(result):
                        result = await result
                    _end(span, result, inputs)
            except DeniedError as denied:
                if isinstance(self._tool, ComputerTool):
                    raise
                return _openai_tools.answer(self._tool, denied.for_model())
            return result

    @spans.judging(TOOL, None)
    def _enter(self, stack: ExitStack) -> None:
        """Make the limits of the agent current; a span around that ends with *stack*.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The tool is denied.
        """
        if self.ceilings and _spans.context() is None:
            described, options = self.run_options()
            stack.enter_context(spans.start(AGENT, described, **options))
        for ceiling in self.ceilings:
            spans.within(ceiling)

    @spans.judging(TOOL, ManualSpan())
    def _start(
        self, payload: Mapping[str, object], admission: spans.Admission | None
    ) -> ManualSpan:
        if self.step is not None:
            return ManualSpan()
        return spans.start(self.recorder, payload, admission=admission)


@guarded("the end of a tool")
def _end(span: ManualSpan, result: object, inputs: object) -> None:
    """End the span of a tool that has returned."""
    status: Status | None = "failed" if get(result, "status") == "failed" else None
    span.end(
        lambda: {"outputs": {"output": _openai_tools.output_of(result, inputs)}}, status=status
    )


class _Guard(_ToolGuard):
    """Opens and ends the span of one function tool of one agent, as guardrails of the tool."""

    def __init__(self, tool: FunctionTool, rules: _Rules, earlier: _Guard | None) -> None:
        """Declare the tool."""
        super().__init__(tool, rules, earlier, getattr(tool, "__wrapped__", None))
        self._name = tool.name

    async def open(self, data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Start the span of the tool, or deny the tool."""
        task, call = asyncio.current_task(), data.context
        if task is not None:
            task.add_done_callback(partial(_settle, call))
        try:
            if self._enter(call):
                admission = await spans.ask(self.recorder, partial(_called, call))
                self._start(call, admission)
        except DeniedError as denied:
            return ToolGuardrailFunctionOutput.reject_content(denied.for_model())
        return ToolGuardrailFunctionOutput.allow()

    @spans.judging(TOOL, default=False)
    def _enter(self, call: ToolContext[Any]) -> bool:
        """Make the limits and the answer to the call current; return whether it needs a span.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The tool is denied.
        """
        self._narrow(call)
        self._resume(call)
        if self.step is not None:  # it has a separate span
            spans.permit(self.step, partial(_arguments, call))
            _denials[id(call)] = spans.collect_denials()
            return False
        return _tools.get(id(call)) is None  # the SDK may ask before and after an approval

    @spans.judging(TOOL, None)
    def _start(self, call: ToolContext[Any], admission: spans.Admission | None) -> None:
        payload = partial(_called, call)
        _tools.start(id(call), self.recorder, payload, current=True, admission=admission)

    def _narrow(self, call: ToolContext[Any]) -> None:
        """Make the limits current; in a run for the call, if no trace of its agent opened one.

        Raises:
            DeniedError: No run could be opened, in which the remit would hold.
        """
        _entered.set(call)
        if self.ceilings and _spans.context() is None:
            payload, options = self.run_options()
            _runs.start(id(call), AGENT, payload, current=True, **options)
        for ceiling in self.ceilings:
            spans.within(ceiling)

    async def invoke(
        self, work: Callable[..., Awaitable[Any]], call: ToolContext[Any], arguments: str
    ) -> Any:
        """Call the agent that is the tool.

        After an approval inside the agent, the SDK calls it again without the guardrails. The tool
        ran before, so it is neither judged again nor asked about; its limits apply.
        """
        if _entered.get() is not call:
            self._go_on(call)
        return await work(call, arguments)

    @spans.judging(TOOL, None)
    def _go_on(self, call: ToolContext[Any]) -> None:
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(partial(_settle, call))
        self._narrow(call)
        self._start(call, spans.Admission(None))

    # Approvals

    async def needs_approval(
        self, own: Any, context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str
    ) -> bool:
        """Return whether a call waits for an approval, which the tool may need anyway (*own*)."""
        if self._asks(arguments, call_id):
            return True
        if not callable(own):
            return bool(own)
        needed = own(context, arguments, call_id)
        return bool(await needed if inspect.isawaitable(needed) else needed)

    @guarded("the question about a tool", default=False)
    def _asks(self, arguments: Mapping[str, object], call_id: str) -> bool:
        """Return whether a person is asked about a call; then the question is recorded.

        After a fault the tool is denied, as it was not approved.
        """
        asked = spans.asked_now(self.recorder, self.ceilings)
        if not asked:
            return False
        context, root, request = open_context(), NO_RUN, None
        if context is not None:
            root = context.run.feed.root
            request = self._request(asked, arguments, call_id, context.run)
            if context.run.asks.refusal_of(request) is not None:
                return False
        earlier = _questions.get(call_id)
        if earlier is None or earlier.is_used or earlier.root != root:
            if len(_questions) >= MAX_OPEN:
                _questions.pop(next(iter(_questions)), None)
            _questions[call_id] = _Question(self._name, root)
            if context is not None and request is not None:
                known = context.run.asks
                known.paused[request.digest] = call_id
                known.asked_ns[call_id] = context.run.now_ns()
                record_asked(context, asked, request, "approval")
        return True

    def _request(
        self,
        asked: tuple[Violation, ...],
        arguments: Mapping[str, object],
        call_id: str,
        run: OpenRun,
    ) -> ApprovalRequest:
        payload = arguments
        if self.step is None:
            payload = {"tool_name": self._name, "call_id": call_id, "inputs": arguments}
        return spans.request_of(self.recorder, payload, asked, call_id, run)

    def _resume(self, call: ToolContext[Any]) -> None:
        """Let the step of a call have the answer that the SDK knows, in the rest of the task.

        Raises:
            DeniedError: A person refused the same call in this run.
        """
        asked = spans.asked_now(self.recorder, self.ceilings)
        if not asked:
            return
        is_approved = call.is_tool_approved(self._name, call.tool_call_id) is True
        approver = Approver(partial(self._answer, call))
        ticket = call.tool_call_id if is_approved else None
        resumed.set(Resumed(lambda request: ticket if self._is_own(request) else None, approver))
        context = open_context()
        if context is None or is_approved or self.step is None:
            return
        arguments = _arguments(call)
        request = self._request(asked, arguments, call.tool_call_id, context.run)
        known = context.run.asks
        if (no := known.refusal_of(request)) is not None:
            spans.deny(self.recorder, arguments, asked, no.by, no.why)

    def _is_own(self, request: ApprovalRequest) -> bool:
        return request.step == self.recorder.name

    def _answer(self, call: ToolContext[Any], request: ApprovalRequest) -> Outcome | Refused:
        """Return the answer of the SDK to a request about the tool, once for each call."""
        call_id, name = call.tool_call_id, self._name
        question = _questions.get(call_id)
        if not self._is_own(request):
            return Refused(why=asks.INSIDE_TOOL.format(name))
        if call.is_tool_approved(name, call_id) is not True:
            return Refused(why=asks.NOT_APPROVED)
        is_open = question is not None and not question.is_used
        if not is_open and call.is_tool_approved(name, NO_CALL) is True:
            return Refused(why=asks.APPROVED_ALL)
        # The SDK runs a call only with the approved arguments.
        parts = {"call_id": call_id, "arguments": _arguments(call)}
        is_first = binding.use_seal(binding.read(request.step, parts).digest.hex())
        if question is not None:
            is_first, question.is_used = not question.is_used, True
        if not is_first:
            return Refused(why=asks.USED_SEAL)
        return Outcome(APPROVED, _answered_by.get(), seal=_seal_of(call, request))

    @guarded("the end of a tool", ToolGuardrailFunctionOutput.allow())
    def close(self, data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        """End the span of the tool; the model reads a denial below it, not the SDK's text."""
        span, key = _tools.get(id(data.context)), id(data.context)
        has_failed = _has_failed(data.output)
        denied: DeniedError | None = None
        if has_failed:
            collected = _denials.get(key)
            denied = span.denied if span is not None else collected[-1] if collected else None
        if span is not None:
            status: Status | None = "failed" if has_failed else None
            span.end(lambda: {"outputs": {"output": data.output}}, status=status, error=denied)
        if denied is None:
            return ToolGuardrailFunctionOutput.allow()
        return ToolGuardrailFunctionOutput.reject_content(denied.for_model())


# Approvals


@contextmanager
def answered_by(name: str) -> Generator[None]:
    """Say who approved or rejected the tools in a state with which a run goes on.

    The SDK does not know who did. Within the block, call `Runner.run` with the state. The record
    marks the name as claimed.

    Args:
        name: The person who answered.

    Raises:
        UsageError: *name* is not a text.
    """
    if type(name) is not str or not name.strip():
        raise UsageError(f"answered_by: saw {describe_value(name)}; expected the name of a person")
    reset = _answered_by.set(name)
    try:
        yield
    finally:
        _answered_by.reset(reset)


def _seal_of(call: ToolContext[Any], request: ApprovalRequest) -> str:
    """Return a text that is the same in all processes that go on with the state of a call.

    The state contains the id of its trace. Without a trace, the text is made of the id of the call,
    which some models repeat, and of the recorded arguments.
    """
    trace, call_id = get_current_trace(), call.tool_call_id
    if trace is None or isinstance(trace, NoOpTrace):
        return questions.ticket_in(call_id, request)
    return f"{trace.trace_id}/{call_id}"


NO_RUN: Final = b""
NO_CALL: Final = "remit: no call"
"""The id of no call. The SDK knows an answer to it if the answer is for all calls of a tool."""


@dataclass(slots=True)
class _Question:
    """A call that waits for an approval.

    Attributes:
        root: The key of the root span of the run in which it was asked; `NO_RUN` outside any.
        is_used: Whether it was answered, and the answer was used.
    """

    tool: str
    root: bytes
    is_used: bool = False


_questions: Final[dict[str, _Question]] = {}
"""By the id of the call."""


@guarded("the record of an answer")
def _note_rejections(run: RunContextWrapper[Any]) -> None:
    """Record the rejections of calls that waited; the SDK answers them without a tool."""
    context = open_context()
    if context is None:
        return
    for call_id, question in tuple(_questions.items()):
        name = question.tool
        if question.is_used or run.is_tool_approved(name, call_id) is not False:
            continue
        is_for_all = run.is_tool_approved(name, NO_CALL) is False
        if is_for_all and question.root != context.run.feed.root:
            continue
        question.is_used = True
        no = Outcome(REFUSED, _answered_by.get(), run.get_rejection_message(name, call_id))
        questions.end_unanswered(context, call_id, None, no)


@guarded("a look at the function of a tool")
def _decorated(work: object) -> SpanRecorder | None:
    return step_of(work)


@guarded("the declaration of a tool", TOOL)
def _declared(tool: Tool, risk: DataRisk | None, place: str | None) -> Any:
    name = _openai_tools.name_of(tool)
    return declare(
        f"{FRAMEWORK}:tool:{name}",
        "tool",
        params=getattr(tool, "params_json_schema", None),
        title=name,
        description=getattr(tool, "description", None) or None,
        data_risk=risk,
        place=place,
    )


def _guard_of(guardrail: ToolInputGuardrail[Any] | ToolOutputGuardrail[Any]) -> _Guard | None:
    guard = getattr(guardrail.guardrail_function, "__self__", None)
    return guard if isinstance(guard, _Guard) else None


def _arguments(call: ToolContext[Any]) -> Mapping[str, object]:
    arguments = _llm.json_of(call.tool_arguments or "{}")
    return cast("Mapping[str, object]", arguments) if isinstance(arguments, Mapping) else {}


def _called(call: ToolContext[Any]) -> dict[str, object]:
    """Return the payload of a tool."""
    arguments = _llm.json_of(call.tool_arguments or "{}")
    return {"tool_name": call.tool_name, "call_id": call.tool_call_id, "inputs": arguments}


def _has_failed(output: object) -> bool:
    """Return whether the tool raised an exception, in whose place the model reads *output*.

    The SDK hides the exception, and notes it in the span of its trace. Without traces, only the
    text tells it.
    """
    span = get_current_span()
    if span is not None and span.started_at and isinstance(span.span_data, FunctionSpanData):
        return span.error is not None
    return isinstance(output, str) and output.startswith(TOOL_FAILED)


@guarded("the end of a tool")
def _settle(call: ToolContext[Any], task: asyncio.Task[Any]) -> None:
    """End the span of a tool whose task has ended without an output: it failed or was cancelled.

    The task refers to *call* until then, so no later call has its id.
    """
    key = id(call)
    _denials.pop(key, None)
    span = _tools.get(key)
    error = None if task.cancelled() else task.exception()
    if span is not None and error is None:  # or an agent inside it waits for an approval
        span.end(None if task.cancelled() else questions.SUSPENDED, status="cancelled")
    elif span is not None:
        span.end(error=(error.__cause__ if isinstance(error, UserError) else None) or error)
    _runs.end(key)
