"""Notes in a payload about the policy: a step exceeds its agent's remit, or was denied.

Part of payload format 1 (docs/reference/payloads.md). A marker has a text under `$remit`; a note
has an object there, so that readers can distinguish them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

from remit._capture.encode import Rules
from remit._capture.markers import KEY
from remit._capture.walk import Walk, decode, encode
from remit._inspect.introspection import type_name
from remit.errors import DeniedError

EXCEEDS: Final = "exceeds"
_NOTHING: Final = b"{}"
_MARKER_START: Final = b'{"%s":' % KEY.encode()


def add_violations(payload: bytes, violations: Sequence[str]) -> bytes:
    """Return *payload* with a note that the step exceeds its agent's remit.

    The note is added beside the parameters, or to the marker that replaces the payload.

    Args:
        payload: A captured payload.
        violations: One sentence for each declared word.
    """
    note: dict[str, object] = {EXCEEDS: violations}
    member = encode(note if payload.startswith(_MARKER_START) else {KEY: note})[1:]
    return payload[:-1] + (b"" if payload == _NOTHING else b",") + member


def split_violations(payload: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return a payload without the note that `add_violations` added, and that note's sentences.

    Args:
        payload: As a server returns it, which accepts whatever its clients send.
    """
    note = payload.get(KEY)
    # In a marker the sentences are beside its kind, else under the reserved key.
    holder = payload if isinstance(note, str) else note
    sentences = (
        cast("Mapping[str, object]", holder).get(EXCEEDS) if isinstance(holder, dict) else None
    )
    if not isinstance(sentences, list):
        return dict(payload), ()
    added = EXCEEDS if holder is payload else KEY
    parameters = {name: value for name, value in payload.items() if name != added}
    return parameters, tuple(str(sentence) for sentence in cast("list[object]", sentences))


def merge_error(by_hand: bytes, error: bytes, rules: Rules) -> bytes:
    """Return a result that was set by hand, with the error that came after it.

    Args:
        by_hand: The result; if it is only a marker, the error replaces it.
        error: The failure, as a result.
        rules: Limits; if the two are too large together, only the error is kept.
    """
    kept: dict[str, object] = decode(by_hand)
    if KEY in kept:
        return error
    both = encode({**kept, **decode(error)})
    return both if len(both) <= rules.limits.max_payload_bytes else error


def denial_payload(error: DeniedError, rules: Rules) -> bytes:
    """Return the result of a denied step: the error and the single violations.

    Args:
        error: The refusal.
        rules: Limits, hook and counts.
    """
    return rules.encode_payload(partial(_denial, error))


def _denial(error: DeniedError, walk: Walk) -> dict[str, object]:
    described = {
        "type": type_name(type(error)),
        "message": walk.text(str(error)),
        "violations": [walk.text(violation) for violation in error.violations],
    }
    return {"error": described}
