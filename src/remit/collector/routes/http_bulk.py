"""Bulk requests whose items are HTTP requests: a method, a path and a body.

The service's command line sends this dialect. Such items have no name of an operation and need no
idempotency key; those that have a `_type` are of the documented dialect, whatever else stands in
them.

The API leaves this dialect to the server; docs/reference/wire.md has the choices.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Raw

from remit.collector.ingest import Allowance, Caller, Service
from remit.collector.refusals import RequestError, not_found, too_large
from remit.collector.routes.endpoints import BULK, DOCUMENT, ENDPOINTS, PREFIX, ServedEndpoint
from remit.collector.routes.requests import Said, understood
from remit.collector.settings import Settings
from remit.collector.views import error_answer
from remit.collector.wire import check_keys, check_unicode, encode, finite

_OK: Final = 200
_NULL: Final = Raw(b"null")
_ALONE: Final = frozenset({BULK, DOCUMENT})


class _Call(msgspec.Struct):
    method: str
    path: str
    body: Raw = _NULL
    type: object = msgspec.field(default=None, name="_type")


class _Body(msgspec.Struct):
    items: list[_Call]


class _Result(NamedTuple):
    status: int
    body: Raw


_read_body: Final = msgspec.json.Decoder(_Body, float_hook=finite).decode


def _pattern(endpoint: ServedEndpoint) -> re.Pattern[str]:
    return re.compile(re.escape(PREFIX + endpoint.path).replace(r"\{id\}", "(?P<id>[^/]+)"))


_PATTERNS: Final = [
    (endpoint, _pattern(endpoint)) for endpoint in ENDPOINTS if endpoint.operation not in _ALONE
]


def calls_of(body: bytes, settings: Settings) -> Sequence[_Call] | None:
    """Return the calls of a bulk request in this dialect; None if it is not in it.

    Raises:
        RequestError: 400 or 413.
    """
    try:
        calls = _read_body(body).items
    except (msgspec.DecodeError, RecursionError):
        return None
    if not calls or any(call.type is not None for call in calls):
        return None
    check_unicode(body)
    check_keys(body)
    if len(calls) > settings.max_bulk_items:
        raise too_large(f"a bulk request takes at most {settings.max_bulk_items} items")
    return calls


def perform_calls(service: Service, caller: Caller, calls: Sequence[_Call]) -> bytes:
    """Make *calls* in order, each in its own transaction, up to the first that is refused."""
    results: list[_Result] = []
    allowance = service.allowance()
    for call in calls:
        results.append(_result(service, caller, call, allowance))
        if results[-1].status != _OK:
            break
    items = [result._asdict() for result in results]
    return encode({"status": "success", "details": {"items": items}})


def _result(service: Service, caller: Caller, call: _Call, allowance: Allowance) -> _Result:
    try:
        allowance.check()
        endpoint, said = _addressed(call)
        asked = understood(said, endpoint, service.settings.max_depth)
        answer = service.perform(caller, endpoint.operation, asked.params, asked.key)
    except RequestError as refusal:
        return _Result(refusal.status, Raw(error_answer(refusal)))
    allowance.take(answer)
    return _Result(_OK, Raw(answer))


def _addressed(call: _Call) -> tuple[ServedEndpoint, Said]:
    """Return the endpoint that a call is for, and what it says to it.

    Raises:
        RequestError: 404.
    """
    try:
        path, query = urlsplit(call.path)[2:4]
    except ValueError as error:
        raise not_found("path") from error
    body = b"" if call.body == _NULL else bytes(call.body)
    for endpoint, pattern in _PATTERNS:
        found = pattern.fullmatch(path.rstrip("/"))
        if found and endpoint.method == call.method.upper():
            named = unquote(found.groupdict().get("id", ""))
            return endpoint, Said(body, dict(parse_qsl(query)), named)
    raise not_found("path")
