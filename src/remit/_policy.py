"""The policy: an agent's data risk is its remit, and no step of its runs may exceed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from remit.models.agent_instance import ActionProfile, DataCategories, DataRisk

UNKNOWN: Final = "unknown"
_ACTIONS: Final = tuple(ActionProfile.model_fields)
_CATEGORIES: Final = tuple(each for each in DataCategories.model_fields if each != "classification")


def violations(ceiling: DataRisk | None, step: DataRisk | None, *, strict: bool) -> tuple[str, ...]:
    """Return where *step* exceeds *ceiling*, one sentence for each word.

    Args:
        ceiling: What the agent declared; None forbids nothing.
        step: What the step declared; None leaves every word unknown.
        strict: What the step leaves unknown exceeds a ceiling that forbids it. So under `deny`
            and `terminate`: an undeclared step is not known to stay below.
    """
    if ceiling is None:
        return ()
    return tuple(_found(ceiling, step, strict=strict))


def _found(ceiling: DataRisk, step: DataRisk | None, *, strict: bool) -> Iterator[str]:
    actions = step.action_profile if step else None
    for word in _over(ceiling.action_profile, actions, _ACTIONS, ("disallowed", "allowed"), strict):
        yield _sentence(*word, "disallowed")
    sides = (
        ("params", ceiling.params_data_categories, step and step.params_data_categories),
        ("result", ceiling.result_data_categories, step and step.result_data_categories),
    )
    for side, limit, said in sides:
        for word in _over(limit, said, _CATEGORIES, ("excluded", "included"), strict):
            yield _sentence(f"{word[0]} in the {side}", word[1], "excluded")


def _sentence(matter: str, said: str, limit: str) -> str:
    return f"{matter}: the step says {said}, the agent says {limit}"


def _over(
    limit: BaseModel,
    said: BaseModel | None,
    names: tuple[str, ...],
    opposites: tuple[str, str],
    strict: bool,  # noqa: FBT001 - handed through
) -> Iterator[tuple[str, str]]:
    """Yield (name, the step's word) where the limit forbids what the step says."""
    forbidden, asserted = opposites
    for name in names:
        if getattr(limit, name) != forbidden:
            continue
        word = str(getattr(said, name, UNKNOWN))
        if word == asserted or (strict and word == UNKNOWN):
            yield name, word
