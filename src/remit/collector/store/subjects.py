"""The subject, the labels and the cause of a run, which its root span names."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from remit._base.traceparent import trace_id

ROOT_SPAN: Final = "remit:run"
"""Name of the root span of a run."""
MAX_LABELS: Final = 50
MAX_LABEL_CHARS: Final = 200


class _Root(msgspec.Struct):
    subject: str | None = None


class _Labelled(msgspec.Struct):
    labels: dict[str, object] | list[object] | None = None


class _Linked(msgspec.Struct):
    traceparent: str | None = None


_read_linked: Final = msgspec.json.Decoder(_Linked).decode
_read_labelled: Final = msgspec.json.Decoder(_Labelled).decode
_read_root: Final = msgspec.json.Decoder(_Root).decode


def hash_of_subject(subject: str) -> str:
    """Return the hash by which runs about *subject* are stored."""
    return hashlib.sha256(subject.encode()).hexdigest()


def subject_hash(payload: str) -> str | None:
    """Return the hash of the subject that the payload of a root span names, if it names one."""
    try:
        subject = _read_root(payload).subject
    except msgspec.DecodeError:
        # A marker of a redacted value, or a span of that name from another program.
        return None
    return None if subject is None else hash_of_subject(subject)


def cause(payload: str) -> str | None:
    """Return the trace id of the `traceparent` that the payload of a root span names, if any."""
    try:
        return trace_id(_read_linked(payload).traceparent)
    except msgspec.DecodeError:
        return None


def labels(payload: str) -> list[tuple[str, str]]:
    """Return the labels that the payload of a root span names, as pairs of key and value.

    A word alone has an empty value. A label is left out if its value is null, nested or redacted.
    """
    if '"labels"' not in payload:
        return []
    try:
        named = _read_labelled(payload).labels
    except msgspec.DecodeError:
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
