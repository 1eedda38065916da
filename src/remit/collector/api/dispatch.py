"""Dispatch: from a request to a response, in one call, without an event loop or an HTTP library.

A server (`asgi`), local mode and the commands call it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar

from remit._base.clock import NS_PER_S, NS_PER_US, Clock
from remit._base.text import number_of
from remit.collector.api import bulk
from remit.collector.api.bodies import GZIP, decoded
from remit.collector.api.endpoints import BULK, DOCUMENT, Endpoint, match
from remit.collector.api.openapi import document
from remit.collector.api.operation import Operation, carry_out, read
from remit.collector.domain.context import (
    Allowance,
    Caller,
    Context,
    IdSource,
    RequestCounts,
)
from remit.collector.domain.erasure import Selection, erase
from remit.collector.domain.params import Values, checked_key
from remit.collector.domain.tokens import caller_of
from remit.collector.errors import RequestError, forbidden, invalid_field, unauthorized
from remit.collector.json_io import Fields, JsonText, encode, fields_of, value_of
from remit.collector.metrics import ITEMS, REJECTIONS, SPANS, Metrics
from remit.collector.settings import MIB, Settings
from remit.collector.store.base import (
    ConflictError,
    Store,
    StoreUnavailableError,
    TooSlowError,
    write,
)
from remit.collector.store.questions import holds
from remit.collector.store.transaction import Transaction
from remit.collector.validation.declarations import Declarations
from remit.collector.views.envelopes import error_response
from remit.errors import SettingsError

logger: Final = logging.getLogger("remit")

RETRY_AFTER_S: Final = 1
QUIET_S: Final = 10
"""Seconds without a failed request after which a part of the database is taken to be back."""
HOLDS: Final = "remit-holds"
"""Header with the number of the account's holds, for programs."""
HOLDS_READ_EVERY_NS: Final = NS_PER_S // 2
"""Age at which a process reads the number of the holds again; it has two seconds to travel."""
USE_NOTED_EVERY_US: Final = 10 * 60 * 1_000_000
"""The last use of a token is written no more often than this, by each process."""
PROBE_AFTER_NS: Final = 5 * NS_PER_S
"""Age of a write after which it no longer shows that the database can be written."""
PROBE_BYTES: Final = 2 * MIB
"""Length of the write that ends an outage: more than that of a bulk request of the SDK."""
MAX_TOKENS: Final = 10_000
# Names the encodings of request bodies that are accepted (RFC 9110, section 12.5.3).
HEADERS: Final = {"content-type": "application/json", "accept-encoding": GZIP}
_BEARER: Final = "bearer"
_MINIMAL: Final = "return=minimal"


T = TypeVar("T")


class Request(NamedTuple):
    """A request, independent of the transport.

    Attributes:
        path: Path, decoded.
        body: Body, encoded as its `content-encoding` says.
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Response(NamedTuple):
    """The response to a request.

    Attributes:
        code: Code of the error; None for a success.
        caller: The holder of the token, as far as it was authenticated.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = HEADERS
    code: str | None = None
    caller: Caller | None = None


def rejected(error: RequestError, caller: Caller | None = None) -> Response:
    """Return the response to a request that was not carried out."""
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return Response(error.status, error_response(error), {**HEADERS, **headers}, error.code, caller)


def secret_in(authorization: str) -> str | None:
    """Return the token of an `Authorization` header, if any."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() or None if scheme.lower() == _BEARER else None


class _Outage(NamedTuple):
    """The last request that failed because the database could not be used.

    Attributes:
        failed_ns: When, on the monotonic clock.
        partly: Whether only a part of a distributed database may be away. Writes to the others
            succeed meanwhile, so they end the outage only if no request failed for `QUIET_S`.
    """

    failed_ns: int
    partly: bool

    def may_be_over(self, now_ns: int) -> bool:
        """Return whether a write that succeeds now ends the outage."""
        return not self.partly or now_ns - self.failed_ns >= QUIET_S * NS_PER_S


class Service:
    """One collector over one store; its methods may be called from any thread."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock,
        metrics: Metrics | None = None,
        *,
        caller: Caller | None = None,
    ) -> None:
        """Work on *store*.

        Args:
            caller: Makes every request, none of which needs a token; None authenticates each.
        """
        self.settings = settings
        self._store = store
        self._clock = clock
        self._ids = IdSource(clock)
        self._declarations = Declarations()
        self._metrics = metrics or Metrics()
        self._caller = caller
        self._used_us: dict[str, int] = {}
        # By account: when the number of its holds was read, and the number.
        self._holds: dict[str, tuple[int, int | None]] = {}
        self._outage: _Outage | None = None
        self._last_write = -PROBE_AFTER_NS, True
        self._probing = threading.Lock()

    @property
    def database(self) -> str:
        """The path of the database, or its URL without the password."""
        return self._store.path

    def ready(self) -> bool:
        """Return whether the database has the schema that this remit knows, and can be written.

        The last write decides; if it was some seconds ago, one is made that changes nothing.
        """
        try:
            return self._store.is_current() and self._can_write()
        except (StoreUnavailableError, SettingsError):
            return False

    def _can_write(self) -> bool:
        recent_ns = self._clock.monotonic_ns() - PROBE_AFTER_NS
        at_ns, succeeded = self._last_write
        # A read may have failed since the last write succeeded.
        is_known = at_ns > recent_ns and succeeded == (self._outage is None)
        # Only one thread waits for a database that does not respond.
        if is_known or not self._probing.acquire(blocking=False):
            return succeeded
        try:
            # Where a request found no room, a row of a few bytes may still have some.
            count = 0 if self._outage is None else PROBE_BYTES
            self._written(lambda tx: tx.write_and_delete(count))
        finally:
            self._probing.release()
        return True

    def dispatch(
        self,
        request: Request,
        hold: Callable[[int], None] | None = None,
        *,
        caller: Caller | None = None,
        tx: Transaction | None = None,
        matched: tuple[Endpoint, str] | None = None,
    ) -> Response:
        """Return the response to a request.

        Args:
            caller: Authenticated caller; None authenticates the token.
            hold: Called with the length of a decompressed body; may raise a `RequestError`.
            matched: Result of `match`, if known.
        """
        try:
            endpoint, thing_id = matched or match(request.method, request.path)
            if endpoint.operation == DOCUMENT:
                return Response(HTTPStatus.OK, document())
            caller = caller or self.authenticate(request.headers.get("authorization", ""))
            endpoint.check_permission(caller)
            endpoint.check_query(request.query)
            body = decoded(request.body, request.headers, self.settings, hold)
            minimal = _prefers_minimal(request, endpoint)
            if endpoint.operation == BULK:
                response = self._bulk(caller, body, minimal=minimal)
            else:
                operation = self._operation(endpoint, thing_id, caller, request, body)
                if endpoint.erases:
                    response = self._erase(caller, operation)
                else:
                    response = self._single(caller, operation, tx, minimal=minimal)
        except RequestError as error:
            return rejected(error, caller)
        except TooSlowError:
            return rejected(_TOO_SLOW, caller)
        except StoreUnavailableError:
            return rejected(UNAVAILABLE, caller)
        headers = {**HEADERS, "preference-applied": _MINIMAL} if minimal else HEADERS
        if endpoint.stops:
            self._holds.pop(caller.account_id, None)
        if endpoint.records or endpoint.operation == BULK:
            number = self.hold_number(caller.account_id)
            headers = headers if number is None else {**headers, HOLDS: str(number)}
        return Response(HTTPStatus.OK, response, headers, None, caller)

    def authenticate(self, authorization: str) -> Caller:
        """Return the holder of the token in an `Authorization` header.

        Raises:
            RequestError: 401.
            StoreUnavailableError: The database cannot be read now.
        """
        if self._caller is not None:
            return self._caller
        secret = secret_in(authorization)
        if secret is None:
            raise unauthorized()
        with self._noting_faults():
            caller = self._store.look(lambda tx: caller_of(tx, secret, self._now_us()))
        self._note_use(caller)
        return caller

    def read(self, caller: Caller, work: Callable[[Context], T]) -> T:
        """Return what *work* returns, which reads one state of the database.

        Raises:
            RequestError: The caller may not read (403), or the database cannot be used now (503),
                or takes too long (504).
        """
        if not caller.reads:
            raise forbidden(
                f"this token may only {caller.may.in_words}, and this needs a token that may read"
            )
        try:
            with self._noting_faults(), self._store.reading() as tx:
                return work(self._context(tx, caller))
        except TooSlowError as error:
            raise _TOO_SLOW from error
        except StoreUnavailableError as error:
            raise UNAVAILABLE from error

    def _operation(
        self, endpoint: Endpoint, thing_id: str, caller: Caller, request: Request, body: JsonText
    ) -> Operation:
        max_depth = self.settings.max_depth
        named: Values = {endpoint.id_field: thing_id} if endpoint.id_field else {}
        if endpoint.method == "GET":
            return read(endpoint, caller, {**request.query, **named}, None, max_depth)
        fields = fields_of(bytes(body.text))
        details = _details(fields, wrapped=endpoint.wrapped)
        key = _key(fields, details, request, max_depth)
        # The id in the path takes precedence.
        if endpoint.wrapped and not named:
            params = JsonText(fields["details"], body.member("details"))
        else:
            inner = {**({} if endpoint.wrapped else fields), **details, **named}
            params = JsonText(encode(inner))
        return read(endpoint, caller, params, key, max_depth)

    def _single(
        self, caller: Caller, operation: Operation, tx: Transaction | None, *, minimal: bool
    ) -> bytes:
        work = partial(carry_out, operation=operation)
        if operation.endpoint.writes:
            return self._write(caller, work, minimal=minimal)
        reading = self._store.reading() if tx is None else nullcontext(tx)
        with self._noting_faults(), reading as opened:
            return work(self._context(opened, caller))

    def _bulk(self, caller: Caller, body: JsonText, *, minimal: bool) -> bytes:
        items = bulk.items_of(body, self.settings.max_bulk_items)
        return self._write(caller, partial(bulk.execute, items=items), minimal=minimal)

    def _erase(self, caller: Caller, operation: Operation) -> bytes:
        """Erase runs, one transaction for each; a request that ends early may be repeated."""
        with self._noting_faults():
            with self._store.reading() as tx:
                context = self._context(tx, caller)
                chosen: Selection = operation.endpoint.perform(context, *operation.arguments)
            erased = erase(self._store, **chosen._asdict(), clock=self._clock)
            self._store.note_erasure()
        logger.info(
            "erased %s by token %s: %s, %s",
            number_of(erased.runs, "run"),
            caller.token_id,
            number_of(erased.spans, "span"),
            number_of(erased.responses, "response"),
        )
        return encode({"status": "success", **erased._asdict()})

    def _write(self, caller: Caller, work: Callable[[Context], bytes], *, minimal: bool) -> bytes:
        def begin(tx: Transaction) -> tuple[bytes, RequestCounts]:
            ctx = self._context(tx, caller, minimal=minimal)
            return work(ctx), ctx.metrics

        response, counted = self._written(begin)
        self._metrics.add(SPANS, count=counted.spans)
        self._metrics.add(ITEMS, count=counted.items)
        for code in counted.rejected:
            self._metrics.add(REJECTIONS, code)
        return response

    def _written(self, work: Callable[[Transaction], T]) -> T:
        """Return what *work* returns in a writing transaction; note whether it could be written."""
        # A write that began before a request failed does not end the outage.
        outage = self._outage
        try:
            with self._noting_faults():
                result = write(self._store, work)
        except (ConflictError, TooSlowError):
            raise
        except StoreUnavailableError:
            self._last_write = self._clock.monotonic_ns(), False
            raise
        now_ns = self._clock.monotonic_ns()
        self._last_write = now_ns, True
        if outage is not None and outage is self._outage and outage.may_be_over(now_ns):
            self._outage = None
            logger.warning("the collector's database can be written again")
        return result

    def _context(self, tx: Transaction, caller: Caller, *, minimal: bool = False) -> Context:
        return Context(
            tx,
            caller,
            self._now_us(),
            self._ids,
            self.settings,
            self._declarations,
            Allowance(self.settings, self._clock),
            minimal,
        )

    @contextmanager
    def _noting_faults(self) -> Generator[None]:
        """Log once that the database is unavailable, until it can be written again."""
        try:
            yield
        except TooSlowError:
            # One query was slow; the database is available.
            raise
        except StoreUnavailableError as error:
            is_first = self._outage is None
            self._outage = _Outage(self._clock.monotonic_ns(), error.partly)
            if is_first:
                # Some drivers use several lines.
                reason = " ".join(str(error).split())
                logger.warning("the collector's database cannot be used now: %s", reason)
            raise

    def hold_number(self, account_id: str) -> int | None:
        """Return the number of an account's holds, at most half a second old; None if unknown."""
        now_ns = self._clock.monotonic_ns()
        read_ns, number = self._holds.get(account_id, (0, None))
        if number is not None and now_ns - read_ns < HOLDS_READ_EVERY_NS:
            return number
        try:
            number = self._store.look(lambda tx: holds.number(tx, account_id))
        except StoreUnavailableError:
            return None
        self._holds[account_id] = now_ns, number
        return number

    def _note_use(self, caller: Caller) -> None:
        """Store the time of a token's use, now and then; a failure to do so is ignored."""
        token_id, now_us = caller.token_id, self._now_us()
        if token_id is None or now_us - self._used_us.get(token_id, 0) < USE_NOTED_EVERY_US:
            return
        if len(self._used_us) >= MAX_TOKENS:
            self._used_us.clear()
        self._used_us[token_id] = now_us
        with suppress(StoreUnavailableError):
            write(self._store, lambda tx: tx.touch_token(token_id, now_us))

    def _now_us(self) -> int:
        return self._clock.wall_ns() // NS_PER_US


UNAVAILABLE: Final = RequestError(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable",
    "the database cannot be used now: try again",
    headers={"Retry-After": str(RETRY_AFTER_S)},
)
_TOO_SLOW: Final = RequestError(
    HTTPStatus.GATEWAY_TIMEOUT,
    "timeout",
    "the database took too long for this: ask for less, such as a shorter time, one run or a "
    "smaller page",
)


def _prefers_minimal(request: Request, endpoint: Endpoint) -> bool:
    """Return whether the client asks for a minimal response (RFC 7240)."""
    applies = endpoint.operation == BULK or endpoint.on_spans or endpoint.minimal is not None
    preferences = request.headers.get("prefer", "")
    return applies and _MINIMAL in map(str.strip, preferences.lower().split(","))


def _details(fields: Fields, *, wrapped: bool) -> Fields:
    """Return the fields under `details`; optional ones of another kind are ignored."""
    raw = fields.get("details")
    if raw is None:
        if wrapped:
            raise invalid_field("details", "is required")
        return {}
    try:
        return fields_of(bytes(raw))
    except RequestError as error:
        if wrapped:
            raise invalid_field("details", "must be an object") from error
        return {}


def _key(fields: Fields, details: Fields, request: Request, max_depth: int) -> str | None:
    """Return the idempotency key of a request, which may be in any of four places."""
    for place in (fields, details):
        raw = place.get("idempotency_key")
        key = None if raw is None else value_of(JsonText(raw), max_depth)
        if key is not None:
            return checked_key(key)
    in_head = request.headers.get("idempotency-key")
    return checked_key(request.query.get("idempotency_key") if in_head is None else in_head)
