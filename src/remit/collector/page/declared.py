"""What a schema version declares: the steps of an agent, with the words of their data risk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast, get_args

from remit.collector.json_io import read_json
from remit.models.data_risk import Action, Category, Classification

ACTIONS: Final[tuple[str, ...]] = get_args(Action)
CATEGORIES: Final[tuple[str, ...]] = get_args(Category)
CLASSES: Final[tuple[str, ...]] = get_args(Classification)
ACTION: Final = "action_profile"
PARAMS: Final = "params_data_categories"
RESULT: Final = "result_data_categories"
UNKNOWN: Final = "unknown"
EXCEEDED_BY: Final = {"disallowed": "allowed", "excluded": "included"}
"""The words of an agent that are limits, and the words of a step that exceed them."""
WITHOUT_EFFECT: Final = {"llm": "model call", "agent": "agent", "retriever": "retriever"}
"""Kinds of steps whose unknown words exceed no remit, and what they are called."""
VERBS: Final = {
    "create_data": "create data",
    "read_data": "read data",
    "update_data": "update data",
    "destroy_data": "destroy data",
    "financial_transactions": "move money",
    "external_communication": "communicate externally",
}
"""The actions as verbs."""
_KIND: Final = "x-remit-kind"
_OWNER: Final = "x-remit-owner"
_OF_REMIT: Final = "remit:"
_PARTS: Final = {ACTION: ACTIONS, PARAMS: CATEGORIES, RESULT: CATEGORIES}
ALL_WORDS: Final = len(ACTIONS) + len(CATEGORIES)
"""Number of the actions and categories that a declaration can say something about."""

Json = Mapping[str, Any]


class Declared(NamedTuple):
    """A span type as a schema version declares it.

    Attributes:
        name: Its name.
        entry: The declaration.
    """

    name: str
    entry: Json

    def word(self, part: str, name: str) -> str:
        """Return what it says about an action or a category of one side."""
        risk: Json = self.entry.get("data_risk") or {}
        words: Json = risk.get(part) or {}
        return str(words.get(name, UNKNOWN))

    @property
    def kind(self) -> str:
        """Its kind, if an integration declares that it has no effect; else empty."""
        kind = self.params.get(_KIND)
        return kind if kind in WITHOUT_EFFECT else ""

    @property
    def owner(self) -> str | None:
        """The person or team that is responsible for it."""
        owner = self.params.get(_OWNER)
        return owner if isinstance(owner, str) and owner.strip() else None

    @property
    def params(self) -> Json:
        """The schema of its parameters."""
        schema = self.entry.get("params_schema")
        return cast("Json", schema) if isinstance(schema, dict) else {}

    @property
    def result(self) -> Json:
        """The schema of its result."""
        schema = self.entry.get("result_schema")
        return cast("Json", schema) if isinstance(schema, dict) else {}

    @property
    def classification(self) -> str:
        """The stricter class of parameters and result."""
        classes = [self.word(part, "classification") for part in (PARAMS, RESULT)]
        return max((word for word in classes if word in CLASSES), key=CLASSES.index)

    @property
    def allowed(self) -> list[str]:
        """The actions that it may take."""
        return [name for name in ACTIONS if self.word(ACTION, name) == "allowed"]

    @property
    def categories(self) -> list[str]:
        """The categories that it takes or gives."""
        return [
            name
            for name in CATEGORIES
            if "included" in (self.word(PARAMS, name), self.word(RESULT, name))
        ]

    @property
    def limits(self) -> list[tuple[str, str]]:
        """The parts and names of what it rules out."""
        return [
            (part, name)
            for part, names in _PARTS.items()
            for name in names
            if self.word(part, name) in EXCEEDED_BY
        ]

    @property
    def unsaid(self) -> int:
        """The number of actions and categories about which it says nothing."""
        actions = sum(self.word(ACTION, name) == UNKNOWN for name in ACTIONS)
        return actions + sum(
            self.word(PARAMS, name) == self.word(RESULT, name) == UNKNOWN for name in CATEGORIES
        )


class Declaration(NamedTuple):
    """The span types of an agent.

    Attributes:
        own: That of the agent itself; None if it is not known which it is.
        steps: The others, by name.
    """

    own: Declared | None
    steps: Mapping[str, Declared]

    @property
    def owner(self) -> str | None:
        """The person or team that is responsible for the agent."""
        return None if self.own is None else self.own.owner

    @property
    def all(self) -> list[Declared]:
        """All span types, that of the agent first."""
        return [*([] if self.own is None else [self.own]), *self.steps.values()]


def declaration_of(span_types: str | None, identifier: str | None) -> Declaration:
    """Return the declaration in a schema version.

    Args:
        span_types: The span types as JSON; None without a schema version.
        identifier: External identifier of the agent, which is the name of its span type; in local
            mode a folder comes before it.
    """
    entries = [] if span_types is None else cast("list[Json]", read_json(span_types))
    types = {
        str(entry["name"]): Declared(str(entry["name"]), entry)
        for entry in entries
        if not str(entry["name"]).startswith(_OF_REMIT)
    }
    own = _own(types.values(), identifier or "")
    steps = {name: types[name] for name in sorted(types) if types[name] is not own}
    return Declaration(own, steps)


def _own(types: Iterable[Declared], identifier: str) -> Declared | None:
    """Return the span type of the agent: the one that has its name, else the only owned one."""
    named = [one for one in types if identifier and f"/{identifier}".endswith(f"/{one.name}")]
    owned = [one for one in types if one.owner is not None]
    if named:
        return max(named, key=lambda one: len(one.name))
    return owned[0] if len(owned) == 1 else None


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return names without their modules, where that leaves them distinct."""
    names = list(names)
    tails = {name: name.partition(":")[2] or name for name in names}
    shared = {tail for tail in tails.values() if list(tails.values()).count(tail) > 1}
    return {name: name if tail in shared else tail for name, tail in tails.items()}
