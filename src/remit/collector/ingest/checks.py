"""Reading and checking what a request says, against the wire models and the rules beside them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, TypeVar, cast

from pydantic import BaseModel, ValidationError

from remit._base.ids import is_pfid
from remit.collector.refusals import RequestError, invalid, invalid_field
from remit.collector.settings import KIB
from remit.collector.times import parse_us
from remit.collector.wire import Fields, object_of, value_of

M = TypeVar("M", bound=BaseModel)

MAX_KEY_CHARS: Final = 64
MAX_NAME_CHARS: Final = 1000
MAX_TEXT_CHARS: Final = 64 * KIB
"""Length of a description or a reason; a list holds a hundred of them."""
MAX_ERRORS: Final = 20
"""Number of errors in one answer."""
MAX_PLACE_CHARS: Final = 200
MAX_DECLARED: Final = 10_000
"""Span types, and kinds of quality payload, of one schema version."""
_DECLARING: Final = frozenset({"agent_schema_version", "agent_version", "runtime_environment"})
_DECLARED: Final = frozenset(
    {
        "agent_sdk",
        "prefactor_sdk",
        "quality_schemas",
        "span_result_schemas",
        "span_schemas",
        "span_type_schemas",
    }
)
# Identifiers are indexed beside the id of what they belong to; PostgreSQL indexes at most 2,704
# bytes together.
MAX_IDENTIFIER_BYTES: Final = 2500
_NUL: Final = "\x00"
_PFID_CHARS: Final = 32


def model_of(kind: type[M], params: bytes, max_depth: int) -> M:
    """Return *params* as the wire model *kind*.

    Strict: a number is no text and a text no number, as in the span items that msgspec reads.

    Raises:
        RequestError: 400 or 422.
    """
    return validated(kind, object_of(params, max_depth))


def validated(kind: type[M], values: Mapping[str, object]) -> M:
    """Return *values* as the wire model *kind*.

    Raises:
        RequestError: 422, with messages by field.
    """
    try:
        return kind.model_validate(values, strict=True)
    except ValidationError as error:
        raise invalid(_errors_by_field(error)) from error


def _errors_by_field(error: ValidationError) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    for one in errors[:MAX_ERRORS]:
        place = ".".join(str(part)[:MAX_PLACE_CHARS] for part in one["loc"])
        found[place[:MAX_PLACE_CHARS]].append(one["msg"])
    return dict(found)


def check_declared(values: Mapping[str, object]) -> None:
    """Refuse a registration that declares too much, before its items are read.

    Raises:
        RequestError: 422.
    """
    for name, value in values.items():
        if name in _DECLARED and isinstance(value, list | dict):
            if len(cast("list[object]", value)) > MAX_DECLARED:
                raise invalid_field(name, f"must have at most {MAX_DECLARED} entries")
        elif name in _DECLARING and isinstance(value, dict):
            check_declared(cast("dict[str, object]", value))


def key_in(fields: Fields, max_depth: int) -> object:
    """Return the idempotency key that stands in *fields*, unchecked, or None."""
    raw = fields.get("idempotency_key")
    return None if raw is None else value_of(raw, max_depth)


def checked_key(key: object) -> str | None:
    """Return *key* if it may be an idempotency key; None stays None.

    Raises:
        RequestError: 422, it is no text of 1 to 64 characters.
    """
    if key is None:
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS or _NUL in key:
        raise invalid_field("idempotency_key", f"must be a text of 1 to {MAX_KEY_CHARS} characters")
    return key


def checked_id(identifier: str | None) -> str | None:
    """Return the id that a client chose; None stays None.

    Raises:
        RequestError: 422, it is no PFID.
    """
    if identifier is not None and not is_pfid(identifier):
        raise invalid_field("id", f"must be a PFID: {_PFID_CHARS} characters of 0-9 and a-z")
    return identifier


def check_name(field: str, name: str | None) -> None:
    """Refuse a *name* that is empty, too long, or holds a NUL.

    Raises:
        RequestError: 422.
    """
    if name is not None:
        _refuse(field, _wrong_in_name(name))


def check_identifier(field: str, identifier: str | None) -> None:
    """Refuse an external identifier that is no name, or too long to be indexed.

    Raises:
        RequestError: 422.
    """
    if identifier is not None:
        _refuse(field, wrong_in_identifier(identifier))


def wrong_in_identifier(identifier: str) -> str | None:
    """Return what an external identifier must be and is not, None if nothing is wrong."""
    wrong = _wrong_in_name(identifier)
    if wrong is None and len(identifier.encode("utf-8", "replace")) > MAX_IDENTIFIER_BYTES:
        return f"must have at most {MAX_IDENTIFIER_BYTES} bytes in UTF-8"
    return wrong


def _wrong_in_name(name: str) -> str | None:
    if not name or len(name) > MAX_NAME_CHARS or _NUL in name:
        return f"must have 1 to {MAX_NAME_CHARS} characters, none of them a NUL"
    return None


def _refuse(field: str, wrong: str | None) -> None:
    if wrong is not None:
        raise invalid_field(field, wrong)


def check_text(field: str, text: str | None) -> None:
    """Refuse a *text* that is too long for a list, or holds a NUL, which PostgreSQL cannot keep.

    Raises:
        RequestError: 422.
    """
    if text is not None and (len(text) > MAX_TEXT_CHARS or _NUL in text):
        raise invalid_field(
            field, f"must have at most {MAX_TEXT_CHARS} characters, none of them a NUL"
        )


def instant(field: str, text: str | None, default_us: int) -> int:
    """Return the instant that *text* names; without a text, the default.

    Raises:
        RequestError: 422, it is no ISO 8601 time.
    """
    if text is None:
        return default_us
    try:
        return parse_us(text)
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, "must be a time in ISO 8601, in the years 1 to 9999") from error


def taken(field: str) -> RequestError:
    """Return the refusal of a name or id that something else has."""
    return invalid_field(field, "has already been taken")


_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")


def integer(field: str, value: object, *, least: int, most: int) -> int:
    """Return *value*, a number or (in a query) its text.

    Raises:
        RequestError: 422, it is no integer from *least* to *most*.
    """
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise invalid_field(field, f"must be an integer from {least} to {most}")
    return value
