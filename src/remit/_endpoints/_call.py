"""One request as a value, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from remit.errors import ContractError
from remit.models.envelope import ListResponse, SuccessResponse

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

API: Final = "/api/v1"
# Enough to see what is wrong; an answer may be wrong in a thousand places.
MAX_NAMED_FAULTS: Final = 3
MAX_FAULTS: Final = 1000
MAX_ANSWER_BYTES: Final = 1024 * 1024
"""Longest answer about one thing."""
MAX_LIST_BYTES: Final = 16 * 1024 * 1024
"""Longest page of a list: 100 spans with payloads and results at their limit have 13 MB."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, complete: sending it twice sends the same bytes with the same keys.

    Attributes:
        method: HTTP method.
        path: Path from the API's root, ids quoted.
        parse: Reads the body of an answer; raises nothing but `ContractError`.
        body: JSON, or None for no body. Left out of `repr`: it holds payloads.
        query: Names and values of the query, in order.
        limit_bytes: Longest answer that is read.
        by_output: Whether a longer answer is read one output at a time, without the `details` of
            each; for bulk requests.
    """

    method: str
    path: str
    parse: Callable[[bytes], T] = field(repr=False, compare=False)
    body: bytes | None = field(default=None, repr=False)
    query: tuple[tuple[str, str], ...] = ()
    limit_bytes: int = field(default=MAX_ANSWER_BYTES, repr=False, compare=False)
    by_output: bool = field(default=False, repr=False, compare=False)


def details(model: type[M]) -> Callable[[bytes], M]:
    """Return a parser for an answer that holds one *model* under `details`."""

    def parse(body: bytes) -> M:
        return success(model, body).details

    return parse


def success(model: type[M], body: bytes) -> SuccessResponse[M]:
    """Return *body* as the envelope of one *model*."""
    envelope: type[SuccessResponse[M]] = _parametrised(SuccessResponse, model)
    return read(envelope, body)


def page(model: type[M]) -> Callable[[bytes], ListResponse[M]]:
    """Return a parser for an answer that holds a list of *model*."""

    def parse(body: bytes) -> ListResponse[M]:
        envelope: type[ListResponse[M]] = _parametrised(ListResponse, model)
        return read(envelope, body)

    return parse


# Kept for good: pydantic itself forgets a parametrised class that nobody holds, and building one
# takes a millisecond. Built at the first answer, so that importing remit does not pay for it.
@cache
def _parametrised(envelope: Any, model: type[BaseModel]) -> Any:  # noqa: ANN401 - a class made here
    return envelope[model]


def read(model: type[M], body: bytes) -> M:
    """Return *body* as *model*.

    Raises:
        ContractError: It is not JSON, no object, or not of this shape. The message names the
            places, never the values, and so does not chain pydantic's error, which has them.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fault = _fault(error, body)
    raise ContractError(
        f"{fault}; expected a JSON object as the Prefactor API answers. Check the api_url: a proxy "
        "or another service may have answered"
    )


def _fault(error: ValidationError, body: bytes) -> str:
    if not body.strip():
        return "the answer is empty"
    if body.lstrip()[:1] == b"<":
        return "the answer is an HTML or XML page"
    if error.error_count() > MAX_FAULTS:
        return f"the answer does not fit, in {error.error_count()} places"
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return "the answer is not JSON"
    if not faults[0]["loc"]:
        return "the answer is JSON, but no object"
    named = [
        f"{'.'.join(map(str, fault['loc']))}: {fault['type']}"
        for fault in faults[:MAX_NAMED_FAULTS]
    ]
    return f"the answer does not fit ({', '.join(named)})"
