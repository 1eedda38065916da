"""Bulk requests: several operations in one, and their outputs, read as far as a sender needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from pydantic import ValidationError

from remit.client.endpoints.endpoint import API, Call, JsonMapping, check, encode, idempotency_key
from remit.client.endpoints.responses import read
from remit.client.endpoints.table import BULK
from remit.errors import ContractError
from remit.models.bulk import BulkItem, BulkOutput, BulkRequest, BulkResponse

NULL: Final = Raw(b"null")
_SUCCEEDED: Final = BulkOutput.model_construct(status="success")
"""The output of every item that succeeded without a control signal."""
_OUTPUTS: Final = b'"outputs"'
# A lone quote begins a string that has not arrived completely.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.DOTALL)
READ_BYTES: Final = 65_536
MAX_CONTROL_BYTES: Final = 256
MAX_REASON_CHARS: Final = 200
_IN_OUTPUTS: Final = 2
"""Nesting depth of the outputs in an answer."""


class _Output(msgspec.Struct, gc=False, omit_defaults=True):
    """The parts of an output by which a sender decides; the thing itself is skipped unparsed."""

    status: str
    code: str | None = None
    message: str | None = None
    errors: Raw = NULL
    control: Raw = NULL


class _Control(msgspec.Struct):
    """The control signal that each output of a terminated run repeats."""

    terminate: bool = False
    reason: str | None = None


class _Answer(msgspec.Struct):
    outputs: dict[str, _Output]


_read_answer: Final = msgspec.json.Decoder(_Answer).decode
_read_control: Final = msgspec.json.Decoder(_Control).decode
_read_output: Final = msgspec.json.Decoder(_Output).decode
# msgspec itself takes 10 microseconds for a number like 1.1e300.
_read_any: Final = msgspec.json.Decoder(float_hook=float).decode
_encode: Final = msgspec.json.encode


def bulk(items: Sequence[BulkItem | JsonMapping]) -> Call[BulkResponse]:
    """Describe several operations in one request.

    Args:
        items: Each a `BulkItem`, or a mapping with `_type`, the parameters of that operation, and
            `idempotency_key`, which is made here if absent.

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


def bulk_raw(items: Sequence[bytes]) -> Call[dict[str, BulkOutput]]:
    """Describe a bulk request of items that are JSON already, for the sender.

    The outputs have no `details`: a sender does not need them, and they are most of the answer.
    """
    body = b'{"items":[' + b",".join(items) + b"]}"
    return Call("POST", f"{API}{BULK.path}", outputs_of, body, by_output=True)


def outputs_of(body: bytes) -> dict[str, BulkOutput]:
    """Return the outputs of a bulk answer by idempotency key, without their `details`.

    Raises:
        ContractError: It is no bulk answer.
    """
    try:
        answer = _read_answer(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The slow reader names the fault, or shows that only the fast one is too strict.
        return read(BulkResponse, body).outputs
    return {
        name: _SUCCEEDED
        if output.status == "success" and output.control == NULL
        else _output(output)
        for name, output in answer.outputs.items()
    }


def _output(output: _Output) -> BulkOutput:
    try:
        parts: dict[str, Any] = {
            "errors": _read_any(output.errors),
            "control": _read_any(output.control),
        }
        return BulkOutput.model_validate(
            {"status": output.status, "code": output.code, "message": output.message, **parts}
        )
    except (msgspec.DecodeError, RecursionError):
        places = "errors, control"
    except ValidationError as error:
        places = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
    raise ContractError(f"an output of the bulk answer does not fit ({places}); check the api_url")


class Outputs:
    """Reads a bulk answer in parts, and keeps each output without its `details`.

    The `details` hold whole spans, so the answer to a batch may be longer than the limit of what
    is kept.

    Attributes:
        kept_bytes: How many bytes are kept.
    """

    def __init__(self) -> None:
        """Begin before the first part."""
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._rest = b""
        self._read_to: int = 0
        self._depth = 0
        # Keys of the current member of the answer, and of its outputs.
        self._member = self._key = b""
        self._output_from: int = 0
        self._kept: list[bytes] = []
        self.kept_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """How many bytes are held of an output that has not arrived completely."""
        return len(self._rest) + self._parts_bytes

    def add(self, part: bytes) -> None:
        """Take the next part."""
        self._parts.append(part)
        self._parts_bytes += len(part)
        # An incomplete string is read again later, so short parts are collected first.
        if self._parts_bytes >= READ_BYTES:
            self._read()

    def answer(self) -> bytes:
        """Return the shortened answer; invalid JSON if the answer is incomplete."""
        self._read()
        return b'{"outputs":{' + b",".join(self._kept) + (b"}}" if self._depth == 0 else b"")

    def _read(self) -> None:
        rest = b"".join([self._rest, *self._parts])
        self._parts.clear()
        self._parts_bytes = 0
        for token in _TOKEN.finditer(rest, self._read_to):
            text = token[0]
            if text == b'"':
                break
            self._read_to = token.end()
            if text in (b"{", b"["):
                self._depth += 1
                if self._depth == _IN_OUTPUTS + 1:
                    self._output_from = token.start()
            elif text in (b"}", b"]"):
                self._depth -= 1
                if self._depth == _IN_OUTPUTS and self._member == _OUTPUTS:
                    self._keep(rest[self._output_from : self._read_to])
            elif self._depth == 1:
                self._member = text
            elif self._depth == _IN_OUTPUTS:
                self._key = text
        # Keep all of an output that is being read, otherwise only what has not been read.
        used = self._output_from if self._depth > _IN_OUTPUTS else self._read_to
        self._rest = rest[used:]
        self._read_to -= used
        self._output_from = 0

    def _keep(self, output: bytes) -> None:
        try:
            read_output = _read_output(output)
            if len(bytes(read_output.control)) > MAX_CONTROL_BYTES:
                control = _read_control(read_output.control)
                control.reason = (control.reason or "")[:MAX_REASON_CHARS]
                read_output.control = Raw(_encode(control))
            short = _encode(read_output)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Reading the answer then reports it as wrong.
            short = b"null"
        self._kept.append(self._key + b":" + short)
        self.kept_bytes += len(self._key) + len(short) + 2
