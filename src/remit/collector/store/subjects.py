"""The subject and the cause of a run, which its root span names."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from remit._base.traceparent import trace_id

ROOT_SPAN: Final = "remit:run"
"""Name of the root span of a run."""


class _Root(msgspec.Struct):
    subject: str | None = None


class _Linked(msgspec.Struct):
    traceparent: str | None = None


_read_linked: Final = msgspec.json.Decoder(_Linked).decode
_read_root: Final = msgspec.json.Decoder(_Root).decode


def hash_of_subject(subject: str) -> str:
    """Return the hash by which runs about *subject* are stored."""
    return hashlib.sha256(subject.encode()).hexdigest()


def subject_hash(payload: str) -> str | None:
    """Return the hash of the subject that the payload of a root span names, if it names one."""
    try:
        subject = _read_root(payload).subject
    except msgspec.DecodeError:
        # A marker of a withheld value, or a span of that name from another program.
        return None
    return None if subject is None else hash_of_subject(subject)


def cause(payload: str) -> str | None:
    """Return the trace id of the `traceparent` that the payload of a root span names, if any."""
    try:
        return trace_id(_read_linked(payload).traceparent)
    except msgspec.DecodeError:
        return None
