"""Encodes every payload: walks it, shows it to the user's hook, keeps it within the limit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, cast

from msgspec import Struct, field

from remit._base.guard import attempt, guarded, wrap_exit
from remit._capture import markers
from remit._capture.rules import HOOK
from remit._capture.rules.patterns import key_shaped
from remit._capture.type_readers import Kind, reader_of
from remit._capture.walk import MAX_NODES, Walk, decode, encode
from remit._capture.withheld import WithheldTexts
from remit._inspect.introspection import is_a
from remit.errors import DeniedError, SettingsError

MIN_PAYLOAD_BYTES: Final = 256
"""Less than this does not hold a marker and its surroundings."""

_FAULT: Final = encode(markers.opaque("remit.fault"))
"""Replaces a payload on which remit itself failed."""

_TRIES: Final = 4
_MARKER_NODES: Final = 5

Build = Callable[[Walk], object]
"""Walks a payload; called again with a smaller budget when the encoding is too large."""


class Limits(Struct, frozen=True):
    """How large a payload may be.

    Attributes:
        max_payload_bytes: Of the JSON text in UTF-8, params and result each.
    """

    max_payload_bytes: int = 65_536

    def __post_init__(self) -> None:
        """Refuse a limit that no payload could keep.

        Raises:
            SettingsError: The limit is below 256 bytes.
        """
        if self.max_payload_bytes < MIN_PAYLOAD_BYTES:
            raise SettingsError(
                f"max_payload_bytes is {self.max_payload_bytes}; expected at least "
                f"{MIN_PAYLOAD_BYTES}, the room that the marker of a cut payload needs"
            )


class Rules(Struct, frozen=True, eq=False):
    """What the captures of one runtime share, and those of one run.

    Attributes:
        limits: How large a payload may be.
        hook: The user's own redaction: is given each payload, returns what is recorded.
        off: Rules that are off in this process (`configure(redact_off=...)`).
        withheld: How many values each rule withheld.
        texts: The texts that the run has withheld and its errors must not quote; None outside any
            run.
    """

    limits: Limits = Limits()
    hook: Callable[[dict[str, object]], object] | None = None
    off: frozenset[str] = frozenset()
    withheld: Counter[str] = field(default_factory=Counter[str])
    texts: WithheldTexts | None = None

    def in_run(self, outer: Rules | None = None) -> Rules:
        """Return the rules of a new run.

        Args:
            outer: Those of the run around it; the two share what they withhold, because an error
                passes from one to the other.
        """
        shared = None if outer is None else outer.texts
        return Rules(
            self.limits,
            self.hook,
            self.off,
            self.withheld,
            WithheldTexts() if shared is None else shared,
        )

    def share(self, other: Rules) -> None:
        """Withhold what was withheld by the rules *other* as well."""
        if self.texts is not None and other.texts is not None and other.texts is not self.texts:
            self.texts.update(other.texts)

    def count(self, rules: Iterable[str]) -> None:
        """Add one to the count of each of *rules*."""
        counts = self.withheld
        for rule in rules:
            # With the entry there, the addition calls nothing, so that no other thread comes
            # between its reading and its writing.
            counts.setdefault(rule, 0)
            counts[rule] += 1

    def encode_payload(self, build: Build, *, again: bool = False, collect: bool = True) -> bytes:
        """Return a payload as JSON of at most `limits.max_payload_bytes` bytes; never raises.

        Args:
            build: Makes the payload, a JSON object, with the walk that it is given.
            again: What is walked is the copy that an earlier walk made.
            collect: What is withheld is withheld from later errors of the run too.
        """
        return self._redacted(build, self.texts if collect else None, again) or _FAULT

    @guarded("the capture of a payload")
    def _redacted(
        self,
        build: Build,
        texts: WithheldTexts | None,
        again: bool,  # noqa: FBT001 - handed on
    ) -> bytes:
        """Return the payload, after the user's hook has seen it."""
        if self.hook is None:
            return self._fitted(build, texts, again=again, off=self.off)
        limit = self.limits.max_payload_bytes
        walk = Walk(limit, again=again, scrub=True, texts=texts, off=self.off)
        payload = build(walk)
        self.count(walk.counts)
        answer = _answer(self.hook, cast("dict[str, object]", payload))
        if not is_a(answer, dict):
            self.count((HOOK,))
            return encode(markers.withheld(HOOK))
        # Which rules a declaration turned off for one parameter alone is no longer known.
        off = walk.ever_off

        def rebuild(last: Walk) -> object:
            last.newest, last.from_end = walk.newest, walk.from_end
            return last.value(answer, 0)

        return self._fitted(rebuild, texts, again=True, off=off)

    def _fitted(
        self, build: Build, texts: WithheldTexts | None, *, again: bool, off: frozenset[str]
    ) -> bytes:
        """Walk with smaller and smaller budgets until the encoding fits."""
        limit = self.limits.max_payload_bytes
        chars, nodes, size, scrub = limit, MAX_NODES, 0, False
        if again:
            # The markers of the earlier walk make its copy larger than its budget was.
            chars, nodes = 2 * limit, _MARKER_NODES * MAX_NODES
        for _ in range(_TRIES):
            walk = Walk(chars, nodes, again=again, scrub=scrub, texts=texts, off=off)
            try:
                data = encode(build(walk))
            except UnicodeEncodeError:  # lone surrogates, which few texts have
                scrub = True
                continue
            if len(data) <= limit:
                self.count(walk.counts)
                return data
            size = size or len(data)
            chars, nodes = _smaller(chars, limit, len(data)), _smaller(nodes, limit, len(data))
        return encode(markers.cut_whole(size))


def encoded(payload: object, rules: Rules) -> bytes | None:
    """Return the encoding if there is one (UTF-8 has no bytes for some texts), and if it fits."""
    try:
        data = encode(payload)
    except (UnicodeEncodeError, TypeError):
        return None
    return data if len(data) <= rules.limits.max_payload_bytes else None


def _smaller(budget: int, limit: int, size: int) -> int:
    """Return the budget with which *size* would have been well within *limit*."""
    return budget * limit * 3 // (size * 4)


_inside_hook: Final = threading.local()


def _answer(
    hook: Callable[[dict[str, object]], object], payload: dict[str, object]
) -> object | None:
    """Return the hook's answer to *payload*, None if it fails.

    A hook that itself calls something decorated is not called again for that payload.
    """
    if getattr(_inside_hook, "busy", False):
        return None
    _inside_hook.busy = True
    try:
        return _ask(hook, payload)
    finally:
        _inside_hook.busy = False


@guarded("the hook of configure(redact=...)")
def _ask(hook: Callable[[dict[str, object]], object], payload: dict[str, object]) -> object:
    answer = attempt(partial(hook, payload))
    if isinstance(answer, Exception):
        # The guard would raise a denial to the caller; this one belongs to the hook.
        raise wrap_exit(answer) if isinstance(answer, DeniedError) else answer
    return answer


def capture_mapping(
    mapping: object, rules: Rules, *, excluded: frozenset[str] = frozenset()
) -> bytes:
    """Return what the user passed to remit (a payload, a result, labels, a quality) as JSON.

    Args:
        mapping: A dict, a model, a dataclass; anything else is put under `value`.
        rules: Limits, hook and counts.
        excluded: Data categories whose values are withheld.
    """
    return rules.encode_payload(lambda walk: _as_object(walk, mapping, excluded))


def _as_object(walk: Walk, mapping: object, excluded: frozenset[str]) -> object:
    walk.exclude(excluded)
    copy = walk.value(mapping, 0)
    return copy if is_a(copy, dict) else {"value": copy}


def redacted_name(name: str, rules: Rules) -> str:
    """Return *name*, or the name of the rule if it contains a key; for names made at run time.

    The hook `redact` is not called: it takes payloads.
    """
    rule = key_shaped(name, rules.off)
    if rule is None:
        return name
    rules.count((rule,))
    return f"<{rule}>"


def redacted(value: object, rules: Rules) -> object:
    """Return *value* as plain JSON, redacted as a payload is: for defaults and examples in schemas.

    A value is judged by its name too: pass `{name: value}`.
    """
    mapping = reader_of(type(value)).kind is Kind.MAPPING
    sealed: object = decode(capture_mapping(value if mapping else {"value": value}, rules))
    if mapping or markers.is_withheld(sealed):
        return sealed
    return cast("dict[str, object]", sealed).get("value")
