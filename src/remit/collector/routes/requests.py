"""Reading a request: who asks, which fields, which idempotency key.

Source: CONTRACT.md sections 1, 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from starlette.requests import Request

from remit.collector.ingest import Caller, Service
from remit.collector.ingest.checks import checked_key, key_in
from remit.collector.refusals import Refusal, invalid_field, unauthorized
from remit.collector.routes.bodies import read_body
from remit.collector.wire import Fields, encode, fields_from, fields_of

Authenticate: TypeAlias = Callable[[Request], Caller]
_BEARER = "bearer"


class Asked(NamedTuple):
    """What a request says.

    Attributes:
        params: The operation's fields, a JSON object.
        key: The idempotency key, checked.
    """

    params: bytes
    key: str | None


def bearer(service: Service) -> Authenticate:
    """Return what finds out who asks from the token that a request carries."""

    def authenticate(request: Request) -> Caller:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != _BEARER or not secret.strip():
            raise unauthorized()
        return service.authenticate(secret.strip())

    return authenticate


async def asked(
    request: Request, service: Service, *, wrapped: bool, path: Mapping[str, str]
) -> Asked:
    """Return what a request says: its query if it is a GET, else its body.

    Args:
        request: The request.
        service: Its limits count.
        wrapped: Whether the fields stand under `details`.
        path: Fields that the path names; they win.

    Raises:
        Refusal: 400, 413, 415 or 422.
    """
    body = await read_body(request, service.settings)
    query = dict(request.query_params)
    reads = request.method in {"GET", "HEAD"}
    fields = fields_from(query) if reads else fields_of(body)
    details = _details(fields, wrapped=wrapped)
    max_depth = service.settings.max_depth
    keys = (
        key_in(fields, max_depth),
        key_in(details, max_depth),
        request.headers.get("idempotency-key"),
        query.get("idempotency_key"),
    )
    key = next((key for key in keys if key is not None), None)
    said = details if wrapped else {**fields, **details}
    return Asked(encode({**said, **fields_from(path)}), checked_key(key))


def _details(fields: Fields, *, wrapped: bool) -> Fields:
    """Return the fields under `details`; where they need not be, what is no object is ignored."""
    raw = fields.get("details")
    if raw is None:
        if wrapped:
            raise invalid_field("details", "is required")
        return {}
    try:
        return fields_of(bytes(raw))
    except Refusal as refusal:
        if wrapped:
            raise invalid_field("details", "must be an object") from refusal
        return {}
