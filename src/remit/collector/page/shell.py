"""Rendering: the templates, the filters that they use, and the headers of every page."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from remit._policy.words import sensitivity
from remit.collector.page import formats
from remit.collector.page.marks import ALL_MARKS
from remit.collector.page.payload_tree import node_of

_HERE: Final = Path(__file__).parent
_STATIC: Final = _HERE / "static"
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""Types of the static files."""
_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types remit",
)
HEADERS: Final = {
    "content-security-policy": "; ".join(_POLICY),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}
"""Headers of every page."""
_COMMENTS: Final = re.compile(rb"^ *(?://.*\n|/\*(?:.|\n)*?\*/\n|\n)|^ +", re.MULTILINE)
_SPACES: Final = re.compile(rb"/\*(?:.|\n)*?\*/|(\"[^\"]*\")|\s*([{};,>])\s*|(: )\s*|\s+")
"""Matches comments, quoted texts and spaces of a style sheet, to shorten it."""
_FILTERS: Final[Mapping[str, Any]] = {
    "number": formats.number,
    "duration": formats.duration,
    "size": formats.size,
    "words": formats.words,
    "category": formats.category,
    "level": sensitivity,
    "visible": formats.visible,
    "conversation": formats.conversation,
    "tail": formats.tail,
    "step": formats.step,
    "steps": formats.steps,
    "missing": formats.missing,
    "times": formats.times,
    "listed": formats.listed,
    "node": node_of,
}
IMMUTABLE: Final = "public, max-age=31536000, immutable"


@cache
def static_files() -> Mapping[str, bytes]:
    """Return the static files by name."""
    return {path.name: _sent(path) for path in sorted(_STATIC.iterdir())}


def _sent(path: Path) -> bytes:
    """Return a file as it is sent: without its comments and its indentation.

    They are a quarter of the scripts. No text of a script goes over several lines.
    """
    content = path.read_bytes()
    if path.suffix == ".css":
        return _SPACES.sub(_without_spaces, content)
    return _COMMENTS.sub(b"", content) if path.suffix == ".js" else content


def _without_spaces(part: re.Match[bytes]) -> bytes:
    text, sign, colon = part.groups()
    if text or sign:
        return text or sign
    if colon:
        return b":"
    return b"" if part[0].startswith(b"/*") else b" "


@cache
def static_version() -> str:
    """Return a name for the content of the static files, which their addresses have."""
    digest = hashlib.sha256()
    for name, content in static_files().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


@cache
def templates() -> Environment:
    """Return the templates, with the filters that they use."""
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(_FILTERS)
    names: Any = environment.globals
    names["marks"] = ALL_MARKS
    return environment


@cache
def _globals() -> dict[str, object]:
    """Return the names that every template can use in addition to its values."""
    return {
        "static": f"/static/{static_version()}",
        "time": partial(_stamp, pattern="%Y-%m-%d %H:%M:%S"),
        "clock": partial(_stamp, pattern="%H:%M:%S"),
        "minute": _minute,
        "date": partial(_stamp, pattern="%-d %b %Y"),
        "moment": partial(_stamp, pattern="%-d %b %H:%M"),
        "day": formats.day,
        "short_day": formats.short_day,
    }


def file_headers(media_type: str, filename: str | None) -> dict[str, str]:
    """Return the headers of a file; one without a name is shown instead of saved."""
    headers = {**HEADERS, "content-type": media_type}
    if filename is not None:
        headers["content-disposition"] = f'attachment; filename="{filename}"'
    return headers


def render(template: str, values: Mapping[str, object]) -> bytes:
    """Return a page as HTML."""
    return templates().get_template(template, globals=_globals()).render(values).encode()


def _minute(moment: str | None, zone: ZoneInfo, today: date) -> Markup:
    """Return a time of the API as day and minute in a zone: `28 Nov 17:40`; of today, `17:40`."""
    is_today = (
        moment is not None and datetime.fromisoformat(moment).astimezone(zone).date() == today
    )
    return _stamp(moment, zone, "%H:%M" if is_today else "%-d %b %H:%M")


def _stamp(moment: str | None, zone: ZoneInfo, pattern: str) -> Markup:
    """Return a time of the API in a zone, with the time in UTC as its title."""
    if moment is None:
        return Markup("–")  # noqa: RUF001 - a dash, which the design has
    at = datetime.fromisoformat(moment)
    shown = at.astimezone(zone).strftime(pattern)
    full = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment, full, shown)
