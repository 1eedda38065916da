"""Bulk: several operations in one request, each in its own transaction, in order."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from remit.models._types import WireModel
from remit.models.envelope import ControlSignal

MIN_KEY_CHARS = 8
MAX_KEY_CHARS = 64
"""Longest idempotency key, in bulk and in single requests."""


class BulkItem(WireModel):
    """An operation in a bulk request."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    type: str = Field(alias="_type")
    """The operation, for example `agent_spans/create`. On the wire, this field is called
    `_type`.
    """
    idempotency_key: str = Field(min_length=MIN_KEY_CHARS, max_length=MAX_KEY_CHARS)
    """Key that makes it safe to repeat the item. It is unique in the request, and identifies the
    output.
    """


class BulkRequest(WireModel):
    """Body of a bulk request. Dump it with `by_alias=True`."""

    items: list[BulkItem] = Field(min_length=1)
    """The operations, in order of execution."""

    @field_validator("items")
    @classmethod
    def _need_unique_keys(cls, items: list[BulkItem]) -> list[BulkItem]:
        """Reject two items with one key, because their outputs have the same key."""
        seen: set[str] = set()
        for item in items:
            if item.idempotency_key in seen:
                message = f"idempotency_key {item.idempotency_key!r} is used twice in one request"
                raise ValueError(message)
            seen.add(item.idempotency_key)
        return items


class BulkOutput(WireModel):
    """The output of one operation: the response that the operation's own endpoint would return."""

    model_config = ConfigDict(extra="allow")

    status: Literal["success", "error"]
    """Whether the operation succeeded."""
    details: Any = None
    """The object, after a success."""
    code: str | None = None
    """Error code, after an error."""
    message: str | None = None
    """Error message for people, after an error."""
    errors: dict[str, Any] | None = None
    """Messages by field, after a validation error."""
    control: ControlSignal = None
    """The control signal. It is present only if the instance was terminated."""


class BulkResponse(WireModel):
    """Response to a bulk request. Its status is `success` even if an item failed.

    Items after the first error are not executed and do not have an output.
    """

    status: Literal["success"] = "success"
    """Always `success`."""
    outputs: dict[str, BulkOutput]
    """The output of each operation, by idempotency key."""
