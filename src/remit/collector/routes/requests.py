"""Reading a request: who asks, which fields, which idempotency key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from starlette.requests import Request

from remit.collector.ingest import Caller, Service
from remit.collector.ingest.checks import checked_key, key_in
from remit.collector.refusals import RequestError, invalid_field, unauthorized
from remit.collector.routes.endpoints import ServedEndpoint
from remit.collector.wire import Fields, check_fields, encode, fields_from, fields_of

Authenticate: TypeAlias = Callable[[Request], Caller]
CALLER = "remit.caller"
"""Where the scope of a request says who asks."""
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
        secret = secret_in(request.headers.get("authorization", ""))
        if secret is None:
            raise unauthorized()
        caller = request.scope[CALLER] = service.authenticate(secret)
        return caller

    return authenticate


def secret_in(authorization: str) -> str | None:
    """Return the token that a header carries, however it is written; None if there is none."""
    scheme, _, secret = authorization.partition(" ")
    return secret.strip() or None if scheme.lower() == _BEARER else None


def asked(request: Request, body: bytes, service: Service, endpoint: ServedEndpoint) -> Asked:
    """Return what a request says: its query if it is a GET, else its body.

    Raises:
        RequestError: 400 or 422.
    """
    header = request.headers.get("idempotency-key")
    named = request.path_params.get("id", "")
    said = Said(body, dict(request.query_params), named, header)
    return understood(said, endpoint, service.settings.max_depth)


class Said(NamedTuple):
    """What stands in a request, wherever it stands.

    Attributes:
        body: The body, JSON.
        query: The query.
        named: The id that the path names.
        header: The idempotency key in the header.
    """

    body: bytes
    query: Mapping[str, str]
    named: str
    header: str | None = None


def understood(said: Said, endpoint: ServedEndpoint, max_depth: int) -> Asked:
    """Return what was said to *endpoint*; the id that the path names wins.

    Raises:
        RequestError: 400 or 422.
    """
    reads = endpoint.method == "GET"
    fields = fields_from(said.query) if reads else fields_of(said.body)
    details = _details(fields, wrapped=endpoint.wrapped)
    if not reads:
        check_fields(said.body, fields)
    if details:
        check_fields(fields["details"], details)
    keys = (
        key_in(fields, max_depth),
        key_in(details, max_depth),
        said.header,
        said.query.get("idempotency_key"),
    )
    key = next((key for key in keys if key is not None), None)
    path = {endpoint.id_field: said.named} if endpoint.id_field else {}
    together = details if endpoint.wrapped else {**fields, **details}
    return Asked(encode({**together, **fields_from(path)}), checked_key(key))


def _details(fields: Fields, *, wrapped: bool) -> Fields:
    """Return the fields under `details`; where they need not be, what is no object is ignored."""
    raw = fields.get("details")
    if raw is None:
        if wrapped:
            raise invalid_field("details", "is required")
        return {}
    try:
        return fields_of(bytes(raw))
    except RequestError as refusal:
        if wrapped:
            raise invalid_field("details", "must be an object") from refusal
        return {}
