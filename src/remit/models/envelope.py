"""Envelopes of responses: of one object, of a list, and of an error."""

from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, ConfigDict

from remit.models._types import JsonObject, WireModel

T = TypeVar("T")

MAX_PAGE_SIZE = 100
"""Most objects in a page of a list."""


class Control(WireModel):
    """Control signal for a running program. The response to a request for a span contains it."""

    model_config = ConfigDict(extra="allow")

    terminate: bool = False
    """Whether the run was terminated. If so, the program should stop."""
    reason: str | None = None
    """Reason for the termination."""


def _known_form(control: object) -> object:
    """Read a control signal that is not an object as None, as the published clients do."""
    return control if isinstance(control, (dict, Control)) else None  # pyright: ignore[reportUnknownVariableType] - pydantic checks the rest


ControlSignal: TypeAlias = Annotated[Control | None, BeforeValidator(_known_form)]
"""A control signal, absent unless the instance was terminated."""


class SuccessResponse(WireModel, Generic[T]):
    """Response with one object. For a span, it can also contain a control signal."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: T
    """The object."""
    control: ControlSignal = None
    """The control signal. It is present only if the instance was terminated."""


class Pagination(WireModel):
    """Position of a page in its list."""

    item_count: int
    """Number of items in the list."""
    item_start: int
    """Position of the page's first item in the list, starting at 1."""
    item_end: int
    """Position of the page's last item in the list, starting at 1."""
    page_count: int
    """Number of pages."""
    page_index: int
    """Number of this page, starting at 1."""
    page_offset: int
    """Number of items before this page."""
    page_size: int
    """Maximum number of items in a page."""
    next_page_offset: int | None
    """Offset of the next page. Null on the last page."""
    previous_page_offset: int | None
    """Offset of the previous page. Null on the first page."""


class Sorting(WireModel):
    """Order of a list."""

    field: str
    """Name of the field."""
    direction: str
    """`asc` or `desc`."""


class ListResponse(WireModel, Generic[T]):
    """One page of a list."""

    status: Literal["success"] = "success"
    """Always `success`."""
    summaries: list[T]
    """The objects of this page."""
    pagination: Pagination | None = None
    """Position of the page. Servers always send this key."""
    sorting: Sorting | None = None
    """Order of the list. Servers always send this key."""


class ErrorResponse(WireModel):
    """Response to a rejected request."""

    status: Literal["error"] = "error"
    """Always `error`."""
    code: str
    """Error code, such as `not_found`, `validation_errors` or `invalid_action`."""
    message: str
    """Error message for people."""
    errors: dict[str, Any] | None = None
    """Validation errors by field."""


class PingResponse(WireModel):
    """Response to a ping. A server decides which details it includes."""

    model_config = ConfigDict(extra="allow")

    status: str | None = None
    """`success` from every known server."""
    details: JsonObject | None = None
    """Scope and permissions of the token, if the server returns them."""
