"""Records and governs the agents of pydantic-ai.

A user adds the capability `Remit` to an agent::

    from remit.integrations.pydantic_ai import Remit

    agent = Agent("openai:gpt-5", tools=[pay], capabilities=[Remit(risks={"pay": PAYS})])

The agent, its model calls and its tools become spans. A tool that violates the remit is not called:
the model reads the denial as its result. Outside any run, the agent opens a run.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from inspect import isfunction, ismethod
from typing import Any, Final, NamedTuple, Self, TypeAlias, cast
from weakref import WeakKeyDictionary

from remit._adapters import questions, spans
from remit._adapters.declare import (
    AgentIdentity,
    add_to_header,
    ceiling_of,
    declarations,
    declare,
    declare_agent,
    interrupts,
    risks_by_name,
    step_of,
)
from remit._adapters.questions import SEAL, TICKET
from remit._adapters.spans import ManualSpan, Status
from remit._base.guard import guarded
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._decorators.agent import AgentRuns
from remit._policy.asks import USED_SEAL
from remit._policy.limits import Ceiling
from remit._policy.maxima import Limits
from remit._record.approvals import (
    REFUSED,
    SUPERSEDED,
    ApprovalRequest,
    Approved,
    Outcome,
    Refused,
    Resumed,
    pausing,
    resumed,
)
from remit._record.context import open_context
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError, DeniedError
from remit.integrations import _llm
from remit.integrations._providers import provider_at, provider_named
from remit.models.data_risk import DataRisk

PACKAGE: Final = "pydantic-ai-slim"
OPENAI: Final = "openai"
LOWEST: Final = "2.38"
_llm.required(PACKAGE, LOWEST, _llm.installed(PACKAGE), __name__)

from pydantic_ai import RunContext
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import (
    AbstractCapability,
    CapabilityOrdering,
    WrapperCapability,
)
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    SkipModelRequest,
    SkipToolExecution,
    ToolFailed,
)
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturn,
    UserContent,
)
from pydantic_ai.models import (
    Model,
    ModelRequestContext,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.output import (
    NativeOutput,
    OutputContext,
    PromptedOutput,
    TextOutput,
    ToolOutput,
)
from pydantic_ai.run import AgentRunResult
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import DeferredToolRequests, Tool, ToolDefinition
from pydantic_ai.toolsets import (
    AbstractToolset,
    CombinedToolset,
    FunctionToolset,
    PrefixedToolset,
    RenamedToolset,
    WrapperToolset,
)

__all__ = ["Remit", "by_deferral"]

AGENT: Final = declare("pydantic-ai:agent", "agent")
MODEL: Final = declare("pydantic-ai:llm", "llm")
TOOL: Final = declare("pydantic-ai:tool", "tool")
"""Step name of a tool that could not be declared, so that it can still be denied."""

OUTPUT: Final = declare("pydantic-ai:output", "tool")
"""Step name of an output function that could not be declared, or has no known name."""
AGENTS: Final = declare_agent("pydantic-ai.agents:agent", name="agent")
"""Opens the runs of an agent that could not be declared."""

add_to_header(f"remit-pydantic-ai@{__version__}")
interrupts(ApprovalRequired, CallDeferred)

HOOKS: Final = (
    "for_agent", "wrap_run", "wrap_model_request", "wrap_tool_execute", "wrap_output_process",
)  # fmt: skip
"""Hooks of a capability without which nothing is denied."""

UNNAMED: Final = "agent"
"""Name of an agent without one."""
NOT_RECORDED: Final = frozenset({"extra_body", "extra_headers"})
"""Settings that may hold credentials."""

CONTENTS: Final = frozenset({"text", "thinking", "file"})
"""Kinds of the parts of an answer that are recorded as its content."""

WRAPS_MODELS: Final = hasattr(AbstractCapability, "get_wrapper_model")
"""Whether capabilities may wrap the model that serves a request: since 2.62."""
PRICED: Final = {"currency": "USD", "source": "genai-prices"}

_agent: ContextVar[ManualSpan | None] = ContextVar("remit.pydantic_ai.agent", default=None)
_request: ContextVar[_Request | None] = ContextVar("remit.pydantic_ai.request", default=None)
_called: ContextVar[RunContext[Any] | None] = ContextVar("remit.pydantic_ai.call", default=None)
"""The call of a tool that may be deferred."""
_waiting: Final[WeakKeyDictionary[Any, set[str]]] = WeakKeyDictionary()
"""Ids of the calls whose approval or result each run waits for."""


class Remit(AbstractCapability[Any]):
    """Records a pydantic-ai agent and denies tools that violate a remit.

    One object can be used for several agents. An agent can also use several objects. Their risk
    declarations are then merged, and all their remits apply. If two objects declare the same tool,
    the later one is used, except that an object of the agent has priority over an object that is
    passed to a run.

    Attributes:
        declared: The declarations of the agent and its tools.
    """

    id: str | None = "remit"

    def __init__(
        self,
        *,
        risks: Mapping[str, DataRisk] | None = None,
        data_risk: DataRisk | None = None,
        limits: Limits | None = None,
        capture_messages: _llm.CaptureMessages = "new",
        capture_reasoning: bool = False,
        agent_id: str | None = None,
        external_identifier: str | None = None,
    ) -> None:
        """Take the declarations of an agent.

        Args:
            risks: Risk declarations for tools, by the name that the model uses. If a tool's
                function is decorated, the decorator's risk declaration is used.
            data_risk: The agent's remit, which applies to all steps under the agent.
            limits: How many steps of one run may take an action, from `remit.limits(...)`. The
                steps under the agent count.
            capture_messages: `new` records the messages that the previous model call did not
                contain, `all` records all messages, and `none` records no messages.
            capture_reasoning: Whether the models' reasoning is recorded.
            agent_id: ID on the server of the agent whose runs this object opens. It overrides
                *external_identifier* and the setting `agent_id`.
            external_identifier: Identifier by which the server finds that agent.

        Raises:
            DeclarationError: If an argument is wrong. A run of the agent raises the same error if a
                name in *risks* is not a tool of the agent.
        """
        _llm.check_relied_on("Remit", PACKAGE, _llm.lacks(AbstractCapability, *HOOKS))
        identity = AgentIdentity.of_caller(
            "pydantic-ai",
            UNNAMED,
            where="Remit",
            agent_id=agent_id,
            external_identifier=external_identifier,
        )
        ceiling = ceiling_of("Remit(data_risk=...)", data_risk, identity.place, limits)
        is_given = data_risk is not None or limits is not None
        remits = (_AgentRemit(data_risk, limits, ceiling),) if is_given else ()
        self.declared = _Declared(risks_by_name(risks, "Remit: risks"), remits, identity)
        self._history = _llm.history("Remit", capture_messages, capture_reasoning)

    @classmethod
    def combine(cls, capabilities: Sequence[AbstractCapability[Any]]) -> AbstractCapability[Any]:
        """Return the last of several capabilities in one agent, with risks and remits of all."""
        combined = copy(cast("Self", capabilities[-1]))
        for capability in cast("Sequence[Self]", capabilities[-2::-1]):
            combined.declared = combined.declared.over(capability.declared)
        return combined

    def get_ordering(self) -> CapabilityOrdering:
        """Return that the spans wrap those of other capabilities."""
        return CapabilityOrdering(position="outermost")

    def for_agent(self, agent: AbstractAgent[Any, Any]) -> AbstractCapability[Any]:
        """Return the capability for one agent, with its tools declared."""
        bound, of_agent = copy(self), _capabilities_of(agent)
        bound.declared = self.declared.fresh()
        if all(each is not self for each in of_agent):  # it is of one run
            for capability in of_agent:
                bound.declared = capability.declared.over(bound.declared)
        bound.declared.outputs = _output_functions(agent.output_type)
        bound.declared.add_tools(agent.toolsets)
        if agent.name is not None:
            bound.declared.agent(agent.name)
        return bound

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> None:
        """Declare the tools that were added since the agent was made; the toolset is not wrapped.

        Raises:
            DeclarationError: *risks* names no tool.
        """
        self.declared.check(self.declared.add_tools([toolset]))

    # Agents

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: Callable[[], Any]
    ) -> AgentRunResult[Any]:
        """Record an agent; outside any run, in a new run."""
        name = _name_of(ctx)
        runs, ceilings = self.declared.agent(name)
        asked = partial(self._asked, name, ctx)
        resumable = spans.traceparent() is not None and _agent.get() is None
        first = ceilings[0] if ceilings else None
        is_outermost = _agent.get() is None
        known = _known_of_run(ctx) if is_outermost else spans.NOTHING
        open_calls = _open_calls(ctx.messages) if is_outermost else None
        options = spans.StartOptions(agent=runs, ceiling=first, suggested=known)
        options["goes_on"] = bool(open_calls)
        with spans.start(AGENT, asked, **options) as span:
            for ceiling in ceilings[1:]:
                span.narrow(ceiling)
            reset, reset_answers = _agent.set(span), _answers.set(None)
            reset_given, reset_call = _given_results.set({}), _called.set(None)
            try:
                if resumable:
                    _go_on(span, ctx)
                if open_calls:
                    _answers.set(_Answers(span, ctx.conversation_id, open_calls))
                result: AgentRunResult[Any] = await handler()
                if is_outermost:
                    self._ask(span, ctx, result.output)
                self._end_agent(span, result, resumable=resumable)
            finally:
                _agent.reset(reset)
                _answers.reset(reset_answers)
                _given_results.reset(reset_given)
                _called.reset(reset_call)
            return result

    async def before_node_run(self, ctx: RunContext[Any], *, node: Any) -> Any:  # noqa: ARG002
        """Read what the program passes with the decisions about deferred tools."""
        given = _given_results.get()
        if given is not None:
            given.update(_metadata_of(getattr(node, "deferred_tool_results", None)))
        return node

    def _asked(self, name: str, ctx: RunContext[Any]) -> dict[str, object]:
        prompt = None if self._history.capture == "none" else _content(ctx.prompt)
        return {"agent_name": name, "inputs": _llm.known_only(prompt=prompt)}

    @guarded("the record of a question")
    def _ask(self, span: ManualSpan, ctx: RunContext[Any], output: object) -> None:
        """Record the calls that wait for a person's approval or for a result from elsewhere."""
        if not isinstance(output, DeferredToolRequests):
            return
        calls = [*output.approvals, *output.calls]
        withheld = self._history.capture == "none"
        asked: dict[str, object] = {
            call.tool_call_id: None if withheld else described
            for call, described in zip(calls, _tool_calls(calls), strict=True)
        }
        approvals = [key for key, each in output.metadata.items() if _is_of_approver(each)]
        questions.ask(span, ctx.conversation_id, asked, "deferred", approvals=approvals)

    @guarded("the end of an agent")
    def _end_agent(self, span: ManualSpan, result: AgentRunResult[Any], *, resumable: bool) -> None:
        """End the span; an outermost agent that waits leaves the run open that it did not open."""
        output: object = result.output
        if not isinstance(output, DeferredToolRequests):
            span.end(partial(self._answered, output))
            return
        calls = [*output.approvals, *output.calls]
        if resumable and span.context is not None:
            waiting = _waiting.setdefault(span.context.run, set())
            waiting.update(call.tool_call_id for call in calls)
            span.leave_open()
        span.end(lambda: {"outputs": {"tool_calls": _tool_calls(calls)}}, status="cancelled")

    def _answered(self, output: object) -> dict[str, object]:
        return {"outputs": {} if self._history.capture == "none" else {"output": output}}

    # Model calls

    async def wrap_model_request(
        self,
        ctx: RunContext[Any],  # noqa: ARG002 - of the hook
        *,
        request_context: ModelRequestContext,
        handler: Callable[..., Any],
    ) -> ModelResponse:
        """Record a model call."""
        self.declared.add_listed(request_context.model_request_parameters.function_tools)
        _answer_by_results(request_context.messages, withheld=self._history.capture == "none")
        request = _Request(request_context, self._history)
        if request.streams and not WRAPS_MODELS:
            watched = _WatchedModel(request_context.model, request)
            request_context = replace(request_context, model=watched)
        reset = _request.set(request)
        try:
            with spans.start(MODEL, request.payload) as span:
                request.span = span
                try:
                    response: ModelResponse = await handler(request_context)
                except SkipModelRequest as skip:
                    span.end(partial(request.result, skip.response))
                    raise
                except BaseException as error:
                    span.end(request.partial_result, error=error)
                    raise
                span.end(partial(request.result, response), status=_status_of(response))
                return response
        finally:
            _request.reset(reset)

    def get_wrapper_model(self, model: Model) -> Model | None:
        """Return a model whose streams are seen, for a call that is streamed."""
        request = _request.get()
        return _WatchedModel(model, request) if request is not None and request.streams else None

    # Tools

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Any],
    ) -> Any:
        """Record a tool, or deny it: the model reads the denial as its result."""
        recorder = self.declared.tool(ctx, tool_def)
        if ctx.tool_call_approved:
            of_approver = _is_of_approver(ctx.tool_call_metadata)
            approvals = (call.tool_call_id,) if of_approver else ()
            _record_answers({call.tool_call_id: "approved"}, approvals)
        try:
            with _deferring(ctx):
                if recorder is None:
                    return await handler(args)
                given = partial(_arguments, call, args)
                admission = await spans.ask(recorder, given)
                with spans.start(recorder, given, admission=admission) as span:
                    try:
                        result = await handler(args)
                    except SkipToolExecution as skip:
                        span.end(partial(_output, skip.result))
                        raise
                    span.end(partial(_output, result))
                    return result
        except DeniedError as denial:
            raise ToolFailed(denial.for_model()) from denial

    # Outputs

    async def wrap_output_process(
        self,
        ctx: RunContext[Any],
        *,
        output_context: OutputContext,
        output: Any,
        handler: Callable[[Any], Any],
    ) -> Any:
        """Record an output function, or deny it: the model reads the denial.

        At the last attempt, and for a part of a stream, the denial reaches the caller.
        """
        if not output_context.has_function:
            return await handler(output)
        recorder = self.declared.output(output_context)
        given = partial(_given, output_context, output)
        try:
            if recorder is None:
                return await handler(output)
            if ctx.partial_output:  # it is called again, with the rest
                spans.permit(recorder, given)
                return await handler(output)
            admission = await spans.ask(recorder, given)
            with spans.start(recorder, given, admission=admission) as span:
                result = await handler(output)
                span.end(partial(_output, result))
                return result
        except DeniedError as denial:
            if ctx.partial_output or ctx.last_attempt:
                raise
            raise ModelRetry(denial.for_model()) from denial


def _known_of_run(ctx: RunContext[Any]) -> Mapping[str, object]:
    """Return the conversation of an outermost agent; pydantic-ai makes an id if none is given."""
    return {"conversation": getattr(ctx, "conversation_id", None)}


class _AgentRemit(NamedTuple):
    """What one capability declares of an agent, and the ceiling of both."""

    data_risk: DataRisk | None
    limits: Limits | None
    ceiling: Ceiling | None


NO_REMIT: Final = _AgentRemit(None, None, None)

_Agent: TypeAlias = tuple[AgentRuns, Sequence[Ceiling]]
"""The opener of an agent's runs, and its limits."""


class _Declared:
    """Declarations of one agent and its tools.

    Attributes:
        remits: The remits of the agent; the first is registered, and all hold.
        identity: That of the capability, for the agents that it declares.
    """

    def __init__(
        self,
        risks: Mapping[str, DataRisk],
        remits: tuple[_AgentRemit, ...],
        identity: AgentIdentity,
    ) -> None:
        self.risks = risks
        self.remits = remits
        self.identity = identity
        self.outputs: Sequence[Callable[..., object]] = ()
        self._checked = False
        self._forget()

    def _forget(self) -> None:
        self._declarations = declarations()
        self._agents: dict[str, _Agent] = {}
        self._tools: dict[str, tuple[tuple[object, object], SpanRecorder]] = {}
        self._decorated: set[str] = set()

    def fresh(self) -> _Declared:
        """Return the same for another agent."""
        return _Declared(self.risks, self.remits, self.identity)

    def over(self, other: _Declared) -> _Declared:
        """Return the declarations of both; for a tool in both, these count."""
        added = tuple(each for each in other.remits if each not in self.remits)
        merged = _Declared({**other.risks, **self.risks}, self.remits + added, self.identity)
        merged.outputs = self.outputs or other.outputs
        return merged

    def agent(self, name: str) -> _Agent:
        """Return the opener of the agent's runs, and its limits.

        The remits apply even to an agent that could not be declared.
        """
        return self._agent(name) or (AGENTS, [each.ceiling for each in self.remits if each.ceiling])

    @guarded("the declaration of an agent")
    def _agent(self, name: str) -> _Agent:
        known = self._agents.get(name)
        if known is None:
            identifier, (first, *more) = self.identity.of(name), self.remits or (NO_REMIT,)
            runs = declare_agent(
                identifier,
                name=name,
                data_risk=first.data_risk,
                limits=first.limits,
                identity=self.identity,
            )
            ceilings = [
                ceiling_of(identifier, risk, None if ceiling is None else ceiling.place, limits)
                for risk, limits, ceiling in more
            ]
            known = self._agents[name] = (runs, [*filter(None, (runs.ceiling, *ceilings))])
        return known

    @guarded("the declaration of tools")
    def add_tools(self, toolsets: Sequence[AbstractToolset[Any]]) -> set[str] | None:
        """Declare the tools of *toolsets*; return their names, or None if not all are known."""
        if self._declarations is not declarations():
            self._forget()
        names: set[str] | None = set()
        for name, tool in _tools_of(toolsets):
            if name is None or tool is None:
                names = None
                continue
            if names is not None:
                names.add(name)
            if step_of(tool.function) is None:
                self._tool(name, tool.tool_def)
            else:
                self._decorated.add(name)
        return names

    @guarded("the declaration of tools")
    def add_listed(self, tools: Iterable[ToolDefinition]) -> None:
        """Declare the tools that became known when they were listed, such as those of MCP."""
        for tool in tools:
            if tool.name not in self._tools and tool.name not in self._decorated:
                self._tool(tool.name, tool)

    @guarded("the declaration of a tool", TOOL)
    def tool(self, ctx: RunContext[Any], tool: ToolDefinition) -> SpanRecorder | None:
        """Return the recorder of a tool; None if its function is decorated."""
        return None if _is_decorated(ctx, tool.name) else self._tool(tool.name, tool)

    def _tool(self, name: str, tool: ToolDefinition) -> SpanRecorder:
        content = (tool.description, tool.parameters_json_schema)
        known = self._tools.get(name)
        if known is None or known[0] != content:
            recorder = declare(
                f"pydantic-ai:tool:{name}",
                "tool",
                params=tool.parameters_json_schema,
                description=tool.description,
                data_risk=self.risks.get(name),
                place=self.identity.place,
            )
            known = self._tools[name] = (content, recorder)
        return known[1]

    @guarded("the declaration of an output function", OUTPUT)
    def output(self, context: OutputContext) -> SpanRecorder | None:
        """Return the recorder of an output function; None if it is decorated.

        The name is not known if several functions are one output of the model.
        """
        name, definition = context.function_name, context.tool_def
        functions = [each for each in self.outputs if name in {None, _function_name(each)}]
        if functions and all(step_of(each) is not None for each in functions):
            return None
        if name is None:
            return OUTPUT
        return declare(
            f"pydantic-ai:output:{name}",
            "tool",
            params=None if definition is None else definition.parameters_json_schema,
            description=None if definition is None else definition.description,
            data_risk=self.risks.get(name),
            place=self.identity.place,
        )

    def check(self, names: set[str] | None) -> None:
        """Check once that the risks name tools, if all *names* of tools are known.

        Raises:
            DeclarationError: One names no tool.
        """
        if self._checked or names is None:
            return
        known = names | {*map(_function_name, self.outputs)}
        unknown = sorted(self.risks.keys() - known)
        if unknown:
            raise DeclarationError(
                f"Remit at {self.identity.place}: risks names "
                f"{', '.join(map(describe_value, unknown))}; "
                f"expected names of tools, which are {', '.join(sorted(known)) or 'none'}"
            )
        self._checked = True


class _Request:
    """One model call: its payload and its result.

    Attributes:
        stream: The stream of the model, once it is open.
    """

    def __init__(self, context: ModelRequestContext, history: _llm.History) -> None:
        """Keep what is read if it is recorded."""
        self._context = context
        self._history = history
        outer = _agent.get()
        self._parent = None if outer is None else outer.context
        self._started_s = time.perf_counter()
        self.streams = context.streaming
        self.span = ManualSpan()
        self.stream: StreamedResponse | None = None
        self._payload: dict[str, object] = {}

    def payload(self) -> dict[str, object]:
        context = self._context
        settings = cast("Mapping[str, object]", context.model_settings or {})
        messages, omitted = self._history.new(self._parent, list(_messages(context.messages)))
        tools = context.model_request_parameters.function_tools
        self._payload = _llm.payload(
            "chat",
            _provider_of(context.model),
            context.model.model_name,
            messages,
            omitted=omitted,
            system=None if self._history.capture == "none" else _instructions(context.messages),
            tools=_llm.described((tool.name, tool.description) for tool in tools),
            settings={key: value for key, value in settings.items() if key not in NOT_RECORDED},
            stream=self.streams,
        )
        return self._payload

    def _name_provider(self, response: ModelResponse) -> None:
        """Record the provider that answered, where the model is one of several."""
        name = response.provider_name
        if name and self._payload and self._context.model.system != name:
            self.span.describe({**self._payload, "provider": provider_named(name)})

    def result(self, response: ModelResponse) -> dict[str, object]:
        messages = self._history.answered(self._parent, list(_messages([response])))
        usage = response.usage
        counts = (usage.input_tokens, usage.output_tokens)
        self._name_provider(response)
        return _llm.result(
            messages,
            [response.finish_reason],
            tokens=_llm.tokens_of(usage if any(counts) else None),
            response_model=response.model_name,
            response_id=response.provider_response_id,
            first_token_ms=self._first_token_ms(),
            cost=_cost(response),
        )

    def partial_result(self) -> dict[str, object]:
        """Return the received part of an abandoned stream."""
        return {} if self.stream is None else self.result(self.stream.get())

    def _first_token_ms(self) -> float | None:
        stream = self.stream
        first_s = None if stream is None else stream.time_to_first_chunk(self._started_s)
        return None if first_s is None else round(first_s * 1000, 3)


class _WatchedModel(WrapperModel):
    """A model that hands its stream to the request, and opens it inside the span of the call.

    pydantic-ai opens a stream in the task that reads it, where the span is not current.
    """

    def __init__(self, wrapped: Model, request: _Request) -> None:
        super().__init__(wrapped)
        self._request = request

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        streamed = self.wrapped.request_stream(
            messages, model_settings, model_request_parameters, run_context
        )
        async with AsyncExitStack() as stack:
            context = self._request.span.context
            with nullcontext() if context is None else spans.inside(context):
                stream = await stack.enter_async_context(streamed)
            self._request.stream = stream
            yield stream


# Approval


@guarded("the approvals of a run")
def _go_on(span: ManualSpan, ctx: RunContext[Any]) -> None:
    """Let the run end as usual once an agent goes on with the calls that it waited for."""
    waiting = None if span.context is None else _waiting.get(span.context.run)
    if waiting:
        waiting -= {call.tool_call_id for message in ctx.messages for call in _calls_of(message)}
        span.leave_open(leave=bool(waiting))


@guarded("the approvals of a run")
def _open_calls(messages: Sequence[ModelMessage]) -> set[str]:
    """Return the ids of the calls in the last answer of the model that have no result."""
    calls: set[str] = set()
    for message in messages:
        if isinstance(message, ModelResponse):
            calls = {call.tool_call_id for call in _calls_of(message)}
        else:
            calls -= {getattr(part, "tool_call_id", "") for part in message.parts}
    return calls


@dataclass
class _Answers:
    """The calls that an agent goes on with, until their answers are recorded."""

    span: ManualSpan
    conversation: object
    open_calls: set[str]


_answers: ContextVar[_Answers | None] = ContextVar("remit.pydantic_ai.answers", default=None)


@guarded("the record of an answer")
def _record_answers(by_call: Mapping[str, object], approvals: Collection[str] = ()) -> None:
    """Record the answers to open calls; pydantic-ai does not know who gave them.

    Those to *approvals* are recorded as the answers to an approver.
    """
    answers = _answers.get()
    if answers is None:
        return
    known: dict[str | None, object] = {
        call_id: value for call_id, value in by_call.items() if call_id in answers.open_calls
    }
    answers.open_calls -= set(by_call)
    questions.answer(
        answers.span, answers.conversation, known, None, approvals=frozenset(approvals)
    )


@guarded("the record of an answer")
def _answer_by_results(messages: Sequence[ModelMessage], *, withheld: bool) -> None:
    """Record the answers to open calls that did not run: denials, and results from elsewhere."""
    if not messages:
        return
    results = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
    denied = [part for part in results if getattr(part, "outcome", None) == "denied"]
    approvals = [part.tool_call_id for part in denied if _refuse(part)]
    by_call = {part.tool_call_id: None if withheld else part.content for part in results}
    _record_answers(by_call, approvals)


# The approver


_given_results: ContextVar[dict[str, Mapping[str, object]] | None] = ContextVar(
    "remit.pydantic_ai.results", default=None
)
"""The metadata with which an agent goes on, by the id of the call."""
NO_METADATA: Final[Mapping[str, Mapping[str, object]]] = {}


@pausing("deferred")
def by_deferral(request: ApprovalRequest) -> Approved | Refused:
    """An approver that defers the tool call, and goes on when the agent is run with the decision.

    Pass it as `remit.configure(approver=by_deferral)`. The agent needs the capability `Remit` and
    `DeferredToolRequests` among its output types. `DeferredToolRequests.metadata` has a mapping for
    the call, with `step`, `words`, `agent`, `run`, `arguments`, `unbound`, `ticket` and `seal`. Run
    the agent again with `DeferredToolResults`: the decision in `approvals`, and in `metadata` that
    mapping with the person's name as `by`. A model reads the message of a `ToolDenied`.

    If the arguments were changed in the meantime, the call is deferred again. Each seal lets one
    call run, so a tool should call one asked step.

    Raises:
        ApprovalRequired: pydantic-ai defers the call.
    """
    ctx, known, context = _called.get(), questions.known_asks(), open_context()
    if ctx is None or ctx.tool_call_id is None or known is None or context is None:
        return Refused(why="it was not called by a tool of an agent with the capability Remit")
    fields = _fields(ctx.tool_call_metadata if ctx.tool_call_approved else None)
    if request.is_about(fields.get(SEAL)):
        if not request.matches(fields[SEAL]):
            return Refused(why=USED_SEAL)
        by = fields.get("by")
        if not (isinstance(by, str) and by.strip()):
            return Refused(why="the answer names no person: pass `by` in the metadata of the call")
        return Approved(by=by)
    if ctx.tool_call_approved and SEAL not in fields and ctx.tool_call_id in known.deferred:
        return Refused(why="the answer has no seal: pass the metadata of the question back")
    known.deferred[ctx.tool_call_id] = request.ticket
    raise ApprovalRequired(metadata=questions.shown(request))


@contextmanager
def _deferring(ctx: RunContext[Any]) -> Generator[None]:
    """Let approvers defer a call of a tool within the block, and know what it goes on with."""
    fields = _fields(ctx.tool_call_metadata)

    is_superseded = not ctx.tool_call_approved

    def ticket_of(request: ApprovalRequest) -> str | None:
        nonlocal is_superseded
        if request.is_about(fields.get(SEAL)):
            return _text(fields.get(TICKET))
        if not is_superseded:
            is_superseded = True
            _supersede(ctx.tool_call_id, request, fields)
        return None

    reset_call, reset_resumed = _called.set(ctx), resumed.set(Resumed(ticket_of))
    try:
        yield
    finally:
        _called.reset(reset_call)
        resumed.reset(reset_resumed)


@guarded("the record of an answer")
def _supersede(call_id: str | None, request: ApprovalRequest, fields: Mapping[str, object]) -> None:
    """Record that an approval is about other arguments, before *request* is asked."""
    known, context = questions.known_asks(), open_context()
    if SEAL not in fields or known is None or context is None:
        return
    waiting = known.paused.get(request.digest)
    if waiting is not None and waiting == known.deferred.get(call_id or ""):
        return
    changed = Outcome(SUPERSEDED, _text(fields.get("by")))
    questions.end_unanswered(context, fields.get(TICKET), fields[SEAL], changed)


@guarded("the record of an answer", default=False)
def _refuse(part: Any) -> bool:
    """Record the denial of a call that an approver deferred; return whether one did."""
    agent, call_id = _agent.get(), str(part.tool_call_id)
    context = None if agent is None else agent.context
    known = questions.known_asks(context)
    fields = (_given_results.get() or {}).pop(call_id, {})
    if context is None or known is None or not (call_id in known.deferred or SEAL in fields):
        return False
    ticket = known.deferred.pop(call_id, None) or fields.get(TICKET)
    no = Outcome(REFUSED, _text(fields.get("by")), _text(part.content))
    questions.end_unanswered(context, ticket, fields.get(SEAL), no)
    return True


@guarded("the metadata of deferred tools", NO_METADATA)
def _metadata_of(results: Any) -> Mapping[str, Mapping[str, object]]:
    metadata = _fields(getattr(results, "metadata", None))
    return {call_id: fields for call_id, fields in metadata.items() if _is_of_approver(fields)}


def _is_of_approver(metadata: object) -> bool:
    """Return whether *metadata* is of a question of `by_deferral`, or of its answer."""
    return isinstance(_fields(metadata).get(SEAL), str)


def _fields(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


# Tools


def _tools_of(
    toolsets: Iterable[AbstractToolset[Any]],
) -> Iterator[tuple[str | None, Tool[Any] | None]]:
    """Yield the tools of functions by the name that the model uses; (None, None) for others."""
    for toolset in toolsets:
        if isinstance(toolset, FunctionToolset):
            for name, tool in toolset.tools.items():
                yield name, tool
                if tool.prepare is not None:  # it may have another name
                    yield None, None
        elif isinstance(toolset, CombinedToolset):
            yield from _tools_of(toolset.toolsets)
        elif isinstance(toolset, WrapperToolset):
            for inner_name, inner_tool in _tools_of([toolset.wrapped]):
                yield inner_name and _renamed(toolset, inner_name), inner_tool
        else:
            yield None, None


def _renamed(toolset: WrapperToolset[Any], name: str) -> str:
    """Return the name outside *toolset* of a tool that has *name* inside it."""
    if isinstance(toolset, PrefixedToolset):
        return f"{toolset.prefix}_{name}"
    if isinstance(toolset, RenamedToolset):
        return next((new for new, old in toolset.name_map.items() if old == name), name)
    return name


def _is_decorated(ctx: RunContext[Any], name: str) -> bool:
    """Return whether the function of a tool of the run is decorated."""
    toolsets = [] if ctx.tool_manager is None else [ctx.tool_manager.toolset]
    for each, tool in _tools_of(toolsets):
        if each == name and tool is not None:
            return step_of(tool.function) is not None
    return False


def _capabilities_of(agent: AbstractAgent[Any, Any]) -> list[Remit]:
    """Return the capabilities of this integration that the agent itself has."""
    capabilities: list[AbstractCapability[Any]] = []
    agent.root_capability.apply(capabilities.append)
    bare = map(_unwrapped, capabilities)
    return [capability for capability in bare if isinstance(capability, Remit)]


def _unwrapped(capability: AbstractCapability[Any]) -> AbstractCapability[Any]:
    while isinstance(capability, WrapperCapability):
        capability = capability.wrapped
    return capability


@guarded("a look at the output functions of an agent", ())
def _output_functions(output: Any) -> Sequence[Callable[..., object]]:
    """Return the functions in the output type of an agent."""
    if isinstance(output, ToolOutput):
        output = cast("Any", output).output
    elif isinstance(output, TextOutput):
        output = cast("Any", output).output_function
    elif isinstance(output, NativeOutput | PromptedOutput):
        output = cast("Any", output).outputs
    if isinstance(output, list | tuple):
        inner = cast("Sequence[object]", output)
        return [function for each in inner for function in _output_functions(each)]
    return [output] if isfunction(output) or ismethod(output) else []


def _function_name(function: Callable[..., object]) -> str:
    return getattr(function, "__name__", "")


def _given(context: OutputContext, output: object) -> dict[str, object]:
    """Return the payload of an output function."""
    call = context.tool_call
    if call is None:
        return {"inputs": {"output": output}}
    return _arguments(call, call.args_as_dict())


def _arguments(call: ToolCallPart, args: dict[str, Any]) -> dict[str, object]:
    return {"tool_name": call.tool_name, "call_id": call.tool_call_id, "inputs": args}


def _output(result: object) -> dict[str, object]:
    value: object = result.return_value if isinstance(result, ToolReturn) else result
    return {"outputs": {"output": value}}


# Messages


def _name_of(ctx: RunContext[Any]) -> str:
    name = None if ctx.agent is None else ctx.agent.name
    return name if isinstance(name, str) and name else UNNAMED


def _provider_of(model: Model) -> str:
    """Return the provider of a model; of one that speaks the API of OpenAI, its server."""
    name = model.system
    return (provider_at(model.base_url) if name == OPENAI else None) or provider_named(name)


def _status_of(response: ModelResponse) -> Status | None:
    """Return that a stream was left before its end."""
    left = getattr(response, "state", None) in {"incomplete", "interrupted"}
    return "cancelled" if left else None


def _instructions(messages: Sequence[ModelMessage]) -> str | None:
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            return message.instructions
    return None


def _messages(messages: Iterable[ModelMessage]) -> Iterator[_llm.Message]:
    for message in messages:
        if isinstance(message, ModelResponse):
            calls = _tool_calls(_calls_of(message))
            yield _llm.message("assistant", _answer(message), tool_calls=calls)
        else:
            for part in message.parts:
                yield from _request_message(part)


def _request_message(part: Any) -> Iterator[_llm.Message]:
    kind = part.part_kind
    if kind == "system-prompt":
        yield _llm.message("system", part.content)
    elif kind == "user-prompt":
        yield _llm.message("user", _content(part.content))
    elif kind == "tool-return":
        content = part.content if isinstance(part.content, str) else part.model_response_str()
        yield _llm.message("tool", content, tool_call_id=part.tool_call_id)
    elif kind == "retry-prompt" and part.tool_name is not None:
        yield _llm.message("tool", part.model_response(), tool_call_id=part.tool_call_id)
    elif kind in {"retry-prompt", "retry-feedback"}:
        yield _llm.message("user", part.model_response())
    elif isinstance(getattr(part, "content", None), str):
        yield _llm.message("system", part.content)


def _calls_of(message: ModelMessage) -> Iterator[Any]:
    for part in message.parts:
        if part.part_kind in {"tool-call", "builtin-tool-call"}:
            yield part


def _tool_calls(calls: Iterable[Any]) -> list[dict[str, object]]:
    return [_llm.tool_call(call.tool_call_id, call.tool_name, call.args) for call in calls]


def _answer(response: ModelResponse) -> object:
    """Return the text of an answer, its reasoning, and a description of its files."""
    parts = [_answer_part(part) for part in response.parts if part.part_kind in CONTENTS]
    return _llm.text_or_parts(part for part in parts if part)


def _answer_part(part: Any) -> object:
    if part.part_kind == "thinking":
        return _llm.reasoning(part.content) if part.content else None
    return _item(part.content)


def _content(value: str | Sequence[UserContent] | None) -> object:
    if value is None or isinstance(value, str):
        return value
    items = (_item(item) for item in value if getattr(item, "kind", None) != "cache-point")
    return _llm.text_or_parts(items)


def _item(item: object) -> object:
    if isinstance(item, BinaryContent):
        return _llm.media(item.media_type, item.data)
    text = item if isinstance(item, str) else getattr(item, "content", None)
    if isinstance(text, str):
        return text
    kind, url, file_id = (getattr(item, name, None) for name in ("kind", "url", "file_id"))
    return _llm.known_only(type=kind, url=url, id=file_id)


def _cost(response: ModelResponse) -> dict[str, str] | None:
    """Return the price, where genai-prices knows the model."""
    amount = getattr(response.usage, "cost", None)
    if amount is None and not WRAPS_MODELS:  # newer versions have worked it out by then
        try:
            amount = response.cost().total_price
        except (AssertionError, LookupError, ValueError):
            return None
    return None if amount is None else {**PRICED, "amount": str(amount)}
