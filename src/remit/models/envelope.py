"""What answers have in common: the envelopes of one thing, of a list, and of an error."""

from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, ConfigDict

from remit.models._types import WireModel
from remit.models._words import JsonObject

T = TypeVar("T")


class Control(WireModel):
    """What the server tells a running program beside the answer to a span."""

    model_config = ConfigDict(extra="allow")

    terminate: bool = False
    """Whether the run was ended from outside and the program should stop."""
    reason: str | None = None
    """Why."""


def _known_form(control: object) -> object:
    """Read a control signal that is no object as none, as the published clients do."""
    return control if isinstance(control, (dict, Control)) else None  # pyright: ignore[reportUnknownVariableType] - pydantic checks the rest


ControlSignal: TypeAlias = Annotated[Control | None, BeforeValidator(_known_form)]
"""A control signal, absent unless the instance was terminated (CONTRACT.md section 10)."""


class SuccessResponse(WireModel, Generic[T]):
    """One thing, and a control signal if the answer is to a span of a terminated instance."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: T
    """The thing."""
    control: ControlSignal = None
    """Absent unless the instance was terminated."""


class Pagination(WireModel):
    """Which part of a list an answer holds."""

    item_count: int
    """How many items there are in all."""
    item_start: int
    """Number of the first item of this page, counted from one."""
    item_end: int
    """Number of the last item of this page, counted from one."""
    page_count: int
    """How many pages there are in all."""
    page_index: int
    """Number of this page, counted from one."""
    page_offset: int
    """How many items come before this page."""
    page_size: int
    """How many items a page holds at most."""
    next_page_offset: int | None
    """Offset of the next page; null on the last."""
    previous_page_offset: int | None
    """Offset of the page before; null on the first."""


class Sorting(WireModel):
    """In which order a list comes."""

    field: str
    """Name of the field."""
    direction: str
    """`asc` or `desc`."""


class ListResponse(WireModel, Generic[T]):
    """One page of a list."""

    status: Literal["success"] = "success"
    """Always `success`."""
    summaries: list[T]
    """The things of this page."""
    pagination: Pagination | None = None
    """Which part of the list this is; servers always send the key."""
    sorting: Sorting | None = None
    """The order; servers always send the key."""


class ErrorResponse(WireModel):
    """A refusal."""

    status: Literal["error"] = "error"
    """Always `error`."""
    code: str
    """Why, in one word: `not_found`, `validation_errors`, `invalid_action` and others."""
    message: str
    """Why, for people."""
    errors: dict[str, Any] | None = None
    """For validation errors: what is wrong, by field."""


class PingResponse(WireModel):
    """Answer to a ping; what it says beside the status is the server's affair."""

    model_config = ConfigDict(extra="allow")

    status: str | None = None
    """`success`, from every server that was seen."""
    details: JsonObject | None = None
    """What the server says about the token, if it does."""
