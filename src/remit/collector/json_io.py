"""JSON in and out: a body is decoded and checked once, and payloads are stored as received.

Every client must be able to read what is stored: no number out of range, no text that is not
Unicode, no nesting that overruns a parser's stack.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from itertools import islice
from typing import Final, TypeAlias, cast

import msgspec
from msgspec import Raw

from remit.collector.errors import malformed, too_large

Fields: TypeAlias = dict[str, Raw]
"""A JSON object whose values are not decoded."""


class JsonText(msgspec.Struct, gc=False):
    """JSON as received, and its value, which is None until it is decoded."""

    text: bytes | Raw
    value: object = None

    def member(self, name: str) -> object:
        """Return the value of a member of this object; None if it is not decoded yet."""
        return cast("dict[str, object]", self.value).get(name) if self.value else None


encode: Final = msgspec.json.encode


def finite(text: str) -> float:
    """Return the number in *text*, for `float_hook` of every decoder of a request.

    msgspec takes 10 microseconds for a number like 1.1e300, and `float` takes half of one.

    Raises:
        ValueError: It is too large for a float.
    """
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number


read_json: Final = msgspec.json.Decoder(float_hook=finite).decode
"""Reads JSON of a request or of a stored row."""
_read_fields: Final = msgspec.json.Decoder(Fields).decode
_SHOWN_KEY_CHARS: Final = 64
_NOT_AN_OBJECT: Final = "the body must be a JSON object"
# Everything up to a separator that is in no string. The end of the text ends a string too: the
# pattern matches wherever it begins, so no text is matched twice.
_UP_TO_SEPARATOR: Final = re.compile(
    rb"""(?:[^",\[{]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+(?:[,\[{]|\Z)""", re.DOTALL
)


def fields_of(body: bytes) -> Fields:
    """Return the members of the JSON object *body*; an empty body has none.

    Raises:
        RequestError: 400, the body is not a JSON object.
    """
    if not body or body.isspace():
        return {}
    try:
        return _read_fields(body)
    except msgspec.ValidationError as error:
        raise malformed(_NOT_AN_OBJECT) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"the body is not readable JSON: {_reason(error)}") from error


_DIGITS: Final = b"0123456789"


class _RepeatedKeyError(Exception):
    """An object has a key twice; it is the first argument."""


def read_body(body: bytes, most_values: int) -> JsonText:
    """Return a body with its value, unless it is too much, or may be read in two ways.

    A value of two bytes, such as `[]`, takes 64 once it is decoded. Parts of a body are stored
    as received, so all of it has to be UTF-8. If a key is used twice, readers differ in which
    value counts. Text that cannot be read is returned without a value, for the error of the
    reader that needs it.

    Raises:
        RequestError: 413, it holds too many values; 400.
    """
    # This counts the separators in strings too, and clears nearly every body.
    separators = body.count(b",") + body.count(b"[") + body.count(b"{")
    if separators >= most_values and _has_more_values(body, most_values):
        raise too_large(f"the body holds more than {most_values} JSON values")
    value, is_whole = _read(body)
    try:
        if not is_whole:
            _find_repeated(str(body, "utf-8"))
    except UnicodeDecodeError as error:
        raise malformed("the body is not UTF-8") from error
    except _RepeatedKeyError as error:
        key = str(error.args[0])[:_SHOWN_KEY_CHARS]
        raise malformed(f"the body has an object with two members {key!r}") from error
    except RecursionError as error:
        raise malformed("the body nests too deep") from error
    except ValueError:
        return JsonText(body)
    return JsonText(body, value)


def _has_more_values(body: bytes, most: int) -> bool:
    # The last value has no separator, and the end is matched once more.
    return sum(1 for _ in islice(_UP_TO_SEPARATOR.finditer(body), most + 2)) > most + 1


def _read(text: bytes) -> tuple[object, bool]:
    """Return the value of *text*, and whether that is all of it; a repeated key is lost.

    False may only mean another notation of a number or a letter. Looking for the key is several
    times slower, unless numbers have thousands of digits: those are slow to write.
    """
    value: object = None
    if len(text.translate(None, _DIGITS)) * 2 >= len(text):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = read_json(text)
            written = encode(value)
            return value, written == text or written == msgspec.json.format(text, indent=-1)
    return value, False


def _keys_once(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _RepeatedKeyError(key)
        seen.add(key)


# No number is read, which takes long where it has thousands of digits.
_find_repeated: Final = json.JSONDecoder(
    object_pairs_hook=_keys_once, parse_float=len, parse_int=len, parse_constant=len, strict=False
).decode


def value_of(json_text: JsonText, max_depth: int) -> object:
    """Return the value of a JSON text, validated.

    Raises:
        RequestError: 400, a value cannot be read, or nests deeper.
    """
    text, value = json_text.text, json_text.value
    try:
        value = read_json(text) if value is None else value
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(f"the body is not readable JSON: {_reason(error)}") from error
    check_depth(str(text, "utf-8"), value, max_depth)
    return value


def check_depth(text: str, value: object, max_depth: int) -> None:
    """Reject a JSON text whose *value* nests deeper.

    Raises:
        RequestError: 400.
    """
    # Counting brackets clears nearly every payload at a tenth of the cost of a walk.
    if text.count("{") + text.count("[") > max_depth and _deeper_than(value, max_depth):
        raise malformed(f"the body nests deeper than {max_depth} levels")


def object_of(json_text: JsonText, max_depth: int) -> dict[str, object]:
    """Return the object that a JSON text holds; see `value_of`.

    Raises:
        RequestError: 400, it is not an object, cannot be read, or nests deeper.
    """
    value = value_of(json_text, max_depth)
    if not isinstance(value, dict):
        raise malformed(_NOT_AN_OBJECT)
    return cast("dict[str, object]", value)


def canonical(value: object) -> bytes:
    """Return JSON that is equal for equal values, whatever the order of their keys."""
    return encode(value, order="sorted")


def same_json(one: bytes, other: bytes) -> bool:
    """Return whether two valid JSON texts have the same value."""
    return one == other or canonical(read_json(one)) == canonical(read_json(other))


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it nests too deep"
    return str(error)


def _deeper_than(value: object, max_depth: int) -> bool:
    """Return whether *value* nests deeper; level by level, so that no stack can overrun."""
    level = [value]
    for _ in range(max_depth):
        level = [inner for outer in level for inner in _members(outer)]
    return any(isinstance(value, dict | list) for value in level)


def _members(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []
