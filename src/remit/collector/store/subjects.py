"""The subject and the labels of a run, from the payload of its root span."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, TypeAlias, cast

import msgspec

ROOT_SPAN: Final = "remit:run"
"""Name of the root span of a run."""
MAX_LABELS: Final = 50
MAX_LABEL_CHARS: Final = 200

_Labels: TypeAlias = dict[str, object] | list[object] | None


def hash_of_subject(subject: str) -> str:
    """Return the hash by which runs about *subject* are stored."""
    return hashlib.sha256(subject.encode()).hexdigest()


def subject_hash(payload: Mapping[str, object]) -> str | None:
    """Return the hash of the subject in the payload of a root span, if it has one."""
    subject = payload.get("subject")
    # It may be the marker of a redacted value.
    return hash_of_subject(subject) if isinstance(subject, str) else None


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
