"""The routes of the page, and the way from a request to a response."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import cache, partial
from http import HTTPStatus
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from remit._base.clock import NS_PER_US, Clock
from remit.collector.api.asgi import CALLER, CODE, LOGGED, ROUTE, SESSION, Executor
from remit.collector.api.dispatch import Service
from remit.collector.api.endpoints import PREFIXES
from remit.collector.domain.asks import count_waiting
from remit.collector.domain.context import Context
from remit.collector.domain.holds import in_force
from remit.collector.errors import RequestError, body_too_slow, malformed, too_large
from remit.collector.page import screens, shell
from remit.collector.page.account.sessions import LONGEST_US, Sessions
from remit.collector.page.guards import (
    SIGN_IN,
    can_sign_in,
    check_host,
    check_origin,
    cookie_name,
    is_secure,
)
from remit.collector.page.visits import Api, Data, Handler, Html, Pieces, Redirect, Visit
from remit.collector.store.base import Store, StoreUnavailableError
from remit.collector.times import US_PER_S

MAX_FORM_BYTES: Final = 64 * 1024
HELD: Final = "remit.holds"
"""Where the scope of a request keeps the holds in force."""
ZONE: Final = "remit_zone"
"""The cookie with the reader's time zone, which the script of the page sets."""
THEME: Final = "remit_theme"
"""The cookie with the theme that the reader chose."""
_WAITING: Final = "remit.waiting"
"""Key of the scope: the number of requests that wait for an answer."""
_THEMES: Final = ("light", "dark")
_UTC: Final = ZoneInfo("UTC")
_GZIP: Final = 16 + zlib.MAX_WBITS
_MIN_COMPRESSED_BYTES: Final = 2048
_PACKED: Final = {"content-encoding": "gzip", "vary": "Accept-Encoding"}
_Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
_TITLES: Final = {
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database does not respond",
    HTTPStatus.GATEWAY_TIMEOUT: "The query took too long",
}


class _Sending(StreamingResponse):
    """A response that is sent in pieces."""

    def __init__(
        self, parts: AsyncIterator[bytes], headers: Mapping[str, str], on_end: Callable[[], None]
    ) -> None:
        """Send *parts*; call *on_end* when all are sent or the client is gone."""
        super().__init__(parts, headers=headers)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


class Site:
    """The pages of one collector."""

    def __init__(
        self,
        service: Service,
        store: Store,
        executor: Executor,
        clock: Clock,
        hosts: tuple[str, ...],
    ) -> None:
        """Show the responses of *service*, on the threads of *executor*.

        The names of the server with a dot in them are *hosts*.
        """
        self._service = service
        self._sessions = Sessions(store, clock)
        self._executor = executor
        self._clock = clock
        self._hosts = hosts
        self._sending: set[str] = set()
        """Sessions to which a file is sent in pieces."""
        self._turn = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the routes of all pages."""
        routes = [Route("/static/{version}/{name}", self._static, methods=["GET"])]
        handlers: list[tuple[list[str], str, _Handler]] = [
            (["GET", "POST"], SIGN_IN, self._sign_in),
            (["POST"], "/sign-out", self._sign_out),
            *(
                ([method], path, partial(self._visited, handler))
                for method, path, handler in screens.SCREENS
            ),
        ]
        for methods, path, handle in handlers:
            endpoint = partial(self._checked, path.replace(":path", ""), handle)
            routes.append(Route(path, endpoint, methods=methods, name=f"{methods[0]} {path}"))
        return routes

    async def _static(self, request: Request) -> Response:
        request.scope[ROUTE] = "/static/{version}/{name}"
        content = shell.static_files().get(request.path_params["name"])
        if content is None or request.path_params["version"] != shell.static_version():
            return Response(status_code=HTTPStatus.NOT_FOUND)
        suffix = "." + request.path_params["name"].rpartition(".")[2]
        headers = {**shell.HEADERS, "cache-control": shell.IMMUTABLE}
        if suffix != ".woff2":
            content = _packed(request.path_params["name"])
            headers["content-encoding"] = "gzip"
        return Response(content, media_type=shell.TYPES[suffix], headers=headers)

    async def _checked(self, route: str, handle: _Handler, request: Request) -> Response:
        """Handle a request if its host is this server and, for a POST, its origin too."""
        request.scope[ROUTE] = route
        try:
            check_host(request, self._hosts)
            if request.method == "POST":
                check_origin(request)
            return await handle(request)
        except RequestError as rejection:
            return rejection_page(request, rejection)
        except StoreUnavailableError:
            return rejection_page(request, _UNAVAILABLE)

    async def _sign_in(self, request: Request) -> Response:
        wanted = _local(request.query_params.get("next"))
        values: dict[str, object] = {"next": wanted, "wrong": None, "submits": False}
        if not can_sign_in(request):
            return _response(request, Html("sign_in_http.html", values))
        replaced = request.cookies.get(cookie_name(request), "")
        if request.method != "POST":
            values["submits"] = not replaced or not await self._executor.run(
                partial(self._has_session, replaced)
            )
            return _response(request, Html("sign_in.html", values))
        form = await _form(request, self._service.settings.body_timeout_s)
        values["next"] = wanted = _local(form.get("next"))
        entered = form.get("secret", "").strip()
        try:
            # A wrong secret does not wait for the threads that write.
            account_id = await self._executor.run(partial(self._sessions.account_of, entered))
            begin = partial(self._sessions.sign_in, account_id, entered, replaced)
            secret = await self._executor.run(begin, writes=True)
        except RequestError as rejection:
            request.scope[CODE] = rejection.code
            values["wrong"] = rejection
            return _response(request, Html("sign_in.html", values, rejection.status))
        response = _response(request, Redirect(wanted or "/runs"))
        response.set_cookie(
            cookie_name(request),
            secret,
            max_age=LONGEST_US // US_PER_S,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="lax",
        )
        return response

    def _has_session(self, secret: str) -> bool:
        try:
            self._sessions.find(secret)
        except RequestError:
            return False
        return True

    async def _sign_out(self, request: Request) -> Response:
        secret = request.cookies.get(cookie_name(request), "")
        try:
            session, _ = await self._executor.run(partial(self._sessions.find, secret))
            await self._executor.run(partial(self._sessions.end, session), writes=True)
        except RequestError as rejection:
            if rejection.status != HTTPStatus.UNAUTHORIZED:
                raise
        response = _response(request, Redirect(SIGN_IN))
        response.delete_cookie(
            cookie_name(request), path="/", secure=is_secure(request), httponly=True
        )
        return response

    async def _visited(self, handler: Handler, request: Request) -> Response:
        writes = request.method == "POST"
        form = await _form(request, self._service.settings.body_timeout_s) if writes else {}
        work = partial(self._visit, handler, request, form)
        page = await self._executor.run(work, writes=writes)
        return self._in_pieces(request, page) if isinstance(page, Pieces) else page

    def _in_pieces(self, request: Request, pieces: Pieces) -> Response:
        """Return the response that sends a file in pieces, one file at a time for each session.

        Raises:
            RequestError: 429, another one of the session is still being sent.
        """
        session_id: str = request.scope[SESSION]
        if session_id in self._sending:
            raise _ONE_AT_A_TIME
        self._sending.add(session_id)
        parts, headers = pieces.parts, shell.file_headers(pieces.media_type, pieces.filename)
        if _accepts_gzip(request):
            parts, headers = _packed_parts(parts), headers | _PACKED
        release = partial(self._sending.discard, session_id)
        return _Sending(self._pieces_of(parts), headers, release)

    async def _pieces_of(self, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces of a file; of all files together, one is read at a time."""
        while True:
            async with self._turn:
                part = await self._executor.run(partial(next, parts, None))
            if part is None:
                return
            yield part

    def _visit(
        self, handler: Handler, request: Request, form: Mapping[str, str]
    ) -> Response | Pieces:
        """Return the response to a request, on a thread that may use the database."""
        session, caller = self._sessions.find(request.cookies.get(cookie_name(request), ""))
        request.scope[CALLER], request.scope[SESSION] = caller, session.id
        visit = Visit(
            api=Api(self._service, caller),
            sessions=self._sessions,
            session=session,
            path=request.url.path,
            named=request.path_params,
            query=dict(request.query_params),
            form=form,
            now_us=self._clock.wall_ns() // NS_PER_US,
            zone=_zone(request),
        )
        page = handler(visit)
        if isinstance(page, Html):
            # Where there never was a hold, none is looked for.
            holds = bool(self._service.hold_number(caller.account_id))
            shown = visit.api.read(partial(_in_the_menu, holds=holds))
            request.scope[_WAITING], request.scope[HELD] = shown
        return page if isinstance(page, Pieces) else _response(request, page)


_UNAVAILABLE: Final = RequestError(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "the database cannot be used now",
    headers={"Retry-After": "10"},
)


_ONE_AT_A_TIME: Final = RequestError(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_requests",
    "an export of this session is still being sent: wait until it ends, or stop it",
    headers={"Retry-After": "10"},
)


def rejection_page(request: Request, rejection: RequestError) -> Response:
    """Return the page of a rejection; without a session, a redirect to the sign-in page."""
    request.scope[CODE] = rejection.code
    if rejection.status == HTTPStatus.UNAUTHORIZED:
        if _wants_data(request):
            return Response(status_code=rejection.status, headers=shell.HEADERS)
        query = f"?{request.url.query}" if request.url.query else ""
        wanted = urlencode({"next": quote(request.scope["path"]) + query})
        return _response(request, Redirect(f"{SIGN_IN}?{wanted}"))
    values = {
        "title": _TITLES.get(HTTPStatus(rejection.status), "The request is not valid"),
        "rejection": rejection,
    }
    kept = {
        name: value
        for name, value in (rejection.headers or {}).items()
        if name.lower() in {"connection", "retry-after"}
    }
    return _response(request, Html("rejected_request.html", values, rejection.status, kept))


def wants_page(request: Request) -> bool:
    """Return whether a browser requests a page, outside the API."""
    accepts = "text/html" in request.headers.get("accept", "")
    reads = request.method in {"GET", "HEAD"}
    return reads and accepts and not request.url.path.startswith(PREFIXES)


def _in_the_menu(ctx: Context, *, holds: bool) -> tuple[int, list[dict[str, object]]]:
    """Return how many requests wait, and the holds in force, if *holds* are looked for."""
    return count_waiting(ctx), in_force(ctx) if holds else []


def _response(request: Request, page: Html | Redirect | Data) -> Response:
    """Return a response of the page as it is sent."""
    headers = dict(shell.HEADERS)
    if isinstance(page, Redirect):
        return Response(b"", HTTPStatus.SEE_OTHER, {**headers, "location": page.address})
    if isinstance(page, Data):
        if page.body is None:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        headers = shell.file_headers(page.media_type, page.filename)
        return _compressed(request, page.body, HTTPStatus.OK, headers)
    theme = request.cookies.get(THEME)
    values = {
        "signed_in": request.scope.get(CALLER) is not None,
        "waiting_count": request.scope.get(_WAITING, 0),
        "zone": _zone(request),
        "theme": theme if theme in _THEMES else None,
        "path": request.url.path,
        "logged": request.scope.get(LOGGED, False),
        "holds": request.scope.get(HELD, ()),
        "origin": f"{request.url.scheme}://{request.url.netloc}",
        **page.values,
    }
    body = shell.render(page.template, values)
    headers |= {"content-type": "text/html; charset=utf-8", **page.headers}
    return _compressed(request, body, page.status, headers)


@cache
def _packed(name: str) -> bytes:
    """Return a static file, compressed."""
    return zlib.compress(shell.static_files()[name], 9, _GZIP)


def _accepts_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _compressed(request: Request, body: bytes, status: int, headers: dict[str, str]) -> Response:
    if len(body) < _MIN_COMPRESSED_BYTES or not _accepts_gzip(request):
        return Response(body, status, headers)
    return Response(zlib.compress(body, 1, _GZIP), status, headers | _PACKED)


def _packed_parts(parts: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=_GZIP)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _zone(request: Request) -> ZoneInfo:
    """Return the reader's time zone, as the script of the page reported it; else UTC."""
    try:
        return ZoneInfo(request.cookies.get(ZONE, "UTC"))
    except (KeyError, OSError, ValueError):
        return _UTC


def _wants_data(request: Request) -> bool:
    """Return whether a script of the page sends the request; a redirect would not help it."""
    return request.headers.get("sec-fetch-dest", "document") == "empty"


def _local(address: str | None) -> str:
    """Return a path of this site; anything else is empty."""
    address = address or ""
    safe = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if safe and address.isascii() and address.isprintable() else ""


async def _form(request: Request, timeout_s: float) -> dict[str, str]:
    """Return the fields of a form.

    Raises:
        RequestError: 400, 408 or 413.
    """
    if request.headers.get("content-type", "").partition(";")[0] != (
        "application/x-www-form-urlencoded"
    ):
        raise malformed("the body must be a form")
    body = b""
    # A request from within the process has no event loop, and never waits.
    remote = request.client is not None
    try:
        async with asyncio.timeout(timeout_s) if remote else nullcontext():
            async for part in request.stream():
                body += part
                if len(body) > MAX_FORM_BYTES:
                    raise too_large(f"a form has at most {MAX_FORM_BYTES} bytes")
    except TimeoutError as error:
        raise body_too_slow(timeout_s) from error
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except (UnicodeDecodeError, ValueError) as error:
        raise malformed("the body is not a form") from error
