"""Data risk of a declaration: its actions and data categories, checked when it is declared.

The words are those of the API's `data_risk` (docs/reference/data-risk.md).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final, cast, get_args

from msgspec import Struct
from pydantic import BaseModel

from remit._base.guard import attempt
from remit._base.text import choices, closest, describe_literal, describe_value, did_you_mean
from remit._policy.words import (
    ACTION,
    ACTIONS,
    CATEGORIES,
    CLASSES,
    CLASSIFICATION,
    MEMBERS,
    PARAMS,
    RESULT,
    Words,
    declared_words,
)
from remit.errors import DeclarationError, listed
from remit.models.data_risk import (
    Action,
    ActionProfile,
    Category,
    Classification,
    DataCategories,
    DataRisk,
    Others,
    Unbound,
)

REDACTED_CLASSES: Final = frozenset({"restricted", "secret"})
"""Data of these classes is recorded only if `capture=` says so."""

PARTS: Final[Mapping[str, type[BaseModel]]] = {
    ACTION: ActionProfile,
    PARAMS: DataCategories,
    RESULT: DataCategories,
}
"""By part of a data risk, its model."""
OTHERS: Final = "others"
"""In `risk()`, all actions or categories that the declaration does not name."""
# A key next to the three parts is kept, unless it is so similar to one that it is misspelt.
_MISSPELT_SIMILARITY: Final = 0.8


class Redacting(Struct, frozen=True):
    """The rules by which a declaration redacts values.

    Attributes:
        params_excluded: Categories that the parameters are declared not to hold: a value marked
            as one of them is redacted.
    """

    params_rule: str | None
    result_rule: str | None
    params_excluded: frozenset[str]
    result_excluded: frozenset[str]


def risk(  # noqa: PLR0913 - the vocabulary of a data risk
    *,
    allows: Action | Iterable[Action] = (),
    forbids: Action | Others | Iterable[Action | Others] = (),
    asks: Action | Others | Iterable[Action | Others] = (),
    takes: Category | Iterable[Category] = (),
    gives: Category | Iterable[Category] = (),
    excludes: Category | Others | Iterable[Category | Others] = (),
    classification: Classification | None = None,
    unbound: Unbound = "ask",
) -> DataRisk:
    """Return a data risk with the listed actions and categories. All others are `unknown`.

    On a step, the data risk is a risk declaration: it describes what the step does. On an agent, it
    is the remit: it limits what the agent's steps may do. `"others"` stands for everything that the
    call does not list. For example, `risk(allows="read_data", forbids="others")` on an agent
    forbids all actions except `read_data`.

    Each action is in at most one of *allows*, *forbids* and *asks*.

    Args:
        allows: Allowed actions, one or several of `create_data`, `read_data`, `update_data`,
            `destroy_data`, `financial_transactions` and `external_communication`.
        forbids: Disallowed actions. `others` stands for all actions that neither *allows* nor
            *asks* lists.
        asks: For an agent only: actions that need a person's yes. A step that declares such an
            action, or does not declare whether it takes it, runs only after the `approver` setting
            has returned `remit.Approved`. `others` stands for all actions that neither *allows* nor
            *forbids* lists. The other words of the data risk are as if *allows* listed them.
        unbound: For an agent with *asks*: the reaction to a call with arguments that an approval
            would not cover, because remit does not read them. `ask` asks a person and names these
            arguments; `deny` denies the step without asking.
        takes: Data categories in the parameters. The names are the fields of `DataCategories`.
        gives: Data categories in the result.
        excludes: Data categories that neither the parameters nor the result contain. `others`
            stands for all categories that *takes* does not list, for the parameters, and all
            categories that *gives* does not list, for the result.
        classification: Confidentiality of the parameters and the result: `public`, `internal`,
            `confidential`, `restricted` or `secret`.

    Raises:
        DeclarationError: If an action or category does not exist, or is in two arguments that
            contradict each other; or if *unbound* is neither `ask` nor `deny`, or `deny` without
            *asks*.
    """
    allowed = _checked_words("allows", allows, ACTIONS)
    forbidden, all_others = _with_others("forbids", forbids, ACTIONS)
    asked, asks_others = _with_others("asks", asks, ACTIONS)
    taken = _checked_words("takes", takes, CATEGORIES)
    given_out = _checked_words("gives", gives, CATEGORIES)
    excluded, no_others = _with_others("excludes", excludes, CATEGORIES)
    _check_disjoint(allows=allowed, forbids=forbidden)
    _check_disjoint(allows=allowed, asks=asked)
    _check_disjoint(
        forbids=[*forbidden, *[OTHERS] * all_others], asks=[*asked, *[OTHERS] * asks_others]
    )
    if asks_others:
        asked = [word for word in ACTIONS if word not in {*allowed, *forbidden}]
    _check_disjoint(takes=taken, excludes=excluded)
    _check_disjoint(gives=given_out, excludes=excluded)
    actions = dict.fromkeys(ACTIONS if all_others else forbidden, "disallowed")
    neither = dict.fromkeys(CATEGORIES if no_others else excluded, "excluded")
    if classification is not None:
        (neither[CLASSIFICATION],) = _checked_words("classification", (classification,), CLASSES)
    declared = risk_of_words(
        {
            ACTION: actions | dict.fromkeys((*allowed, *asked), "allowed"),
            PARAMS: neither | dict.fromkeys(taken, "included"),
            RESULT: neither | dict.fromkeys(given_out, "included"),
        }
    )
    if unbound not in get_args(Unbound) or (unbound == "deny" and not asked):
        raise DeclarationError(
            f"remit.risk(unbound=...): saw {describe_value(unbound)}"
            f"{'' if asked else ' without asks'}; expected 'ask', or 'deny' with asks"
        )
    return declared.with_asks(in_order(asked), unbound) if asked else declared


def risk_of_words(words: Words) -> DataRisk:
    """Return the data risk with *words*, which are valid.

    They are not validated, because that would build three validators and load pydantic's plugins.
    """
    parts: dict[str, Any] = {
        part: model.model_construct(**words[part]) for part, model in PARTS.items()
    }
    return DataRisk.model_construct(**parts)


def in_order(actions: Collection[str]) -> tuple[Action, ...]:
    """Return *actions*, each once, in the order of the fields of `ActionProfile`."""
    return tuple(cast("Action", action) for action in ACTIONS if action in actions)


def check_asks_nothing(risk: DataRisk | None, where: str) -> None:
    """Check that the data risk of a step has no `asks`.

    Raises:
        DeclarationError: It has: only an agent says what a person is asked.
    """
    if risk is not None and risk.asks:
        raise DeclarationError(
            f"{where}: data_risk has asks={listed(risk.asks)}; a step says what it does, its agent "
            f"what is asked: write allows={risk.asks[0]!r} here, and asks={risk.asks[0]!r} in the "
            "data_risk of @remit.agent"
        )


def _checked_words(argument: str, words: object, allowed: tuple[str, ...]) -> list[str]:
    """Return the words of an argument as plain `str`: the user's may be of another class."""
    if isinstance(words, str):
        words = (words,)
    if not isinstance(words, Iterable):
        raise DeclarationError(
            f"remit.risk({argument}=...): saw {describe_literal(words)}; expected a word or "
            f"several, each {choices(allowed)}"
        )
    checked: list[str] = []
    for word in cast("Iterable[object]", words):
        if word not in allowed:
            raise _unexpected(
                f"remit.risk({argument}=...): {describe_literal(word)} is unknown", word, allowed
            )
        checked.append(allowed[allowed.index(word)])
    return checked


def _with_others(argument: str, words: object, allowed: tuple[str, ...]) -> tuple[list[str], bool]:
    """Return the words of an argument without `others`, and whether that is one of them."""
    checked = _checked_words(argument, words, (*allowed, OTHERS))
    return [word for word in checked if word != OTHERS], OTHERS in checked


def _check_disjoint(**arguments: list[str]) -> None:
    (one, words), (other, other_words) = arguments.items()
    if both := [word for word in words if word in other_words]:
        raise DeclarationError(
            f"remit.risk({one}=..., {other}=...): {both[0]!r} is in both; keep it in one of them"
        )


def _unexpected(subject: str, word: object, allowed: Iterable[str]) -> DeclarationError:
    allowed = tuple(allowed)
    return DeclarationError(f"{subject}{did_you_mean(word, allowed)}; expected {choices(allowed)}")


def coerce(value: object, where: str) -> DataRisk | None:
    """Return the data risk of a declaration as a `DataRisk`, None without one.

    A mapping of its shape may be partial: other words are `unknown`. Keys next to one of the three
    parts are kept, as by the API.

    Raises:
        DeclarationError: Names the declaration, the key, what was seen and what is allowed.
    """
    if value is None:
        return None
    if isinstance(value, DataRisk):
        _check_extras(value.model_extra or {}, where)
        return value
    if not isinstance(value, Mapping):
        raise DeclarationError(
            f"{where}: data_risk is of type {type(value).__qualname__}; expected the "
            f"result of remit.risk(...), a DataRisk, or a mapping with {choices(MEMBERS)}"
        )
    members = cast("Mapping[Any, object]", value)
    for key in members:
        _check_key(key, where)
    if members and MEMBERS.keys().isdisjoint(members):
        key = next(iter(members))
        subject = f"{where}: data_risk has the key {describe_literal(key)}"
        raise _unexpected(subject, key, MEMBERS)
    _check_extras({key: members[key] for key in members if key not in MEMBERS}, where)
    parts = {key: _part(key, model, members.get(key), where) for key, model in PARTS.items()}
    return DataRisk.model_validate({**members, **parts})


def _check_key(key: object, where: str) -> None:
    """Reject a key next to the three parts that is probably a mistake."""
    if key in ("allows", "forbids", "asks", "unbound", "takes", "gives", "excludes"):
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}, which is an argument of remit.risk: "
            f"write data_risk=remit.risk({key}=...)"
        )
    if homes := [part for part, names in MEMBERS.items() if key in names]:
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}, which belongs in {' or '.join(homes)}"
        )
    if not isinstance(key, str) or (
        key not in MEMBERS and closest(key, MEMBERS, _MISSPELT_SIMILARITY)
    ):
        subject = f"{where}: data_risk has the key {describe_literal(key)}"
        raise _unexpected(subject, key, MEMBERS)


def _check_extras(extras: Mapping[str, object], where: str) -> None:
    """Reject values that JSON cannot represent, because sending them would fail later."""
    for key, value in extras.items():
        if isinstance(attempt(partial(json.dumps, value)), Exception):
            raise DeclarationError(
                f"{where}: data_risk[{key!r}] is of type {type(value).__qualname__}; "
                "expected a JSON value"
            )


def _part(key: str, model: type[BaseModel], value: object, where: str) -> BaseModel:
    if value is None or isinstance(value, model):
        return value or model()
    names = MEMBERS[key]
    if not isinstance(value, Mapping):
        raise DeclarationError(
            f"{where}: data_risk[{key!r}] is of type {type(value).__qualname__}; "
            f"expected a mapping with {choices(names)}"
        )
    members = cast("Mapping[Any, object]", value)
    for name, word in members.items():
        if name not in names:
            subject = f"{where}: data_risk[{key!r}] has the key {describe_literal(name)}"
            raise _unexpected(subject, name, names)
        allowed = get_args(model.model_fields[name].annotation)
        if word not in allowed:
            subject = f"{where}: data_risk[{key!r}][{name!r}] is {describe_literal(word)}"
            raise _unexpected(subject, word, allowed)
    return model.model_validate(dict(members))


def redacting(risk: DataRisk | None) -> Redacting:
    """Return the rules by which a declaration redacts values."""
    words = declared_words(risk)
    params, result = words[PARAMS], words[RESULT]
    return Redacting(_rule(params), _rule(result), _excluded(params), _excluded(result))


def _rule(categories: Mapping[str, str]) -> str | None:
    word = categories.get(CLASSIFICATION)
    return f"{CLASSIFICATION}:{word}" if word in REDACTED_CLASSES else None


def _excluded(categories: Mapping[str, str]) -> frozenset[str]:
    return frozenset(category for category in CATEGORIES if categories.get(category) == "excluded")
