"""The plan of capture that a declaration asks for: what the author said of each side."""

from __future__ import annotations

from remit._capture import Plan
from remit._registry import SpanType
from remit._risk import withholding


def plan_of(declared: SpanType) -> Plan:
    """Return how the values of *declared* are captured: what is withheld of each side."""
    rule = withholding(declared.data_risk)
    return Plan(
        declared.reading,
        params_rule=rule.params_rule,
        result_rule=rule.result_rule,
        params_excluded=rule.params_excluded,
        result_excluded=rule.result_excluded,
        keep=declared.capture,
    )
