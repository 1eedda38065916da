"""Idempotency keys and hashes of requests; `operation` looks keys up and stores them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Final

from remit._base.ids import PARTITION_CHARS, TIME_CHARS
from remit.collector.domain.params import Values
from remit.collector.errors import RequestError, invalid_field
from remit.collector.json_io import canonical

CREATE_PREFIX: Final = "c-"
FINISH_PREFIX: Final = "f-"
_KEYS: Final = frozenset({"idempotency_key", "_type"})
# Clients read the clock for each request; the members of `details` are among the fields.
_NOT_COMPARED: Final = _KEYS | {"details", "timestamp"}
_DERIVED: Final = re.compile(r"[cf]-[0-7][0-9a-hjkmnp-tv-z]{25}")


def used_otherwise() -> RequestError:
    """Return the error for a key that was used for another request."""
    return invalid_field(
        "idempotency_key", "was used for another request: give each request a key of its own"
    )


def span_of_key(key: str | None, prefix: str, account_id: str) -> str | None:
    """Return the id of the span from which *key* was derived, None for any other key.

    The SDK's keys are the span's own 26 characters after a prefix. Such a key names the row that
    holds it, so that it needs none of its own.
    """
    if key is None or not key.startswith(prefix) or not _DERIVED.fullmatch(key):
        return None
    text = key[len(prefix) :]
    partition = account_id[TIME_CHARS : TIME_CHARS + PARTITION_CHARS]
    return text[:TIME_CHARS] + partition + text[TIME_CHARS:]


def request_hash(fields: Values) -> str:
    """Return a hash that distinguishes two requests with one key."""
    return _hash(fields, _NOT_COMPARED)


def body_hash(body: Values) -> str:
    """Return a hash that is equal for equal requests, whatever their idempotency keys."""
    return _hash(body, _KEYS)


def _hash(fields: Values, without: Collection[str]) -> str:
    compared = {name: value for name, value in fields.items() if name not in without}
    return hashlib.sha256(canonical(compared)).hexdigest()[:32]
