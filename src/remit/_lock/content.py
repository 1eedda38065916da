"""The content of a lock: declarations of agents and their steps, from registrations alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from remit._declare.registry import OWN_TYPES
from remit._declare.risk import OTHERS, in_order
from remit._declare.schema.canonical import ASKS, STEP_KIND
from remit._lock.difference import FORMAT
from remit._lock.places import params_places, result_places
from remit._policy.maxima import numbers_in
from remit._policy.rehearsal import rehearse
from remit._policy.words import (
    ACTIONS,
    CATEGORIES,
    CLASSIFICATION,
    UNKNOWN,
    DeclaredStep,
    declared_words,
)
from remit.models.data_risk import DataRisk

Json = dict[str, Any]


def lock_of(
    schema_versions: Mapping[str, Json],
    *,
    other_agents: Iterable[str] = (),
    modules: Iterable[str] = (),
    projects: Iterable[str | None] = (),
    made_with: Mapping[str, str] | None = None,
) -> Json:
    """Return the lock of some agents.

    *schema_versions* has by agent the `agent_schema_version` of its registration. The later of two
    span types of one name counts. *other_agents* are not in the lock, but may be steps of those
    that are. *projects* are those of the agents.
    """
    project = ", ".join(sorted(set(filter(None, projects))))
    known = {*schema_versions, *other_agents}
    agents: Json = {}
    steps: Json = {}
    for agent, version in schema_versions.items():
        entries = {
            entry["name"]: entry
            for entry in version.get("span_type_schemas") or ()
            if entry["name"] not in OWN_TYPES
        }
        agents[agent] = _agent(agent, version.get("external_identifier"), entries, known)
        steps |= {name: _step(entry) for name, entry in entries.items()}
    return {
        "remit_lock": FORMAT,
        **({} if made_with is None else {"made_with": dict(made_with)}),
        "modules": sorted(set(modules)),
        **({"project": project} if project else {}),
        "agents": agents,
        "steps": steps,
    }


def text_of(lock: Json) -> str:
    return json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _agent(
    agent: str, registers: str | None, entries: Mapping[str, Json], agents: set[str]
) -> Json:
    steps = [
        DeclaredStep(
            name,
            declared_words(_risk(entry)),
            _params(entry).get(STEP_KIND, ""),
            is_agent=name in agents,
        )
        for name, entry in entries.items()
        if name != agent
    ]
    own = entries.get(agent, {})
    rehearsal = rehearse(_risk(own), steps)
    return {
        **_words(own),
        **({"limits": numbers} if (numbers := numbers_in(_params(own))) else {}),
        **({} if registers is None else {"registers": registers}),
        "steps": {
            "allowed": rehearsal.allowed,
            **({"asked": rehearsal.asked} if rehearsal.asked else {}),
            "undeclared": rehearsal.undeclared,
            "denied": rehearsal.denied,
        },
        "leaves": rehearsal.leaves,
    }


def _step(entry: Json) -> Json:
    description = entry.get("description")
    return {
        **({} if description is None else {"description": description}),
        **_words(entry),
        "params": params_places(_params(entry)),
        "result": result_places(entry.get("result_schema") or {}),
    }


def _params(entry: Json) -> Json:
    schema: Json = entry.get("params_schema") or {}
    return schema


def _risk(entry: Json) -> DataRisk | None:
    risk = entry.get("data_risk")
    if risk is None:
        return None
    asks: Any = _params(entry).get(ASKS)
    named = cast("list[str]", asks) if isinstance(asks, list) else []
    return DataRisk.model_validate(risk).with_asks(in_order(named))


def _words(entry: Json) -> Json:
    """Return the key `risk` of an entry; none without a data risk."""
    risk = _risk(entry)
    return {} if risk is None else {"risk": risk_words(risk)}


def risk_words(risk: DataRisk) -> Json:
    """Return a data risk as the arguments of `remit.risk`, and the rest.

    `others` replaces the words that follow from the rest. What is excluded from one side only is in
    `excludes_params` and `excludes_result`, as the class of one side in `classification_params` and
    `classification_result`; `extra` has the members outside the three parts of a data risk.
    """
    profile, params, result = declared_words(risk).values()
    asks: list[str] = [*risk.asks]
    allows = [name for name in _saying("allowed", profile, ACTIONS) if name not in asks]
    forbids = _saying("disallowed", profile, ACTIONS)
    takes, gives = (_saying("included", side, CATEGORIES) for side in (params, result))
    sides = [_saying("excluded", side, CATEGORIES) for side in (params, result)]
    neither = [name for name in sides[0] if name in sides[1]]
    one_side: list[list[str]] = [[name for name in side if name not in neither] for side in sides]
    if len(allows) + len(forbids) + len(asks) == len(ACTIONS):
        if len(asks) > len(forbids):
            asks = [OTHERS]
        elif forbids:
            forbids = [OTHERS]
    everything = all(
        len(included) + len(excluded) == len(CATEGORIES)
        for included, excluded in zip((takes, gives), sides, strict=True)
    )
    if any(sides) and everything:
        neither = [OTHERS]
        one_side = [list[str]() for _ in sides]
    classes = [str(side.get(CLASSIFICATION, UNKNOWN)) for side in (params, result)]
    shared = classes[0] if classes[0] == classes[1] else UNKNOWN
    of_side = [UNKNOWN if shared != UNKNOWN else word for word in classes]
    words: Json = {
        "allows": allows,
        "forbids": forbids,
        "asks": asks,
        "takes": takes,
        "gives": gives,
        "excludes": neither,
        "excludes_params": one_side[0],
        "excludes_result": one_side[1],
        "classification": shared,
        "classification_params": of_side[0],
        "classification_result": of_side[1],
        "extra": risk.model_extra or {},
    }
    return {key: value for key, value in words.items() if value and value != UNKNOWN}


def _saying(word: str, words: Mapping[str, str], names: Iterable[str]) -> list[str]:
    return [name for name in names if words.get(name) == word]
