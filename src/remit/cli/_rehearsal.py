"""What an agent's remit means for each of its steps, and by which steps data may leave.

The policy decides the same about each call. Here it is decided before any: from declared words
alone, for `remit schema show --risk` and `remit lock`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from remit._declare.risk import declared_words
from remit._inspect.marks import CATEGORIES
from remit._record.policy import Ceiling, verdict
from remit.models.data_risk import DataRisk

_ACTIONS: Final = "action_profile"
_PARAMS: Final = "params_data_categories"
_RESULT: Final = "result_data_categories"
_SIDES: Final = {_PARAMS: " in the params", _RESULT: " in the result"}

Reasons: TypeAlias = dict[str, tuple[str, ...]]
"""By step, the actions and categories that decide; a category of one side names the side."""


class Step(Struct, frozen=True):
    """What is known of a step before it runs.

    Attributes:
        name: The name of its span type.
        risk: Its data risk as the policy compares it, None without any.
        is_agent: Whether it is an agent: what it takes and gives, its own steps take and give.
        has_effect: False for a model, agent or retriever of an integration: what it leaves unknown
            exceeds no remit.
    """

    name: str
    risk: DataRisk | None
    is_agent: bool = False
    has_effect: bool = True


class Rehearsal(Struct, frozen=True):
    """What an agent may do with its steps, sorted by name.

    Attributes:
        allowed: The steps that it may take under every setting of `on_violation`.
        open: The steps that leave unknown what it forbids: they run under `observe`, and are
            refused under `deny` and `terminate`.
        refused: The steps that say that they do what it forbids.
        leaves: By category that a step brings in, the steps by which it may leave: those that may
            communicate externally and may hold the category in their params. Refused steps and
            agents do neither.
    """

    allowed: tuple[str, ...]
    open: Reasons
    refused: Reasons
    leaves: dict[str, tuple[str, ...]]


def rehearse(remit: DataRisk | None, steps: Iterable[Step]) -> Rehearsal:
    """Return what an agent with this *remit* may do with *steps*, as the policy decides it.

    Only the agent's own remit is compared: that of an agent around it applies as well.
    """
    ceiling = Ceiling.of("", "", remit)
    steps = sorted(steps, key=lambda step: step.name)
    refused = {step.name: words for step in steps if (words := _exceeded(ceiling, step))}
    accepted = [step for step in steps if step.name not in refused]
    unknown = {
        step.name: words
        for step in accepted
        if step.has_effect and (words := _exceeded(ceiling, step, strict=True))
    }
    allowed = tuple(step.name for step in accepted if step.name not in unknown)
    return Rehearsal(allowed, unknown, refused, _leaves(accepted))


def _exceeded(ceiling: Ceiling | None, step: Step, *, strict: bool = False) -> tuple[str, ...]:
    """Return the words by which *step* exceeds *ceiling*; if *strict*, unknown ones as well."""
    sides: dict[str, list[str]] = {}
    for limit in ceiling.limits if ceiling is not None else ():
        alone = Ceiling("", "", (limit,))
        if verdict((alone,), step.name, step.risk, strict=strict).violations:
            sides.setdefault(limit.name, []).append(_SIDES.get(limit.part, ""))
    return tuple(f"{name}{in_[0] if len(in_) == 1 else ''}" for name, in_ in sides.items())


def _leaves(steps: Iterable[Step]) -> dict[str, tuple[str, ...]]:
    words = {
        step.name: declared_words(step.risk)
        for step in steps
        if step.has_effect and not step.is_agent
    }
    senders = [
        name
        for name, parts in words.items()
        if parts[_ACTIONS].get("external_communication") != "disallowed"
    ]
    brought_in = {
        category
        for parts in words.values()
        for category in CATEGORIES
        if parts[_RESULT].get(category) == "included"
    }
    leaves = {
        category: tuple(
            name for name in senders if words[name][_PARAMS].get(category) != "excluded"
        )
        for category in CATEGORIES
        if category in brought_in
    }
    return {category: names for category, names in leaves.items() if names}
