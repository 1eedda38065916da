"""LangChain and LangGraph: agents, chains, models and retrievers, and tools that can be denied.

What a user adds:

    agent = create_agent(model, tools, middleware=[RemitTools(tools, risks={...})])
    agent.invoke(question, {"callbacks": [RemitHandler()]})

`RemitHandler` records what LangChain reports. `RemitTools` declares tools, opens their spans, and
answers a denied call, which a callback cannot.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias, Unpack, cast
from uuid import UUID
from weakref import WeakKeyDictionary

from remit._adapters import questions, spans
from remit._adapters.declare import (
    AgentIdentity,
    add_to_header,
    declare,
    declare_agent,
    interrupts,
    name_tool,
    risks_by_name,
    step_of,
    undeclared,
)
from remit._adapters.questions import SEAL, TICKET
from remit._adapters.spans import (
    NOTHING,
    Admission,
    Content,
    ManualSpan,
    SpanEnd,
    StartOptions,
    Status,
)
from remit._adapters.tables import MAX_OPEN, SpanTable
from remit._base.frames import caller
from remit._base.guard import guarded
from remit._base.step_names import GRAPH, KIND
from remit._base.text import describe_value
from remit._base.version import __version__
from remit._decorators.agent import AgentRuns, are_labels
from remit._policy.asks import USED_SEAL
from remit._record.about import checked_text
from remit._record.approvals import ApprovalRequest, Approved, Refused, pausing
from remit._record.runs import SpanContext
from remit._record.spans import SpanRecorder
from remit._runtime import process
from remit.errors import DeclarationError, DeniedError, RemitError, UsageError
from remit.integrations import _llm
from remit.integrations._llm import CaptureMessages
from remit.integrations._providers import provider_named
from remit.models.data_risk import DataRisk

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, LLMResult
    from langchain_core.tools import BaseTool
    from langchain_core.tools import tool as tool_of
    from langchain_core.utils.json_schema import dereference_refs
    from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent, GraphResumeEvent
    from langgraph.config import get_config
    from langgraph.errors import GraphBubbleUp, ParentCommand
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.types import Command, interrupt
except ImportError:
    for package, lowest in (
        ("langchain", "1.2.11"), ("langgraph", "1.2.1"), ("langgraph-prebuilt", "1.1.3")
    ):  # fmt: skip
        _llm.required(package, lowest, _llm.installed(package), __name__)
    raise

Risk: TypeAlias = DataRisk | Mapping[str, object]
Answer: TypeAlias = ToolMessage | Command[Any]
OfRun: TypeAlias = str | Callable[[Mapping[str, Any]], object] | None
"""A text about a run, or a function of the metadata of a call that returns it."""

PREFIX: Final = "langchain:"
INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"
HIDDEN: Final = "langsmith:hidden"
NODE: Final = "graph:step:"
"""Beginning of the tag that LangGraph gives the nodes of a graph."""
NODES: Final = frozenset({"model", "tools"})
HOOKS: Final = (".before_agent", ".before_model", ".after_model", ".after_agent")
"""Nodes that `create_agent` makes: their contents have spans, and they have none."""
PLUMBING: Final = ("Runnable", "Channel", "_")
"""Beginnings of the names of chains that only connect others, as `RunnableSequence`."""
PLUMBING_TYPES: Final = frozenset({"prompt", "parser"})
FIRST: Final = "seq:step:1"
"""Tag of the parts of a node."""
INTEGRATION: Final = "ls_integration"
"""Metadata that LangGraph adds."""
FRAMEWORK: Final = "langchain"
IDENTIFIER: Final = f"{FRAMEWORK}.agents:"
UNNAMED: Final = "LangGraph"
"""Name of a graph or agent without one."""
AGENT: Final = declare(f"{PREFIX}agent", "agent")
CHAIN: Final = declare(f"{PREFIX}chain", "agent")
LLM: Final = declare(f"{PREFIX}llm", "llm")
RETRIEVER: Final = declare(f"{PREFIX}retriever", "retriever")
TOOL: Final = undeclared(f"{PREFIX}tool", "tool")
"""The tool that a denial names after a fault."""
add_to_header(f"remit-langchain@{__version__}")
interrupts(GraphBubbleUp)

ROLES: Final = {"human": "user", "ai": "assistant", "function": "tool"}
SETTINGS: Final = frozenset({
    "temperature", "max_tokens", "max_completion_tokens", "top_p", "top_k", "stop", "seed",
    "tool_choice", "presence_penalty", "frequency_penalty", "reasoning_effort",
})  # fmt: skip
"""Parameters of a model that are recorded."""
CALLS: Final = frozenset({"tool_call", "tool_call_chunk", "invalid_tool_call"})
"""Blocks of a message that repeat its `tool_calls`."""
THOUGHTS: Final = ("reasoning", "thinking", "redacted_thinking")
"""Types of blocks with the reasoning of a model, and their fields."""
MAX_LEVELS: Final = 6
INTERRUPT: Final = re.compile(r"[0-9a-f]{32}")
"""Id of an interrupt."""
CONVERSATION: Final = ("thread_id", "session_id", "conversation_id")
"""Metadata that name a conversation, the most important first. LangGraph adds `thread_id`."""


@dataclass(slots=True)
class _Node:
    """State of one LangChain run.

    Attributes:
        parent: The LangChain run around it.
        scope: The context in which the messages of a model call are new or not: that of the agent.
        in_own_run: Whether an agent around it opened the run.
        conversation: The conversation of an outermost agent, as far as the call says it.
        answers: The answers with which an outermost agent goes on, by the ids of interrupts; None
            is the only one that is open.
        by: Who goes on, as far as the call says it.
        of_graph: What it is in a graph, if it is a node with a span.
        has_children: Whether a LangChain run began inside it.
        shared: The run with whose span it is recorded: the node that the agent is.
        folded: What is recorded only if it fails.
        error: The last error that a LangChain run inside it ended with.
    """

    parent: UUID | None
    scope: SpanContext | None
    in_own_run: bool
    began: float
    first_token_ms: float | None = None
    chunks: int = 0
    conversation: object = None
    answers: Mapping[str | None, object] = field(default_factory=dict[str | None, object])
    by: object = None
    of_graph: _GraphNode | None = None
    has_children: bool = False
    shared: UUID | None = None
    folded: _Folded | None = None
    error: BaseException | None = None


class _GraphNode(NamedTuple):
    """A node of a graph, and the state that it gets."""

    name: str
    inputs: object


@dataclass(frozen=True, slots=True)
class _Folded:
    """A chain that has a span only if it fails: the steps inside it belong to the step around it.

    Attributes:
        began_ns: When it began, as wall time.
    """

    payload: Content
    began_ns: int

    def failed(self, context: SpanContext | None, error: BaseException) -> None:
        """Record the failed chain; its parent is *context*."""
        if context is not None and isinstance(error, Exception):
            options = StartOptions(deny=False, announce=False, started_ns=self.began_ns)
            spans.start(CHAIN, self.payload, parent=context, **options).end(error=error)


_table: Final[SpanTable[Hashable]] = SpanTable()
_nodes: Final[dict[UUID, _Node]] = {}
_histories: Final[dict[tuple[CaptureMessages, bool], _llm.History]] = {}
"""By what they record, for all handlers that record the same."""
_approvals: Final[dict[str | None, None]] = {}
"""The latest questions of approvers in this process, by the ids of their interrupts."""
_interrupted: Final[WeakKeyDictionary[object, set[str]]] = WeakKeyDictionary()
"""Checkpoints at which graphs of a run were interrupted, and from which they did not go on."""
_called: Final[ContextVar[_Call | None]] = ContextVar("remit_langchain_call", default=None)
"""The call of a tool around which `RemitTools` is."""


class RemitHandler(GraphCallbackHandler):
    """A callback handler that records agents, graphs, models, retrievers and tools.

    Pass it in `callbacks=`. Outside any run, the outermost agent opens a run of the agent
    `langchain.agents:<its name>`. An agent without a name belongs to the module that made the
    handler: `payments:LangGraph`. If there are several handlers, each event is still recorded only
    once.

    Attributes:
        run_inline: Always true, so that LangChain runs the callbacks in the step's context.
        raise_error: Always true, so that LangChain receives the error if a step is denied.
    """

    run_inline = True
    raise_error = True

    def __init__(  # noqa: PLR0913 - the options of the handler
        self,
        *,
        remits: Mapping[str, Risk] | None = None,
        tools: RemitTools | None = None,
        capture_messages: CaptureMessages = "new",
        capture_reasoning: bool = False,
        agent_id: str | None = None,
        external_identifier: str | None = None,
        conversation: OfRun = None,
        on_behalf_of: OfRun = None,
        subject: OfRun = None,
        labels: object = None,
    ) -> None:
        """Check the arguments.

        The last four say what the runs are about that the handler opens. Each is a value, or a
        function that takes the `metadata` of a call and returns the value or None. What such a
        function raises is counted in `remit.status().faults`, and the value is left out.

        Args:
            remits: Remits by agent name. Each remit applies to all steps under the agent. If you
                pass *remits*, it must contain an entry for every agent that opens a run.
            tools: Declarations of tools, for calls that do not pass through `RemitTools`: a node of
                your own calls `tool.invoke(...)`.
            capture_messages: Which messages of a model call are recorded. `new` records the
                messages that the previous call under the same parent did not contain, `all` records
                all messages, and `none` records no messages.
            capture_reasoning: Whether the models' reasoning is recorded.
            agent_id: ID on the server of the agent whose runs this handler opens. It overrides
                *external_identifier* and the setting `agent_id`.
            external_identifier: Identifier by which the server finds that agent.
            conversation: Which runs belong together. The default is `thread_id`, `session_id` or
                `conversation_id` in the metadata; LangGraph adds `thread_id`.
            on_behalf_of: Who asked. The default is `user_id` in the metadata.
            subject: Whose data a run handles.
            labels: Labels of a run. The default is the tags without a colon.

        Raises:
            DeclarationError: If an argument is wrong.
        """
        where = "RemitHandler"
        about = {"conversation": conversation, "on_behalf_of": on_behalf_of, "subject": subject}
        _check_about(about, labels)
        if not isinstance(cast("object", tools), RemitTools | None):
            raise DeclarationError(
                f"{where}: tools is {describe_value(tools)}; expected RemitTools(tools, risks)"
            )
        self._tools: Final = tools
        self._about: Final[Mapping[str, object]] = {**about, "labels": labels}
        hooks = ("raise_error", "run_inline", "on_chain_start", "on_chat_model_start")
        more = ("on_llm_start", "on_tool_start")
        missing = _llm.lacks(GraphCallbackHandler, *hooks, *more)
        _llm.check_relied_on(where, "langchain-core", missing)
        history = _llm.history(where, capture_messages, capture_reasoning)
        self._capture: Final = history.capture
        self._history: Final = _histories.setdefault((history.capture, history.reasoning), history)
        self._identity: Final = AgentIdentity.of_caller(
            FRAMEWORK,
            UNNAMED,
            where=where,
            agent_id=agent_id,
            external_identifier=external_identifier,
        )
        self._remits: Final = {
            name.removeprefix(IDENTIFIER): risk
            for name, risk in risks_by_name(remits, f"{where}: remits", "agents").items()
        }
        self._runs: Final = {name: self._runs_of(name, risk) for name, risk in self._remits.items()}

    def __eq__(self, other: object) -> bool:
        """Return whether *other* records and allows the same; LangChain then keeps one of them."""
        return isinstance(other, RemitHandler) and self._compared == other._compared

    def __hash__(self) -> int:
        """Return the hash of some of the compared fields."""
        return hash((id(self._history), *sorted(self._remits)))

    @property
    def _compared(self) -> tuple[object, ...]:
        ids = self._identity.agent_id, self._identity.external_identifier
        return id(self._history), self._remits, id(self._tools), self._about, *ids

    def _opened_for(self, name: str) -> AgentRuns:
        """Return the runs of an outermost agent.

        Raises:
            DeclarationError: `remits` names agents, but not this one, which nothing would limit.
        """
        if self._remits and name not in self._runs:
            raise DeclarationError(
                f"RemitHandler: remits does not have the outermost agent, whose name is {name!r}; "
                f"it has {', '.join(map(repr, self._remits))}. Give the agent that name "
                "(create_agent(name=...)), or add its remit; remit.risk() sets no limit"
            )
        return self._runs.get(name) or self._runs_of(name)

    def _runs_of(self, name: str, risk: Risk | None = None) -> AgentRuns:
        identity = self._identity
        return declare_agent(identity.of(name), name=name, data_risk=risk, identity=identity)

    # Chains and agents

    @spans.judging(AGENT, None, passes=(DeclarationError, DeniedError))
    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **options: Any,
    ) -> None:
        """Start the span of an agent or a chain."""
        name = _name(serialized, options)
        kind = self._kind(name, parent_run_id, options)
        if run_id in _nodes:  # reported by another handler as well
            if kind is AGENT:
                self._narrow(run_id, name)
            return
        own_node = _node_of_agent(parent_run_id, name, inputs) if kind is AGENT else None
        is_node = _is_node(options)
        label = "agent_name" if kind is AGENT else "node_name" if is_node else "chain_name"

        def payload() -> Mapping[str, object]:
            of_graph = {KIND: GRAPH} if kind is AGENT and _is_graph(options) else {}
            shown = name if own_node is None else own_node.name
            return {label: shown, **of_graph, **self._state(INPUTS, inputs)}

        if kind is None:
            _add(run_id, parent_run_id).folded = _Folded(payload, time.time_ns())
            if parent_run_id is not None:
                _table.alias(run_id, parent_run_id)
            return
        if own_node is not None:
            _share(run_id, parent_run_id, payload)
            self._narrow(run_id, name)
            return
        around, start_options, suggested = _Around.of(parent_run_id), StartOptions(), NOTHING
        if kind is AGENT:
            start_options["ceiling"] = self._runs[name].ceiling if name in self._runs else None
            start_options["agent"] = self._opened_for(name) if around.context is None else None
            if not around.parents:
                suggested = self._suggested(options)
                start_options["suggested"] = suggested
                start_options["goes_on"] = _goes_on(inputs, options)
        span, node = _start(run_id, parent_run_id, kind, payload, around=around, **start_options)
        node.of_graph = _GraphNode(name, inputs) if is_node else None
        if kind is AGENT:
            node.scope = span.context
            node.in_own_run = node.in_own_run or around.context is None
            node.conversation = suggested.get("conversation")
            node.by, node.answers = suggested.get("on_behalf_of"), _answers(inputs)

    def _narrow(self, run_id: UUID, name: str) -> None:
        """Apply the remits of an agent, by its own name and by that of the node that it is."""
        span, node = _span_of(run_id), _nodes[run_id]
        of_graph = None if node.shared is None else _nodes[node.shared].of_graph
        for each in (name, name if of_graph is None else of_graph.name):
            if span is not None and each in self._runs:
                span.narrow(self._runs[each].ceiling)

    @guarded("what LangChain knows of a run", NOTHING)
    def _suggested(self, options: Mapping[str, Any]) -> Mapping[str, object]:
        """Return what the arguments of the handler, metadata and tags of a call say of its run."""
        metadata = _fields(options.get("metadata"))
        known: dict[str, object] = {
            "conversation": next(filter(None, map(metadata.get, CONVERSATION)), None),
            "on_behalf_of": metadata.get("user_id"),
            "labels": [tag for tag in options.get("tags") or () if ":" not in tag] or None,
        }
        for name, value in self._about.items():
            said = _value_in(value, metadata) if callable(value) else value
            known[name] = known.get(name) if said is None else said
        return known

    def _kind(
        self, name: str, parent_run_id: UUID | None, options: Mapping[str, Any]
    ) -> SpanRecorder | None:
        """Return the step of a chain; None for one that has a span only if it fails."""
        tags, metadata = options.get("tags") or (), _fields(options.get("metadata"))
        if HIDDEN in tags:
            return None
        if _is_node(options):
            return None if name in NODES or name.endswith(HOOKS) else CHAIN
        if name == metadata.get("lc_agent_name") or name in self._runs:
            return AGENT
        if parent_run_id is not None and (
            name.startswith(PLUMBING) or options.get("run_type") in PLUMBING_TYPES
        ):
            return None
        if INTEGRATION not in metadata or "run_type" in options:
            return CHAIN
        # A graph that is a node, or called by itself.
        is_graph = FIRST in tags or parent_run_id is None or name == UNNAMED
        return AGENT if is_graph else CHAIN

    @guarded("the end of a chain of LangChain")
    def on_chain_end(self, outputs: object, *, run_id: UUID, **_: object) -> None:
        """End the span."""
        _end(run_id, lambda: self._state(OUTPUTS, outputs))

    @guarded("the end of a step of LangChain")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: object) -> None:
        """End the span; a command for the graph around is not a failure."""
        if isinstance(error, ParentCommand):
            _end(run_id, status="complete")
        else:
            _end(run_id, error=error)

    on_retriever_error = on_tool_error = on_chain_error

    @guarded("an interrupt of LangGraph")
    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """Record what is asked, cancel the span of the graph, and leave the run open.

        LangGraph reports the interrupt of a graph, and in some versions of those around it.
        """
        span, node = _span_of(event.run_id), _nodes.get(event.run_id) if event.run_id else None
        if span is None or span.context is None or node is None:
            return
        if not node.in_own_run:
            span.leave_open()
            _interrupted.setdefault(span.context.run, set()).add(event.checkpoint_id)
        if not event.checkpoint_ns:
            interrupts = event.interrupts
            asked = {each.id: self._told(each.value) for each in interrupts}
            how = "interrupt" if interrupts else "breakpoint"
            asked = asked or {event.checkpoint_id: None}
            approvals = {each.id for each in interrupts if _is_of_approver(each.value)}
            _approvals.update(dict.fromkeys(approvals))
            while len(_approvals) > MAX_OPEN:
                del _approvals[next(iter(_approvals))]
            questions.ask(span, node.conversation, asked, how, approvals=approvals)
        span.end(questions.SUSPENDED, status="cancelled")

    @guarded("an interrupt of LangGraph")
    def on_resume(self, event: GraphResumeEvent) -> None:
        """End the run with its block after all, if its graphs go on inside the block."""
        span, node = _span_of(event.run_id), _nodes.get(event.run_id) if event.run_id else None
        if span is not None and node is not None and not event.checkpoint_ns:
            self._answered(span, node, event.checkpoint_id)
        waiting = None
        if span is not None and span.context is not None:
            waiting = _interrupted.get(span.context.run)
        if span is not None and waiting:
            waiting.discard(event.checkpoint_id)
            span.leave_open(leave=bool(waiting))

    def _answered(self, span: ManualSpan, node: _Node, checkpoint_id: str) -> None:
        """Record the answers with which a graph goes on; that it goes back answers nothing."""
        answers: Mapping[str | None, object] = node.answers
        open_tickets = questions.tickets(span, node.conversation)
        if not answers and checkpoint_id in open_tickets:
            answers = {checkpoint_id: None}
        elif set(answers) == {None} and len(open_tickets) == 1:
            answers = {open_tickets[0]: answers[None]}
        told = {ticket: self._told(value) for ticket, value in answers.items()}
        # An approver records its answers, also those without the seal.
        approvals = {
            ticket
            for ticket, value in answers.items()
            if ticket in _approvals or _is_of_approver(value)
        }
        questions.answer(span, node.conversation, told, node.by, approvals=approvals)

    def _told(self, value: object) -> object:
        """Return a question or an answer as it is recorded."""
        return None if self._capture == "none" else _plain(value)

    # Models

    @guarded("the start of a model call of LangChain")
    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **options: Any,
    ) -> None:
        """Start the span of a chat model."""
        call = partial(_model_payload, "chat", serialized, options)
        self._start_model(run_id, parent_run_id, options, call, lambda: map(_message, messages[0]))

    @guarded("the start of a model call of LangChain")
    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **options: Any,
    ) -> None:
        """Start the span of a model that completes texts."""
        call = partial(_model_payload, "text_completion", serialized, options)
        self._start_model(
            run_id,
            parent_run_id,
            options,
            call,
            lambda: map(partial(_llm.message, "user"), prompts),
        )

    def _start_model(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        options: Mapping[str, Any],
        call: Callable[[Sequence[_llm.Message], int], Mapping[str, object]],
        read: Callable[[], Iterable[_llm.Message]],
    ) -> None:
        if run_id in _nodes:
            return
        around = _Around.of(parent_run_id)

        def payload() -> Mapping[str, object]:
            return call(*self._history.new(around.scope, list(read())))

        # In a batch, the next model call does not begin inside this one.
        alone = options.get("batch_size", 1) == 1
        _start(run_id, parent_run_id, LLM, payload, around=around, current=alone)

    @guarded("a token of LangChain")
    def on_llm_new_token(self, *_: object, run_id: UUID, **__: object) -> None:
        """Note when the first token came; what follows happens between the tokens, not inside."""
        node = _nodes.get(run_id)
        if node is None:
            return
        node.chunks += 1
        if node.first_token_ms is None:
            node.first_token_ms = (time.monotonic() - node.began) * 1000
            span = _table.get(run_id)
            if span is not None:
                span.make_previous_current()

    @guarded("the end of a model call of LangChain")
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: object) -> None:
        """End the span with answer and tokens."""
        node = _nodes.get(run_id)
        _end(run_id, lambda: self._answer(response, node))

    @guarded("the end of a model call of LangChain")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **options: Any) -> None:
        """End the span, with the output before the error."""
        node, response = _nodes.get(run_id), options.get("response")
        _end(run_id, lambda: self._answer(response, node), error=error)

    def _answer(self, response: LLMResult | None, node: _Node | None) -> Mapping[str, object]:
        generations = response.generations[0] if response and response.generations else []
        messages = [
            _message(each.message)
            if isinstance(each, ChatGeneration)
            else _llm.message("assistant", each.text)
            for each in generations
        ]
        streamed: dict[str, object] = {}
        is_cached = _is_cached(generations)
        if node is not None:
            messages = list(self._history.answered(node.scope, messages))
            streamed = {"first_token_ms": node.first_token_ms, "chunks": node.chunks or None}
        return _llm.result(
            messages,
            map(_finish_reason, generations),
            tokens=None if is_cached else _tokens(generations, _llm.get(response, "llm_output")),
            cached=is_cached or None,
            **_response(generations),
            **streamed,
        )

    # Retrievers, and tools without `RemitTools`

    @guarded("the start of a retriever of LangChain")
    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **options: object,
    ) -> None:
        """Start the span of a retriever."""
        name = _name(serialized, options)
        payload = {"retriever_name": name, INPUTS: {"query": query}}
        if run_id not in _nodes:
            _start(run_id, parent_run_id, RETRIEVER, payload)

    @guarded("the end of a retriever of LangChain")
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **_: object) -> None:
        """End the span with the documents."""
        _end(run_id, lambda: {OUTPUTS: {"documents": _plain(documents)}})

    @spans.judging(TOOL, None)
    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: dict[str, Any] | None = None,
        **options: object,
    ) -> None:
        """Start the span of a tool, unless `RemitTools` has one for the call."""
        fields = serialized or {}
        name, call_id = str(fields.get("name") or "tool"), options.get("tool_call_id")
        if run_id in _nodes:
            return
        call = _called.get()
        if call is not None and (call.name, call.call_id) == (name, call_id):
            _add(run_id, parent_run_id)
            if call.span is not None:
                _table.alias(run_id, call)
            return
        known = None if self._tools is None else self._tools.declared_as(name)
        if known is not None and known.decorated:
            _add(run_id, parent_run_id)
            return
        recorder = self._unknown_tool(name, fields) if known is None else known.recorder
        payload = _call_payload(name, call_id, input_str if inputs is None else inputs)
        _start(run_id, parent_run_id, recorder, payload)

    def _unknown_tool(self, name: str, fields: Mapping[str, Any]) -> SpanRecorder:
        """Declare a tool that the handler does not know, unless others declared its name."""
        place = self._identity.place
        declared = process.registry().span_type(f"{PREFIX}tool:{name}")
        if declared is not None and declared.place != place:
            return undeclared(declared.name, "tool")
        return _declared(name, description=fields.get("description") or None, place=place)

    @guarded("the end of a tool of LangChain")
    def on_tool_end(self, output: object, *, run_id: UUID, **_: object) -> None:
        """End the span with the answer."""
        status, result = _tool_result(output)
        _end(run_id, result, status=status)

    # Recorded states

    def _state(self, field: str, value: object) -> Mapping[str, object]:
        """Return the inputs or outputs of a chain, with the last of its messages or all of them."""
        if self._capture == "none":
            return {}
        messages, others = _messages_in(value)
        if not messages:
            return {field: _plain(value)}
        kept = messages if self._capture == "all" else messages[-1:]
        omitted = len(messages) - len(kept)
        state: dict[str, object] = {name: _plain(each) for name, each in others.items()}
        state["messages"] = [_plain(_raw(each)) for each in kept]
        if omitted:
            state["omitted"] = {"count": omitted}
        return {field: state}


class RemitTools(AgentMiddleware[Any, Any, Any]):
    """Declares tools and records their calls. If a call is denied, it returns a message instead.

    Pass it in `middleware=` to `create_agent`. In your own graph, pass its methods to
    `ToolNode(tools, wrap_tool_call=..., awrap_tool_call=...)`. A synchronous program can pass the
    object itself as `wrap_tool_call=`. If a tool's function is decorated, only the function's own
    span is recorded.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any] | dict[str, Any]] = (),
        risks: Mapping[str, Risk] | None = None,
    ) -> None:
        """Declare the tools.

        Args:
            tools: The agent's tools. Other tools are declared when they are first called.
            risks: Risk declarations for tools, by tool name.

        Raises:
            DeclarationError: If an argument is wrong, or if a name in *risks* is not a tool or is
                the name of a decorated function.
        """
        super().__init__()
        where = "RemitTools"
        _llm.check_relied_on(
            where,
            "langchain",
            [
                *_llm.lacks(AgentMiddleware, "wrap_tool_call", "awrap_tool_call"),
                *_llm.lacks(ToolCallRequest, "tool_call", "tool"),
            ],
        )
        self._place: Final = caller()
        self._risks: Final = risks_by_name(risks, f"{where}: risks")
        self._known: Final[dict[str, _Declared]] = {}
        if not isinstance(tools, Sequence):
            raise DeclarationError(
                f"{where}: tools is {describe_value(tools)}; expected a list of tools"
            )
        for each in tools:
            if isinstance(each, dict):  # run by the provider of the model
                continue
            tool = each if isinstance(each, BaseTool) else _tool_of(each, where)
            if tool.name in self._risks and _step_in(tool) is not None:
                raise DeclarationError(
                    f"{where}: risks names {describe_value(tool.name)}, whose function is "
                    "decorated; expected its risk in data_risk= of the decorator"
                )
            self._known[tool.name] = self._declare(tool.name, tool)
        for name in self._risks:
            if self._known and name not in self._known:
                raise DeclarationError(
                    f"{where}: risks names {describe_value(name)}; expected one of the tools "
                    f"{', '.join(self._known)}"
                )

    def _declare(self, name: str, tool: BaseTool | None) -> _Declared:
        step, risk = None if tool is None else _step_in(tool), self._risks.get(name)
        if step is not None:
            name_tool(step, name)
        if step is not None and risk is None:
            return _Declared(step, decorated=True)
        recorder = _declared(
            name if tool is not None or risk is not None else None,
            params=None if tool is None else _schema(tool),
            description=None if tool is None else tool.description or None,
            data_risk=risk,
            place=self._place,
        )
        return _Declared(recorder, decorated=False)

    def declared_as(self, name: str) -> _Declared | None:
        """Return how the tool of a name is declared; None if it is not."""
        if name in self._risks and name not in self._known:
            return self._declare(name, None)
        return self._known.get(name)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]
    ) -> Answer:
        """Call a tool. If the call is denied, return a message instead."""
        try:
            call = self._begin(request)
            if call is None:
                return handler(request)
            with call:
                return call.answer(handler(request))
        except DeniedError as error:
            return _denial(request, error)

    __call__ = wrap_tool_call

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Answer]]
    ) -> Answer:
        """Call a tool. If the call is denied, return a message instead."""
        try:
            call = self._begin(request, await self._ask(request))
            if call is None:
                return await handler(request)
            with call:
                return call.answer(await handler(request))
        except DeniedError as error:
            return _denial(request, error)

    async def _ask(self, request: ToolCallRequest) -> Admission | None:
        """Await the answer of a person, if the call needs a yes and no function asks for it."""
        known = self._known_tool(request)
        if known is None or known.decorated:
            return None
        return await spans.ask(known.recorder, _payload_of(request))

    @spans.judging(TOOL, None, passes=(DeclarationError, DeniedError))
    def _known_tool(self, request: ToolCallRequest) -> _Declared:
        """Return how a tool is declared, which is at its first call if it was not known before."""
        tool, name = request.tool, _tool_name(request)
        known = self._known.get(name)
        if known is None:
            known = self._declare(name, tool)
            if tool is not None:
                self._known[name] = known
        return known

    @spans.judging(TOOL, None, passes=(DeclarationError, DeniedError))
    def _begin(self, request: ToolCallRequest, admission: Admission | None = None) -> _Call | None:
        """Start the span of a call."""
        known = self._known_tool(request)
        if known is None:
            return None
        call = _Call(_tool_name(request), request.tool_call.get("id"))
        if not known.decorated:
            payload = _payload_of(request)
            call.span = _table.start(call, known.recorder, payload, admission=admission)
        elif _table.context() is not None:
            spans.permit(known.recorder, request.tool_call["args"])
        return call


def _tool_name(request: ToolCallRequest) -> str:
    # Only the name is known of a tool that later middleware adds at run time.
    return request.tool_call["name"] if request.tool is None else request.tool.name


def _payload_of(request: ToolCallRequest) -> Content:
    call = request.tool_call
    return _call_payload(_tool_name(request), call.get("id"), call["args"])


APPROVE: Final = "approve"
"""In the answer to a question of `by_interrupt`: whether the step may run."""
MAX_INTERRUPTS: Final = 3
"""Interrupts for one call whose arguments are changed while the graph is paused."""


def _is_of_approver(value: object) -> bool:
    """Return whether `by_interrupt` made a question, or gets an answer: both have its seal."""
    fields = _fields(value)
    return isinstance(fields.get(SEAL), str) and (TICKET in fields or APPROVE in fields)


def _ticket_of(request: ApprovalRequest) -> str | None:
    """Return the ticket of a question of the running task of a graph; None outside any."""
    try:
        task = _fields(get_config().get("configurable")).get("checkpoint_ns")
    except RuntimeError:
        return None
    return questions.ticket_in(task, request) if isinstance(task, str) and task else None


@pausing("interrupt", _ticket_of)
def by_interrupt(request: ApprovalRequest) -> Approved | Refused:
    """An approver that interrupts the LangGraph graph, and goes on when the graph is resumed.

    Pass it as `remit.configure(approver=by_interrupt)`. The value of the interrupt is a mapping
    with `step`, `words`, `agent`, `run`, `arguments`, `unbound`, `ticket` and `seal`. Resume the
    graph with a mapping: `Command(resume={"approve": True, "by": "dana", "seal": value["seal"]})`,
    or with `"approve": False` and `"why"`. Values that remit cannot read are in `arguments` as they
    are recorded.

    The graph needs a checkpointer. If the arguments were changed in the meantime, the graph is
    interrupted again. LangGraph resumes a node from its beginning, with the old answers. Each
    answer lets one call run (see `ApprovalRequest.matches`), so a tool should call one asked step.

    Raises:
        GraphInterrupt: The graph pauses.
    """
    for _ in range(MAX_INTERRUPTS):
        fields = _fields(interrupt(questions.shown(request)))
        if not request.is_about(fields.get(SEAL)):
            if SEAL not in fields:
                return Refused(why="the answer has no seal: resume with the seal of the interrupt")
            continue
        return _answer_in(fields, request)
    return Refused(why="its arguments changed each time while the graph was paused")


def _answer_in(fields: Mapping[str, Any], request: ApprovalRequest) -> Approved | Refused:
    """Return the answer with which a graph is resumed; *fields* has the seal of the question."""
    approve, by, why = (fields.get(name) for name in (APPROVE, "by", "why"))
    if approve is False:
        return Refused(by=by, why=why)
    if approve is not True:
        return Refused(why=f"saw approve={describe_value(approve)}; expected True or False")
    if not (isinstance(by, str) and by.strip()):
        return Refused(why="the answer names no person: pass `by`")
    if not request.matches(fields[SEAL]):
        return Refused(why=USED_SEAL)
    return Approved(by=by)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A declared tool.

    Attributes:
        recorder: The recorder of the tool, or of its function.
    """

    recorder: SpanRecorder
    decorated: bool


class _Call:
    """The call of a tool, as a block: its span is current, and ends with the answer."""

    __slots__ = ("_answer", "_outer", "call_id", "name", "span")

    def __init__(self, name: str, call_id: str | None) -> None:
        self.name: Final = name
        self.call_id: Final = call_id
        self.span: ManualSpan | None = None
        self._answer: Answer | None = None
        self._outer: _Call | None = None

    def __enter__(self) -> Self:
        self._outer = _called.get()
        _called.set(self)
        if self.span is not None:
            self.span.make_current()
        return self

    def answer(self, answer: Answer) -> Answer:
        """Return the answer, and keep it for the span.

        Raises:
            DeniedError: A step inside was denied, and LangChain made an error message of it.
        """
        self._answer = answer
        denied = None if self.span is None else self.span.denied
        if denied is not None and getattr(answer, "status", None) == "error":
            raise denied
        return answer

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _called.set(self._outer)
        if self.span is None:
            return
        if error is not None:
            self.span.end(error=error)
        else:
            status, result = _tool_result(self._answer)
            self.span.end(result, status=status)


# The tree


@dataclass(frozen=True, slots=True)
class _Around:
    """Context of a span.

    Attributes:
        parents: The parent that LangChain reports, unless the current span is below that.
        context: The context of that parent, or the current one.
    """

    parents: tuple[Hashable, ...]
    context: SpanContext | None
    scope: SpanContext | None

    @classmethod
    def of(cls, parent_run_id: UUID | None) -> Self:
        """Return the context of a span that begins.

        The current span is below the reported parent if it is a step of the program's own, or in
        another run. It is not if it is the root, as in a thread that the run was carried to, or if
        it is itself reported.
        """
        current, node = _table.context(), None
        if parent_run_id is None:
            return cls((), current, current)
        if current is None or current.name.startswith(PREFIX) or current.key == _root(current):
            reported = _table.context(parent_run_id)
            if current is None or reported is None or reported.run is current.run:
                node = _nodes.get(parent_run_id)
                scope = reported if node is None or node.scope is None else node.scope
                return cls((parent_run_id,), reported, scope)
        return cls((), current, current)


def _root(context: SpanContext) -> bytes:
    return context.run.context.key


def _start(
    run_id: UUID,
    parent_run_id: UUID | None,
    recorder: SpanRecorder,
    payload: Content,
    *,
    around: _Around | None = None,
    current: bool = True,
    **options: Unpack[StartOptions],
) -> tuple[ManualSpan, _Node]:
    around = around or _Around.of(parent_run_id)
    span = _table.start(run_id, recorder, payload, *around.parents, current=current, **options)
    return span, _add(run_id, parent_run_id, around.scope)


def _add(run_id: UUID, parent_run_id: UUID | None, scope: SpanContext | None = None) -> _Node:
    """Add a run of LangChain, until it ends; a full table removes the oldest entry."""
    outer = None if parent_run_id is None else _nodes.get(parent_run_id)
    if scope is None and outer is not None:
        scope = outer.scope
    if len(_nodes) >= MAX_OPEN:
        _nodes.pop(next(iter(_nodes)), None)
    if outer is not None:
        outer.has_children = True
    in_own_run = outer is not None and outer.in_own_run
    node = _nodes[run_id] = _Node(parent_run_id, scope, in_own_run, time.monotonic())
    return node


def _end(run_id: UUID, result: Content | None = None, **how: Unpack[SpanEnd]) -> None:
    """End a run of LangChain; plumbing that failed itself is recorded."""
    node, error = _nodes.pop(run_id, None), how.get("error")
    if node is not None and error is not None:
        is_new = node.error is not error and not isinstance(error, (GraphBubbleUp, RemitError))
        if node.folded is not None and is_new:
            node.folded.failed(_table.context(run_id), error)
        outer = None if node.parent is None else _nodes.get(node.parent)
        if outer is not None:
            outer.error = error
    _table.end(run_id, result, **how)


def _span_of(run_id: UUID | None) -> ManualSpan | None:
    node = None if run_id is None else _nodes.get(run_id)
    key = run_id if node is None or node.shared is None else node.shared
    return None if key is None else _table.get(key)


def _node_of_agent(parent_run_id: UUID | None, name: str, inputs: object) -> _GraphNode | None:
    """Return the node that an agent is: the agent is its first step, and has its name.

    One without a name has the name of its node, if it gets the same state.
    """
    node = None if parent_run_id is None else _nodes.get(parent_run_id)
    if node is None or node.of_graph is None or node.has_children:
        return None
    is_same = node.of_graph.inputs is inputs if name == UNNAMED else node.of_graph.name == name
    return node.of_graph if is_same and _Around.of(parent_run_id).parents else None


def _share(run_id: UUID, parent_run_id: UUID | None, payload: Content) -> None:
    """Record an agent as the span of its node."""
    span, node = _span_of(parent_run_id), _add(run_id, parent_run_id)
    if span is None or parent_run_id is None:
        return
    node.shared = parent_run_id
    _table.alias(run_id, parent_run_id)
    span.describe(payload, AGENT)
    node.scope = span.context


# Recorded contents


def _goes_on(inputs: object, options: Mapping[str, Any]) -> bool | None:
    """Return whether a call goes on after an interrupt; None if it goes back to a checkpoint."""
    if "checkpoint_id" in _fields(options.get("metadata")):
        return None
    return inputs is None or _resume_of(inputs) is not None


def _answers(inputs: object) -> Mapping[str | None, object]:
    """Return the answers in the input of a graph, by the ids of the interrupts."""
    resume = _resume_of(inputs)
    if resume is None:
        return {}
    if _is_dict(resume) and resume and all(INTERRUPT.fullmatch(str(key)) for key in resume):
        return {str(key): value for key, value in _fields(resume).items()}
    return {None: resume}


def _resume_of(inputs: object) -> Any:
    return cast("Any", inputs).resume if isinstance(inputs, Command) else None


def _is_node(options: Mapping[str, Any]) -> bool:
    return any(tag.startswith(NODE) for tag in options.get("tags") or ())


def _is_graph(options: Mapping[str, Any]) -> bool:
    """Return whether an agent is a graph of the program, which `create_agent` did not make."""
    metadata = _fields(options.get("metadata"))
    return metadata.get(INTEGRATION) == "langgraph" and "lc_agent_name" not in metadata


def _name(serialized: Mapping[str, object] | None, options: Mapping[str, object]) -> str:
    return str(options.get("name") or (serialized or {}).get("name") or "LangChain")


def _model_payload(
    operation: str,
    serialized: Mapping[str, object] | None,
    options: Mapping[str, Any],
    messages: Sequence[_llm.Message],
    omitted: int,
) -> Mapping[str, object]:
    params, metadata = _fields(options.get("invocation_params")), _fields(options.get("metadata"))
    model = metadata.get("ls_model_name") or params.get("model_name") or params.get("model")
    settings = {name: value for name, value in params.items() if name in SETTINGS}
    for name in ("temperature", "max_tokens", "stop"):
        settings.setdefault(name, metadata.get(f"ls_{name}"))
    return _llm.payload(
        operation,
        provider_named(str(metadata.get("ls_provider") or params.get("_type") or "langchain")),
        str(model or _name(serialized, options)),
        messages,
        omitted=omitted,
        tools=_llm.described(_tools_in(params.get("tools"))),
        settings=_llm.known_only(**settings),
        stream=bool(params.get("stream") or params.get("streaming")),
    )


def _message(message: BaseMessage) -> _llm.Message:
    kind = message.type
    role = getattr(message, "role", kind) if kind == "chat" else ROLES.get(kind, kind)
    calls = [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]
    return _llm.message(
        role,
        _content(message),
        tool_calls=[_llm.tool_call(each["id"], each["name"], each["args"]) for each in calls],
        tool_call_id=getattr(message, "tool_call_id", None),
    )


def _content(message: BaseMessage) -> object:
    """Return the content of a message: a text, or blocks without calls and without media."""
    if isinstance(message.content, str):
        return message.content or None
    blocks = [_block(each) for each in message.content_blocks if each["type"] not in CALLS]
    return _llm.text_or_parts(blocks)


def _block(block: Mapping[str, Any]) -> object:
    if block["type"] == "non_standard":
        block = {"type": "non_standard", **_fields(block.get("value"))}
    kind = block["type"]
    if kind == "text":
        return block.get("text", "")
    if kind in THOUGHTS:
        return _llm.reasoning(str(_llm.first(block, *THOUGHTS) or ""))
    data = block.get("base64")
    if isinstance(data, str):
        return _llm.media(block.get("mime_type") or kind, data)
    return _llm.known_only(type=kind, url=block.get("url"), name=block.get("name"))


def _plain(value: object, levels: int = MAX_LEVELS) -> object:
    """Return a state of a graph with its messages as they are recorded."""
    plain: object = value
    if isinstance(value, BaseMessage):
        (plain,) = _llm.without_reasoning([_message(value)]) or [_llm.message("assistant", None)]
    elif isinstance(value, Document):
        plain = _llm.known_only(content=value.page_content, metadata=value.metadata, id=value.id)
    elif isinstance(value, Command):
        command = cast("Command[str]", value)
        plain = _plain(
            _llm.known_only(
                update=command.update, resume=command.resume, goto=command.goto or None
            ),
            levels,
        )
    elif levels and (items := _llm.listed(value)):
        plain = [_plain(each, levels - 1) for each in items]
    elif levels and _is_dict(value):
        plain = {str(key): _plain(each, levels - 1) for key, each in _fields(value).items()}
    elif levels and (messages := _messages_in(value)[0]):
        plain = {"messages": _plain(messages, levels - 1)}
    return plain


def _raw(message: object) -> object:
    """Return a message that is given as a pair of role and content as it is recorded."""
    pair = _llm.listed(message)
    if len(pair) != 2:  # noqa: PLR2004 - a pair
        return message
    return _llm.message(ROLES.get(str(pair[0]), pair[0]), pair[1])


def _messages_in(value: object) -> tuple[Sequence[object], Mapping[str, object]]:
    """Return the messages of a state, and its other members."""
    state = _fields(value)
    if state:
        others = {str(name): each for name, each in state.items() if name != "messages"}
        return _llm.listed(state, "messages"), others
    messages = _llm.listed(value) or _llm.listed(value, "messages")
    return (messages if messages and isinstance(messages[0], BaseMessage) else ()), {}


def _tokens(generations: Sequence[object], output: object) -> Mapping[str, object]:
    for each in generations:
        usage = _usage(each)
        if usage:
            return _llm.tokens_of(usage)
    return _llm.tokens_of(_llm.get(output, "token_usage"))


def _usage(generation: object) -> Mapping[str, Any]:
    return _fields(_llm.get(_llm.get(generation, "message"), "usage_metadata"))


def _is_cached(generations: Sequence[object]) -> bool:
    """Return whether an answer is from the cache, which LangChain marks by a cost of 0."""
    return any(_usage(each).get("total_cost") == 0 for each in generations)


def _metadata(generation: object) -> Mapping[str, Any]:
    message = getattr(generation, "message", None)
    return {
        **_fields(getattr(generation, "generation_info", None)),
        **_fields(getattr(message, "response_metadata", None)),
    }


def _finish_reason(generation: object) -> object:
    metadata = _metadata(generation)
    return metadata.get("finish_reason") or metadata.get("stop_reason")


def _response(generations: Sequence[object]) -> dict[str, object]:
    metadata = _metadata(generations[0] if generations else None)
    return {
        "response_model": metadata.get("model_name") or metadata.get("model"),
        "response_id": metadata.get("id"),
    }


def _call_payload(name: str, call_id: object, arguments: object) -> Content:
    return lambda: {
        "tool_name": name, **_llm.known_only(call_id=call_id), INPUTS: _plain(arguments)
    }  # fmt: skip


def _tool_result(answer: object) -> tuple[Status, Content]:
    """Return how a tool ended that returned *answer*, and its result."""

    def result() -> Mapping[str, object]:
        output = _content(answer) if isinstance(answer, ToolMessage) else _plain(answer)
        return {OUTPUTS: {"output": output}}

    return ("failed" if getattr(answer, "status", None) == "error" else "complete"), result


def _denial(request: ToolCallRequest, error: DeniedError) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(
        error.for_model(), name=call["name"], tool_call_id=call["id"], status="error"
    )


def _tools_in(tools: object) -> Iterator[tuple[object, Any]]:
    """Yield name and description of the tools that a model is given, in any provider's form."""
    for each in _llm.listed(tools):
        fields = _fields(each)
        fields = _fields(fields.get("function")) or fields
        yield fields.get("name") or fields.get("type"), fields.get("description")


def _fields(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _is_dict(value: object) -> bool:
    return type(value) is dict


# Arguments


def _check_about(texts: Mapping[str, object], labels: object) -> None:
    """Check the arguments that say what a run is about.

    Raises:
        DeclarationError: One is neither a valid value nor a function.
    """
    for name, value in texts.items():
        if not callable(value):
            try:
                checked_text(name, value, "RemitHandler({}=...)", process.redact_off())
            except UsageError as error:
                raise DeclarationError(f"{error}, or a function of the metadata") from None
    if not (labels is None or callable(labels) or are_labels(labels)):
        raise DeclarationError(
            f"RemitHandler(labels=...): saw {describe_value(labels)}; expected a list of strings, "
            "a mapping of strings, or a function of the metadata"
        )


@guarded("a function of RemitHandler")
def _value_in(function: Callable[[Mapping[str, Any]], object], metadata: Mapping[str, Any]) -> Any:
    return function(metadata)


def _declared(
    name: str | None,
    *,
    params: object = None,
    description: str | None = None,
    data_risk: Risk | None = None,
    place: str | None,
) -> SpanRecorder:
    """Declare a tool; without a name, or with one that no span type may have, as `langchain:tool`.

    Nothing is known of `langchain:tool`, so it is denied if the remit has any limits.

    Raises:
        DeclarationError: A tool with a data risk cannot be declared.
    """
    if name is not None:
        try:
            return declare(
                f"{PREFIX}tool:{name}",
                "tool",
                params=params,
                description=description,
                data_risk=data_risk,
                place=place,
            )
        except DeclarationError:
            if data_risk is not None:
                raise
    return declare(TOOL.name, "tool", place=place)


def _step_in(tool: BaseTool) -> SpanRecorder | None:
    """Return the recorder of the function of a tool, if that is decorated."""
    functions = (getattr(tool, name, None) for name in ("func", "coroutine", "_run", "_arun"))
    return next(filter(None, map(step_of, functions)), None)


def _tool_of(function: object, where: str) -> BaseTool:
    if not callable(function):
        raise DeclarationError(
            f"{where}: tools has {describe_value(function)}; expected tools as create_agent takes "
            "them: functions, or tools of LangChain"
        )
    return tool_of(function)


@guarded("the schema of a tool of LangChain")
def _schema(tool: BaseTool) -> Mapping[str, object]:
    """Return the JSON Schema of a model's arguments, without references."""
    schema: Any = tool.tool_call_schema
    return dereference_refs(schema if _is_dict(schema) else schema.model_json_schema())
