"""Encodes payloads: walks them, calls the user's hook, and keeps them within the size limit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, cast

from msgspec import Struct, field
from msgspec.structs import replace

from remit._base import markers
from remit._base.guard import attempt, guarded, wrap_exit
from remit._capture.cut import cut, encode
from remit._capture.redacted import RedactedTexts
from remit._capture.rules.patterns import key_shaped
from remit._capture.rules.switches import HOOK
from remit._capture.type_readers import ValueKind, reader_of
from remit._capture.walk import MAX_NODES, Walk, decode
from remit._inspect.introspection import is_a, is_mapping
from remit.errors import DeniedError

FAULT: Final = encode(markers.opaque("remit.fault"))
"""Replaces a payload on which remit itself failed."""

CLASSIFICATION: Final = "classification:"
_TRIES: Final = 3
_MARKER_NODES: Final = 5
_LEAST_CHARS: Final = 16_384

Build = Callable[[Walk], object]
"""Walks a payload; called again if a budget ran out or a string cannot be encoded."""


class Rules(Struct, frozen=True, eq=False):
    """The settings and counts of capture, for one runtime or one run.

    Attributes:
        max_payload_bytes: Most bytes of the JSON text in UTF-8, for params and result each.
        hook: The user's redaction, which gets each payload and returns the payload to record.
        off: Rules that are off in this process (`configure(redact_off=...)`).
        texts: The texts redacted in the run, which its errors must not quote; None outside any run.
        package: Top-level package of the run's agent, whose frames are the program's.
        classified: Number of values that each rule of a classification redacted in the run and in
            the runs around it; None outside any run.
    """

    max_payload_bytes: int = 65_536
    hook: Callable[[dict[str, object]], object] | None = None
    off: frozenset[str] = frozenset()
    redacted: Counter[str] = field(default_factory=Counter[str])
    texts: RedactedTexts | None = None
    package: str = ""
    classified: Counter[str] | None = None

    def in_run(self, outer: Rules | None = None, package: str = "") -> Rules:
        """Return the rules of a new run, whose agent is in *package*.

        It shares the redacted texts of the *outer* run and what was classified in it, because
        results and errors pass from one to the other.
        """
        texts, classified = (None, None) if outer is None else (outer.texts, outer.classified)
        return replace(
            self,
            texts=RedactedTexts() if texts is None else texts,
            package=package,
            classified=Counter() if classified is None else classified,
        )

    def count(self, rules: Iterable[str]) -> None:
        """Add one to the count of each of *rules*."""
        counts = self.redacted
        for rule in rules:
            # When the entry exists, the addition calls no function, so no other thread runs
            # between its reading and its writing.
            counts.setdefault(rule, 0)
            counts[rule] += 1
            if self.classified is not None and rule.startswith(CLASSIFICATION):
                self.classified[rule] += 1

    @guarded("the capture of a payload", FAULT)
    def encode_payload(self, build: Build, *, is_copy: bool = False, collect: bool = True) -> bytes:
        """Return a payload as JSON of at most `max_payload_bytes` bytes; never raises.

        Args:
            build: Makes the payload, a JSON object, with the given walk.
            is_copy: The walked value is the copy of an earlier walk.
            collect: Collect the texts of redacted values, which later errors must not quote.
        """
        texts = self.texts if collect else None
        # The message of an error is made of copies of several texts.
        data, walk = self._fit(build, texts, is_copy=is_copy, delays=collect, off=self.off)
        if self.hook is None:
            return data
        answer = _call_hook(self.hook, decode(data))
        if not is_a(answer, dict):
            self.count((HOOK,))
            return encode(markers.redacted(HOOK))
        # Which rules a declaration turned off for one parameter alone is no longer known.
        data, _ = self._fit(
            lambda last: last.value(answer, 0), texts, is_copy=True, delays=True, off=walk.ever_off
        )
        return data

    def _fit(
        self,
        build: Build,
        texts: RedactedTexts | None,
        *,
        is_copy: bool,
        delays: bool,
        off: frozenset[str],
    ) -> tuple[bytes, Walk]:
        """Walk the payload, a second time if it exceeds a bound, and encode it; cut if need be."""
        limit = self.max_payload_bytes
        # With fewer characters, a single text could leave nothing for the others.
        chars, nodes = max(limit, _LEAST_CHARS), MAX_NODES
        if is_copy:
            # The markers of the earlier walk make its copy larger than its bounds were.
            chars, nodes = 2 * chars, _MARKER_NODES * MAX_NODES
        shares = scrub = False
        while True:
            walk = Walk(
                chars,
                nodes,
                is_copy=is_copy,
                scrub=scrub,
                texts=texts,
                off=off,
                delays=delays,
                shares=shares,
            )
            try:
                payload = build(walk)
                if walk.starved and not shares:
                    shares = True
                    continue
                data = _encode_within(payload, walk, limit)
            except UnicodeEncodeError:  # lone surrogates, which few texts have
                if scrub:
                    raise
                scrub = True
            else:
                self.count(walk.counts)
                return data, walk


def _encode_within(payload: object, walk: Walk, limit: int) -> bytes:
    """Return *payload* as JSON, cut to *limit* bytes if it is larger."""
    redacted = len(walk.counts)
    size, room = 0, limit
    if walk.long_chars <= limit:
        data = encode(payload)
        size = len(data)
        if size <= limit:
            return data
    for _ in range(_TRIES):
        del walk.counts[redacted:]  # of long texts that are read again
        data = encode(cut(payload, room))
        if len(data) <= limit:
            return data
        room -= len(data) - limit
    del walk.counts[redacted:]
    return encode(markers.cut_whole(size or walk.long_chars))


_inside_hook: Final = threading.local()


@guarded("the hook of configure(redact=...)")
def _call_hook(hook: Callable[[dict[str, object]], object], payload: dict[str, object]) -> object:
    """Return the hook's result for *payload*, None if it fails.

    A hook that calls a decorated function is not called again for the payload of that call.
    """
    if getattr(_inside_hook, "busy", False):
        return None
    _inside_hook.busy = True
    try:
        answer = attempt(partial(hook, payload))
    finally:
        _inside_hook.busy = False
    if isinstance(answer, Exception):
        # The guard would raise a denial to the caller; this one belongs to the hook.
        raise wrap_exit(answer) if isinstance(answer, DeniedError) else answer
    return answer


def capture_mapping(mapping: object, rules: Rules) -> bytes:
    """Return a value that the user passed to remit (a payload, a result, labels) as JSON.

    What is not like a mapping is put under `value`.
    """

    def build(walk: Walk) -> object:
        copy = walk.value(mapping, 0)
        return copy if is_a(copy, dict) else {"value": copy}

    return rules.encode_payload(build)


def is_like_mapping(value: object) -> bool:
    """Return whether *value* is a mapping, or a model or another object with declared fields."""
    reader = reader_of(type(value))
    if reader.kind is ValueKind.UNWRAP:
        inner = reader.plain(value)
        if inner is not value:
            return is_like_mapping(inner)
    return reader.kind in (ValueKind.MAPPING, ValueKind.FIELDS) or is_mapping(value)


def redacted_name(name: str, rules: Rules) -> str:
    """Return *name*, or the rule in angle brackets if the name contains a key.

    The hook `redact` is not called: it takes payloads.
    """
    rule = key_shaped(name, rules.off)
    if rule is None:
        return name
    rules.count((rule,))
    return f"<{rule}>"


def redacted(value: object, rules: Rules) -> object:
    """Return *value* as plain JSON, redacted like a payload; for defaults and examples in schemas.

    To apply the rules by name too, pass `{name: value}`.
    """
    mapping = reader_of(type(value)).kind is ValueKind.MAPPING
    sealed: object = decode(capture_mapping(value if mapping else {"value": value}, rules))
    if mapping or markers.is_redacted(sealed):
        return sealed
    return cast("dict[str, object]", sealed).get("value")
