"""Shared code of the integrations of model clients: requests that are recorded, and their streams.

Clients of openai and anthropic send each call by `client.request(cast_to, options, ...)`. `watch`
replaces that method on one client, and on the copies that the client makes of itself.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

from remit._adapters import spans
from remit._adapters.spans import ManualSpan, Status
from remit._base.guard import contain, guarded
from remit._base.text import describe_value
from remit._record.context import open_context
from remit._record.spans import SpanRecorder
from remit.errors import DeclarationError
from remit.integrations import _llm
from remit.integrations._llm import get
from remit.integrations._providers import provider_at

MAX_BODY: Final = 4 * 2**20
"""Bytes of a raw body that are collected at most."""
VALUES: Final = (str, int, float, list, tuple, dict)
"""Types of the values of a body."""
PROBED: Final = "/remit"
"""Path of the request that is made, and not sent, when a client is watched."""
EVENT: Final = "data:"
"""Beginning of a line of server-sent events that has data."""


class Request(NamedTuple):
    """Fields of a request's body, as arguments of `_llm.payload`."""

    messages: list[_llm.Message]
    system: object = None
    tools: Sequence[Mapping[str, object]] = ()
    settings: Mapping[str, object] | None = None


class Answer(NamedTuple):
    """Fields of a response, as arguments of `_llm.result`."""

    messages: list[_llm.Message]
    finish_reasons: Sequence[object] = ()
    tokens: Mapping[str, object] | None = None
    model: object = None
    identifier: object = None
    error: Mapping[str, object] | None = None


class Joined(Protocol):
    """Joins the items of a streamed answer.

    Attributes:
        is_finished: Whether the whole answer has come.
        status: How it ended the call.
    """

    is_finished: bool
    status: Status

    def add(self, item: object) -> bool:
        """Add an item; return whether it has a part of the answer."""
        ...

    def answer(self) -> Answer:
        """Return the chunks received so far."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of call.

    Attributes:
        name: As in the payload, such as `chat`.
        answer: Reads an answer, which is an object of the client's or a mapping.
        joined: Returns an empty streamed answer; None if answers are not streamed.
        status: Returns how an answer ended its call; None if it is made in the background.
    """

    name: str
    request: Callable[[Mapping[str, Any]], Request]
    answer: Callable[[object], Answer]
    joined: Callable[[], Joined] | None = None
    status: Callable[[object], Status | None] = lambda _: "complete"


@dataclass(frozen=True, slots=True)
class Provider:
    """Common properties of the clients of one library.

    Attributes:
        name: The library, such as `openai`.
        recorder: Of the span type of its model calls.
        operations: By the path of the request.
        names: Names of the providers of clients whose class tells them; others have a server.
    """

    name: str
    recorder: SpanRecorder
    operations: Mapping[str, Operation]
    clients: tuple[type, ...]
    names: Mapping[type, str]

    def name_for(self, client: object) -> str:
        """Return the name of the provider that answers a client, as in the payload."""
        by_class = (self.names[cls] for cls in type(client).__mro__ if cls in self.names)
        return next(by_class, None) or provider_at(get(client, "base_url")) or self.name


def settings_of(body: Mapping[str, Any], names: Sequence[str]) -> dict[str, object]:
    """Return the settings of a request that are given."""
    return {name: body[name] for name in names if name in body}


def watch(
    provider: Provider, client: Any, capture_messages: object, capture_reasoning: object
) -> Any:
    """Record the calls of *client* and of its copies; return it.

    Raises:
        DeclarationError: It is not a client of the provider, another argument is wrong, or the
            library sends its requests in another way.
    """
    where = f"remit.integrations.{provider.name}.watch"
    history = _llm.history(where, capture_messages, capture_reasoning)
    if not isinstance(client, provider.clients):
        seen = (
            f"the class {client.__name__}" if isinstance(client, type) else describe_value(client)
        )
        raise DeclarationError(
            f"{where}: saw {seen}; expected a client: "
            f"{', '.join(cls.__name__ for cls in provider.clients)}"
        )
    watched = _watched.get(client)
    if watched is None:
        missing = [] if _posts_by_request(provider, client) else ["a post that calls request"]
        _llm.check_relied_on(where, provider.name, missing)
        return _Watched(provider, history).attach(client)
    before = watched.history
    if (before.capture, before.reasoning) != (history.capture, history.reasoning):
        watched.history = history
    return client


class _Probe:
    """A client with which only the method `request` can be called."""

    def __init__(self, client: Any, request: Callable[..., Any]) -> None:
        self._client, self.request = client, request

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not callable(value):
            return value
        raise AttributeError(name)


@guarded("a look at the requests of a client", default=True)
def _posts_by_request(provider: Provider, client: Any) -> bool:
    """Return whether the library's own `post` calls `request`; nothing is sent."""
    seen: list[object] = []

    def request(_cast_to: object, options: object, **_: object) -> None:
        seen.append(get(options, "url"))

    async def request_async(_cast_to: object, options: object, **_: object) -> None:
        request(_cast_to, options)

    classes = cast("Sequence[Any]", type(client).__mro__)
    post = next(cls for cls in classes if cls.__module__.partition(".")[0] == provider.name).post
    with suppress(AttributeError, StopIteration):
        if iscoroutinefunction(post):
            post(_Probe(client, request_async), PROBED, cast_to=object).send(None)
        else:
            post(_Probe(client, request), PROBED, cast_to=object)
    return seen == [PROBED]


class _Watched:
    """One client and its copies."""

    def __init__(self, provider: Provider, history: _llm.History) -> None:
        self._provider = provider
        self.history = history

    def attach(self, client: Any) -> Any:
        """Replace the methods of *client* that send a request or make a copy."""
        if client not in _watched:
            _watched[client] = self
            wrap = self._async if iscoroutinefunction(client.request) else self._sync
            client.request = wrap(client, client.request)
            for name in ("copy", "with_options"):
                setattr(client, name, self._copying(getattr(client, name)))
        return client

    def _sync(self, client: Any, request: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(request)
        def watched(cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            call = self._start(client, options)
            if call is None:
                return request(cast_to, options, *args, **kwargs)
            try:
                answer = request(cast_to, options, *args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            return call.handed_back(answer, is_stream=bool(kwargs.get("stream")))

        return watched

    def _async(self, client: Any, request: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(request)
        async def watched(cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
            call = self._start(client, options)
            if call is None:
                return await request(cast_to, options, *args, **kwargs)
            try:
                answer = await request(cast_to, options, *args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            return call.handed_back(answer, is_stream=bool(kwargs.get("stream")))

        return watched

    def _copying(self, copy: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(copy)
        def watched(*args: Any, **kwargs: Any) -> Any:
            return self.attach(copy(*args, **kwargs))

        return watched

    def _start(self, client: object, options: object) -> _Call | None:
        """Start the span of a request; return None if the request is not recorded."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        try:
            call = self._call(client, options)
        except Exception as error:
            contain("the operation of a request", error)
            # It may be a model call, which a terminated run does not make.
            spans.permit(self._provider.recorder)
            return None
        return call if call is not None and call.start() else None

    def _call(self, client: object, options: object) -> _Call | None:
        """Return the call that a request makes; None if it is not a model call."""
        url, method = get(options, "url"), get(options, "method")
        if not isinstance(url, str) or not isinstance(method, str):
            return None
        path = url.partition("?")[0].strip("/")
        operation = self._provider.operations.get(path) if method.lower() == "post" else None
        if operation is not None:
            return _Call(self._provider, operation, self.history, options, client)
        waiting = _waiting.get(path.removesuffix("/cancel"))
        return None if waiting is None else waiting.retrieval()


_watched: Final[WeakKeyDictionary[Any, _Watched]] = WeakKeyDictionary()
_waiting: Final[WeakValueDictionary[str, _Call]] = WeakValueDictionary()
"""Calls whose answers are made in the background, by the path that retrieves the answer."""


class _Call:
    """A model call that is recorded, from the request to the end of its answer."""

    def __init__(
        self,
        provider: Provider,
        operation: Operation,
        history: _llm.History,
        options: object,
        client: object,
    ) -> None:
        self._provider = provider
        self._client = client
        self._operation = operation
        self._history = history
        self._options = options
        self._parent = open_context()
        self._span = ManualSpan()
        self._joined: Joined | None = None
        self._began_ns = 0
        self._first_ns: int | None = None
        self._count = 0
        self._body: list[bytes] = []
        self._size = 0

    def retrieval(self) -> _Retrieval:
        """Return a call that looks at the answer of this one."""
        retrieval = _Retrieval(
            self._provider, self._operation, self._history, self._options, self._client
        )
        state = {name: getattr(self, name) for name in ("_parent", "_span", "_began_ns")}
        vars(retrieval).update(state)
        return retrieval

    def start(self) -> bool:
        """Start the span; return whether the call is recorded."""
        __tracebackhide__ = __traceback_hide__ = _rich_traceback_omit = True
        self._span = spans.start(self._provider.recorder, self._payload, parent=self._parent)
        self._began_ns = time.perf_counter_ns()
        return self._span.context is not None

    def _payload(self) -> Mapping[str, object]:
        body = _given(get(self._options, "json_data"))
        request = self._operation.request(body)
        messages, omitted = self._history.new(self._parent, request.messages)
        return _llm.payload(
            self._operation.name,
            self._provider.name_for(self._client),
            body.get("model"),
            messages,
            omitted=omitted,
            system=None if self._history.capture == "none" else request.system,
            tools=request.tools,
            settings=request.settings,
            stream=bool(body.get("stream")),
        )

    def handed_back(self, answer: Any, *, is_stream: bool = False) -> Any:
        """Record *answer*; return it, or a proxy that records it while it is read."""
        proxy = self._proxy(answer, is_stream=is_stream)
        return answer if proxy is None else proxy

    @guarded("the answer of a model")
    def _proxy(self, answer: Any, *, is_stream: bool) -> object:
        # That of the client: an instrumentation inside may have a wrapper for both kinds of stream.
        cls: Any = answer.__class__
        self._keep(self._of_stream)
        if hasattr(cls, "__anext__"):
            return _AsyncStream(answer, self)
        if hasattr(cls, "__next__"):
            return _Stream(answer, self)
        response = getattr(answer, "http_response", None)
        if response is None:
            self.answered(answer)
            return None
        body = None if is_stream else _body_of(response)
        if body is not None:
            self.read(body)
            return None
        if not hasattr(cls, "iter_bytes"):
            return _Parsed(answer, self)
        return _AsyncBody(answer, self) if iscoroutinefunction(cls.parse) else _Body(answer, self)

    @guarded("a part of a streamed answer")
    def add(self, item: object) -> None:
        if self._joined is None:
            if self._operation.joined is None:
                return
            self._joined = self._operation.joined()
        self._count += 1
        if self._joined.add(item) and self._first_ns is None:
            self._first_ns = time.perf_counter_ns() - self._began_ns

    def collect(self, chunk: str | bytes) -> None:
        """Keep a part of a raw body."""
        if self._first_ns is None:
            self._first_ns = time.perf_counter_ns() - self._began_ns
        part = chunk if isinstance(chunk, bytes) else chunk.encode("utf-8", "surrogatepass")
        self._size += len(part)
        if self._size <= MAX_BODY:
            self._body.append(part)

    def read(self, body: str | bytes | None = None) -> None:
        """End the span with a raw body, or with the parts that were collected."""
        text = self._text() if body is None else _text_of(body)
        if self._has_events(text):
            self._end(partial(self._of_events, text))
        else:
            self.answered(_llm.json_of(text))

    @guarded("the answer of a model")
    def answered(self, answer: object) -> None:
        """End the span with an answer; one that is made in the background is waited for."""
        read = partial(self._operation.answer, answer)
        status, identifier = self._operation.status(answer), get(answer, "id")
        if status is not None:
            self._end(read, status)
        elif isinstance(identifier, str):
            self._wait(identifier, read)

    def _keep(self, read: Callable[[], Answer]) -> None:
        """Keep the answer so far, in case the span is not ended."""
        self._span.so_far = partial(self._result, read)

    def _wait(self, identifier: str, read: Callable[[], Answer]) -> None:
        self._keep(read)
        _waiting[f"{self._operation.name}/{identifier}"] = self

    def _has_events(self, text: str) -> bool:
        starts = (EVENT, "event:", ":")
        return self._operation.joined is not None and text.lstrip().startswith(starts)

    def _of_events(self, text: str) -> Answer:
        """Return the answer in server-sent events."""
        joined = cast("Callable[[], Joined]", self._operation.joined)()
        for line in text.splitlines():
            if line.startswith(EVENT):
                self._count += 1
                joined.add(_llm.json_of(line.removeprefix(EVENT).strip()))
        return joined.answer()

    def _text(self) -> str:
        return _text_of(b"".join(self._body))

    def _of_stream(self) -> Answer:
        if not self._body:
            return Answer([]) if self._joined is None else self._joined.answer()
        text = self._text()
        if self._has_events(text):
            return self._of_events(text)
        return self._operation.answer(_llm.json_of(text))

    def finish(self) -> None:
        """End the span: the streamed answer was read to its end."""
        self._end(self._of_stream, "complete" if self._joined is None else self._joined.status)

    def fail(self, error: BaseException) -> None:
        """End the span because the request, or its stream, failed."""
        completion = get(error, "completion")  # of a `parse` that does not accept the answer
        read = partial(self._operation.answer, completion)
        self._span.end(
            partial(self._result, self._of_stream if completion is None else read), error=error
        )

    @guarded("the end of a stream")
    def leave(self) -> None:
        """End the span, if it is open: the answer was closed, or collected."""
        if self._span.is_open:
            joined = self._joined
            finished = joined if joined is not None and joined.is_finished else None
            self._end(self._of_stream, "cancelled" if finished is None else finished.status)

    def _end(self, answer: Callable[[], Answer], status: Status = "complete") -> None:
        self._span.end(partial(self._result, answer), status=status)

    def _result(self, read: Callable[[], Answer]) -> Mapping[str, object]:
        answer, context = read(), self._span.context
        error = answer.error
        if error is not None and context is not None and context.run.rules.classified:
            error = {**error, "message": None}  # it may quote what was redacted
        return _llm.result(
            self._history.answered(self._parent, answer.messages),
            answer.finish_reasons,
            tokens=answer.tokens,
            response_model=answer.model,
            response_id=answer.identifier,
            first_token_ms=self._first_ms() if self._count else None,
            chunks=self._count or None,
            error=error,
        )

    def _first_ms(self) -> float | None:
        return None if self._first_ns is None else round(self._first_ns / 1e6, 3)


class _Retrieval(_Call):
    """A look at an answer that is made in the background; it ends the span of the waiting call.

    A look that fails, or finds no end, changes nothing.
    """

    def start(self) -> bool:
        """Return whether the span still waits."""
        return self._span.is_open

    def _keep(self, read: Callable[[], Answer]) -> None:
        """Do nothing, as the next two: the waiting call keeps its answer, and the span waits on."""

    def _wait(self, identifier: str, read: Callable[[], Answer]) -> None:
        """Do nothing."""

    def fail(self, error: BaseException) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """End the span if the whole answer has come."""
        if self._joined is not None and self._joined.is_finished:
            super().leave()


def _given(data: object) -> dict[str, Any]:
    """Return the fields of a body that have a value; the clients mark others by objects."""
    if not isinstance(data, Mapping):
        return {}
    fields = cast("Mapping[str, Any]", data).items()
    return {name: value for name, value in fields if isinstance(value, VALUES)}


def _text_of(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode("utf-8", "replace")


def _body_of(response: Any) -> bytes | None:
    try:
        body: bytes = response.content
    except RuntimeError:
        return None
    return body


class _Proxy:
    """An object that has the attributes and the class of another one."""

    __slots__ = ("__weakref__", "_call", "_wrapped")

    def __init__(self, wrapped: Any, call: _Call) -> None:
        self._wrapped = wrapped
        self._call = call

    if not TYPE_CHECKING:  # for `isinstance`; type checkers know no read-only `__class__`

        @property
        def __class__(self) -> type:
            return type(self._wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __repr__(self) -> str:
        return repr(self._wrapped)

    def close(self) -> Any:
        try:
            return self._wrapped.close()
        finally:
            self._call.leave()


class _Response(_Proxy):
    """The response of a stream, which the helpers of the client close."""

    __slots__ = ()

    async def aclose(self) -> None:
        try:
            await self._wrapped.aclose()
        finally:
            self._call.leave()


class _StreamBase(_Proxy):
    # Without slots: an instrumentation outside may keep its own state on the stream.

    def __init__(self, wrapped: Any, call: _Call) -> None:
        super().__init__(wrapped, call)
        self.response = _Response(wrapped.response, call)

    def __del__(self) -> None:
        self._call.leave()


class _Stream(_StreamBase):
    """A streamed answer."""

    def __next__(self) -> Any:
        try:
            item = self._wrapped.__next__()
        except StopIteration:
            self._call.finish()
            raise
        except BaseException as error:
            self._call.fail(error)
            raise
        self._call.add(item)
        return item

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                item = self.__next__()
            except StopIteration:
                return
            yield item

    def __enter__(self) -> Any:
        self._wrapped.__enter__()
        return self

    def __exit__(self, *exception: object) -> Any:
        try:
            return self._wrapped.__exit__(*exception)
        finally:
            self._call.leave()


class _AsyncStream(_StreamBase):
    """A streamed answer of an async client."""

    async def __anext__(self) -> Any:
        try:
            item = await self._wrapped.__anext__()
        except StopAsyncIteration:
            self._call.finish()
            raise
        except BaseException as error:
            self._call.fail(error)
            raise
        self._call.add(item)
        return item

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            try:
                item = await self.__anext__()
            except StopAsyncIteration:
                return
            yield item

    async def __aenter__(self) -> Any:
        await self._wrapped.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> Any:
        try:
            return await self._wrapped.__aexit__(*exception)
        finally:
            self._call.leave()

    async def close(self) -> None:
        try:
            await self._wrapped.close()
        finally:
            self._call.leave()

    async def aclose(self) -> None:
        await self.close()


class _Parsed(_Proxy):
    """A raw response whose body is read by the result of `parse`."""

    __slots__ = ("_is_parsed",)

    def __init__(self, wrapped: Any, call: _Call) -> None:
        super().__init__(wrapped, call)
        self._is_parsed = False

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        return self._handed_back(self._wrapped.parse(*args, **kwargs))

    def _handed_back(self, answer: Any) -> Any:
        self._is_parsed = True
        return self._call.handed_back(answer)

    def __del__(self) -> None:
        if not self._is_parsed:
            self._call.leave()


class _Body(_Parsed):
    """A raw response whose body is read by its methods."""

    __slots__ = ()

    def read(self) -> bytes:
        body: bytes = self._wrapped.read()
        self._call.read(body)
        return body

    def text(self) -> str:
        body: str = self._wrapped.text()
        self._call.read(body)
        return body

    def json(self) -> object:
        answer: object = self._wrapped.json()
        self._call.answered(answer)
        return answer

    def iter_bytes(self, chunk_size: int | None = None) -> Generator[bytes]:
        yield from self._collected(self._wrapped.iter_bytes(chunk_size))

    def iter_text(self, chunk_size: int | None = None) -> Generator[str]:
        yield from self._collected(self._wrapped.iter_text(chunk_size))

    def iter_lines(self) -> Generator[str]:
        yield from self._collected(self._wrapped.iter_lines(), lines=True)

    def _collected(self, chunks: Iterator[Any], *, lines: bool = False) -> Generator[Any]:
        for chunk in chunks:
            self._call.collect(f"{chunk}\n" if lines else chunk)
            yield chunk
        self._call.read()


class _AsyncBody(_Parsed):
    """A raw response of an async client whose body is read by its methods."""

    __slots__ = ()

    async def parse(self, *args: Any, **kwargs: Any) -> Any:
        return self._handed_back(await self._wrapped.parse(*args, **kwargs))

    async def read(self) -> bytes:
        body: bytes = await self._wrapped.read()
        self._call.read(body)
        return body

    async def text(self) -> str:
        body: str = await self._wrapped.text()
        self._call.read(body)
        return body

    async def json(self) -> object:
        answer: object = await self._wrapped.json()
        self._call.answered(answer)
        return answer

    async def iter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes]:
        async for chunk in self._wrapped.iter_bytes(chunk_size):
            self._call.collect(chunk)
            yield chunk
        self._call.read()

    async def iter_text(self, chunk_size: int | None = None) -> AsyncGenerator[str]:
        async for chunk in self._wrapped.iter_text(chunk_size):
            self._call.collect(chunk)
            yield chunk
        self._call.read()

    async def iter_lines(self) -> AsyncGenerator[str]:
        async for line in self._wrapped.iter_lines():
            self._call.collect(f"{line}\n")
            yield line
        self._call.read()

    async def close(self) -> None:
        try:
            await self._wrapped.close()
        finally:
            self._call.leave()
