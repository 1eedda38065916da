"""Records agents of the OpenAI Agents SDK, refuses their tools and stops them.

A program adds two lines:

    agents.add_trace_processor(RemitProcessor())  # agents, model calls, hand-overs, guardrails
    agent = govern(agent)  # its tools, and those of the agents that it hands over to

Where runs wait for an approval, a third one: `if result.interruptions: run.leave_open()`.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import metadata
from typing import Any, Final, TypeVar, cast

from remit._base.frames import caller
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._decorators import adapters
from remit.errors import DeclarationError, DeniedError
from remit.integrations import _llm
from remit.models.data_risk import DataRisk

PACKAGE: Final = "openai-agents"
LOWEST: Final = "0.20"
"""The first version that hands `RunTerminated` to the reader of a stream; earlier ones wait on."""

try:
    _found: str | None = metadata.version(PACKAGE)
except metadata.PackageNotFoundError:
    _found = None
_llm.required(PACKAGE, LOWEST, _found)

from agents import (  # noqa: E402 - after the check of its version
    Agent,
    AgentHooks,
    AgentSpanData,
    FunctionTool,
    GenerationSpanData,
    GuardrailSpanData,
    Handoff,
    HandoffSpanData,
    ModelBehaviorError,
    RunContextWrapper,
    Span,
    Tool,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrail,
    ToolInputGuardrailData,
    ToolOutputGuardrail,
    ToolOutputGuardrailData,
    Trace,
    TracingProcessor,
    UserError,
    get_current_span,
)
from agents.tool_context import ToolContext  # noqa: E402 - as above

TAgent = TypeVar("TAgent", bound=Agent[Any])

FRAMEWORK: Final = "openai-agents"
TOOL_FAILED: Final = "An error occurred while running the tool"
"""How the text begins that the SDK gives the model in place of a tool's exception."""

adapters.add_to_header(f"remit-openai-agents@{__version__}")
AGENT: Final = adapters.declare(f"{FRAMEWORK}:agent", "agent", title="Agent")
LLM: Final = adapters.declare(f"{FRAMEWORK}:llm", "llm", title="Model call")
# A hand-over and a guardrail have no effect of their own, as an agent; what they call is recorded.
HANDOFF: Final = adapters.declare(f"{FRAMEWORK}:handoff", "agent", title="Hand-over")
GUARDRAIL: Final = adapters.declare(f"{FRAMEWORK}:guardrail", "agent", title="Guardrail")
RECORDERS: Final = {
    "agent": AGENT, "generation": LLM, "response": LLM, "handoff": HANDOFF, "guardrail": GUARDRAIL,
}  # fmt: skip
"""By the type of the SDK's span."""

_spans: Final[adapters.SpanTable[str]] = adapters.SpanTable()
"""Spans of all processors, by the id of the SDK's span, so that each is recorded once."""
_handled: Final[dict[str, BaseException]] = {}
"""What was being handled when a span began: it did not end that span."""
_tools: Final[adapters.SpanTable[int]] = adapters.SpanTable()
"""Spans of tools, by the id of the context of their call, which lives longer than the span."""
_refusals: Final[dict[int, list[DeniedError]]] = {}
"""Refusals beneath tools whose function is decorated, by the same id."""


class RemitProcessor(TracingProcessor):
    """Records the traces of the SDK: agents, model calls, hand-overs and guardrails.

    Tools have a span where their agent is governed.
    """

    def __init__(self, capture_messages: _llm.CaptureMessages = "new") -> None:
        """Record these messages of model calls: the `new` ones, `all` or `none`.

        Raises:
            DeclarationError: *capture_messages* is none of them.
        """
        capture = _llm.checked_capture(capture_messages, "RemitProcessor")
        self._history = _llm.History(capture)
        self._place = caller()

    def on_trace_start(self, trace: Trace) -> None:
        """Do nothing."""

    def on_trace_end(self, trace: Trace) -> None:
        """Do nothing."""

    def on_span_start(self, span: Span[Any]) -> None:
        """Start the span of an agent, model call, hand-over or guardrail.

        Raises:
            RunTerminated: The run was terminated; the SDK lets it pass.
        """
        data, key = span.span_data, span.span_id
        recorder = RECORDERS.get(data.type)
        if recorder is None:
            if span.parent_id is not None:
                _spans.alias(key, span.parent_id)
            return
        if _spans.get(key) is not None:  # another processor records it
            return
        agent = None
        if recorder is AGENT and _spans.context() is None:
            name = str(data.name)
            agent = adapters.declare_agent(_identifier(name), name=name, place=self._place)
        payload = partial(_started, data)
        _spans.start(key, recorder, payload, current=True, announce=recorder is AGENT, agent=agent)
        handled = sys.exception()
        if handled is not None:
            _handled[key] = handled

    def on_span_end(self, span: Span[Any]) -> None:
        """End the span, with what the SDK says of it by now."""
        data, key = span.span_data, span.span_id
        started = _spans.get(key)
        error = sys.exception()
        if error is _handled.pop(key, None):
            error = None
        if started is None:
            _spans.end(key)
            return
        result: adapters.Content | None = None
        if RECORDERS.get(data.type) is LLM:
            parent = _spans.context(span.parent_id or "")
            started.describe(lambda: _asked(data, self._history, parent))
            result = lambda: _answered(data, self._history, parent)  # noqa: E731 - beside the other
            error = _error_of_call(span, error)
        else:
            started.describe(partial(_started, data))
            if isinstance(data, GuardrailSpanData):
                result = lambda: {"outputs": {"triggered": data.triggered}}  # noqa: E731
        _spans.end(key, result, error=error)

    def shutdown(self) -> None:
        """Do nothing: remit delivers by itself."""

    def force_flush(self) -> None:
        """Do nothing, as `shutdown`."""


def _identifier(name: str) -> str:
    return f"{FRAMEWORK}.agents:{name}"


def _started(data: Any) -> dict[str, object]:  # noqa: ANN401 - any span of the SDK
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
    return {}


def _error_of_call(span: Span[Any], error: BaseException | None) -> BaseException | None:
    """Return what ended a model call.

    The SDK closes a stream after its last event, be it the answer or an error.
    """
    if error is not None and not isinstance(error, GeneratorExit):
        return error
    if span.error is not None:
        return ModelBehaviorError(f"{span.error['message']}: {span.error['data']}")
    data = span.span_data
    answer = (getattr(data, name, None) for name in ("usage", "output", "response"))
    return error if all(part is None for part in answer) else None


# What a model call says


def _asked(data: Any, history: _llm.History, parent: Any) -> dict[str, object]:  # noqa: ANN401
    """Return the payload of a model call."""
    messages, omitted = history.new(parent, _messages(data.input))
    if isinstance(data, GenerationSpanData):
        config = data.model_config or {}
        model = data.model or ""
        prefix, _, name = model.partition("/")  # of LiteLLM and any-llm
        return _llm.payload(
            "chat",
            prefix if name and "model_impl" in config else "openai",
            data.model,
            messages,
            omitted=omitted,
            settings={name: config[name] for name in SETTINGS if config.get(name) is not None},
        )
    response = data.response
    tools = _field(response, "tools")
    return _llm.payload(
        "responses",
        "openai",
        _field(response, "model"),
        messages,
        omitted=omitted,
        system=_content(_field(response, "instructions")),
        tools=_llm.described(
            (_field(tool, "name") or _field(tool, "type"), _field(tool, "description"))
            for tool in _items(tools)
        ),
        settings=_llm.known_only(**{name: _field(response, name) for name in SETTINGS}),
    )


SETTINGS: Final = (
    "temperature", "top_p", "max_tokens", "max_output_tokens", "frequency_penalty",
    "presence_penalty", "tool_choice", "parallel_tool_calls",
)  # fmt: skip


def _answered(data: Any, history: _llm.History, parent: Any) -> dict[str, object]:  # noqa: ANN401
    """Return the result of a model call."""
    response = getattr(data, "response", None)
    output = _field(response, "output") if response is not None else getattr(data, "output", None)
    messages = history.answered(parent, _messages(output))
    reason = _field(_field(response, "incomplete_details"), "reason") or _field(response, "status")
    usage = getattr(data, "usage", None) or _field(response, "usage")
    before, after = _field(usage, "input_tokens_details"), _field(usage, "output_tokens_details")
    tokens = _llm.token_usage(
        _field(usage, "input_tokens"),
        _field(usage, "output_tokens"),
        _field(usage, "total_tokens"),
        cache_read=_field(before, "cached_tokens"),
        cache_write=_field(before, "cache_write_tokens"),
        reasoning=_field(after, "reasoning_tokens"),
    )
    return _llm.result(
        messages,
        [reason],
        tokens=tokens,
        response_model=_field(response, "model"),
        response_id=_field(response, "id"),
    )


def _field(value: object, name: str) -> Any:  # noqa: ANN401 - of any model or mapping
    """Return a field of a model or a mapping, None if there is none."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value).get(name)
    return getattr(value, name, None)


def _items(value: object) -> Iterable[object]:
    return cast("list[object]", value) if isinstance(value, list | tuple) else ()


def _messages(items: object) -> list[_llm.Message]:
    """Return the items of the Responses API, or messages of Chat Completions, as messages.

    The items of one answer (texts and calls of tools) are one message.
    """
    if isinstance(items, str):
        return [_llm.message("user", items)]
    messages: list[_llm.Message] = []
    for item in _items(items):
        inner = _field(item, "output")
        if isinstance(inner, list) and _field(item, "type") is None:  # a whole answer
            messages += _messages(cast("list[object]", inner))
            continue
        each = _message(item)
        last = messages[-1] if messages else None
        if each is None:
            continue
        if last is None or each["role"] != "assistant" or last["role"] != "assistant":
            messages.append(each)
            continue
        texts = [text for text in (last["content"], each["content"]) if text]
        last["content"] = "\n".join(map(str, texts)) if texts else None
        calls = [*_items(last.get("tool_calls")), *_items(each.get("tool_calls"))]
        last.update(_llm.known_only(tool_calls=calls or None))
    return messages


def _message(item: object) -> _llm.Message | None:
    """Return one item as a message; None for those without text and call, as reasoning."""
    kind, role = _field(item, "type"), _field(item, "role")
    call_id = _field(item, "call_id") or _field(item, "tool_call_id")
    if role is not None:
        calls = [
            _llm.tool_call(_field(call, "id"), _field(each, "name"), _field(each, "arguments"))
            for call in _items(_field(item, "tool_calls"))
            for each in (_field(call, "function"),)
        ]
        content = _content(_field(item, "content"))
        return _llm.message(role, content, tool_calls=calls, tool_call_id=call_id)
    if not isinstance(kind, str):
        return None
    if kind.endswith("_output"):
        return _llm.message("tool", _content(_field(item, "output")), tool_call_id=call_id)
    if kind.endswith("_call"):
        arguments = _field(item, "arguments") or _field(item, "action") or _field(item, "input")
        name = _field(item, "name") or kind
        call = _llm.tool_call(call_id or _field(item, "id"), name, arguments)
        return _llm.message("assistant", None, tool_calls=[call])
    return None


def _content(value: object) -> object:
    """Return the text of a content, or its parts if some are no text."""
    if not isinstance(value, list):
        return value
    parts = [_part(part) for part in cast("list[object]", value)]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return "".join(texts) or None
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


def _part(part: object) -> object:
    text = _field(part, "text") or _field(part, "refusal")
    if isinstance(text, str):
        return text
    kind = _field(part, "type")
    for name in ("image_url", "file_data", "file_url", "input_audio"):
        value = _field(part, name)
        data = value if isinstance(value, str) else _field(value, "url") or _field(value, "data")
        if isinstance(data, str):
            return _llm.media(kind, data)
    return _llm.known_only(type=kind, id=_field(part, "file_id"))


# Governed agents


def govern(
    agent: TAgent,
    *,
    risks: Mapping[str, DataRisk] | None = None,
    remits: Mapping[str, DataRisk] | None = None,
) -> TAgent:
    """Return a copy of an agent, and of those that it hands over to, whose tools are governed.

    A tool has a span, and is registered with schema and data risk. If it exceeds the remit, it is
    not called, and the model reads why. Govern an agent before `as_tool`, too.

    Args:
        agent: The agent.
        risks: Data risks of tools, by name; a decorated function has its own.
        remits: By the name of an agent, the data risk that applies to its tools, and to what they
            call, in addition to that of the run.

    Raises:
        DeclarationError: *agent* is no agent, or a name or a data risk is wrong.
    """
    if not isinstance(agent, Agent):
        raise DeclarationError(f"govern: saw {describe_value(agent)}; expected an agents.Agent")
    for name, given in (("risks", risks), ("remits", remits)):
        if given is not None and not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DeclarationError(
                f"govern: {name} is {describe_value(given)}; expected a mapping of names"
            )
    copies = _Copies(risks or {}, remits or {}, caller())
    governed = copies.copy(agent)
    copies.check()
    return cast("TAgent", governed)


class _Copies:
    """Copies of agents, each made once: agents may hand over to each other in a circle."""

    def __init__(
        self, risks: Mapping[str, DataRisk], remits: Mapping[str, DataRisk], place: str | None
    ) -> None:
        self._risks, self._remits, self._place = risks, remits, place
        self._copies: dict[int, tuple[Agent[Any], Agent[Any]]] = {}
        """By the id of the original, which is kept so that the id stays its own."""
        self._tools: set[str] = set()
        self._all_known = True

    def check(self) -> None:
        """Check the names in `risks` and `remits`, where tools and agents are known.

        Raises:
            DeclarationError: There is no such tool or agent.
        """
        agents = {original.name for original, _ in self._copies.values()}
        for what, names, known in (
            ("tool", self._risks, self._tools),
            ("agent", self._remits, agents),
        ):
            unknown = [name for name in names if name not in known]
            if unknown and self._all_known:
                raise DeclarationError(
                    f"govern: saw no {what} {', '.join(map(describe_value, unknown))}; expected "
                    f"one of {', '.join(sorted(known)) or 'none'}"
                )

    def copy(self, agent: Agent[Any]) -> Agent[Any]:
        """Return the copy of *agent*."""
        known = self._copies.get(id(agent))
        if known is not None:
            return known[1]
        remit = self._remits.get(agent.name)
        ceiling = adapters.ceiling_of(_identifier(agent.name), remit, self._place)
        tools = [self._tool(tool, ceiling) for tool in agent.tools]
        hooks = agent.hooks if isinstance(agent.hooks, _Hooks) else _Hooks(agent.hooks)
        governed = agent.clone(tools=tools, handoffs=[], hooks=hooks)
        self._copies[id(agent)] = (agent, governed)
        self._copies[id(governed)] = (governed, governed)
        governed.handoffs = [self._handoff(handoff) for handoff in agent.handoffs]
        if agent.mcp_servers:  # their tools are made at each turn
            self._all_known = False
            get_tools = governed.get_mcp_tools

            async def get_mcp_tools(context: RunContextWrapper[Any]) -> list[Tool]:
                return [self._tool(tool, ceiling) for tool in await get_tools(context)]

            object.__setattr__(governed, "get_mcp_tools", get_mcp_tools)
        return governed

    def _tool(self, tool: Tool, ceiling: Any) -> Tool:  # noqa: ANN401 - what `ceiling_of` returns
        if not isinstance(tool, FunctionTool):
            return tool
        self._tools.add(tool.name)
        inputs = [*(tool.tool_input_guardrails or ())]
        outputs = [*(tool.tool_output_guardrails or ())]
        before = next(filter(None, map(_guard_of, inputs)), None)
        risk = self._risks.get(tool.name)
        if before is not None:
            risk, ceiling = risk or before.risk, ceiling or before.ceiling
        guard = _Guard(tool, risk, ceiling, self._place)
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
        return governed

    def _handoff(self, item: Agent[Any] | Handoff[Any, Any]) -> Agent[Any] | Handoff[Any, Any]:
        if isinstance(item, Agent):
            return self.copy(item)
        governed, invoke = copy.copy(item), item.on_invoke_handoff

        async def to_copy(context: RunContextWrapper[Any], arguments: str) -> Agent[Any]:
            return self._late_copy(await invoke(context, arguments))

        governed.on_invoke_handoff = to_copy
        # A run that is resumed from its saved state looks for its agent there.
        reference = cast(
            "Callable[[], Agent[Any] | None] | None", getattr(item, "_agent_ref", None)
        )
        target = None if reference is None else reference()
        if target is not None:
            governed._agent_ref = weakref.ref(  # noqa: SLF001 - see above
                self.copy(target)
            )
        else:
            self._all_known = False
        return governed

    def _late_copy(self, agent: Agent[Any]) -> Agent[Any]:
        """Return the copy of an agent that a hand-over chose; an unknown one is not kept."""
        late = _Copies(self._risks, self._remits, self._place)
        late._copies.update(self._copies)
        return late.copy(agent)


class _Guard:
    """Opens and ends the span of one tool of one agent, as guardrails of the tool."""

    def __init__(
        self,
        tool: FunctionTool,
        risk: DataRisk | None,
        ceiling: Any,  # noqa: ANN401 - what `ceiling_of` returns
        place: str | None,
    ) -> None:
        self.risk, self.ceiling = risk, ceiling
        self._step = adapters.step_of(getattr(tool, "__wrapped__", None))
        self._recorder = self._step or adapters.declare(
            f"{FRAMEWORK}:tool:{tool.name}",
            "tool",
            params=tool.params_json_schema,
            title=tool.name,
            description=tool.description or None,
            data_risk=risk,
            place=place,
        )

    def open(self, data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        """Start the span of the tool, or refuse the tool."""
        call = data.context
        try:
            adapters.within(self.ceiling)
            if self._step is not None:  # it has a separate span
                adapters.permit(self._step, partial(_arguments, call))
                _refusals[id(call)] = adapters.collect_refusals()
            elif _tools.get(id(call)) is None:  # the SDK may ask before and after an approval
                _tools.start(id(call), self._recorder, partial(_called, call), current=True)
        except DeniedError as denied:
            return ToolGuardrailFunctionOutput.reject_content(denied.for_model())
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(partial(_settle, id(call)))
        return ToolGuardrailFunctionOutput.allow()

    def close(self, data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        """End the span of the tool; the model reads a refusal beneath it, not the SDK's text."""
        span, key = _tools.get(id(data.context)), id(data.context)
        has_failed = _has_failed(data.output)
        refused: DeniedError | None = None
        if has_failed:
            collected = _refusals.get(key)
            refused = span.refused if span is not None else collected[-1] if collected else None
        if span is not None:
            status: adapters.Status | None = "failed" if has_failed else None
            span.end(lambda: {"outputs": {"output": data.output}}, status=status, error=refused)
        if refused is None:
            return ToolGuardrailFunctionOutput.allow()
        return ToolGuardrailFunctionOutput.reject_content(refused.for_model())


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

    The SDK hides the exception; the span of its trace, if there is one, says that there was one.
    """
    if isinstance(output, str) and output.startswith(TOOL_FAILED):
        return True
    span = get_current_span()
    return span is not None and span.error is not None


def _settle(key: int, task: asyncio.Task[Any]) -> None:
    """End the span of a tool whose task has ended without an output: it failed or was cancelled."""
    _refusals.pop(key, None)
    span = _tools.get(key)
    error = None if task.cancelled() else task.exception()
    if span is not None and error is None:  # or an agent inside it waits for an approval
        span.end(status="cancelled")
    elif span is not None:
        span.end(error=(error.__cause__ if isinstance(error, UserError) else None) or error)


class _Hooks(AgentHooks[Any]):
    """The hooks of an agent; before each call of a model they end a run that was terminated."""

    def __init__(self, hooks: Any) -> None:  # noqa: ANN401 - hooks of any context
        self._hooks = hooks
        for name in dir(hooks):
            if name.startswith("on_") and name != "on_llm_start":
                setattr(self, name, getattr(hooks, name))

    async def on_llm_start(self, *call: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
        """Raise `RunTerminated` if the run was terminated."""
        context = _spans.context()
        if context is not None:
            adapters.permit(LLM, parent=context)
        if self._hooks is not None:
            await self._hooks.on_llm_start(*call, **named)
