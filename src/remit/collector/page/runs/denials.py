"""Why a step was denied, in the words of a list, from the sentences of its violations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from remit._policy.maxima import COUNTED
from remit._policy.words import ACTION, ACTIONS, NAMES
from remit.collector.page.formats import listed, words
from remit.collector.page.sides import summary_of
from remit.errors import SIDES, Violation

_HOLD: Final = re.compile(r"(\w+): hold .* denies ", re.DOTALL)
_LIMIT: Final = re.compile(
    r"(\w+): .* is beyond the limit of (\d{1,10}) a run, which the agent ", re.DOTALL
)
_DECLARED: Final = re.compile(
    r"(\w+)([a-z ]*): .* declares (\w+), "
    r"(?:but the agent .* declares \w+|and the agent .* (asks) a person about it)",
    re.DOTALL,
)
_PARTS: Final = {side: part for part, side in SIDES.items()} | {"": ACTION}


def is_held(sentences: Sequence[str]) -> bool:
    """Return whether a hold denied a step."""
    return any(map(_HOLD.match, sentences))


def held_actions(sentences: Sequence[str]) -> str:
    """Return the actions on hold for which a step was denied."""
    held = {match[1] for sentence in sentences if (match := _HOLD.match(sentence))}
    return listed([words(name) for name in ACTIONS if name in held])


def limit_in(sentences: Sequence[str]) -> tuple[str, int] | None:
    """Return the first limit that a step was beyond: its name, and how many steps it allows."""
    matches = filter(None, map(_LIMIT.match, sentences))
    limits = ((match[1], int(match[2])) for match in matches)
    return next((limit for limit in limits if limit[0] in COUNTED), None)


def reason_in(sentences: Sequence[str]) -> str:
    """Return how a step violates its agent's remit; empty if that is not known."""
    for match in filter(None, map(_DECLARED.match, sentences)):
        part = _PARTS.get(match[2])
        if part is not None and (part, match[1]) in NAMES:
            if match[4]:
                return "needs a person's yes and got none"
            violation = Violation("", part=part, name=match[1], word=match[3])
            return summary_of(violation, agent="the agent")
    return ""
