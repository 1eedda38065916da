"""Reactions to refused items: pure decisions, no input or output."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from remit._deliver.losses import cost, cut_marker, skeleton
from remit._record.items import Item, Kind

MAX_TRIES: Final = 5
# Longer values of a payload are replaced when the payload is too large for the server.
KEPT_VALUE_BYTES: Final = 256

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode


class Reaction(StrEnum):
    """The reaction to a refused item."""

    SET_ASIDE = "set_aside"
    """Sending it again cannot help."""
    RENEW_RUN = "renew_run"
    """The server does not know the run: register it once more, then send the item again."""
    CREATE = "create"
    """The server does not know the span: send it whole, with its terminal status."""
    TRY_AGAIN = "try_again"
    """It may work later; the tries are limited."""


def is_already_done(item: Item, code: str | None) -> bool:
    """Return whether an item was refused because the span has ended already."""
    return code == "invalid_action" and item.kind == Kind.FINISH


def reaction(kind: int, code: str | None) -> Reaction:
    """Return the reaction to a span item of *kind* that was refused with *code*."""
    if code == "not_found":
        return Reaction.CREATE if kind == Kind.FINISH else Reaction.RENEW_RUN
    if code in ("bad_request", "validation_errors"):
        return Reaction.SET_ASIDE
    return Reaction.TRY_AGAIN


def whole_span(item: Item) -> Item:
    """Return a `FINISH` item as the whole span, with its terminal status."""
    return replace(item, kind=Kind.SPAN)


def smaller_forms(item: Item) -> Iterator[Item]:
    """Yield *item* with its long values cut, then as a skeleton; only smaller ones."""
    cut = replace(item, payload=_cut(item.payload), result=_cut(item.result))
    if cost(cut) < cost(item):
        yield cut
    bare = skeleton(item)
    if cost(bare) < min(cost(cut), cost(item)):
        yield bare


def _cut(content: bytes | None) -> bytes | None:
    """Return a JSON object with markers in place of its long values."""
    if content is None:
        return None
    try:
        values = _object.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return content
    if all(len(bytes(value)) <= KEPT_VALUE_BYTES for value in values.values()):
        return content
    return _encode({name: _marked(bytes(value)) for name, value in values.items()})


def _marked(value: bytes) -> Raw:
    if len(value) <= KEPT_VALUE_BYTES:
        return Raw(value)
    return Raw(cut_marker(value))
