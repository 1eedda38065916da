"""The door through which every payload passes: walked, shown to the hook, encoded, bounded."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, cast

from msgspec import Struct, field

from remit._capture import markers
from remit._capture.patterns import key_shaped
from remit._capture.purse import MAX_NODES, decode, encode
from remit._capture.rule import HOOK
from remit._capture.secrets import Known
from remit._capture.shapes import Kind, shape_of
from remit._capture.statics import is_a
from remit._capture.walk import Walk
from remit._capture.wary import WaryWalk
from remit._guard import attempt, escaped, guarded
from remit.errors import DeniedError, SettingsError

MIN_PAYLOAD_BYTES: Final = 256
"""Less than this does not hold a marker and its surroundings."""

_FAULT: Final = encode(markers.opaque("remit.fault"))
"""Stands for a payload on which remit itself failed."""

_TRIES: Final = 4
_MARKER_NODES: Final = 5
_MAX_SECRETS_CHARS: Final = 65_536
_REMEMBERED_MESSAGES: Final = 256

Build = Callable[[Walk], object]
"""Walks a payload; called again with a smaller budget when the encoding is too large."""

Make = Callable[..., Walk]
"""Makes the walk, of a budget."""


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
    """What the captures of one runtime share.

    Attributes:
        limits: How large a payload may be.
        hook: The user's own redaction: is given each payload, returns what is recorded.
        off: Rules that are off in this process (`configure(redact_off=...)`).
        withheld: How many values each rule withheld.
        quoting: Hashes of messages that quoted a withheld argument: the same error, on its way
            through outer spans, is withheld there too.
    """

    limits: Limits = Limits()
    hook: Callable[[dict[str, object]], object] | None = None
    off: frozenset[str] = frozenset()
    withheld: Counter[str] = field(default_factory=Counter[str])
    quoting: deque[int] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_MESSAGES))

    def count(self, rules: Iterable[str]) -> None:
        """Add one to the count of each of *rules*."""
        counts = self.withheld
        for rule in rules:
            # With the entry there, the addition calls nothing, so that no other thread comes
            # between its reading and its writing.
            counts.setdefault(rule, 0)
            counts[rule] += 1

    def seal(
        self,
        build: Build,
        *,
        again: bool = False,
        known: Known | None = None,
        secrets: list[str] | None = None,
    ) -> bytes:
        """Return a payload as JSON of at most `limits.max_payload_bytes` bytes; never raises.

        Args:
            build: Makes the payload, a JSON object, with the walk that it is given.
            again: What is walked is the copy that an earlier walk made.
            known: Texts that the payload must not hold.
            secrets: Collects the texts of what is withheld.
        """
        make: Make = Walk if secrets is None else partial(Walk, secrets=secrets)
        if known is not None:
            make = partial(WaryWalk, known)
        return self._sealed(build, make, again) or _FAULT

    @guarded("the capture of a payload")
    def _sealed(self, build: Build, make: Make, again: bool) -> bytes:  # noqa: FBT001 - handed on
        try:
            return self._hooked(build, make, again=again)
        except RecursionError:
            # The call itself used up the stack; the guard would need more of it to say so.
            return _FAULT

    def _hooked(self, build: Build, make: Make, *, again: bool) -> bytes:
        if self.hook is None:
            return self._fitted(build, make, again=again, off=self.off)
        walk = make(self.limits.max_payload_bytes, again=again, scrub=True, off=self.off)
        payload = build(walk)
        self.count(walk.counts)
        answer = _answer(self.hook, cast("dict[str, object]", payload))
        if not is_a(answer, dict):
            self.count((HOOK,))
            return encode(markers.withheld(HOOK))
        # What a declaration turned off for one parameter is not told apart any more.
        return self._fitted(lambda last: last.value(answer, 0), make, again=True, off=walk.ever_off)

    def _fitted(self, build: Build, make: Make, *, again: bool, off: frozenset[str]) -> bytes:
        """Walk with ever smaller budgets until the encoding fits."""
        limit = self.limits.max_payload_bytes
        chars, nodes, size, scrub = limit, MAX_NODES, 0, False
        if again:
            # What an earlier walk bounded is larger to this one by its markers.
            chars, nodes = 2 * limit, _MARKER_NODES * MAX_NODES
        for _ in range(_TRIES):
            walk = make(chars, nodes, again=again, scrub=scrub, off=off)
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
    """Return what the hook makes of *payload*, None when it fails.

    A hook that calls something decorated is not asked about that call's own payload, without end.
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
        # The guard lets a denial of the program's own call pass; this one is the hook's.
        raise escaped(answer) if isinstance(answer, DeniedError) else answer
    return answer


def snapshot(
    mapping: object,
    rules: Rules,
    *,
    excluded: frozenset[str] = frozenset(),
    known: Known | None = None,
    secrets: list[str] | None = None,
) -> bytes:
    """Return what was handed in by hand (a payload, a result, labels, a quality) as JSON.

    Args:
        mapping: A dict, a model, a dataclass; anything else stands under `value`.
        rules: Limits, hook and counts.
        excluded: Data categories whose values are withheld.
        known: Texts that it must not hold.
        secrets: Collects the texts of what is withheld.
    """
    return rules.seal(lambda walk: _by_hand(walk, mapping, excluded), known=known, secrets=secrets)


def _by_hand(walk: Walk, mapping: object, excluded: frozenset[str]) -> object:
    walk.exclude(excluded)
    copy = walk.value(mapping, 0)
    return copy if is_a(copy, dict) else {"value": copy}


def withheld_texts(build: Build) -> tuple[str, ...]:
    """Return the texts that a payload withholds: the message of an error may quote one.

    They are compared with what the span tells, and go when it ends.
    """
    found: list[str] = []
    walk = Walk(_MAX_SECRETS_CHARS, secrets=found)
    attempt(lambda: build(walk))
    return tuple(dict.fromkeys(found))


def secrets_in(mapping: object) -> tuple[str, ...]:
    """Return the texts that `snapshot` withholds from *mapping*."""
    return withheld_texts(lambda walk: _by_hand(walk, mapping, frozenset()))


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

    A name that stands before the value is part of what is judged: hand in `{name: value}`.
    """
    mapping = shape_of(type(value)).kind is Kind.MAPPING
    sealed: object = decode(snapshot(value if mapping else {"value": value}, rules))
    if mapping or markers.is_withheld(sealed):
        return sealed
    return cast("dict[str, object]", sealed).get("value")
