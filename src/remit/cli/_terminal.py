"""Output for the terminal: width, characters, colours."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from itertools import chain, islice
from shutil import get_terminal_size
from typing import Final, TextIO

import click
import msgspec

from remit._base.text import cut as cut
from remit._base.text import duration as duration
from remit._base.text import number_of as number_of
from remit._base.text import padded as padded
from remit._base.text import printable as printable
from remit._base.text import width as width
from remit._capture.tree import Lines

FALLBACK_COLUMNS: Final = 100
MIN_COLUMNS: Final = 48
KIB: Final = 1024
MONTH_S: Final = 30 * 86_400
CHUNK_CHARS: Final = 64 * KIB
"""Long output is written in parts of this length."""

# DEL is the only control character that JSON does not escape.
_NOT_ASCII: Final = re.compile(r"[^\n -~]")

STATUS_COLOURS: Final = {
    "active": "cyan",
    "cancelled": "yellow",
    "complete": "green",
    "failed": "red",
    "suspended": "magenta",
    "terminated": "red",
    "waiting": "magenta",
}


ASCII: Final = Lines("|- ", "`- ", "|  ", "->", "x", "...", "-")


def lines() -> Lines:
    """Return the strokes that standard output can encode."""
    strokes = Lines()
    try:
        "".join(astuple(strokes)).encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ASCII
    return strokes


def columns() -> int:
    return max(MIN_COLUMNS, get_terminal_size((FALLBACK_COLUMNS, 24)).columns)


def is_terminal() -> bool:
    return sys.stdout.isatty()


def when_columns() -> int:
    return len("29 days ago" if is_terminal() else "2026-11-01T09:30:15Z")


def when(moment: datetime | None) -> str:
    """Return a time as `3 min ago` on a terminal, else in ISO 8601."""
    if moment is None:
        return ""
    if not is_terminal():
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return ago(moment, datetime.now(UTC))


def ago(moment: datetime, now: datetime) -> str:
    """Return the time before *now*; after a month, or in the future, the date."""
    seconds = (now - moment).total_seconds()
    for unit, length in (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count = int(seconds // length)
        if count >= 1 and seconds < MONTH_S:
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''} ago"
    return "now" if 0 <= seconds < 1 else f"{moment.astimezone():%Y-%m-%d}"


def emit(text: str = "", *, err: bool = False) -> None:
    """Write a line; colours only to a terminal and without `NO_COLOR`.

    Source: https://no-color.org: set and not empty means no colour.
    """
    click.echo(_encodable(text, sys.stderr if err else sys.stdout), err=err, color=_colour())


def emit_paged(texts: Iterable[str]) -> None:
    """Write lines, by a pager if standard output is a terminal with too few lines."""
    waiting = iter(texts)
    if is_terminal():
        screen = list(islice(waiting, get_terminal_size().lines - 1))
        further = list(islice(waiting, 1))
        if further:
            every = (
                f"{_encodable(text, sys.stdout)}\n" for text in chain(screen, further, waiting)
            )
            click.echo_via_pager(every, color=_colour())
            return
        waiting = iter(screen)
    part: list[str] = []
    chars = 0
    for text in waiting:
        part.append(text)
        chars += len(text)
        if chars > CHUNK_CHARS:
            emit("\n".join(part))
            part, chars = [], 0
    if part:
        emit("\n".join(part))


def _encodable(text: str, stream: TextIO) -> str:
    """Return *text* with escapes for characters that *stream* cannot encode."""
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _colour() -> bool | None:
    return False if os.environ.get("NO_COLOR") else None


def emit_json(value: object, *, indent: int | None = 2) -> None:
    """Write *value* as JSON: the same bytes for equal values, whatever the terminal.

    Characters that are not printable (control, bidirectional, lone surrogates) are escaped, because
    recorded strings must not control the terminal.
    """
    _write_json(_json_text(value, indent))


def emit_json_list(head: Mapping[str, object], name: str, items: Iterable[object]) -> None:
    """Write *head* as `emit_json` does, with the list *name* in it, some items at a time."""
    text = _json_text({**head, name: []}, indent=2)
    # JSON strings contain no line break, so this can only be the list.
    before, mark, after = text.partition(f'\n  "{name}": [')
    waiting = before + mark
    separator, end = "", "]"
    for item in items:
        waiting += f"{separator}\n    " + _json_text(item, indent=2).replace("\n", "\n    ")
        separator, end = ",", "\n  ]"
        if len(waiting) > CHUNK_CHARS:
            _write_json(waiting, nl=False)
            waiting = ""
    _write_json(waiting + end + after.removeprefix("]"))


def _json_text(value: object, indent: int | None) -> str:
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False)


def _write_json(text: str, *, nl: bool = True) -> None:
    click.echo(_NOT_ASCII.sub(_escaped, text).encode(), nl=nl)


def emit_line(text: bytes) -> None:
    """Write JSON as one line, characters that are not printable escaped."""
    _write_json(msgspec.json.format(text, indent=-1).decode())


def _escaped(found: re.Match[str]) -> str:
    """Return a printable character as it is, any other as a JSON escape."""
    if found[0].isprintable():
        return found[0]
    return "\\u007f" if found[0] == "\x7f" else json.dumps(found[0])[1:-1]


def coloured(status: str, text: str | None = None) -> str:
    return click.style(status if text is None else text, fg=STATUS_COLOURS.get(status))


def faint(text: str) -> str:
    return click.style(text, dim=True)


def bold(text: str) -> str:
    return click.style(text, bold=True)


def size(count_bytes: int) -> str:
    number = float(count_bytes)
    for unit in ("B", "KiB", "MiB"):
        if number < KIB:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= KIB
    return f"{number:.1f} GiB"
