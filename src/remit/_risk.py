"""What a step may do and whose data flows through it: declared in a line, checked at once.

Source: the words are those of the API's `data_risk` (CONTRACT.md section 12). They are spelled here
as in the wire models, which nothing imports that only declares; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from msgspec import Struct

from remit._guard import attempt
from remit._late import late
from remit._marks import CATEGORIES, CLASSIFICATION
from remit._words import meant, one_of
from remit.errors import DeclarationError
from remit.models._pending import Words, declared, is_model, words_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from remit.models import data_risk as models
else:
    models = late("remit.models.data_risk")

WITHHELD_CLASSES: Final = frozenset({"restricted", "secret"})
"""Data of these classes is in no payload unless asked for."""

ACTIONS: Final = (
    "create_data",
    "read_data",
    "update_data",
    "destroy_data",
    "financial_transactions",
    "external_communication",
)
CLASSES: Final = ("unknown", "public", "internal", "confidential", "restricted", "secret")
MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "action_profile": ACTIONS,
    "params_data_categories": (*CATEGORIES, CLASSIFICATION),
    "result_data_categories": (*CATEGORIES, CLASSIFICATION),
}
"""By part, what it has a word for, in the order of the models."""
_NOTHING: Final[Words] = {part: {} for part in MEMBERS}
# A key beside the three parts is kept, but one this close to a part is a slip of the pen.
_SLIP_RATIO: Final = 0.8


class Withholding(Struct, frozen=True):
    """What a declaration withholds from payloads.

    Attributes:
        params_rule: Why no value of the parameters is recorded, None if they are.
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
) -> models.DataRisk:
    """Return a data risk from words; what no word speaks of stays `unknown`.

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
    allowed = _words("allows", allows, ACTIONS)
    forbidden = _words("forbids", forbids, ACTIONS)
    taken = _words("takes", takes, CATEGORIES)
    given = _words("gives", gives, CATEGORIES)
    excluded = _words("excludes", excludes, CATEGORIES)
    _no_contradiction("allows", allowed, "forbids", forbidden)
    _no_contradiction("takes", taken, "excludes", excluded)
    _no_contradiction("gives", given, "excludes", excluded)
    actions: dict[str, Any] = dict.fromkeys(allowed, "allowed") | dict.fromkeys(
        forbidden, "disallowed"
    )
    neither = dict.fromkeys(excluded, "excluded")
    if classification is not None:
        neither[CLASSIFICATION] = _known("classification", classification, CLASSES)
    return declared({
        "action_profile": actions,
        "params_data_categories": neither | dict.fromkeys(taken, "included"),
        "result_data_categories": neither | dict.fromkeys(given, "included"),
    })  # fmt: skip


def _words(argument: str, given: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of one argument, checked."""
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable):
        raise DeclarationError(
            f"remit.risk({argument}={given!r}): expected a word or several, of {one_of(allowed)}"
        )
    words = tuple(cast("Iterable[object]", given))
    return tuple(_known(argument, word, allowed) for word in words)


def _known(argument: str, word: object, allowed: tuple[str, ...]) -> str:
    """Return the word as it is spelled here: the user's may be of a class of their own."""
    if word not in allowed:
        raise DeclarationError(
            f"remit.risk({argument}=...): {word!r} is unknown{meant(word, allowed)}; "
            f"expected {one_of(allowed)}"
        )
    return allowed[allowed.index(word)]


def _no_contradiction(
    one: str, words: tuple[str, ...], other: str, others: tuple[str, ...]
) -> None:
    if both := [word for word in words if word in others]:
        raise DeclarationError(
            f"remit.risk({one}=..., {other}=...): {both[0]!r} stands in both; "
            "leave it in the one that is true"
        )


def coerce(value: object, where: str) -> models.DataRisk | None:
    """Return the data risk that a declaration was given, None if it was given none.

    A mapping may be partial: what it leaves out is `unknown`. Keys beside the three parts are
    kept, as the API does.

    Args:
        value: A `DataRisk`, a mapping of its shape, or None.
        where: The declaration, for the message.

    Raises:
        DeclarationError: Names the declaration, the key, what was seen and what is allowed.
    """
    if value is None or words_of(value) is not None:
        return cast("models.DataRisk | None", value)
    if is_model(value):
        _check_extras(value.model_extra, where)
        return value
    if not isinstance(value, Mapping):
        raise DeclarationError(
            f"{where}: data_risk is of type {type(value).__qualname__}; expected what "
            f"remit.risk(...) returns, a DataRisk, or a mapping with {one_of(MEMBERS)}"
        )
    given = cast("Mapping[object, object]", value)
    for key in given:
        _check_key(key, where)
    _check_extras({key: given[key] for key in given if key not in MEMBERS}, where)
    parts = {key: _part(key, model, given.get(key), where) for key, model in _models().items()}
    return models.DataRisk.model_validate({**given, **parts})


def _models() -> Mapping[str, type[BaseModel]]:
    """Return the model of each part."""
    kinds = (models.ActionProfile, models.DataCategories, models.DataCategories)
    return dict(zip(MEMBERS, kinds, strict=True))


def _check_key(key: object, where: str) -> None:
    """Refuse a key beside the three parts that was surely meant otherwise."""
    if not isinstance(key, str):
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}; expected {one_of(MEMBERS)}"
        )
    homes = [part for part, model in _models().items() if key in model.model_fields]
    if homes:
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}, which belongs into {' or '.join(homes)}"
        )
    import difflib  # noqa: PLC0415 - 0.5 ms at import, for what is misspelt alone

    if key not in MEMBERS and difflib.get_close_matches(key, MEMBERS, 1, _SLIP_RATIO):
        raise DeclarationError(
            f"{where}: data_risk has the key {key!r}{meant(key, MEMBERS)}; "
            f"expected {one_of(MEMBERS)}"
        )


def _check_extras(extras: Mapping[Any, object] | None, where: str) -> None:
    """Refuse what could not be sent: the error would come later, and far from here."""
    if not extras:
        return
    import json  # noqa: PLC0415 - 0.5 ms at import, for what hardly anyone declares

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
            f"expected a mapping with {one_of(model.model_fields)}"
        )
    members = cast("Mapping[object, object]", given)
    for name, word in members.items():
        _check_member(key, model, name, word, where)
    return model.model_validate(dict(members))


def _check_member(key: str, model: type[BaseModel], name: object, word: object, where: str) -> None:
    names = tuple(model.model_fields)
    if not isinstance(name, str) or name not in names:
        raise DeclarationError(
            f"{where}: data_risk[{key!r}] has the key {name!r}{meant(name, names)}; "
            f"expected {one_of(names)}"
        )
    allowed = get_args(model.model_fields[name].annotation)
    if word not in allowed:
        raise DeclarationError(
            f"{where}: data_risk[{key!r}][{name!r}] is {word!r}{meant(word, allowed)}; "
            f"expected {one_of(allowed)}"
        )


def said(risk: models.DataRisk | None) -> Words:
    """Return the words of a data risk; an action or category that is not there is unknown.

    A risk that is no model yet stays none.
    """
    if risk is None:
        return _NOTHING
    pending = words_of(risk)
    if pending is not None:
        return pending
    return {part: _members(getattr(risk, part)) for part in MEMBERS}


def _members(part: BaseModel) -> Mapping[str, str]:
    return vars(part)


def withholding(risk: models.DataRisk | None) -> Withholding:
    """Return what a declaration withholds from payloads; nothing if there is none."""
    words = said(risk)
    params, result = words["params_data_categories"], words["result_data_categories"]
    return Withholding(_rule(params), _rule(result), _excluded(params), _excluded(result))


def _rule(categories: Mapping[str, str]) -> str | None:
    word = categories.get(CLASSIFICATION)
    return f"{CLASSIFICATION}:{word}" if word in WITHHELD_CLASSES else None


def _excluded(categories: Mapping[str, str]) -> frozenset[str]:
    return frozenset(each for each in CATEGORIES if categories.get(each) == "excluded")
