"""Clients of models on a fake HTTP transport, and agents that are written by hand around them."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol

from remit.errors import DeniedError
from remit.models.data_risk import DataRisk
from tests.scenarios import Ran, Tool, Turn

QUESTION: Final = "Where is order A-1?"
LACKS: Final[Mapping[str, str]] = {
    "refused_declared": "an agent that is written by hand decorates its tools",
    "limited_declared": "an agent that is written by hand decorates its tools",
}


def http_library(package: Any) -> Any:
    """Return the HTTP library of a client: httpx2, or httpx in older versions."""
    names = [name for name in ("httpx2", "httpx") if find_spec(name)]
    libraries = [import_module(name) for name in names]
    return next(each for each in libraries if issubclass(package.DefaultHttpxClient, each.Client))


def sse(event: Mapping[str, object] | str) -> bytes:
    """Return a server-sent event, named after its type."""
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


class Dialect(Protocol):
    """How one API of a model words requests and answers."""

    def answer(self, turn: Turn, number: int) -> object:
        """Return the answer of a turn."""
        ...

    def events(self, turn: Turn, number: int) -> Sequence[Mapping[str, object] | str]:
        """Return the events of a streamed turn."""
        ...

    async def ask(
        self,
        client: Any,
        messages: list[Any],
        tools: Sequence[str],
        *,
        stream: bool,
    ) -> tuple[str, list[tuple[str, str, Any]]]:
        """Ask the model, keep its answer, and return its text and its calls."""
        ...

    def output(self, call_id: str, output: object) -> object:
        """Return a result of a tool as a message."""
        ...

    def read(self, body: Mapping[str, Any]) -> list[str]:
        """Return the results of tools that the model was given."""
        ...


class FakeServer:
    """Answers the requests of a client in turn.

    Attributes:
        bodies: Of the requests so far.
    """

    def __init__(
        self,
        http: Any,
        answer: Callable[[dict[str, Any], int], object],
    ) -> None:
        """Answer by *answer*, which is given the body of a request and its number.

        An answer that is a list is one of server-sent events; bytes are sent as they are.
        """
        self._http = http
        self._answer = answer
        self._is_async = False
        self.bodies: list[dict[str, Any]] = []

    def _handle(self, request: Any) -> Any:
        content = request.content
        number = len(self.bodies)
        self.bodies.append(json.loads(content) if content else {})
        answer = self._answer(self.bodies[-1], number)
        kind = "application/json"
        if isinstance(answer, list):
            kind, chunks = "text/event-stream", [sse(event) for event in answer]
        else:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            chunks = [body[:10], body[10:]]
        content = _later(chunks) if self._is_async else iter(chunks)
        return self._http.Response(200, headers={"content-type": kind}, content=content)

    def connect(self, cls: Any, **options: Any) -> Any:
        """Return a client of *cls* whose requests come here."""
        transport = self._http.MockTransport(self._handle)
        self._is_async = inspect.iscoroutinefunction(cls.request)
        http_cls = self._http.AsyncClient if self._is_async else self._http.Client
        http_client = http_cls(transport=transport)
        return cls(api_key="none", http_client=http_client, max_retries=0, **options)


async def _later(chunks: Sequence[bytes]) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk


async def resolved(value: Any) -> Any:
    """Return a value, awaited if it has to be."""
    return await value if inspect.isawaitable(value) else value


def outcome(call: Callable[[], object]) -> str:
    """Return what *call* returns, or the exception that it raises, as a text."""
    try:
        return repr(call())
    except Exception as error:  # noqa: BLE001 - the client's own
        return repr(error)


async def all_of(stream: Any) -> list[Any]:
    """Return all items of a stream."""
    if hasattr(type(stream), "__aiter__"):
        return [item async for item in stream]
    return list(stream)


class HandWritten:
    """Runs agents as users write them: a loop that asks the model and calls its tools.

    Attributes:
        prefix: As in `Driver`, like the next three.
        has_agent: See `prefix`.
        has_tools: See `prefix`.
        lacks: See `prefix`.
    """

    has_agent: bool = False
    has_tools: bool = False
    lacks: Mapping[str, str] = LACKS

    def __init__(
        self,
        package: Any,
        cls: Any,
        watch: Callable[[Any], Any],
        dialect: Dialect,
    ) -> None:
        """Use clients of *cls*, watched by *watch*, for the API of *dialect*."""
        self.prefix: str = package.__name__
        self._http = http_library(package)
        self._wraps: type[Exception] = package.APIConnectionError
        self._cls = cls
        self._watch = watch
        self._dialect = dialect

    def __repr__(self) -> str:
        """Return the names of client and API, for the names of tests."""
        return f"{self._cls.__name__}-{type(self._dialect).__name__}"

    async def run(
        self,
        turns: Sequence[Turn],
        tools: Sequence[Tool],
        *,
        risks: Mapping[str, DataRisk] | None = None,
        stream: bool = False,
        on_model_call: Callable[[int], object] | None = None,
    ) -> Ran:
        """Make an agent, run it once, and return what came of it."""
        del risks
        dialect = self._dialect

        def answer(body: dict[str, Any], number: int) -> object:
            if on_model_call is not None:
                on_model_call(number)
            words = dialect.events if body.get("stream") else dialect.answer
            return words(turns[number], number)

        server = FakeServer(self._http, answer)
        client = self._watch(server.connect(self._cls))
        functions = {tool.__name__: tool for tool in tools}
        messages: list[Any] = [{"role": "user", "content": QUESTION}]
        while True:
            try:
                text, calls = await dialect.ask(client, messages, list(functions), stream=stream)
            except self._wraps as error:  # the client's word for an error of its transport
                raise error.__cause__ or error from error
            for call_id, name, arguments in calls:
                try:
                    output = await resolved(functions[name](**arguments))
                except DeniedError as error:
                    output = error.for_model()
                messages.append(dialect.output(call_id, output))
            if calls:
                continue
            return Ran(text, dialect.read(server.bodies[-1]), len(server.bodies))
