"""From a caller's arguments to what stands on the wire, with errors that name the argument."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from remit._clock import SystemClock
from remit._ids import key_text, new_key
from remit.errors import UsageError

MAX_KEY_CHARS: Final = 64
MAX_PAGE_SIZE: Final = 100

Fields: TypeAlias = Mapping[str, object]


def body_of(where: str, fields: Fields, model: type[BaseModel]) -> dict[str, object]:
    """Return *fields* as the members of a JSON object, after *model* has looked at them.

    What was given is sent, not what the model made of it: a member that only a newer server knows
    is sent too. Absent and None are the same, and are left out.

    Args:
        where: The call in words, for the error.
        fields: Arguments by name: models, mappings, datetimes, and what JSON knows.
        model: The request's model.

    Raises:
        UsageError: An argument is unknown, missing or not of its type.
    """
    known = model.model_fields
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise UsageError(f"{where} does not know {unknown[0]!r}; it takes {', '.join(known)}")
    body = {name: _plain(value) for name, value in fields.items() if value is not None}
    check(where, body, model)
    return body


def check(where: str, body: Mapping[str, object], model: type[BaseModel]) -> None:
    """Raise if *model* does not take *body*.

    Raises:
        UsageError: It does not; names and reasons only, because values may be a user's data.
    """
    try:
        model.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    else:
        return
    named = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    raise UsageError(f"{where} cannot be sent: {named}")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(cast("Fields", value)) if isinstance(value, Mapping) else value


def encode(where: str, body: Mapping[str, Any]) -> bytes:
    """Return *body* as JSON; NaN and the infinities, which JSON has not, become null.

    Raises:
        UsageError: It holds something that has no place in JSON.
    """
    try:
        return to_json(
            body, by_alias=True, exclude_none=True, inf_nan_mode="null", bytes_mode="base64"
        )
    except PydanticSerializationError:
        pass  # it quotes the value, which may be a user's data, and so is not chained
    raise UsageError(
        f"{where} cannot be sent: it holds a value that JSON cannot express (an object of a class "
        "of its own, a circle, or text that is not Unicode)"
    )


def iso(moment: datetime) -> str:
    """Return *moment* as the API reads it: ISO 8601 in UTC. One without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    text = aware.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def key(given: str | None) -> str:
    """Return the idempotency key: *given*, else a new one, so that a retry is safe.

    Raises:
        UsageError: It is empty or too long.
    """
    if given is None:
        return key_text(new_key(SystemClock.wall_ns()))
    if not 1 <= len(given) <= MAX_KEY_CHARS:
        raise UsageError(
            f"idempotency_key has {len(given)} characters; the API takes 1 to {MAX_KEY_CHARS}"
        )
    return given


def segment(name: str, value: str) -> str:
    """Return an id as one segment of a path.

    Raises:
        UsageError: It is empty or dots: the request would go to another endpoint.
    """
    if value.strip(". ") == "":
        raise UsageError(f"{name} is {value!r}; expected the id that the API gave")
    return quote(value, safe="")


def query_of(where: str, fields: Fields, names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return *fields* as a query; None and False are left out, as the API leaves them out.

    Args:
        where: The call in words, for the error.
        fields: Arguments by name.
        names: The name on the wire of each argument that exists.

    Raises:
        UsageError: An argument is unknown, or no page can be as it says.
    """
    unknown = [name for name in fields if name not in names]
    if unknown:
        raise UsageError(f"{where} does not know {unknown[0]!r}; it takes {', '.join(names)}")
    _check_page(where, fields.get("offset"), fields.get("page_size"))
    return tuple(
        (names[name], _query_text(value))
        for name, value in fields.items()
        if value is not None and value is not False
    )


def _check_page(where: str, offset: object, page_size: object) -> None:
    if isinstance(offset, int) and offset < 0:
        raise UsageError(f"{where}: offset is {offset}; expected 0 or more")
    if isinstance(page_size, int) and not 1 <= page_size <= MAX_PAGE_SIZE:
        raise UsageError(f"{where}: page_size is {page_size}; expected 1 to {MAX_PAGE_SIZE}")


def _query_text(value: object) -> str:
    if isinstance(value, datetime):
        value = iso(value)
    return "true" if value is True else str(value)
