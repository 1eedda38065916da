"""Records programs that use the Claude Agent SDK, denies their tools and stops terminated runs.

A program adds one line:

    query = govern(query)  # or client = govern(ClaudeSDKClient(options))

Claude Code runs tools in its own process, and calls the SDK's hooks before each tool. The hooks
start the spans of tools and subagents, and deny tools. Model calls are read from the messages that
the program receives.
"""

from __future__ import annotations

import copy
import inspect
import os
import re
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial, wraps
from typing import Any, Final, NamedTuple, TypeVar, cast

from remit._adapters import spans
from remit._adapters.declare import (
    AgentIdentity,
    add_to_header,
    agent_of,
    ceiling_of,
    declare,
    declare_agent,
    risks_by_name,
    step_of,
    undeclared,
)
from remit._adapters.spans import ManualSpan, Status
from remit._adapters.tables import SpanTable
from remit._base.guard import guarded, logger
from remit._base.text import describe_value, did_you_mean
from remit._base.version import __version__
from remit._declare.risk import risk
from remit._policy.limits import Ceiling
from remit._record.context import open_context
from remit._record.runs import SpanContext
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.integrations import _llm
from remit.integrations._llm import get, listed
from remit.models.data_risk import DataRisk

PACKAGE: Final = "claude-agent-sdk"
LOWEST: Final = "0.2.178"
"""The first version whose hooks can block a tool when they fail (`HookMatcher.on_failure`)."""
_llm.required(PACKAGE, LOWEST, _llm.installed(PACKAGE))

import anyio
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    HookMatcher,
    Message,
    ResultMessage,
    ServerToolUseBlock,
    StreamEvent,
    SystemMessage,
    TaskStartedMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

__all__ = ["SUGGESTED", "govern"]

FRAMEWORK: Final = "claude-agent-sdk"
NAME: Final = "claude"
"""Default name of the main agent."""

add_to_header(f"remit-claude-agent-sdk@{__version__}")
AGENT: Final = declare(f"{FRAMEWORK}:agent", "agent", title="Agent")
LLM: Final = declare(f"{FRAMEWORK}:llm", "llm", title="Model call")
TOOL: Final = undeclared(f"{FRAMEWORK}:tool", "tool")
"""Step name of a tool that could not be declared, so that it can still be denied."""
AGENTS: Final = declare_agent(f"{FRAMEWORK}.agents:agent", name="agent")
"""Opens the runs of an agent that could not be declared, without a remit."""

SUGGESTED: Final[Mapping[str, DataRisk]] = {
    **dict.fromkeys(("Read", "Glob", "Grep", "NotebookRead", "LS"), risk(
        allows="read_data", forbids="others")),
    **dict.fromkeys(("Write", "Edit", "MultiEdit", "NotebookEdit"), risk(
        allows=("create_data", "update_data"), forbids="others")),
    **dict.fromkeys(("WebFetch", "WebSearch"), risk(
        allows=("read_data", "external_communication"), forbids="others")),
    **dict.fromkeys(("Bash", "Monitor"), risk(
        allows=("create_data", "read_data", "update_data", "destroy_data",
                "external_communication", "financial_transactions"))),
    **dict.fromkeys((
        "Agent", "Task", "TodoWrite", "TaskCreate", "TaskGet", "TaskList", "TaskUpdate", "TaskStop",
        "TaskOutput", "BashOutput", "KillShell", "ToolSearch", "ExitPlanMode", "EnterPlanMode",
        "AskUserQuestion", "Skill",
    ), risk(forbids="others")),
}  # fmt: skip
"""Suggested risk declarations of the built-in tools of Claude Code, for `risks=`.

A shell can do everything that its user may do. A tool that only plans has no side effects. The
same applies to a tool that starts a subagent, because the subagent's tools are judged.
"""

LAUNCHERS: Final = frozenset({"Agent", "Task"})
"""Names of the tools that start a subagent."""
DEFAULT_SUBAGENT: Final = "general-purpose"
ENDED: Final = "This session was ended. Do not call any more tools."
"""Message that the model receives as the result of a tool in a terminated run."""
SYNTHETIC: Final = "<synthetic>"
"""Model of a message that Claude Code wrote itself."""
TOOL_USE_ID: Final = "claudecode/toolUseId"
"""Key of the tool call's ID in Claude Code's requests to an MCP server of the program."""
PROVIDERS: Final = {
    "CLAUDE_CODE_USE_BEDROCK": "aws.bedrock",
    "CLAUDE_CODE_USE_VERTEX": "gcp.vertex_ai",
    "CLAUDE_CODE_USE_FOUNDRY": "azure.ai.foundry",
}
"""Model providers, by the environment variable that selects them."""
COST_DIGITS: Final = 10
"""Decimal places to which a cost is rounded, because Claude Code adds floats."""
MAX_KNOWN: Final = 1_000
"""Maximum number of entries in each table of sessions, subagents or calls."""
STOP_S: Final = 5.0
"""Seconds that Claude Code has to end by itself after a hook tells it to stop."""
ABORTED: Final = ("aborted_streaming", "aborted_tools")
"""Reasons that Claude Code reports for a turn that the program interrupted."""

K = TypeVar("K")
V = TypeVar("V")
Target = TypeVar(
    "Target", bound=ClaudeAgentOptions | ClaudeSDKClient | Callable[..., AsyncIterator[Message]]
)
"""What `govern` takes."""
HookOutput = dict[str, Any]
"""A `SyncHookJSONOutput`. The SDK does not define a common type for the events used here."""


def govern(  # noqa: PLR0913 - of the user's interface
    target: Target,
    *,
    name: str | None = None,
    risks: Mapping[str, DataRisk] | None = None,
    remits: Mapping[str, DataRisk] | None = None,
    capture_messages: _llm.CaptureMessages = "new",
    capture_reasoning: bool = False,
    agent_id: str | None = None,
    external_identifier: str | None = None,
) -> Target:
    """Record a Claude Code agent and deny tools that violate the remit.

    A denied tool does not run, and the model receives the reason. This includes built-in tools.
    remit keeps the hooks that the options already contain.

    Args:
        target: The `query` function, a `ClaudeSDKClient` before it is connected, or
            `ClaudeAgentOptions`. If you pass only options, remit cannot see messages, so model
            calls, tokens and costs are not recorded.
        name: Name of the main agent. The default is `claude`. Without a name, the agent
            belongs to the module that calls `govern`: `payments:claude`.
        risks: Risk declarations for tools, by the name that the model uses, such as `Bash` or
            `mcp__orders__find`; see `SUGGESTED`. A decorated function uses its own risk
            declaration.
        remits: Remits of the main agent and of subagents, by name. Each remit applies to the
            agent's tools and the steps inside these tools, in addition to the run's remit.
        capture_messages: `new` records the messages that the same agent's previous model call did
            not contain, `all` records all messages, and `none` records no messages.
        capture_reasoning: Whether the model's thinking is recorded.
        agent_id: ID of the main agent on the server. It overrides *external_identifier* and the
            setting `agent_id`.
        external_identifier: Identifier by which the server finds the main agent.

    Returns:
        A governed function, the client itself, or a copy of the options.

    Raises:
        DeclarationError: If an argument is wrong. Reading the first message raises the same error
            if *remits* contains an agent that Claude Code does not know.
    """
    identity = AgentIdentity.of_caller(
        FRAMEWORK,
        NAME,
        where="govern",
        agent_id=agent_id,
        external_identifier=external_identifier,
    )
    if name is not None and not (isinstance(cast("object", name), str) and name):
        raise DeclarationError(f"govern: name is {describe_value(name)}; expected a text")
    tools = risks_by_name(risks, "govern: risks")
    ceilings = {
        agent: tuple(filter(None, [ceiling_of(identity.of(agent), remit, identity.place)]))
        for agent, remit in risks_by_name(remits, "govern: remits", "agents").items()
    }
    history = _llm.history("govern", capture_messages, capture_reasoning)
    rules = _Rules(name, tools, ceilings, history.capture, history.reasoning, identity)
    if isinstance(target, ClaudeAgentOptions):
        return cast("Target", _Sessions(rules).options(target))
    if isinstance(target, ClaudeSDKClient):
        return cast("Target", _govern_client(target, rules))
    if callable(cast("object", target)) and not isinstance(target, type):
        return cast("Target", _govern_query(target, rules))
    raise DeclarationError(
        f"govern: saw {describe_value(target)}; expected the function query, a ClaudeSDKClient or "
        "ClaudeAgentOptions"
    )


# Rules


@dataclass(frozen=True)
class _Rules:
    """Arguments of `govern`.

    Attributes:
        ceilings: The limits of agents, by name.
        identity: That of the call, for the main agent.
    """

    name: str | None
    risks: Mapping[str, DataRisk]
    ceilings: Mapping[str, tuple[Ceiling, ...]]
    capture: _llm.CaptureMessages
    capture_reasoning: bool
    identity: AgentIdentity

    @property
    def agent(self) -> str:
        return self.name or NAME

    def over(self, earlier: _Rules) -> _Rules:
        """Add *earlier* rules. A risk here replaces an earlier one, and all remits apply."""
        names = {**earlier.ceilings, **self.ceilings}
        ceilings = {
            name: (*earlier.ceilings.get(name, ()), *self.ceilings.get(name, ())) for name in names
        }
        return replace(
            self,
            name=self.name or earlier.name,
            risks={**earlier.risks, **self.risks},
            ceilings=ceilings,
        )


@guarded("the declaration of a tool", TOOL)
def _declared(name: str, rules: _Rules, known: _KnownTool | None = None) -> SpanRecorder:
    return declare(
        f"{FRAMEWORK}:tool:{name}",
        "tool",
        params=None if known is None else known.schema,
        title=name,
        description=None if known is None else known.description,
        data_risk=rules.risks.get(name),
        place=rules.identity.place,
    )


class _KnownTool(NamedTuple):
    """A tool of an MCP server in this process.

    Attributes:
        step: The tool's function, if it is decorated.
        parameter: Name of the function's parameter that receives all arguments.
    """

    schema: Mapping[str, object] | None
    description: str | None
    step: SpanRecorder | None
    parameter: str | None

    def params(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        return arguments if self.parameter is None else {self.parameter: arguments}


@guarded("the tools of an MCP server")
def _tools_of(options: ClaudeAgentOptions) -> dict[str, _KnownTool]:
    """Return the tools of the program's MCP servers, by the names that the model uses."""
    known: dict[str, _KnownTool] = {}
    servers = options.mcp_servers if isinstance(options.mcp_servers, dict) else {}
    for server, config in servers.items():
        instance = get(config, "instance")
        if instance is None:
            continue
        prefix = f"mcp__{re.sub(r'[^a-zA-Z0-9_-]', '_', server)}__"
        tools, schemas = _functions_of(instance)
        for name, tool in tools.items():
            schema, handler = schemas.get(name), get(tool, "handler")
            step = step_of(handler)
            names = [] if step is None else [*inspect.signature(handler).parameters]
            takes_all = len(names) == 1 and names[0] not in (get(schema, "properties") or {})
            known[prefix + name] = _KnownTool(
                schema, get(tool, "description"), step, names[0] if takes_all else None
            )
    return known


def _functions_of(server: Any) -> tuple[Mapping[str, object], Mapping[str, Any]]:
    """Return the tools of a `create_sdk_mcp_server` server and their schemas, by name.

    The SDK has no public API for a server's functions, so they are read from the server's closures.
    If they cannot be read, a tool is declared without a schema, and the span of a decorated
    function is a child of the tool's span.
    """
    find = getattr(server, "get_request_handler", None)
    handler = get(find("tools/call"), "handler") if callable(find) else None
    variables = _variables(_variables(handler).get("run_tool"))
    tools, schemas = (variables.get(name) for name in ("tools_by_name", "schemas"))
    if not (isinstance(tools, dict) and isinstance(schemas, dict)):
        return {}, {}
    return cast("dict[str, object]", tools), cast("dict[str, Any]", schemas)


def _variables(function: object) -> Mapping[str, Any]:
    return inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}


# The three targets


def _govern_query(ask: Callable[..., AsyncIterator[Message]], rules: _Rules) -> Any:
    """Return *ask* with governed options. The returned function also records the messages."""

    @wraps(ask)
    async def governed(
        *, prompt: Any, options: ClaudeAgentOptions | None = None, **kwargs: Any
    ) -> AsyncGenerator[Message]:
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        conversation = _Conversation(rules)
        options = conversation.options(ClaudeAgentOptions() if options is None else options)
        prompt = conversation.begin(prompt)
        error: BaseException | None = None
        messages: Any = None
        try:
            with conversation.current():
                messages = ask(prompt=prompt, options=options, **kwargs)
            while True:
                with conversation.current():
                    try:
                        message = await anext(messages)
                    except StopAsyncIteration:
                        break
                conversation.read(message)
                yield message
            conversation.check_terminated()
        except RunTerminated as ended:
            error = ended
            # If the messages are not read to the end, `query` lets the event loop end the process.
            with anyio.move_on_after(STOP_S), suppress(Exception):
                async for _ in messages:
                    pass
            raise
        except BaseException as raised:
            error = raised
            raise
        finally:
            try:
                if messages is not None:
                    await messages.aclose()
            finally:
                conversation.finish(error)

    return governed


def _govern_client(client: ClaudeSDKClient, rules: _Rules) -> ClaudeSDKClient:
    """Govern the options of *client*, record its messages, and return the client.

    Raises:
        DeclarationError: If the client is connected, because its hooks cannot then be changed.
    """
    # The client has no public API for this. Without this check, remit logs the tools that run.
    if getattr(client, "_query", None) is not None:
        raise DeclarationError(
            "govern: the client is connected already; expected a ClaudeSDKClient before "
            "`connect()` or `async with`"
        )
    conversation = _Conversation(rules, has_turns=True)
    client.options = conversation.options(client.options)
    earlier = getattr(client, GOVERNED, None)
    methods = earlier or {
        name: getattr(client, name) for name in ("connect", "query", "receive_messages",
                                                 "disconnect")
    }  # fmt: skip
    connect, ask = methods["connect"], methods["query"]
    receive, disconnect = methods["receive_messages"], methods["disconnect"]

    @wraps(connect)
    async def connecting(prompt: Any = None) -> None:
        given = None if prompt is None else conversation.begin(prompt)
        with conversation.current():
            await connect(given)

    @wraps(ask)
    async def asking(prompt: Any, session_id: str = "default") -> None:
        await ask(conversation.begin(prompt), session_id)

    @wraps(receive)
    async def receiving() -> AsyncGenerator[Message]:
        try:
            async for message in receive():
                conversation.read(message)
                yield message
            conversation.check_terminated()
        except (Exception, RunTerminated) as error:
            conversation.finish(error)
            raise

    @wraps(disconnect)
    async def disconnecting() -> None:
        try:
            await disconnect()
        finally:
            conversation.finish()

    wrapped = {
        "connect": connecting,
        "query": asking,
        "receive_messages": receiving,
        "disconnect": disconnecting,
        GOVERNED: methods,
    }
    for name, method in wrapped.items():
        setattr(client, name, method)
    return client


GOVERNED: Final = "_remit_methods"
"""Attribute of a governed client that contains its original methods."""


class _Sessions:
    """The sessions of governed options, if remit governs neither the function nor the client."""

    def __init__(self, rules: _Rules) -> None:
        self._rules = rules
        self._sessions: dict[str, _Conversation] = {}
        self._options = ClaudeAgentOptions()

    def options(self, options: ClaudeAgentOptions) -> ClaudeAgentOptions:
        """Return a governed copy of *options*."""
        earlier = _earlier(options)
        if earlier is not None:
            self._rules = self._rules.over(earlier)
        self._options = options
        return _with_hooks(options, self._rules, self._of, {**HOOKS, **TURN_HOOKS})

    def _of(self, data: Mapping[str, Any]) -> _Conversation:
        session = str(data.get("session_id"))
        conversation = self._sessions.get(session)
        if conversation is None:
            conversation = _Conversation(self._rules, has_turns=True, is_hooked=True)
            conversation.options(self._options)
            _remember(self._sessions, session, conversation)
        return conversation


@dataclass(frozen=True, eq=False)
class _Hook:
    """A callback of one event.

    Attributes:
        find: Returns the conversation that a hook's input belongs to.
        react: Returns the response to Claude Code.
    """

    rules: _Rules
    find: Callable[[Mapping[str, Any]], _Conversation]
    react: Callable[[_Conversation, Mapping[str, Any]], HookOutput]

    async def __call__(self, data: Any, _tool_use_id: object, _context: object) -> Any:
        """Handle a hook call from Claude Code."""
        return self.react(self.find(data), data)


def _hooks_of(matcher: HookMatcher) -> list[_Hook]:
    return [each for each in cast("list[object]", matcher.hooks) if isinstance(each, _Hook)]


def _earlier(options: ClaudeAgentOptions) -> _Rules | None:
    """Return the rules of options that are already governed."""
    for matcher in (options.hooks or {}).get("PreToolUse", ()):
        for hook in _hooks_of(matcher):
            return hook.rules
    return None


def _with_hooks(
    options: ClaudeAgentOptions,
    rules: _Rules,
    find: Callable[[Mapping[str, Any]], _Conversation],
    events: Mapping[Any, Callable[[_Conversation, Mapping[str, Any]], HookOutput]],
) -> ClaudeAgentOptions:
    """Return a copy of *options* with remit's hooks after the user's hooks."""
    governed = copy.copy(options)
    hooks: dict[Any, list[HookMatcher]] = {
        event: [matcher for matcher in matchers if not _hooks_of(matcher)]
        for event, matchers in (options.hooks or {}).items()
    }
    for event, react in events.items():
        # If a hook takes too long, the tool must not run.
        on_failure: Any = "block" if event == "PreToolUse" else None
        callback: Any = _Hook(rules, find, react)
        ours = HookMatcher(hooks=[callback], on_failure=on_failure)
        hooks[event] = [*hooks.get(event, ()), ours]
    governed.hooks = hooks
    return governed


# Conversations


@dataclass
class _ModelCall:
    """One model call, which Claude Code reports in several messages.

    Attributes:
        place: Index of the response in the messages of the thread.
    """

    identifier: str | None
    model: str | None
    span: ManualSpan
    last_ns: int
    place: int
    texts: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    tool_calls: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    is_counted: bool = False
    stop_reason: object = None
    error: object = None
    first_token_ms: float | None = None

    def message(self, *, with_reasoning: bool) -> _llm.Message:
        kept = [part for part in self.texts if with_reasoning or part["type"] == "text"]
        content: object = kept or None
        if all(part["type"] == "text" for part in kept):
            content = "".join(str(part["text"]) for part in kept) or None
        return _llm.message("assistant", content, tool_calls=self.tool_calls)


@dataclass
class _Thread:
    """The model calls of one agent.

    Attributes:
        messages: Messages of the next model call, and earlier ones if `capture_messages="all"`.
        known: Number of earlier messages that are omitted.
        since_ns: Time at which the last message arrived.
    """

    messages: list[_llm.Message] = field(default_factory=list[_llm.Message])
    known: int = 0
    since_ns: int = 0
    call: _ModelCall | None = None

    def add(self, message: _llm.Message) -> None:
        """Add a message for the next model call."""
        self.messages.append(message)
        self.since_ns = time.time_ns()


class _Usage(NamedTuple):
    """Counts of tokens, and a cost in US dollars."""

    prompt: int = 0
    completion: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost: Decimal | None = None

    def less(self, other: _Usage) -> _Usage:
        return _Usage(
            max(self.prompt - other.prompt, 0),
            max(self.completion - other.completion, 0),
            max(self.cache_read - other.cache_read, 0),
            max(self.cache_write - other.cache_write, 0),
            max(self.reasoning - other.reasoning, 0),
            None if self.cost is None else self.cost - (other.cost or 0),
        )

    def plus(self, other: _Usage) -> _Usage:
        return _Usage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )

    def tokens(self) -> dict[str, object]:
        if not (self.prompt or self.completion):
            return {}
        return _llm.token_usage(
            self.prompt,
            self.completion,
            cache_read=self.cache_read,
            cache_write=self.cache_write,
            reasoning=self.reasoning,
        )


class _Conversation:
    """One process of Claude Code: its agents, model calls and tools."""

    def __init__(self, rules: _Rules, *, has_turns: bool = False, is_hooked: bool = False) -> None:
        """Keep the rules.

        If *has_turns*, each result ends the span of the main agent. If *is_hooked*, hooks report
        the start and the end of a turn.
        """
        self._rules = rules
        self._has_turns = has_turns
        self._is_hooked = is_hooked
        self._options = ClaudeAgentOptions()
        self._known: Mapping[str, _KnownTool] = {}
        self._agent = ManualSpan()
        self._result: ResultMessage | None = None
        self._threads: dict[str | None, _Thread] = {}
        self._tools: SpanTable[str] = SpanTable()
        self._contexts: dict[str, SpanContext | None] = {}
        """Contexts of the steps inside tool calls, by call ID."""
        self._subagents: dict[str, ManualSpan] = {}
        """Spans of subagents by ID, including subagents that have ended."""
        self._launches: dict[str, str] = {}
        """Types of requested subagents, by call ID."""
        self._launched: dict[str, str] = {}
        """Subagent IDs, by the ID of the call that started the subagent."""
        self._asked: dict[str, ToolUseBlock] = {}
        """Calls that the model requested, and for which no hook has been called yet."""
        self._counted = _Usage()
        self._before: _Usage | None = None
        self._terminated: RunTerminated | None = None

    def options(self, options: ClaudeAgentOptions) -> ClaudeAgentOptions:
        """Declare the tools in *options*, and return a governed copy of *options*."""
        earlier = _earlier(options)
        if earlier is not None and not self._is_hooked:
            self._rules = self._rules.over(earlier)
        self._options = options
        self._known = _tools_of(options) or {}
        self._declare(options)
        return _with_hooks(options, self._rules, lambda _: self, HOOKS)

    @guarded("the declaration of tools")
    def _declare(self, options: ClaudeAgentOptions) -> None:
        for name in self._rules.risks.keys() | self._known.keys():
            known = self._known.get(name)
            if known is None or known.step is None:
                _declared(name, self._rules, known)
        servers = options.mcp_servers if isinstance(options.mcp_servers, dict) else {}
        for config in servers.values():
            # Since mcp 2. In earlier versions, steps inside a tool are children of the agent.
            middleware: Any = getattr(get(config, "instance"), "middleware", None)
            if middleware is not None and _around_tool not in middleware:
                middleware.append(_around_tool)

    @contextmanager
    def current(self) -> Generator[None]:
        """Make the conversation and its agent current, for the tasks that the SDK starts."""
        context, previous = self._agent.context, _conversation.get()
        _conversation.set(self)
        try:
            with nullcontext() if context is None else spans.inside(context):
                yield
        finally:
            _conversation.set(previous)

    def _root(self) -> SpanContext | None:
        return self._agent.context if self._agent.is_open else open_context()

    # The main agent

    def begin(self, prompt: Any) -> Any:
        """Start the span of the main agent if none is open, and return the prompt to send.

        Raises:
            RunTerminated: If the run was terminated.
            DeniedError: If no run could be opened. Without a run, the remit would not apply.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._open(prompt)
        streamed = self._note(prompt)
        return prompt if streamed is None else streamed

    @guarded("the start of an agent")
    def _open(self, prompt: object) -> None:
        """Start the span of the main agent. If this fails, the first tool tries again."""
        if self._agent.is_open and self._result is not None:
            self.finish()
        if self._agent.is_open:
            self.check_terminated()
        else:
            self._start(prompt if isinstance(prompt, str) else None)

    @guarded("the prompt of an agent")
    def _note(self, prompt: object) -> AsyncGenerator[Any] | None:
        """Store a prompt for the next model call. Return a wrapped stream if the prompt is one."""
        if isinstance(prompt, AsyncIterable):
            return self._prompts(cast("AsyncIterable[object]", prompt))
        self._add_prompt(prompt)
        return None

    def _start(self, prompt: str | None) -> None:
        """Start the span of the main agent, in a new run if no run is open."""
        rules, name = self._rules, self._rules.agent
        ceilings = rules.ceilings.get(name, ())
        payload = partial(self._prompted, prompt)
        runs, _ = agent_of(rules.identity, name, None, AGENTS)
        first = ceilings[0] if ceilings else None
        self._result, self._counted, self._terminated = None, _Usage(), None
        self._agent = spans.start(AGENT, payload, agent=runs, ceiling=first)
        for ceiling in ceilings[1:]:
            self._agent.narrow(ceiling)

    def _prompted(self, prompt: str | None) -> dict[str, object]:
        inputs = _llm.known_only(prompt=None if self._rules.capture == "none" else prompt)
        return _llm.known_only(agent_name=self._rules.agent, inputs=inputs or None)

    async def _prompts(self, prompts: AsyncIterable[object]) -> AsyncGenerator[Any]:
        async for each in prompts:
            self._add_prompt(get(get(each, "message"), "content"))
            yield each

    @guarded("the prompt of an agent")
    def _add_prompt(self, content: object) -> None:
        thread = self._thread(None)
        thread.add(_llm.message("user", _content(content)))

    def check_terminated(self) -> None:
        """Raise `RunTerminated` if the run was terminated."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        if self._terminated is not None:
            raise self._terminated
        self._check_policy()

    @guarded("the termination of a run")
    def _check_policy(self) -> None:
        context = self._root()
        if context is not None:
            spans.permit(LLM, parent=context)

    @guarded("the end of an agent")
    def finish(self, error: BaseException | None = None) -> None:
        """End all open spans. *error* is the error that ended the messages, if any."""
        for thread in self._threads.values():
            self._end_call(thread)
        for call in [*self._contexts]:
            self._tools.end(call, status="cancelled")
        for span in self._subagents.values():
            span.end(status="cancelled")
        has_left = error is None or isinstance(error, GeneratorExit)
        if self._result is not None and has_left:
            self._end_turn()
        elif error is None:
            self._agent.end(status="cancelled")
        else:
            self._agent.end(error=error)
        self._threads.clear()
        self._contexts.clear()
        self._subagents.clear()

    def _end_turn(self) -> None:
        """End the span of the main agent with its last result."""
        result = self._result
        if result is None:
            return
        status: Status = "failed" if result.is_error else "complete"
        if result.terminal_reason in ABORTED:
            status = "cancelled"
        self._agent.end(partial(self._answered, result), status=status)

    def _answered(self, result: ResultMessage) -> dict[str, object]:
        """Return the main agent's result, with the tokens that no model call below it reported."""
        output = result.structured_output
        if output is None:
            output = result.result or "; ".join(result.errors or []) or None
        outputs = {} if self._rules.capture == "none" else {"output": output}
        usage = self._spent(result)
        cost = usage.cost
        return _llm.known_only(
            outputs={**outputs, "finish_reasons": [result.stop_reason or result.subtype]},
            session_id=result.session_id,
            turns=result.num_turns,
            terminal_reason=result.terminal_reason,
            cost=cost and {"amount": format(cost, "f"), "currency": "USD", "source": "claude-code"},
            **usage.less(self._counted).tokens(),
        )

    def _spent(self, result: ResultMessage) -> _Usage:
        """Return the usage since the last turn of the process.

        Claude Code reports totals for the whole session. If another process began a resumed
        session, the usage of that process is unknown. The tokens are then the turn's tokens, and
        the cost is omitted.
        """
        total, options, before = _total(result), self._options, self._before
        if before is None and (options.resume or options.continue_conversation):
            before = _totals.get(options.resume or result.session_id)
            if before is None:
                self._before = total
                return _tokens_of(result.usage)
        self._before = total
        _remember(_totals, result.session_id, total)
        return total.less(before or _Usage())

    # Messages

    def read(self, message: object) -> None:
        """Record a message.

        Raises:
            RunTerminated: If the run was terminated.
            DeclarationError: If a remit names an agent that Claude Code does not know.
        """
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self.check_terminated()
        self._read(message)

    @guarded("a message of Claude Code", passes=(DeclarationError,))
    def _read(self, message: object) -> None:
        if isinstance(message, TaskStartedMessage):
            if message.tool_use_id is not None:
                _remember(self._launched, message.tool_use_id, message.task_id)
        elif isinstance(message, SystemMessage):
            if message.subtype == "init":
                self._check_agents(listed(message.data.get("agents")))
        elif isinstance(message, ResultMessage):
            self._take_result(message)
        elif isinstance(message, AssistantMessage | StreamEvent | UserMessage):
            if not self._agent.is_open and message.parent_tool_use_id is None:
                self._start(None)  # Claude Code continues by itself, with a background task
            if isinstance(message, UserMessage):
                self._take_user_message(message)
            elif isinstance(message, AssistantMessage):
                self._take_answer(message)
            else:
                self._take_event(message)

    def _check_agents(self, agents: Iterable[str]) -> None:
        """Check the names in `remits`.

        Raises:
            DeclarationError: If a name is not the name of an agent.
        """
        known = {self._rules.agent, *agents}
        unknown = [name for name in self._rules.ceilings if name not in known]
        if unknown and len(known) > 1:
            raise DeclarationError(
                f"govern at {self._rules.identity.place}: remits names "
                f"{describe_value(unknown[0])}; "
                f"expected one of {', '.join(sorted(known))}{did_you_mean(unknown[0], known)}"
            )

    def _take_result(self, result: ResultMessage) -> None:
        for thread in self._threads.values():
            self._end_call(thread)
        if not self._agent.is_open:
            self._start(None)
        self._result = result
        if self._has_turns:
            self._end_turn()

    def _thread(self, call: str | None) -> _Thread:
        """Return the thread of the main agent, or of the subagent that a tool call started."""
        thread = self._threads.get(call)
        if thread is None:
            thread = _Thread(since_ns=time.time_ns())
            _remember(self._threads, call, thread)
        return thread

    def _take_user_message(self, message: UserMessage) -> None:
        thread, content = self._thread(message.parent_tool_use_id), message.content
        blocks = [TextBlock(content)] if isinstance(content, str) else content
        for block in blocks:
            if isinstance(block, ToolResultBlock):
                self._take_tool_result(block, message.parent_tool_use_id)
                text = _content(block.content)
                thread.add(_llm.message("tool", text, tool_call_id=block.tool_use_id))
            elif isinstance(block, TextBlock):
                said = _llm.message("user", block.text)
                if said not in thread.messages:  # the program may request its own prompts
                    thread.add(said)

    def _take_tool_result(self, block: ToolResultBlock, parent: str | None) -> None:
        """End a tool that no hook ended, because another hook denied it or no hook was called."""
        call = block.tool_use_id
        status: Status = "failed" if block.is_error else "complete"
        asked = self._asked.pop(call, None)
        result = partial(_outputs, block.content)
        if asked is not None and not block.is_error:
            logger.warning(
                "the tool %s of Claude Code ran without a hook, so it was not judged; look for "
                "disableAllHooks in the settings of Claude Code",
                asked.name,
            )
            payload = {"tool_name": asked.name, "call_id": call, "inputs": asked.input}
            recorder = _declared(asked.name, self._rules, self._known.get(asked.name))
            context = self._context_below(parent)
            spans.start(recorder, payload, parent=context, deny=False).end(result)
        self._tools.end(call, result, status=status)
        self._contexts.pop(call, None)

    def _context_below(self, call: str | None) -> SpanContext | None:
        """Return the context of the agent that a tool call started. None means the main agent."""
        span = None if call is None else self._subagents.get(self._launched.get(call, ""))
        return self._root() if span is None else span.context

    # Model calls

    def _take_answer(self, message: AssistantMessage) -> None:
        for block in message.content:
            if isinstance(block, ToolUseBlock) and block.id not in self._contexts:
                _remember(self._asked, block.id, block)
        if message.model == SYNTHETIC and message.error is None:
            return
        parent = message.parent_tool_use_id
        call = self._call(parent, message.message_id, message.model)
        call.last_ns, call.error = time.time_ns(), message.error or call.error
        call.stop_reason = message.stop_reason or call.stop_reason
        call.usage = call.usage or dict(message.usage or {})
        for block in message.content:
            if isinstance(block, TextBlock):
                call.texts.append({"type": "text", "text": block.text})
            elif isinstance(block, ThinkingBlock):
                call.texts.append({"type": "reasoning", "text": block.thinking})
            elif isinstance(block, ToolUseBlock | ServerToolUseBlock):
                call.tool_calls.append(_llm.tool_call(block.id, block.name, block.input))

    def _take_event(self, message: StreamEvent) -> None:
        """Read a part of a streamed response, which reports the tokens of one model call."""
        event, thread = message.event, self._thread(message.parent_tool_use_id)
        kind, call = event.get("type"), thread.call
        if kind == "message_start":
            begun = event.get("message")
            call = self._call(message.parent_tool_use_id, get(begun, "id"), get(begun, "model"))
            call.usage.update(get(begun, "usage") or {})
        elif call is None:
            return
        elif kind == "content_block_delta" and call.first_token_ms is None:
            call.first_token_ms = round((time.time_ns() - thread.since_ns) / 1e6, 3)
        elif kind == "message_delta":
            usage: Mapping[str, object] = get(event, "usage") or {}
            call.usage.update({name: count for name, count in usage.items() if count is not None})
            call.stop_reason = get(event.get("delta"), "stop_reason") or call.stop_reason
            call.is_counted = True
        call.last_ns = time.time_ns()

    def _call(self, parent: str | None, identifier: str | None, model: str | None) -> _ModelCall:
        """Return the model call of a message. The call's first message starts its span."""
        thread = self._thread(parent)
        call = thread.call
        if call is not None and identifier is not None and call.identifier == identifier:
            return call
        self._end_call(thread)
        payload = partial(self._request, thread.messages[:], thread.known, model)
        span = spans.start(
            LLM,
            payload,
            parent=self._context_below(parent),
            deny=False,
            announce=False,
            started_ns=thread.since_ns,
        )
        thread.call = _ModelCall(identifier, model, span, time.time_ns(), len(thread.messages))
        if self._rules.capture != "all":
            thread.known += len(thread.messages)
            thread.messages.clear()
        return thread.call

    def _request(
        self, messages: list[_llm.Message], known: int, model: str | None
    ) -> dict[str, object]:
        capture, system = self._rules.capture, self._options.system_prompt
        if capture == "none":
            messages, known, system = [], known + len(messages), None
        return _llm.payload(
            "chat",
            self._provider(),
            model,
            messages,
            omitted=known,
            system=system if isinstance(system, str) else None,
            stream=self._options.include_partial_messages,
        )

    def _provider(self) -> str:
        environment = {**os.environ, **self._options.env}
        chosen = (
            PROVIDERS[name] for name in PROVIDERS if environment.get(name) not in {None, "", "0"}
        )
        return next(chosen, "anthropic")

    def _end_call(self, thread: _Thread) -> None:
        """End the model call of a thread, with the time of its last message."""
        call, thread.call = thread.call, None
        if call is None:
            return
        usage = _tokens_of(call.usage) if call.is_counted else _Usage()
        self._counted = self._counted.plus(usage)
        answer = call.message(with_reasoning=False)
        if self._rules.capture == "all":
            thread.messages.insert(call.place, answer)
        else:
            thread.known += 1
        thread.since_ns = max(thread.since_ns, call.last_ns)
        kept = [call.message(with_reasoning=self._rules.capture_reasoning)]
        result = partial(
            _llm.result,
            [] if self._rules.capture == "none" else kept,
            [call.stop_reason, call.error],
            tokens=usage.tokens(),
            response_model=call.model,
            response_id=call.identifier,
            first_token_ms=call.first_token_ms,
        )
        status: Status = "complete" if call.error is None else "failed"
        call.span.end(result, status=status, ended_ns=call.last_ns)

    # Hooks

    def before_tool(self, data: Mapping[str, Any]) -> HookOutput:
        """Start the span of a tool, or deny it."""
        try:
            self._judge(data)
        except DeniedError as denied:
            return _denied(denied.for_model())
        except RunTerminated as ended:
            return {**self._stopped(ended), **_denied(ENDED)}
        return {}

    @spans.judging(TOOL, None)
    def _judge(self, data: Mapping[str, Any]) -> None:
        """Judge a tool, in the context of the main agent if the subagent is not known.

        Raises:
            RunTerminated: If the run was terminated.
            DeniedError: If the tool is denied.
        """
        call = str(data.get("tool_use_id"))
        self._asked.pop(call, None)
        _remember(self._contexts, call, None)  # a hook was called for it, whatever its result
        if not self._agent.is_open and data.get("agent_id") not in self._subagents:
            self._start(None)
        root = self._root()
        with nullcontext() if root is None else spans.inside(root):
            self._begin_tool(data)

    @spans.judging(TOOL, None)
    def _begin_tool(self, data: Mapping[str, Any]) -> None:
        name, call = str(data.get("tool_name")), str(data.get("tool_use_id"))
        agent = data.get("agent_id")
        context = open_context()
        if isinstance(agent, str):
            span = self._subagents.get(agent)  # even if it has ended: its limits still apply
            context = (span or self._subagent(agent, str(data.get("agent_type")))).context
        known = self._known.get(name)
        if known is not None and known.step is not None:  # it has a separate span
            _remember(self._contexts, call, context)
            arguments: Mapping[str, object] = data.get("tool_input") or {}
            spans.permit(known.step, partial(known.params, arguments), parent=context)
        else:
            recorder = _declared(name, self._rules, known)
            with nullcontext() if context is None else spans.inside(context):
                span = self._tools.start(call, recorder, partial(_called, data))
            _remember(self._contexts, call, span.context)
        if self._is_hooked:
            _remember(_by_call, call, self)
        if name in LAUNCHERS:
            asked: object = data.get("tool_input")
            kind = get(asked, "subagent_type") or DEFAULT_SUBAGENT
            _remember(self._launches, call, str(kind))
            self._thread(call).add(_llm.message("user", get(asked, "prompt")))

    def after_tool(self, data: Mapping[str, Any]) -> HookOutput:
        """End the span of a tool that ran successfully."""
        self._end_tool(data, "complete", data.get("tool_response"))
        return self._go_on()

    def after_failure(self, data: Mapping[str, Any]) -> HookOutput:
        """End the span of a failed tool."""
        status: Status = "cancelled" if data.get("is_interrupt") is True else "failed"
        self._end_tool(data, status, data.get("error"))
        return self._go_on()

    @guarded("the end of a tool")
    def _end_tool(self, data: Mapping[str, Any], status: Status, output: object) -> None:
        call = str(data.get("tool_use_id"))
        span = self._tools.get(call)
        if span is None:
            return
        span.describe(partial(_called, data))  # another hook may have changed the arguments
        denied = span.denied if status == "failed" else None
        span.end(partial(_outputs, output), status=status, error=denied)

    def start_subagent(self, data: Mapping[str, Any]) -> HookOutput:
        """Start the span of a subagent."""
        self._begin_subagent(data)
        return self._go_on()

    @guarded("the start of a subagent", passes=())
    def _begin_subagent(self, data: Mapping[str, Any]) -> None:
        self._subagent(str(data.get("agent_id")), str(data.get("agent_type")))

    def _subagent(self, agent: str, kind: str) -> ManualSpan:
        """Return the span of a subagent. Start the span if none is open.

        Raises:
            RunTerminated: If the run was terminated.
            DeniedError: If the limits of the subagent could not be set.
        """
        span = self._subagents.get(agent)
        if span is not None and span.is_open:
            return span
        call = next((call for call, other in self._launched.items() if other == agent), None)
        if call is None:  # the message with the call is not read yet; subagents start in order
            kinds = self._launches.items()
            call = next((each for each, other in kinds if other == kind), None)
        parent = self._root()
        if call is not None:
            parent = self._contexts.get(call) or parent
            self._launches.pop(call, None)
            self._launched.setdefault(call, agent)
        ceilings = self._rules.ceilings.get(kind, ())
        first = ceilings[0] if ceilings else None
        span = spans.start(AGENT, {"agent_name": kind, "agent_id": agent}, parent=parent,
                           ceiling=first)  # fmt: skip
        for ceiling in ceilings[1:]:
            span.narrow(ceiling)
        _remember(self._subagents, agent, span)
        return span

    def stop_subagent(self, data: Mapping[str, Any]) -> HookOutput:
        """End the span of a subagent."""
        self._end_subagent(data)
        return {}

    @guarded("the end of a subagent")
    def _end_subagent(self, data: Mapping[str, Any]) -> None:
        agent = str(data.get("agent_id"))
        span = self._subagents.get(agent)
        if span is None:
            return
        outputs: dict[str, object] = {}
        if self._rules.capture != "none":
            outputs = _llm.known_only(output=data.get("last_assistant_message"))
        span.end({"outputs": outputs})

    def start_turn(self, data: Mapping[str, Any]) -> HookOutput:
        """Start the span of the main agent."""
        try:
            self._agent.end(status="cancelled")  # it was interrupted
            self.begin(data.get("prompt"))
        except (DeniedError, RunTerminated) as error:
            if isinstance(error, RunTerminated):
                return self._stopped(error)
            return {"decision": "block", "reason": error.for_model()}
        return {}

    def stop_turn(self, data: Mapping[str, Any]) -> HookOutput:
        """End the span of the main agent."""
        outputs: dict[str, object] = {}
        if self._rules.capture != "none":
            outputs = _llm.known_only(output=data.get("last_assistant_message"))
        self._agent.end({"outputs": outputs})
        return {}

    def _go_on(self) -> HookOutput:
        """Return a response that lets Claude Code continue, unless the run was terminated."""
        try:
            self.check_terminated()
        except RunTerminated as ended:
            return self._stopped(ended)
        return {}

    def _stopped(self, ended: RunTerminated) -> HookOutput:
        self._terminated = ended
        return {"continue_": False, "stopReason": str(ended)}

    # Tools of MCP servers in this process

    def context_of(self, call: str) -> SpanContext | None:
        """Return the context of the steps inside a tool call."""
        return self._contexts.get(call)

    def end_by(self, ended: RunTerminated) -> None:
        """Note that the run was terminated inside a tool."""
        self._terminated = ended


HOOKS: Final[Mapping[Any, Callable[[_Conversation, Mapping[str, Any]], HookOutput]]] = {
    "PreToolUse": _Conversation.before_tool,
    "PostToolUse": _Conversation.after_tool,
    "PostToolUseFailure": _Conversation.after_failure,
    "SubagentStart": _Conversation.start_subagent,
    "SubagentStop": _Conversation.stop_subagent,
}
TURN_HOOKS: Final[Mapping[Any, Callable[[_Conversation, Mapping[str, Any]], HookOutput]]] = {
    "UserPromptSubmit": _Conversation.start_turn,
    "Stop": _Conversation.stop_turn,
}

_conversation: Final[ContextVar[_Conversation | None]] = ContextVar(
    "remit_claude_agent_sdk", default=None
)
_by_call: Final[dict[str, _Conversation]] = {}
"""Conversations of governed options, by the IDs of tool calls."""
_totals: Final[dict[str, _Usage]] = {}
"""Usage of each session so far, because a session can be resumed."""


async def _around_tool(ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
    """Call a tool of an MCP server in this process, as a child of the span of the tool call.

    If a step inside the tool is denied, the model receives the denial instead of the exception
    text.
    """
    call = get(get(get(ctx, "params"), "_meta"), TOOL_USE_ID)
    conversation = _conversation.get() or _by_call.get(str(call))
    if get(ctx, "method") != "tools/call" or conversation is None:
        return await call_next(ctx)
    context = conversation.context_of(str(call))
    denials = spans.collect_denials()
    try:
        with nullcontext() if context is None else spans.inside(context):
            result = await call_next(ctx)
    except RunTerminated as ended:
        conversation.end_by(ended)
        return _error(ENDED)
    failed = get(result, "is_error") is True or get(result, "isError") is True
    return _error(denials[-1].for_model()) if failed and denials else result


def _error(text: str) -> dict[str, object]:
    """Return the result of a failed tool in MCP's format."""
    return {"content": [{"type": "text", "text": text}], "isError": True}


def _denied(reason: str) -> HookOutput:
    return {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }
    }


# Contents


def _called(data: Mapping[str, Any]) -> dict[str, object]:
    """Return the payload of a tool."""
    return {
        "tool_name": data.get("tool_name"),
        "call_id": data.get("tool_use_id"),
        "inputs": data.get("tool_input") or {},
    }


def _outputs(output: object) -> dict[str, object]:
    return {"outputs": {"output": _content(output)}}


def _content(value: object) -> object:
    """Return the text of blocks, the blocks with size and digest for files, or *value*."""
    if not isinstance(value, list):
        return value
    parts = [_part(block) for block in cast("list[object]", value)]
    if parts and all(isinstance(part, dict) and part.keys() == {"type", "text"} for part in parts):
        return "\n".join(str(get(part, "text")) for part in parts)
    return parts


def _part(block: object) -> object:
    source = get(block, "source")
    data = get(block, "data") or get(source, "data")
    if not isinstance(data, str):
        return block
    kind = get(block, "mimeType") or get(source, "media_type") or get(block, "type")
    return _llm.media(kind, data)


def _tokens_of(usage: Mapping[str, Any] | None) -> _Usage:
    """Return the counts of one model call or turn. Cached tokens are counted as prompt tokens."""
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    fresh, read, written = (_count(usage, name) for name in names)
    completion, details = _count(usage, "output_tokens"), get(usage, "output_tokens_details")
    reasoning = _count(details, "thinking_tokens")
    return _Usage(fresh + read + written, completion, read, written, reasoning)


def _total(result: ResultMessage) -> _Usage:
    """Return the counts of a session, added over all its models."""
    models = [*(result.model_usage or {}).values()]
    names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens",
             "thinkingTokens")  # fmt: skip
    fresh, read, written, completion, reasoning = (
        sum(_count(usage, name) for usage in models) for name in names
    )
    cost = result.total_cost_usd
    total = _Usage(fresh + read + written, completion, read, written, reasoning)
    if not models:
        total = _tokens_of(result.usage)
    return total._replace(cost=None if cost is None else Decimal(str(round(cost, COST_DIGITS))))


def _count(usage: object, name: str) -> int:
    value = get(usage, name)
    return value if type(value) is int else 0


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Store a value under its key, and remove the oldest entry if there are too many."""
    if key not in known and len(known) >= MAX_KNOWN:
        del known[next(iter(known))]
    known[key] = value
