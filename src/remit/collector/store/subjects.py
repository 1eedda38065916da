"""What a program says of a run: conversation, subject, on whose behalf, and labels.

It is in the payload of the root span. What a framework knows inside a run of the program's own is
in the payload of an agent's span directly below, and counts where the root says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

import msgspec

from remit._base.ids import HASHES, hash_of_subject, key_within, partition_of, pfid

ROOT_SPAN: Final = "remit:run"
"""Name of the root span of a run."""
MAX_LABELS: Final = 50
MAX_LABEL_CHARS: Final = 200
MAX_CHARS: Final = 200
"""Longest conversation."""

_Labels: TypeAlias = dict[str, object] | list[object] | None


def root_id(run_id: str) -> str | None:
    """Return the id that remit gives the root span of a run; None if *run_id* is no PFID."""
    key, partition = key_within(run_id, "root"), partition_of(run_id)
    return None if key is None or partition is None else pfid(key, partition)


def text_in(payload: Mapping[str, object], name: str) -> str | None:
    """Return what a payload says of a run; None if it does not, or if it is redacted."""
    text = payload.get(name)
    return text if isinstance(text, str) else None


def person_hashes(payload: Mapping[str, object]) -> list[str]:
    """Return the hashes of the people whom a payload names."""
    named = ((text_in(payload, name), hash_of) for name, hash_of in HASHES.items())
    return [hash_of(text) for text, hash_of in named if text is not None]


def subject_hash(payload: Mapping[str, object]) -> str | None:
    """Return the hash of the subject in the payload of a root span, if it has one."""
    subject = text_in(payload, "subject")
    return None if subject is None else hash_of_subject(subject)


def conversation(payload: Mapping[str, object]) -> str | None:
    """Return the conversation that a payload names, if it can be stored."""
    text = text_in(payload, "conversation")
    return text if text and len(text) <= MAX_CHARS and "\x00" not in text else None


def labels(payload: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the labels in the payload of a root span, as pairs of key and value.

    A word alone has an empty value. A label is left out if its value is null, nested or redacted.
    """
    try:
        named = cast("_Labels", msgspec.convert(payload.get("labels"), _Labels))
    except msgspec.ValidationError:
        return []
    pairs = [(word, "") for word in named] if isinstance(named, list) else (named or {}).items()
    texts = [
        (key, str(value))
        for key, value in pairs
        if isinstance(key, str) and isinstance(value, (str, int, float))
    ]
    return [
        (key[:MAX_LABEL_CHARS], value[:MAX_LABEL_CHARS])
        for key, value in texts[:MAX_LABELS]
        if "\x00" not in key and "\x00" not in value
    ]
