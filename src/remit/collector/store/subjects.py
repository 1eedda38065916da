"""Whose data a run is about: what its root span says, as the hash by which the run is found."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

ROOT_SPAN: Final = "remit:run"
"""Name of the span that says whose data a run is about."""


class _Root(msgspec.Struct):
    subject: str | None = None


_read_root: Final = msgspec.json.Decoder(_Root).decode


def hash_of_subject(subject: str) -> str:
    """Return that by which the runs about *subject* are found."""
    return hashlib.sha256(subject.encode()).hexdigest()


def subject_hash(payload: str) -> str | None:
    """Return the hash of the subject that the payload of a root span names, if it names one."""
    try:
        subject = _read_root(payload).subject
    except msgspec.DecodeError:
        # A marker in its place, or somebody else's span of that name.
        return None
    return None if subject is None else hash_of_subject(subject)
