"""Data risk of a declaration: its actions and data categories, checked when it is declared.

The words are those of the API's `data_risk` (docs/reference/data-risk.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias, cast, get_args

from msgspec import Struct
from pydantic import BaseModel

from remit._base.guard import attempt
from remit._base.text import choices, closest, did_you_mean
from remit._inspect.marks import CATEGORIES, CLASSIFICATION
from remit.errors import DeclarationError
from remit.models.data_risk import ActionProfile, Classification, DataCategories, DataRisk

Words: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By part of a data risk, the word of each action or category; one without a word is `unknown`."""

WITHHELD_CLASSES: Final = frozenset({"restricted", "secret"})
"""Data of these classes is recorded only if `capture=` says so."""

ACTIONS: Final = tuple(ActionProfile.model_fields)
CLASSES: Final[tuple[str, ...]] = get_args(Classification)
PARTS: Final[Mapping[str, type[BaseModel]]] = {
    "action_profile": ActionProfile,
    "params_data_categories": DataCategories,
    "result_data_categories": DataCategories,
}
"""By part of a data risk, its model."""
MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    part: tuple(model.model_fields) for part, model in PARTS.items()
}
"""By part, what it has a word for, in the order of the models."""
_NOTHING: Final[Words] = {part: {} for part in MEMBERS}
# A key beside the three parts is kept, unless it is so similar to one that it is misspelt.
_MISSPELT_SIMILARITY: Final = 0.8


class Withholding(Struct, frozen=True):
    """The rules by which a declaration withholds values.

    Attributes:
        params_rule: The rule that withholds all parameters, else None.
        result_rule: The same for the result.
        params_excluded: Categories that the parameters are declared not to hold: a value marked
            as one of them is withheld.
        result_excluded: The same for the result.
    """

    params_rule: str | None
    result_rule: str | None
    params_excluded: frozenset[str]
    result_excluded: frozenset[str]


def risk(
    *,
    allows: str | Iterable[str] = (),
    forbids: str | Iterable[str] = (),
    takes: str | Iterable[str] = (),
    gives: str | Iterable[str] = (),
    excludes: str | Iterable[str] = (),
    classification: str | None = None,
) -> DataRisk:
    """Return a data risk from words; everything else stays `unknown`.

    On a step it says what the step does, on an agent how far its steps may go.

    Args:
        allows: Actions: `create_data`, `read_data`, `update_data`, `destroy_data`,
            `financial_transactions`, `external_communication`.
        forbids: Actions that are disallowed.
        takes: Categories of data that the parameters hold (the fields of `DataCategories`).
        gives: Categories of data that the result holds.
        excludes: Categories that neither holds.
        classification: `public`, `internal`, `confidential`, `restricted` or `secret`, of both.

    Raises:
        DeclarationError: A word is unknown, or two arguments contradict each other.
    """
    allowed = _check_words("allows", allows, ACTIONS)
    forbidden = _check_words("forbids", forbids, ACTIONS)
    taken = _check_words("takes", takes, CATEGORIES)
    given = _check_words("gives", gives, CATEGORIES)
    excluded = _check_words("excludes", excludes, CATEGORIES)
    _check_disjoint("allows", allowed, "forbids", forbidden)
    _check_disjoint("takes", taken, "excludes", excluded)
    _check_disjoint("gives", given, "excludes", excluded)
    actions: dict[str, Any] = dict.fromkeys(allowed, "allowed") | dict.fromkeys(
        forbidden, "disallowed"
    )
    neither = dict.fromkeys(excluded, "excluded")
    if classification is not None:
        neither[CLASSIFICATION] = _check_word("classification", classification, CLASSES)
    return risk_of_words(
        {
            "action_profile": actions,
            "params_data_categories": neither | dict.fromkeys(taken, "included"),
            "result_data_categories": neither | dict.fromkeys(given, "included"),
        }
    )


def risk_of_words(words: Words) -> DataRisk:
    """Return the data risk with *words*, which are known to be right.

    They are not validated: validation would build three validators and load pydantic's plugins.
    """
    parts: dict[str, Any] = {
        part: model.model_construct(**words[part]) for part, model in PARTS.items()
    }
    return DataRisk.model_construct(**parts)


def _check_words(argument: str, given: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of one argument, checked."""
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable):
        raise DeclarationError(
            f"remit.risk({argument}={given!r}): expected a word or several, of {choices(allowed)}"
        )
    words = tuple(cast("Iterable[object]", given))
    return tuple(_check_word(argument, word, allowed) for word in words)


def _check_word(argument: str, word: object, allowed: tuple[str, ...]) -> str:
    """Return the word as a plain `str`: the user's may be of another class."""
    if word not in allowed:
        raise DeclarationError(
            f"remit.risk({argument}=...): {word!r} is unknown{did_you_mean(word, allowed)}; "
            f"expected {choices(allowed)}"
        )
    return allowed[allowed.index(word)]


def _check_disjoint(one: str, words: tuple[str, ...], other: str, others: tuple[str, ...]) -> None:
    if both := [word for word in words if word in others]:
        raise DeclarationError(
            f"remit.risk({one}=..., {other}=...): {both[0]!r} stands in both; "
            "leave it in the one that is true"
        )


def coerce(value: object, where: str) -> DataRisk | None:
    """Return the data risk of a declaration as a `DataRisk`, None without one.

    A mapping may be partial: other words are `unknown`. Keys beside the three parts are kept, as by
    the API.

    Args:
        value: A `DataRisk`, a mapping of its shape, or None.
        where: The declaration, for the message.

    Raises:
        DeclarationError: Names the declaration, the key, what was seen and what is allowed.
    """
    if value is None:
        return None
    if isinstance(value, DataRisk):
        _check_extras(value.model_extra, where)
        return value
    if not isinstance(value, Mapping):
        raise DeclarationError(
            f"{where}: data_risk is of type {type(value).__qualname__}; expected what "
            f"remit.risk(...) returns, a DataRisk, or a mapping with {choices(MEMBERS)}"
        )
    given = cast("Mapping[object, object]", value)
    for key in given:
        _check_key(key, where)
    _check_extras({key: given[key] for key in given if key not in MEMBERS}, where)
    parts = {key: _part(key, model, given.get(key), where) for key, model in PARTS.items()}
    return DataRisk.model_validate({**given, **parts})


def _check_key(key: object, where: str) -> None:
    """Reject a key beside the three parts that is probably a mistake."""
    if not isinstance(key, str):
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}; expected {choices(MEMBERS)}"
        )
    homes = [part for part, model in PARTS.items() if key in model.model_fields]
    if homes:
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}, which belongs into {' or '.join(homes)}"
        )
    if key not in MEMBERS and closest(key, MEMBERS, _MISSPELT_SIMILARITY):
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}{did_you_mean(key, MEMBERS)}; "
            f"expected {choices(MEMBERS)}"
        )


def _check_extras(extras: Mapping[Any, object] | None, where: str) -> None:
    """Reject values that JSON cannot represent, because sending them would fail later."""
    if not extras:
        return
    for key, value in extras.items():
        if isinstance(attempt(partial(json.dumps, value)), Exception):
            raise DeclarationError(
                f"{where}: data_risk[{key!r}] is of type {type(value).__qualname__}; "
                "expected what JSON can say"
            )


def _part(key: str, model: type[BaseModel], given: object, where: str) -> BaseModel:
    """Return one of the three parts."""
    if given is None or isinstance(given, model):
        return given or model()
    if not isinstance(given, Mapping):
        raise DeclarationError(
            f"{where}: data_risk[{key!r}] is of type {type(given).__qualname__}; "
            f"expected a mapping with {choices(model.model_fields)}"
        )
    members = cast("Mapping[object, object]", given)
    for name, word in members.items():
        _check_member(key, model, name, word, where)
    return model.model_validate(dict(members))


def _check_member(key: str, model: type[BaseModel], name: object, word: object, where: str) -> None:
    names = tuple(model.model_fields)
    if not isinstance(name, str) or name not in names:
        raise DeclarationError(
            f"{where}: data_risk[{key!r}] has the key {name!r}{did_you_mean(name, names)}; "
            f"expected {choices(names)}"
        )
    allowed = get_args(model.model_fields[name].annotation)
    if word not in allowed:
        raise DeclarationError(
            f"{where}: data_risk[{key!r}][{name!r}] is {word!r}{did_you_mean(word, allowed)}; "
            f"expected {choices(allowed)}"
        )


def declared_words(risk: DataRisk | None) -> Words:
    """Return the words of a data risk; an action or category that is not there is unknown."""
    if risk is None:
        return _NOTHING
    parts = (risk.action_profile, risk.params_data_categories, risk.result_data_categories)
    return {name: vars(part) for name, part in zip(MEMBERS, parts, strict=True)}


def withholding(risk: DataRisk | None) -> Withholding:
    """Return the rules by which a declaration withholds values."""
    words = declared_words(risk)
    params, result = words["params_data_categories"], words["result_data_categories"]
    return Withholding(_rule(params), _rule(result), _excluded(params), _excluded(result))


def _rule(categories: Mapping[str, str]) -> str | None:
    word = categories.get(CLASSIFICATION)
    return f"{CLASSIFICATION}:{word}" if word in WITHHELD_CLASSES else None


def _excluded(categories: Mapping[str, str]) -> frozenset[str]:
    return frozenset(category for category in CATEGORIES if categories.get(category) == "excluded")
