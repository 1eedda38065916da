"""Bulk: operations in order, each as if alone, up to the first that is rejected.

They share one transaction, because a commit costs more than an operation; a savepoint undoes
a rejected one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import groupby, repeat
from typing import Final, cast

import msgspec
from msgspec import Raw

from remit.collector.api.endpoints import OPERATIONS, REGISTER
from remit.collector.api.operation import carry_out, read
from remit.collector.domain.context import Context
from remit.collector.domain.span_batch import SpanBatch
from remit.collector.domain.spans import CREATE, FINISH, Call
from remit.collector.errors import RequestError, invalid, invalid_field, malformed, too_large
from remit.collector.json_io import Fields, JsonText, encode, fields_of
from remit.collector.views.envelopes import error_response
from remit.models import routes
from remit.models.bulk import MAX_KEY_CHARS, MIN_KEY_CHARS

_SPAN_OPERATIONS: Final = frozenset({CREATE, FINISH})
_SPANS: Final = "agent_spans"
_STEPS: Final = (routes.START_INSTANCE, routes.RECORD_QUALITY, routes.FINISH_INSTANCE)
_OF_RUNS: Final = frozenset({REGISTER, *(route.operation for route in _STEPS)})
"""The SDK sends many of these in one request: their keys are read and written at once."""
_HEAD: Final = frozenset({"_type", "idempotency_key", "details"})


class _Wrapped(
    msgspec.Struct,
    forbid_unknown_fields=True,
    gc=False,
    rename={"operation": "_type", "key": "idempotency_key"},
):
    """An item as the SDK writes it: all its fields are in `details`."""

    operation: str
    key: str
    details: Raw


class _Body(msgspec.Struct):
    items: list[Raw]


class _WrappedBody(msgspec.Struct):
    items: list[_Wrapped]


class _OnInstance(msgspec.Struct):
    agent_instance_id: str | None = None
    id: str | None = None


_read_body: Final = msgspec.json.Decoder(_Body).decode
_read_wrapped_body: Final = msgspec.json.Decoder(_WrappedBody).decode
_read_wrapped: Final = msgspec.json.Decoder(_Wrapped).decode
_read_instance: Final = msgspec.json.Decoder(_OnInstance).decode
_read_text: Final = msgspec.json.Decoder(str).decode


def items_of(body: JsonText, max_items: int) -> dict[str, Call]:
    """Return the operations of a bulk request by their keys.

    Raises:
        RequestError: The request as a whole is not valid: 400, 413 or 422.
    """
    raws = _raw_items(bytes(body.text))
    if not raws:
        raise invalid_field("items", "must not be empty")
    if len(raws) > max_items:
        raise too_large(f"a bulk request takes at most {max_items} items")
    values = cast("dict[str, list[object]] | None", body.value)
    items: dict[str, Call] = {}
    for number, (raw, value) in enumerate(
        zip(raws, values["items"] if values else repeat(None), strict=False)
    ):
        key, item = _item(number, raw, value)
        if items.setdefault(key, item) is not item:
            raise invalid_field(f"items.{number}.idempotency_key", "is used twice in this request")
    return items


def _raw_items(body: bytes) -> Sequence[Raw | _Wrapped]:
    """Return the items of *body*, read if all have the SDK's form."""
    with suppress(msgspec.DecodeError, RecursionError):
        return _read_wrapped_body(body).items
    try:
        return _read_body(body or b"{}").items
    except msgspec.ValidationError as error:
        raise invalid_field("items", "must be an array of objects") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed("the body is not readable JSON, or nests too deep") from error


def execute(ctx: Context, items: Mapping[str, Call]) -> bytes:
    """Carry out *items* in order, up to the first rejected one, and return their responses."""
    outputs: dict[str, Raw] = {}
    for operation in _OF_RUNS:
        keys = [key for key, item in items.items() if item.operation == operation]
        if keys:
            ctx.tx.keys(ctx.caller.account_id, operation, keys)
    for key, response in zip(items, _responses(ctx, items.values()), strict=False):
        ctx.metrics.items += 1
        if isinstance(response, RequestError):
            ctx.metrics.rejected.append(response.code)
            outputs[key] = Raw(error_response(response))
            break
        outputs[key] = Raw(response)
    return encode({"status": "success", "outputs": outputs})


def _responses(ctx: Context, items: Iterable[Call]) -> Iterator[bytes | RequestError]:
    """Yield the response of each item; neighbouring operations of one kind share their reads."""
    for kind, group in groupby(items, key=_kind):
        together = list(group)
        if kind == _SPANS:
            yield from SpanBatch(ctx, minimal=ctx.minimal).execute(together)
            continue
        if kind in _OF_RUNS and len(together) > 1:
            ids = {run_id for item in together if (run_id := _run_id(item))}
            ctx.tx.runs(None, ids)
        yield from (_response(ctx, item) for item in together)


def _kind(item: Call) -> str:
    return _SPANS if item.operation in _SPAN_OPERATIONS else item.operation


def _run_id(item: Call) -> str | None:
    try:
        named = _read_instance(item.params.text)
        return named.id if item.operation == REGISTER else named.agent_instance_id
    except msgspec.DecodeError:
        return None


def _response(ctx: Context, item: Call) -> bytes | RequestError:
    endpoint = OPERATIONS.get(item.operation)
    if endpoint is None:
        return malformed(f"there is no operation {item.operation[:MAX_KEY_CHARS]!r}")
    try:
        ctx.allowance.check()
        endpoint.check_permission(ctx.caller)
        # These write nothing before they may be rejected, or have a savepoint of their own.
        undo = nullcontext() if item.operation in _OF_RUNS else ctx.tx.savepoint()
        with undo:
            operation = read(endpoint, ctx.caller, item.params, item.key, ctx.settings.max_depth)
            response = carry_out(ctx, operation)
        ctx.allowance.take(response)
    except RequestError as error:
        return error
    return response


def _item(number: int, raw: Raw | _Wrapped, value: object) -> tuple[str, Call]:
    try:
        item = _read_wrapped(raw) if isinstance(raw, Raw) else raw
    except (msgspec.DecodeError, RecursionError):
        return _flat_item(number, JsonText(cast("Raw", raw), value))
    details = JsonText(item.details, cast("dict[str, object]", value)["details"] if value else None)
    return _call(number, item.operation, details, item.key)


def _flat_item(number: int, item: JsonText) -> tuple[str, Call]:
    """Return an item whose fields are next to its type; fields in `details` take precedence."""
    try:
        fields = fields_of(bytes(item.text))
    except RequestError as error:
        raise invalid_field(f"items.{number}", "must be an object") from error
    operation = _text(fields, "_type")
    key = _text(fields, "idempotency_key")
    if operation is None:
        raise invalid_field(f"items.{number}._type", "is required and must be a string")
    params = item
    if "details" in fields and bytes(fields["details"]) != b"null":
        params = JsonText(_merged(fields))
    return _call(number, operation, params, key)


def _merged(fields: Fields) -> bytes:
    """Return the fields of an item and of its `details`; only `details` if it is not an object."""
    details = bytes(fields["details"])
    try:
        inner = fields_of(details)
    except RequestError:
        return details
    return encode({**{name: fields[name] for name in fields.keys() - _HEAD}, **inner})


def _text(fields: Fields, name: str) -> str | None:
    try:
        return _read_text(fields[name])
    except (KeyError, msgspec.ValidationError):
        return None


def _call(number: int, operation: str, params: JsonText, key: str | None) -> tuple[str, Call]:
    if key is None or not MIN_KEY_CHARS <= len(key) <= MAX_KEY_CHARS or "\x00" in key:
        raise invalid(
            {
                f"items.{number}.idempotency_key": [
                    f"is required: a string of {MIN_KEY_CHARS} to {MAX_KEY_CHARS} characters"
                ]
            }
        )
    return key, Call(operation, params, key)
