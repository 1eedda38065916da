"""What remit itself says on a span about the agent's remit: that a step exceeds it, or was denied.

Source: payload format 1. A substitute has a text under `$remit`; what is said beside the
parameters is an object there, so that readers tell the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

from remit._capture.encode import Rules
from remit._capture.markers import KEY
from remit._capture.purse import decode, encode
from remit._capture.statics import type_name
from remit._capture.walk import Walk
from remit.errors import DeniedError

EXCEEDS: Final = "exceeds"
_NOTHING: Final = b"{}"
_OF_A_SUBSTITUTE: Final = b'{"%s":' % KEY.encode()


def exceeding(payload: bytes, violations: Sequence[str]) -> bytes:
    """Return *payload* with what of the step exceeds its agent's remit, beside the parameters.

    A substitute for a whole payload has the reserved key already: there the sentences stand in it.

    Args:
        payload: A captured payload.
        violations: One sentence for each declared word.
    """
    said: dict[str, object] = {EXCEEDS: violations}
    member = encode(said if payload.startswith(_OF_A_SUBSTITUTE) else {KEY: said})[1:]
    return payload[:-1] + (b"" if payload == _NOTHING else b",") + member


def told_apart(payload: Mapping[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return a payload as the step was given it, and what `exceeding` added.

    Args:
        payload: As a server shows it, which takes whatever its clients send.
    """
    said = payload.get(KEY)
    # In a substitute the sentences stand beside its kind, else under the reserved key.
    holder = payload if isinstance(said, str) else said
    found = cast("Mapping[str, object]", holder).get(EXCEEDS) if isinstance(holder, dict) else None
    if not isinstance(found, list):
        return dict(payload), ()
    added = EXCEEDS if holder is payload else KEY
    given = {name: value for name, value in payload.items() if name != added}
    return given, tuple(str(each) for each in cast("list[object]", found))


def beside(by_hand: bytes, error: bytes, rules: Rules) -> bytes:
    """Return a result that was set by hand, with the error that came after it.

    Args:
        by_hand: The result; if nothing of it is kept but a substitute, the error stands alone.
        error: The failure, as a result.
        rules: Limits; what is too large for both keeps the error.
    """
    kept: dict[str, object] = decode(by_hand)
    if KEY in kept:
        return error
    both = encode({**kept, **decode(error)})
    return both if len(both) <= rules.limits.max_payload_bytes else error


def denial_payload(error: DeniedError, rules: Rules) -> bytes:
    """Return the result of a step that was refused: the error, and each violation for itself.

    Args:
        error: The refusal.
        rules: Limits, hook and counts.
    """
    return rules.seal(partial(_denial, error))


def _denial(error: DeniedError, walk: Walk) -> dict[str, object]:
    described = {
        "type": type_name(type(error)),
        "message": walk.text(str(error)),
        "violations": [walk.text(each) for each in error.violations],
    }
    return {"error": described}
