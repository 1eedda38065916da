"""The filters of summary templates, each with a bound on what it makes and how long it takes."""

from __future__ import annotations

import html
import math
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol, TypeAlias, cast
from urllib.parse import quote_plus

from liquid.undefined import Undefined

MAX_CHARS: Final = 256 * 1024
"""Most of what one value may hold; an item counts as 8 characters and what is in it."""
MAX_INTEGER: Final = 2**256
MAX_DATE_CHARS: Final = 64
_ITEM_CHARS: Final = 8
_CHARS_A_STEP: Final = 256

Items: TypeAlias = list[object]


class TooMuchError(Exception):
    """A template asks for more than a summary may take."""


class Meter:
    """What one render may still do."""

    def __init__(self, allowance: int, deadline_s: float, clock: Callable[[], float]) -> None:
        """Allow so many steps, until the *clock* says *deadline_s*."""
        self._left, self._deadline_s, self._clock = allowance, deadline_s, clock

    def spend(self, steps: int) -> None:
        """Take *steps*.

        Raises:
            TooMuchError: So many are not left, or the time is over.
        """
        self._left -= steps
        if self._left < 0 or self._clock() > self._deadline_s:
            raise TooMuchError

    def pay(self, *values: object) -> None:
        """Take what a walk through *values* costs.

        Raises:
            TooMuchError: One of them is too large, or nothing is left.
        """
        chars = sum(map(size_of, values))
        if chars > 2 * MAX_CHARS:
            raise TooMuchError
        self.spend(1 + chars // _CHARS_A_STEP)


def size_of(value: object) -> int:
    """Return about how many characters *value* takes, looked at no longer than is allowed."""
    if isinstance(value, str):
        return len(value)
    size, waiting = 0, [value]
    while waiting and size <= 2 * MAX_CHARS:
        each = waiting.pop()
        size += _ITEM_CHARS
        if isinstance(each, str):
            size += len(each)
        elif isinstance(each, dict):
            waiting.extend(cast("dict[str, object]", each).values())
        elif isinstance(each, list | tuple | range):
            size += _ITEM_CHARS * len(cast("Items", each))
            waiting.extend(() if isinstance(each, range) else cast("Items", each))
    return size


class Filter(Protocol):
    """One filter."""

    def __call__(self, meter: Meter, left: object, *args: object, **named: object) -> object:
        """Return what it makes of *left*."""
        ...


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list | tuple | range | Undefined):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(_number(value)) if isinstance(value, int | float) else ""


def _number(value: object) -> int | float:
    if isinstance(value, str) and len(value) <= MAX_DATE_CHARS:
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                value = 0
    if not isinstance(value, int | float):
        return 0
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise TooMuchError
    return value


def _items(value: object) -> Items:
    if isinstance(value, list | tuple | range):
        return list(cast("Items", value))
    return [] if value is None or isinstance(value, Undefined) else [value]


def _member(item: object, key: object) -> object:
    return cast("dict[str, object]", item).get(_text(key)) if isinstance(item, dict) else None


def _of_text(change: Callable[..., object]) -> Filter:
    """Return the filter that changes a text by texts; what it makes is at most nine times that."""

    def apply(meter: Meter, left: object, *args: object, **named: object) -> object:
        del named
        meter.pay(left, *args)
        made = change(_text(left), *args)
        meter.pay(made)
        return made

    return apply


def _of_numbers(change: Callable[..., int | float]) -> Filter:
    def apply(meter: Meter, left: object, *args: object, **named: object) -> object:
        del named
        meter.pay(left, *args)
        return _number(change(_number(left), *map(_number, args)))

    return apply


def _of_items(change: Callable[..., object]) -> Filter:
    def apply(meter: Meter, left: object, *args: object, **named: object) -> object:
        del named
        meter.pay(left, *args)
        made = change(_items(left), *args)
        meter.pay(made)
        return made

    return apply


def _replace(text: str, old: object = "", new: object = "", count: int = -1) -> str:
    before, after = _text(old), _text(new)
    found = text.count(before) if count < 0 else count
    if len(text) + found * len(after) > MAX_CHARS:
        raise TooMuchError
    return text.replace(before, after, count)


def _truncate(text: str, most: object = 50, end: object = "...") -> str:
    room, mark = int(_number(most)), _text(end)
    return text if len(text) <= room else text[: max(0, room - len(mark))] + mark


def _truncate_words(text: str, most: object = 15, end: object = "...") -> str:
    words, room = text.split(), max(1, int(_number(most)))
    return " ".join(words) if len(words) <= room else " ".join(words[:room]) + _text(end)


def _split(text: str, at: object = "") -> Items:
    if len(text) * _ITEM_CHARS > MAX_CHARS:
        raise TooMuchError
    separator = _text(at)
    if not separator:
        return list(text)
    return cast("Items", text.split(None if separator == " " else separator)) if text else []


def _join(items: Items, separator: object = " ") -> str:
    between = _text(separator)
    if len(items) * len(between) > MAX_CHARS:
        raise TooMuchError
    return between.join(map(_text, items))


def _slice(meter: Meter, left: object, *args: object, **named: object) -> object:
    del named
    meter.pay(left)
    value = list(cast("Items", left)) if isinstance(left, list | tuple | range) else _text(left)
    start = int(_number(args[0])) if args else 0
    length = int(_number(args[1])) if len(args) > 1 else 1
    begin = max(0, start + len(value)) if start < 0 else start
    return value[begin : begin + max(0, length)]


def _default(meter: Meter, left: object, *args: object, **named: object) -> object:
    meter.spend(1)
    if isinstance(left, bool):
        absent = not left and not named.get("allow_false")
    else:
        absent = left is None or isinstance(left, Undefined) or left in ("", [], {})
    return (args[0] if args else "") if absent else left


def _size(meter: Meter, left: object, *args: object, **named: object) -> object:
    del args, named
    meter.spend(1)
    return len(cast("str", left)) if isinstance(left, str | list | tuple | dict | range) else 0


def _sort(items: Items, key: object = None) -> Items:
    values = [_member(each, key) if key else each for each in items]
    order = sorted(range(len(items)), key=lambda at: _sortable(values[at]))
    return [items[at] for at in order]


def _sortable(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (0, float(_number(value)), "")
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, "")


def _uniq(items: Items) -> Items:
    seen: dict[str, object] = {}
    for each in items:
        seen.setdefault(f"{type(each).__name__} {each!r}", each)
    return list(seen.values())


def _where(items: Items, key: object = "", value: object = None) -> Items:
    if value is None or isinstance(value, Undefined):
        return [each for each in items if _member(each, key) not in (None, False)]
    return [each for each in items if _member(each, key) == value]


def _date(text: str, form: object = "%Y-%m-%d") -> str:
    shape = _text(form)
    if max(len(text), len(shape)) > MAX_DATE_CHARS:
        return text[:MAX_DATE_CHARS]
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC).strftime(shape)
        return datetime.fromisoformat(text).strftime(shape)
    except (ValueError, OverflowError, OSError):
        return text


def _round(number: float, digits: float = 0) -> float:
    places = int(digits)
    return round(number) if places <= 0 else round(number, min(places, 20))


def _divided(number: float, by: float = 0) -> float:
    whole = isinstance(number, int) and isinstance(by, int)
    return number // by if whole else number / by


def _append(text: str, end: object = "") -> str:
    return text + _text(end)


def _prepend(text: str, start: object = "") -> str:
    return _text(start) + text


def _remove(text: str, old: object = "") -> str:
    return _replace(text, old)


def _replace_first(text: str, old: object = "", new: object = "") -> str:
    return _replace(text, old, new, 1)


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")


def _concat(items: Items, more: object = ()) -> Items:
    return items + _items(more)


def _map(items: Items, key: object = "") -> Items:
    return [_member(each, key) for each in items]


def _compact(items: Items) -> Items:
    return [each for each in items if each is not None]


def _reverse(items: Items) -> Items:
    return items[::-1]


def _first(items: Items) -> object:
    return items[0] if items else None


def _last(items: Items) -> object:
    return items[-1] if items else None


def _absolute(number: float) -> float:
    return abs(number)


def _sum(items: Items) -> float:
    return sum(map(_number, items))


FILTERS: Final[Mapping[str, Filter]] = {
    "append": _of_text(_append),
    "capitalize": _of_text(str.capitalize),
    "date": _of_text(_date),
    "downcase": _of_text(str.lower),
    "escape": _of_text(html.escape),
    "lstrip": _of_text(str.lstrip),
    "prepend": _of_text(_prepend),
    "remove": _of_text(_remove),
    "replace": _of_text(_replace),
    "replace_first": _of_text(_replace_first),
    "rstrip": _of_text(str.rstrip),
    "split": _of_text(_split),
    "strip": _of_text(str.strip),
    "strip_newlines": _of_text(_one_line),
    "truncate": _of_text(_truncate),
    "truncatewords": _of_text(_truncate_words),
    "upcase": _of_text(str.upper),
    "url_encode": _of_text(quote_plus),
    "abs": _of_numbers(_absolute),
    "at_least": _of_numbers(max),
    "at_most": _of_numbers(min),
    "ceil": _of_numbers(math.ceil),
    "divided_by": _of_numbers(_divided),
    "floor": _of_numbers(math.floor),
    "minus": _of_numbers(operator.sub),
    "modulo": _of_numbers(operator.mod),
    "plus": _of_numbers(operator.add),
    "round": _of_numbers(_round),
    "times": _of_numbers(operator.mul),
    "compact": _of_items(_compact),
    "concat": _of_items(_concat),
    "first": _of_items(_first),
    "join": _of_items(_join),
    "last": _of_items(_last),
    "map": _of_items(_map),
    "reverse": _of_items(_reverse),
    "sort": _of_items(_sort),
    "sum": _of_items(_sum),
    "uniq": _of_items(_uniq),
    "where": _of_items(_where),
    "default": _default,
    "size": _size,
    "slice": _slice,
}
