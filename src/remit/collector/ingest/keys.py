"""Idempotency: a key that was used answers what it was first answered, and changes nothing.

The scope of a key is account and operation, the same for an endpoint and for a bulk item. A key
that comes with another request than the first is refused. Answers about instances and agents are
kept with the key; those about spans are made again from the span's row, which also holds the keys.
Refusals are not kept.

Public sources leave open what a key with another body does; docs/reference/wire.md has the choice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from remit._base.ids import PARTITION_CHARS, TIME_CHARS
from remit.collector.ingest.checks import taken
from remit.collector.ingest.context import Context
from remit.collector.refusals import RequestError, invalid_field
from remit.collector.store import KeyRow
from remit.collector.wire import canonical

CREATE_PREFIX: Final = "c-"
FINISH_PREFIX: Final = "f-"
_NOT_SAID: Final = frozenset({"idempotency_key", "_type"})
# Clients read the clock for each request; `details` are among the fields already.
_NOT_COMPARED: Final = _NOT_SAID | {"details", "timestamp"}
_DERIVED: Final = re.compile(r"[cf]-[0-7][0-9a-hjkmnp-tv-z]{25}")


class Done(NamedTuple):
    """What an operation did.

    Attributes:
        answer: The envelope.
        instance_id: The instance with which the key is to be forgotten.
        kept: What a repetition is answered, if not the same.
    """

    answer: bytes
    instance_id: str | None = None
    kept: bytes | None = None


def once(
    ctx: Context,
    operation: str,
    key: str | None,
    values: Mapping[str, object],
    do: Callable[[], Done],
) -> bytes:
    """Return what *do* answers, or, for a *key* that was used, what was answered then.

    Args:
        ctx: The request.
        operation: Its name.
        key: Its idempotency key.
        values: The fields that tell it from other requests, the ids in its path included.
        do: Carries it out.

    Raises:
        RequestError: 422, the key was used for another request; or what *do* raises.
    """
    if key is None:
        return do().answer
    account_id = ctx.caller.account_id
    hashed = _hash(values, _NOT_COMPARED)
    first = _first_answer(ctx, operation, key, hashed)
    if first is not None:
        return first
    try:
        done = do()
    except RequestError:
        # Where several write at once, the same request may have been carried out meanwhile.
        ctx.keys.pop((operation, key), None)
        first = _first_answer(ctx, operation, key, hashed)
        if first is None:
            raise
        return first
    answer = done.answer if done.kept is None else done.kept
    row = KeyRow(account_id, operation, key, done.instance_id, None, answer, ctx.now_us, hashed)
    if (operation, key) in ctx.keys:
        ctx.new_keys.append(row)
    else:
        ctx.tx.add_keys([row])
    return done.answer


def read_keys(ctx: Context, operation: str, keys: Sequence[str]) -> None:
    """Read the keys of several operations of a bulk request at once."""
    known = ctx.tx.keys(ctx.caller.account_id, operation, keys)
    ctx.keys.update({(operation, key): known.get(key) for key in keys})


def write_keys(ctx: Context) -> None:
    """Write the keys that operations of a bulk request have used so far."""
    if ctx.new_keys:
        ctx.tx.add_keys(ctx.new_keys)
        ctx.new_keys.clear()


def used_otherwise() -> RequestError:
    """Return the refusal of a key that was used for another request."""
    return invalid_field(
        "idempotency_key", "was used for another request: give each request a key of its own"
    )


def _first_answer(ctx: Context, operation: str, key: str, hashed: str) -> bytes | None:
    """Return what *key* was first answered.

    Raises:
        RequestError: 422, a token of another agent used it, or it was used for another request.
    """
    if (operation, key) in ctx.keys:
        known = ctx.keys[operation, key]
    else:
        known = ctx.tx.keys(ctx.caller.account_id, operation, [key]).get(key)
    if known is None:
        return None
    if ctx.caller.agent_id is not None and known.agent_instance_id is not None:
        told = ctx.tx.instances(ctx.caller.account_id, [known.agent_instance_id])
        if not all(ctx.caller.sees(row) for row in told.values()):
            raise taken("idempotency_key")
    if known.request_hash not in {None, hashed}:
        raise used_otherwise()
    return known.answer


def span_of_key(key: str | None, prefix: str, account_id: str) -> str | None:
    """Return the id of the span from which *key* was derived, None for any other key.

    The SDK's keys are the span's own 26 characters after a prefix. Such a key says which row holds
    it, so that it needs none of its own.
    """
    if key is None or not key.startswith(prefix) or not _DERIVED.fullmatch(key):
        return None
    text = key[len(prefix) :]
    partition = account_id[TIME_CHARS : TIME_CHARS + PARTITION_CHARS]
    return text[:TIME_CHARS] + partition + text[TIME_CHARS:]


def body_hash(body: Mapping[str, object]) -> str:
    """Return a hash that is equal for equal requests, whatever their idempotency keys."""
    return _hash(body, _NOT_SAID)


def _hash(fields: Mapping[str, object], without: Collection[str]) -> str:
    said = {name: value for name, value in fields.items() if name not in without}
    return hashlib.sha256(canonical(said)).hexdigest()[:32]
