"""Records and governs MCP tools, in clients and in servers.

A client takes one line, a server two:

```python
client = govern(Client("http://localhost:8000/mcp"), "orders")

recorded = Recorded("orders")
server = recorded.of(MCPServer("orders", extensions=[recorded]))
```
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import Context, ContextVar
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from remit._adapters import spans
from remit._adapters.declare import (
    AgentIdentity,
    add_to_header,
    declarations,
    declare,
    declare_agent,
    interrupts,
    risks_by_name,
    step_of,
    undeclared,
)
from remit._adapters.spans import ManualSpan, Status
from remit._adapters.tables import SessionTable
from remit._base.frames import caller
from remit._base.guard import contain, guarded
from remit._base.text import describe_value, did_you_mean
from remit._base.version import __version__
from remit._policy.maxima import Limits
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError, DeniedError, RunTerminated
from remit.integrations import _llm
from remit.models.data_risk import DataRisk

LOWEST: Final = "2.0"
"""The first version with extensions of servers."""

try:
    from mcp import Client, ClientSession, MCPError, UrlElicitationRequiredError
    from mcp.server import MCPServer
    from mcp.server.extension import Extension
    from mcp.types import (
        URL_ELICITATION_REQUIRED,
        CallToolResult,
        InputRequiredResult,
        TextContent,
    )
except ImportError:
    _llm.required("mcp", LOWEST, _llm.installed("mcp"))
    raise

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.types import CallToolRequestParams, Tool, ToolAnnotations

add_to_header(f"remit-mcp@{__version__}")
interrupts(UrlElicitationRequiredError)

TOOL: Final = undeclared("mcp:tool", "tool")
"""The tool that a denial names after a fault."""

Risks = Mapping[str, DataRisk | Mapping[str, object]]
"""Data risks of tools, by the name of the tool."""

C = TypeVar("C", Client, ClientSession)
S = TypeVar("S", bound=MCPServer[Any])
R = TypeVar("R")

SESSION_CHARS: Final = 32
"""Characters of the hash of a session: 128 bits."""
ENDED: Final = "This session was ended. Do not call any more tools."
"""The answer to a call in a run that was terminated."""

META_KEY: Final = "remit/traceparent"
"""A second place of the header: OpenTelemetry replaces `traceparent` by its own."""

MAX_NAMES: Final = 1_000
"""Names of tools that are declared without having been listed; they may come from outside."""
MAX_ENDED: Final = 10_000
"""Terminated sessions that are remembered."""

MAX_SERVER_CHARS: Final = 200

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-..")

_calling: Final[ContextVar[tuple[object, str | None] | None]] = ContextVar(
    "remit_mcp_calling", default=None
)
"""The governed client that calls a tool, and the `traceparent` that it sends."""
_denials: Final[ContextVar[list[DeniedError] | None]] = ContextVar("remit_mcp_denials")
"""The denials of steps in the tool of a server that is a decorated function."""


def govern(client: C, server: str, *, trusted: bool = False, risks: Risks | None = None) -> C:
    """Record the tool calls of *client* and deny calls that violate the agent's remit.

    A denied call is not sent. It returns an error that the model can understand. The span type is
    `mcp:tool:<server>:<tool>`. Tools are declared when the client lists them.

    Args:
        client: A `Client` or a `ClientSession`. The function modifies this object.
        server: Name of the server in span types.
        trusted: Whether to trust the server's hints that a tool is less risky.
        risks: Risk declarations for tools, by name. They replace the hints.

    Returns:
        The client. If the client is already governed, the new arguments replace the previous ones.

    Raises:
        DeclarationError: If an argument is wrong. `list_tools` raises the same error if *risks*
            contains a tool that the server does not provide.
    """
    if not isinstance(client, Client | ClientSession):
        raise DeclarationError(
            f"govern: saw {describe_value(client)}; expected a Client or a ClientSession of mcp"
        )
    _llm.check_relied_on("govern", "mcp", _llm.lacks(type(client), "call_tool", "list_tools"))
    tools = _Tools("govern", f"mcp:tool:{server}", server, risks, trusted=trusted)
    _GovernedClient(client, tools)
    return client


class _Tools:
    """The tools of one server, which are declared when they are listed.

    Attributes:
        risks: The data risks that the user declared, by name.
    """

    def __init__(
        self, where: str, prefix: str, server: object, risks: Risks | None, *, trusted: bool
    ) -> None:
        """Check the arguments; *where* is for messages, *prefix* for span types."""
        is_name = type(server) is str and server.isprintable() and server.strip()
        if not is_name or len(str(server)) > MAX_SERVER_CHARS:
            raise DeclarationError(
                f"{where}: the name of the server is {describe_value(server)}; expected a string "
                f"of at most {MAX_SERVER_CHARS} printable characters"
            )
        self.risks: Final[Risks] = risks_by_name(risks, f"{where}: risks")
        self._where, self._prefix, self._server, self._trusted = where, prefix, server, trusted
        self._place = caller()
        self._known = not self.risks
        self._declared_in: object = None
        self._recorders: dict[str, SpanRecorder] = {}
        self.listed: dict[str, Tool] = {}

    @property
    def is_current(self) -> bool:
        """Whether the tools are declared where declarations are held now."""
        return self._declared_in is declarations()

    @property
    def is_complete(self) -> bool:
        """Whether a listing had every tool that `risks` names."""
        return self._known

    @guarded("the tools of an MCP server")
    def add(self, tools: Iterable[Tool]) -> None:
        """Declare the tools of a listing."""
        self._renew()
        for tool in tools:
            self.listed[tool.name] = tool
            self._declare(tool.name, tool)

    def check(self) -> None:
        """Check that every tool of `risks` was listed, until that was so once.

        Raises:
            DeclarationError: One is not.
        """
        unknown = [name for name in self.risks if name not in self.listed]
        self._known = self._known or not unknown
        if not self._known:
            tools = ", ".join(sorted(self.listed)) or "none"
            raise DeclarationError(
                f"{self._where}: risks names {describe_value(unknown[0])}"
                f"{did_you_mean(unknown[0], self.listed)}, which the server {self._server} does "
                f"not have; expected one of its tools: {tools}"
            )

    def recorder(self, name: str, *, is_known: bool) -> SpanRecorder:
        """Return the recorder of a tool.

        With *is_known*, all tools were listed: another name, which a model may have made up, is
        not declared.
        """
        recorder = self._recorder(name, is_known=is_known)
        return recorder or declare(self._prefix, "tool", place=self._place)

    @guarded("the tools of an MCP server")
    def _recorder(self, name: str, *, is_known: bool) -> SpanRecorder | None:
        self._renew()
        recorder = self._recorders.get(name)
        if recorder is not None:
            return recorder
        tool = self.listed.get(name)
        is_full = len(self._recorders) >= MAX_NAMES
        if tool is None and name not in self.risks and (is_known or is_full):
            return None
        return self._declare(name, tool)

    def _renew(self) -> None:
        if not self.is_current:
            self._recorders.clear()
            self._declared_in = declarations()

    def _declare(self, name: str, tool: Tool | None) -> SpanRecorder | None:
        risk = self.risks.get(name)
        if risk is None and tool is not None:
            risk = _risk_of(tool.annotations, trusted=self._trusted)
        try:
            recorder = declare(
                f"{self._prefix}:{name}",
                "tool",
                params=None if tool is None else tool.input_schema,
                title=None if tool is None else tool.title,
                description=None if tool is None else tool.description,
                data_risk=risk,
                place=self._place,
            )
        except DeclarationError:  # a name that no span type may have
            return None
        self._recorders[name] = recorder
        return recorder


def _risk_of(hints: ToolAnnotations | None, *, trusted: bool) -> Mapping[str, object] | None:
    """Return the data risk that the hints of a server say.

    A hint that a tool does something counts from any server; a hint that it does not counts from a
    trusted one only.
    """
    if hints is None:
        return None
    words: dict[str, str] = {}
    if trusted and hints.read_only_hint:
        written = ("create_data", "update_data", "destroy_data", "financial_transactions")
        words = {"read_data": "allowed", **dict.fromkeys(written, "disallowed")}
    if trusted and hints.destructive_hint is False:
        words["destroy_data"] = "disallowed"
    if trusted and hints.open_world_hint is False:
        words["external_communication"] = "disallowed"
    if hints.read_only_hint is False:
        words["update_data"] = "allowed"
    if hints.destructive_hint or (hints.read_only_hint is False and hints.destructive_hint is None):
        words["destroy_data"] = "allowed"
    if hints.open_world_hint:
        words["external_communication"] = "allowed"
    return {"action_profile": words} if words else None


# Clients


class _GovernedClient:
    """Wraps two methods of one client."""

    call: Callable[..., Awaitable[Any]]
    list: Callable[..., Awaitable[Any]]

    def __init__(self, client: Client | ClientSession, tools: _Tools) -> None:
        """Replace `call_tool` and `list_tools` of *client*."""
        before: object = getattr(client.call_tool, "__self__", None)
        if isinstance(before, _GovernedClient):
            self.call, self.list = before.call, before.list
        else:
            self.call, self.list = client.call_tool, client.list_tools
        self._client, self._tools, self._has_listed = client, tools, False
        target: Any = client
        target.call_tool, target.list_tools = self.call_tool, self.list_tools

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call a tool as the client does, unless it is denied."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        meta: Mapping[str, Any] = kwargs.get("meta") or {}
        try:
            recorder = self._recorder(name, meta)
            if recorder is None:  # the call has a span
                return await self.call(name, arguments, *args, **kwargs)
            span = await _begun(recorder, partial(_payload, name, arguments), "current")
        except DeniedError as error:
            return _answer(error.for_model())
        header = _header(span)
        if header is not None:
            kwargs["meta"] = {"traceparent": header, **meta, META_KEY: header}
        token = _calling.set((self._client, header))
        try:
            with span:
                return _ended(span, await self._send(span, name, arguments, *args, **kwargs))
        finally:
            _calling.reset(token)

    @spans.judging(TOOL, None)
    def _recorder(self, name: str, meta: Mapping[str, Any]) -> SpanRecorder | None:
        """Return the recorder of a tool; None for a call that has a span."""
        if self._is_of_session(_calling.get(), meta):
            return None
        return self._tools.recorder(name, is_known=self._has_listed)

    async def _send(self, span: ManualSpan, *args: Any, **kwargs: Any) -> Any:
        try:
            return await self.call(*args, **kwargs)
        except MCPError as error:
            if error.error.code == URL_ELICITATION_REQUIRED:
                span.end(status="cancelled")
            raise

    def _is_of_session(self, call: tuple[Any, str | None] | None, meta: Mapping[str, Any]) -> bool:
        """Return whether *call* is one of a governed `Client` whose session this is."""
        if call is None or meta.get(META_KEY) != call[1] or not isinstance(call[0], Client):
            return False
        return call[0].session is self._client

    async def list_tools(self, *args: Any, **kwargs: Any) -> Any:
        """List tools as the client does, and declare them."""
        result = await self.list(*args, **kwargs)
        self._tools.add(result.tools)
        if result.next_cursor is None:
            self._has_listed = True
            if _calling.get() is None:
                self._tools.check()
        return result


# Servers


class _Session(NamedTuple):
    """The run that a call belongs to.

    Attributes:
        key: The trace id of the client's run, or what identifies the connection.
        traceparent: The header of the client's run, if any.
        is_single: Whether the run ends with the call.
        conversation: A hash of the id of the connection's session, if it has one.
    """

    key: object
    traceparent: str | None = None
    is_single: bool = False
    conversation: str | None = None


class Recorded(Extension):
    """Records the tool calls of an `MCPServer` and denies calls that violate the server's remit.

    Each trace of a client is recorded as a run of the agent `mcp.agents:<name>`. If calls do not
    contain a `traceparent`, each connection is recorded as a run. After a run is terminated, its
    calls return an error, but the server continues to run.
    """

    identifier = "remit/recorded"

    def __init__(
        self,
        name: str,
        *,
        data_risk: DataRisk | Mapping[str, object] | None = None,
        limits: Limits | None = None,
        risks: Risks | None = None,
        idle_s: float = 600.0,
        agent_id: str | None = None,
        external_identifier: str | None = None,
    ) -> None:
        """Declare the agent.

        Args:
            name: Name of the server.
            data_risk: The server's remit, which limits what its tools may do.
            limits: How many steps of one run may take an action, from `remit.limits(...)`.
            risks: Risk declarations for tools, by name. They replace the tools' annotations.
            idle_s: Number of seconds without a call after which a trace's run ends.
            agent_id: ID of the agent on the server. It overrides *external_identifier* and the
                setting `agent_id`.
            external_identifier: Identifier by which the server finds the agent.

        Raises:
            DeclarationError: If an argument is wrong. Calls raise the same error if *risks*
                contains a tool that the server does not provide.
        """
        missing = _llm.lacks(Extension, "intercept_tool_call")
        _llm.check_relied_on("Recorded", "mcp", missing)
        self._tools = _Tools("Recorded", "mcp:tool", name, risks, trusted=True)
        identity = AgentIdentity.of_caller(
            "mcp", where="Recorded", agent_id=agent_id, external_identifier=external_identifier
        )
        self._declared = partial(
            declare_agent,
            identity.of(name),
            name=name,
            data_risk=data_risk,
            limits=limits,
            identity=identity,
        )
        self._agent = self._declared()
        self._runs: SessionTable[object] = SessionTable(idle_s)
        self._ended: dict[object, None] = {}
        self._server: MCPServer[Any] | None = None

    def of(self, server: S) -> S:
        """Register the server to which this extension belongs, so that remit can list its tools.

        Raises:
            DeclarationError: If *server* is not an `MCPServer`, or if another server is already
                registered.
        """
        if not isinstance(server, MCPServer):
            raise DeclarationError(
                f"Recorded.of: saw {describe_value(server)}; expected an MCPServer of mcp"
            )
        if self._server is not None and self._server is not server:
            raise DeclarationError(
                f"Recorded.of: saw {server.name!r} after {self._server.name!r}; expected one "
                "Recorded for each server"
            )
        if self._server is None:
            self._server = server
            target: Any = server
            target.call_tool = partial(_noting_denials, server.call_tool)
        return server

    async def intercept_tool_call(
        self,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        """Call a tool, unless it is denied or the run was terminated."""
        await self._list(params.name)
        try:
            session = self._session(ctx) or _Session(object(), is_single=True)
        except DeniedError as error:
            return _answer(error.for_model())
        if session.key in self._ended:
            return _answer(ENDED)
        try:
            return await self._call(session, params, partial(call_next, ctx))
        except RunTerminated:
            return _answer(ENDED)
        except DeniedError as error:
            return _answer(error.for_model())
        finally:
            if session.is_single:
                self._runs.end(session.key)

    async def _call(
        self,
        session: _Session,
        params: CallToolRequestParams,
        call: Callable[[], Awaitable[HandlerResult]],
    ) -> HandlerResult:
        """Call a tool in the run of a session.

        Raises:
            RunTerminated: The run was terminated.
            DeniedError: The call is denied.
        """
        arguments, context = params.arguments or {}, None
        step = self._step(params.name)
        denials: list[DeniedError] = []
        token = _denials.set(denials)
        try:
            context = self._runs.context(session.key, partial(self._open, session))
            if step is not None:
                spans.permit(step, arguments, parent=context)
                with spans.inside(context):
                    return _ended(ManualSpan(), await call(), denials)
            recorder = self._recorder(params.name)
            payload = partial(_payload, params.name, arguments)
            with await _begun(recorder, payload, context) as span:
                return _ended(span, await call(), denials)
        except RunTerminated as error:
            if context is not None and context.run.feed.terminated is not None:
                self._terminate(session.key, error)
            raise
        finally:
            _denials.reset(token)

    @spans.judging(TOOL, TOOL)
    def _recorder(self, name: str) -> SpanRecorder:
        return self._tools.recorder(name, is_known=self._server is not None)

    def _open(self, session: _Session) -> Any:
        """Open a run, which is not inside that of a client in the same process."""
        known = {"conversation": session.conversation}
        return Context().run(
            partial(self._agent.open, traceparent=session.traceparent, suggested=known)
        )

    @guarded("the end of a session")
    def _terminate(self, key: object, error: RunTerminated) -> None:
        """End a terminated run, and remember its session."""
        if len(self._ended) >= MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[key] = None
        self._runs.end(key, error)

    async def _list(self, name: str) -> None:
        """Declare the tools before the first call, and before that of a tool that is new.

        After a fault nothing is known of the tool.

        Raises:
            DeclarationError: `risks` names a tool that the server does not have.
        """
        try:
            await self._list_new(name)
        except DeclarationError:
            raise
        except Exception as error:
            contain("the tools of an MCP server", error)

    async def _list_new(self, name: str) -> None:
        table = self._tools
        if not table.is_current:
            self._agent = self._declared()
        elif name in table.listed and table.is_complete:
            return
        if self._server is None:
            return
        table.add(await self._server.list_tools())
        table.check()

    @spans.judging(TOOL, None)
    def _session(self, ctx: ServerRequestContext[Any, Any]) -> _Session | None:
        meta: Mapping[str, Any] = ctx.meta or {}
        # The SDK hands an extension no connection. Without it, each call has a run.
        connection: Any = getattr(ctx.session, "_connection", None)
        conversation = _hash_of(getattr(connection, "session_id", None))
        for key in (META_KEY, "traceparent"):
            header = meta.get(key)
            match = _TRACEPARENT.match(header) if isinstance(header, str) else None
            if match is not None:
                return _Session(match[1], header, conversation=conversation)
        if connection is None:
            return None
        session = connection.state.get(self.identifier)
        if session is None:
            session = connection.state[self.identifier] = object()
            connection.exit_stack.callback(self._runs.end, session)
        return _Session(session, conversation=conversation)

    @guarded("the function of a tool")
    def _step(self, name: str) -> SpanRecorder | None:
        """Return the recorder of a tool that is a decorated function without a risk in `risks`."""
        # The SDK has no public way from the name of a tool to its function. Without it, the tool
        # has a span, and the decorated function one below.
        manager: Any = getattr(self._server, "_tool_manager", None)
        if manager is None or name in self._tools.risks:
            return None
        return step_of(getattr(manager.get_tool(name), "fn", None))


@guarded("the session of an MCP server")
def _hash_of(session_id: object) -> str | None:
    """Return a hash of the id of a session, which a server may accept as its credential."""
    if not isinstance(session_id, str):
        return None
    return f"mcp-{sha256(session_id.encode()).hexdigest()[:SESSION_CHARS]}"


async def _noting_denials(call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """Call a tool as the server does, and note the denial that the server hides."""
    try:
        return await call(*args, **kwargs)
    except Exception as error:
        denials, cause = _denials.get(None), error.__cause__
        while denials is not None and cause is not None:
            if isinstance(cause, DeniedError):
                denials.append(cause)
            cause = cause.__cause__
        raise


# Both


async def _begun(
    recorder: SpanRecorder, payload: spans.Content, parent: spans.Parent
) -> ManualSpan:
    """Start the span of a call; an approver that is asked about it is awaited.

    Raises:
        RunTerminated: The run was terminated.
        DeniedError: The call is denied.
    """
    admission = await spans.ask(recorder, payload, parent=parent)
    return spans.start(recorder, payload, parent=parent, admission=admission)


def _payload(name: str, arguments: Mapping[str, object] | None) -> dict[str, object]:
    return {"tool_name": name, "inputs": arguments or {}}


@guarded("the header of a call")
def _header(span: ManualSpan) -> str | None:
    """Return the `traceparent` of a call; None outside any run."""
    return None if span.context is None else spans.traceparent(span.context)


def _ended(
    span: ManualSpan,
    result: R,
    denials: Iterable[DeniedError] = (),
) -> R | CallToolResult:
    """End the span of a call, and return its result or the denial of a step below."""
    return _denial_in(span, result, denials) or result


@guarded("the end of a call")
def _denial_in(
    span: ManualSpan, result: object, denials: Iterable[DeniedError]
) -> CallToolResult | None:
    """End the span of a call; return the denial of a step below, if that made it an error."""
    is_error = _is_error(result)
    denied = span.denied or next(iter(denials), None)
    answer = _answer(denied.for_model()) if is_error and denied is not None else None
    status: Status = "complete"
    if is_error:
        status = "failed"
    elif isinstance(result, InputRequiredResult):
        status = "cancelled"
    span.end(partial(_outputs, answer or result), status=status)
    return answer


def _is_error(result: object) -> bool:
    if isinstance(result, dict):
        return cast("dict[str, object]", result).get("isError") is True
    return getattr(result, "is_error", False) is True


def _answer(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)


def _outputs(result: object) -> dict[str, object]:
    if isinstance(result, dict):
        result = CallToolResult.model_validate(result)
    if not isinstance(result, CallToolResult):
        return {"outputs": {}}
    output: object = result.structured_content
    if output is None:
        contents = [_content(block) for block in result.content]
        output = contents[0] if len(contents) == 1 else contents
    elif isinstance(output, dict):
        fields = cast("dict[str, object]", output)
        output = fields["result"] if fields.keys() == {"result"} else fields
    return {"outputs": {"output": output}}


def _content(block: Any) -> object:
    if isinstance(block, TextContent):
        return block.text
    data = getattr(block, "data", None)
    if data is not None:
        return _llm.media(block.mime_type, data)
    return block.model_dump(mode="json", exclude_none=True)
