"""The plan of capture that a declaration asks for: what the author said of each side."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from remit._capture import Plan
from remit._registry import SpanType
from remit._risk import withholding

_PLANS: Final[WeakKeyDictionary[SpanType, Plan]] = WeakKeyDictionary()


def plan_of(declared: SpanType) -> Plan:
    """Return how the values of *declared* are captured: what is withheld of each side."""
    plan = _PLANS.get(declared)
    if plan is None:
        plan = _PLANS[declared] = _made(declared)
    return plan


def _made(declared: SpanType) -> Plan:
    rule = withholding(declared.data_risk)
    return Plan(
        declared.reading,
        params_rule=rule.params_rule,
        result_rule=rule.result_rule,
        params_excluded=rule.params_excluded,
        result_excluded=rule.result_excluded,
        keep=declared.capture,
    )
