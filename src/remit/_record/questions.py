"""The spans of a question to a person: `remit:asked` and `remit:answered`.

Both are complete when they are recorded, because the wait may outlast the process. A run with more
of the first than of the second waits for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec

from remit._base.guard import guarded
from remit._base.ids import TIME_BYTES, derived_key, new_key
from remit._base.markers import cut_whole
from remit._base.outcomes import ACTIVE, COMPLETE
from remit._capture.cut import encode
from remit._capture.encode import capture_mapping
from remit._capture.walk import decode
from remit._declare.registry import ANSWERED_TYPE, ASKED_TYPE
from remit._record.items import Item, ItemKind
from remit._record.runs import OpenRun

ASKED: Final = "asked"
"""In `remit:asked`: the question, one sentence."""
HOW: Final = "how"
"""In `remit:asked`: the means by which it is asked, such as `approver` or `interrupt`."""
TICKET: Final = "ticket"
"""In both: the id of the question, the same in question and answer."""
ANSWER: Final = "answer"
"""In `remit:answered`: the answer; None without one."""
BY: Final = "by"
"""In `remit:answered`: the person who answered, as `as_claimed` says."""
AS_CLAIMED: Final = "as_claimed"
"""In `remit:answered`: whether only the program says who answered."""
WAITED_MS: Final = "waited_ms"
"""In `remit:answered`: milliseconds from the question to the answer."""

NO_FIELDS: Final[Mapping[str, msgspec.Raw]] = {}


NO_TIME: Final = bytes(TIME_BYTES)
"""The time of a key that a server's id of the run replaces, so that all processes derive it."""


def portable_key(ticket: str) -> bytes:
    """Return the key of a question that may be asked again by another process.

    That process knows the run only by what the server answers, so delivery adds the time.
    """
    return derived_key(NO_TIME, f"{ASKED_TYPE}/{ticket}")


def may_wait(item: Item) -> bool:
    """Return whether *item* asks a question that outlasts the process, or answers one."""
    if item.name == ANSWERED_TYPE:
        return True
    return item.name == ASKED_TYPE and item.key.startswith(NO_TIME)


def asked_key(run: OpenRun, ticket: str) -> bytes:
    """Return the key of the question with this *ticket*, the same in every process."""
    return derived_key(run.feed.root, f"{ASKED_TYPE}/{ticket}")


@guarded("the record of a question")
def record_asked(
    run: OpenRun,
    parent: bytes,
    ticket: str,
    payload: Mapping[str, object],
    captured: Mapping[str, msgspec.Raw] = NO_FIELDS,
    *,
    key: bytes | None = None,
) -> None:
    """Record that a question was asked below the span *parent*.

    Args:
        payload: `ASKED`, `HOW` and further fields; it is captured, so its values are redacted.
        captured: Further fields that were captured before.
        key: `portable_key`, for a question that outlasts the process; None is `asked_key`.
    """
    fields = {ASKED: None, HOW: None, TICKET: ticket} | dict(payload)
    _record(run, parent, ASKED_TYPE, key or asked_key(run, ticket), fields, captured)


@guarded("the record of an answer")
def record_answered(
    run: OpenRun,
    parent: bytes,
    ticket: str | None,
    payload: Mapping[str, object],
    captured: Mapping[str, msgspec.Raw] = NO_FIELDS,
) -> None:
    """Record the answer to the question with this *ticket*; the arguments as `record_asked`.

    The ticket is None if only one question is open, and the process does not know it.
    """
    fields = {ANSWER: None, BY: None, TICKET: ticket, AS_CLAIMED: True} | dict(payload)
    _record(run, parent, ANSWERED_TYPE, new_key(run.now_ns()), fields, captured)


def _record(
    run: OpenRun,
    parent: bytes,
    name: str,
    key: bytes,
    payload: Mapping[str, object],
    captured: Mapping[str, msgspec.Raw] = NO_FIELDS,
) -> None:
    if not run.recording:
        return
    now_ns, sink = run.now_ns(), run.recorder.sink
    body = capture_mapping(payload, run.rules)
    if captured:
        fields = cast("dict[str, object]", decode(body))
        whole = encode({**fields, **captured})
        if len(whole) > run.rules.max_payload_bytes:
            cut = {field: cut_whole(len(bytes(raw))) for field, raw in captured.items()}
            whole = encode({**fields, **cut})
        body = whole
    span = Item(ItemKind.SPAN, run.feed.key, key, parent, name, now_ns, None, ACTIVE, body, None)
    run.spans += 1
    sink.start_span(span)
    sink.end_span(span, now_ns, COMPLETE, b"{}")
