"""One operation, from an endpoint or a bulk item: validated, then carried out once for each key.

An idempotency key belongs to an account and an operation. A repeated request changes nothing and
returns the resource as it is now; a key that comes with another request is rejected. Keys of
rejected requests are not stored. Operations on one span keep their keys in the span's row
(`domain.span_batch`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from remit.collector.api.endpoints import Endpoint
from remit.collector.domain.context import Caller, Context
from remit.collector.domain.keys import request_hash, used_otherwise
from remit.collector.domain.params import (
    Values,
    check_declared,
    required,
    taken,
    text_in,
    validated,
)
from remit.collector.domain.spans import Call
from remit.collector.errors import RequestError, forbidden, not_found
from remit.collector.json_io import JsonText, encode, object_of
from remit.collector.store.rows import KeyRow
from remit.collector.views.envelopes import success_response


class Operation(NamedTuple):
    """A validated operation.

    Attributes:
        fields: Its fields, decoded; none of an operation on a span.
        arguments: What `Endpoint.perform` takes after the context.
    """

    endpoint: Endpoint
    key: str | None
    fields: Values
    arguments: tuple[object, ...]


def read(
    endpoint: Endpoint,
    caller: Caller,
    params: JsonText | Values,
    key: str | None,
    max_depth: int,
) -> Operation:
    """Return an operation, decoded and validated.

    Args:
        params: Its fields, a JSON object or decoded.

    Raises:
        RequestError: 400, 403, 404 or 422.
    """
    if endpoint.account and caller.agent_id is not None:
        raise forbidden("a deployment's token is for its agent only: use an account's token")
    if endpoint.on_spans:
        assert isinstance(params, JsonText)  # noqa: S101 - spans are never read from a query
        return Operation(endpoint, key, {}, (Call(endpoint.operation, params, key),))
    fields = object_of(params, max_depth) if isinstance(params, JsonText) else params
    if endpoint.account and text_in(fields, "account_id") not in {None, caller.account_id}:
        raise not_found("account")
    return Operation(endpoint, key, fields, _arguments(endpoint, fields))


def _arguments(endpoint: Endpoint, fields: Values) -> tuple[object, ...]:
    arguments: list[object] = []
    model = endpoint.model
    if endpoint.id_field and (model is None or endpoint.id_field not in model.model_fields):
        arguments.append(required(fields, endpoint.id_field))
    if model is not None:
        check_declared(fields)
        arguments.append(validated(model, fields))
    if endpoint.with_fields:
        arguments.append(fields)
    return tuple(arguments)


def carry_out(ctx: Context, operation: Operation) -> bytes:
    """Carry out an operation, unless its key was used before; return its envelope.

    Raises:
        RequestError: It is rejected, or its key was used for another request.
    """
    endpoint, key = operation.endpoint, operation.key
    if key is None or not endpoint.writes or endpoint.on_spans:
        return _encoded(ctx, endpoint, endpoint.perform(ctx, *operation.arguments))
    hashed = request_hash(endpoint.compared(operation.fields))
    repeated = _repeated(ctx, operation, key, hashed)
    if repeated is not None:
        return repeated
    try:
        result = endpoint.perform(ctx, *operation.arguments)
    except RequestError:
        # A concurrent request may have carried out the same operation.
        repeated = _repeated(ctx, operation, key, hashed, again=True)
        if repeated is None:
            raise
        return repeated
    response = _encoded(ctx, endpoint, result)
    stored = response if endpoint.again is None else b"" if endpoint.on_run else result.id.encode()
    row = KeyRow(
        account_id=ctx.caller.account_id,
        operation=endpoint.operation,
        key=key,
        agent_instance_id=result.id if endpoint.on_run else None,
        agent_span_id=None,
        response=stored,
        inserted_at=ctx.now_us,
        request_hash=hashed,
    )
    ctx.tx.add_keys([row])
    return response


def _repeated(
    ctx: Context, operation: Operation, key: str, hashed: str, *, again: bool = False
) -> bytes | None:
    """Return the response to a request whose key was used before, else None."""
    endpoint, caller = operation.endpoint, ctx.caller
    known = ctx.tx.keys(caller.account_id, endpoint.operation, [key], again=again).get(key)
    if known is None:
        return None
    run_id, response = known.agent_instance_id, known.response or b""
    if caller.agent_id is not None and run_id is not None:
        rows = ctx.tx.runs(caller.account_id, [run_id])
        if not all(caller.sees(row) for row in rows.values()):
            raise taken("idempotency_key")
    if known.request_hash not in {None, hashed}:
        raise used_otherwise()
    # Earlier versions stored whole responses.
    if endpoint.again is None or (not endpoint.on_run and response.startswith(b"{")):
        return response
    thing_id = (run_id or "") if endpoint.on_run else response.decode()
    return _encoded(ctx, endpoint, endpoint.again(ctx, thing_id, *operation.arguments))


def _encoded(ctx: Context, endpoint: Endpoint, result: Any) -> bytes:
    if isinstance(result, bytes):
        return result
    if ctx.minimal and endpoint.minimal is not None:
        view = endpoint.minimal(result)
    else:
        view = endpoint.view(ctx, result)
    return encode(view) if endpoint.bare else success_response(view)
