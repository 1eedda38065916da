"""Violations as the policy finds them, and as payloads have them."""

from __future__ import annotations

from typing import Any

from remit import DataRisk, risk
from remit.errors import DeniedError, Violation
from remit.models.data_risk import Action
from tests.collecting import Json
from tests.inside import Ceiling, Rules, decode, denial_payload, fields_of, verdict


def violations_of(
    step: str,
    declared: DataRisk | None,
    agent: str,
    remit: DataRisk | None,
    *,
    strict: bool = False,
) -> list[Violation]:
    """Return how a step violates what an agent rules out, in the order of the policy."""
    ceiling = Ceiling.of(agent, "shop/desk.py:7", remit)
    return [] if ceiling is None else list(verdict((ceiling,), step, declared, strict=strict)[0])


def violation(step: str, agent: str, action: Action, word: str = "allowed") -> Violation:
    """Return how a step violates the one action that an agent forbids."""
    declared = risk(allows=action) if word == "allowed" else risk()
    return violations_of(step, declared, agent, risk(forbids=action), strict=True)[0]


def denial(step: str, *violations: Violation, **refused: str) -> dict[str, Any]:
    """Return the result of a step that the policy denied, or a person: *refused_by* and *why*."""
    error = DeniedError(step, violations, **refused)
    result: dict[str, Any] = decode(denial_payload(error, Rules()))
    return result


def exceeding(*violations: Violation) -> dict[str, Json]:
    """Return the note in the payload of a step that ran in spite of its violations."""
    return {"$remit": {"violations": list(map(fields_of, violations))}}
