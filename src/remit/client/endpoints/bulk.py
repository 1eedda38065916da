"""Bulk requests: several operations in one. The sender skips the `details` of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import asdict
from pydantic import ValidationError

from remit.client.endpoints.endpoint import Call, JsonMapping, check, encode, idempotency_key
from remit.client.endpoints.responses import read
from remit.client.endpoints.table import BULK
from remit.models.bulk import BulkItem, BulkOutput, BulkRequest, BulkResponse

SUCCEEDED: Final = BulkOutput.model_construct(status="success")
"""The output of every item that succeeded without a control signal."""


class _Output(msgspec.Struct, gc=False):
    """The parts of an output by which the sender decides; the others are skipped unparsed."""

    status: Literal["success", "error"]
    code: str | None = None
    message: str | None = None
    errors: dict[str, Any] | None = None
    control: Any = None


class _Response(msgspec.Struct):
    outputs: dict[str, _Output]


# msgspec itself takes 10 microseconds for a number like 1.1e300.
_read_response: Final = msgspec.json.Decoder(_Response, float_hook=float).decode


def bulk(items: Sequence[BulkItem | JsonMapping]) -> Call[BulkResponse]:
    """Describe several operations in one request.

    Args:
        items: Each a `BulkItem`, or a mapping with `_type`, the parameters of that operation, and
            optionally `idempotency_key`.

    Raises:
        UsageError: There is none, one has no type, or a key is not 8 to 64 characters long and
            unique.
    """
    body = {"items": [_item(item) for item in items]}
    check(BULK.name, body, BulkRequest)
    return BULK.raw(read=BULK.response, body=encode(BULK.name, body))


def _item(item: BulkItem | JsonMapping) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        return item.model_dump(mode="json", by_alias=True)
    if item.get("idempotency_key") is not None:
        return dict(item)
    return {**item, "idempotency_key": idempotency_key(None)}


def bulk_raw(body: bytes, on_sent: Callable[[], None] | None = None) -> Call[dict[str, BulkOutput]]:
    """Describe a bulk request whose *body* is JSON already, for the sender."""
    return replace(BULK.raw(read=outputs_of, body=body, minimal=True), on_sent=on_sent)


def outputs_of(body: bytes) -> dict[str, BulkOutput]:
    """Return the outputs of a bulk response by idempotency key, without their `details`.

    Raises:
        ContractError: It is not a bulk response.
    """
    try:
        return {
            key: SUCCEEDED
            if output.status == "success" and output.control is None
            else BulkOutput.model_validate(asdict(output))
            for key, output in _read_response(body).outputs.items()
        }
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValidationError):
        # The slow reader gives the reason, or accepts what the fast one does not.
        return read(BulkResponse, body).outputs
