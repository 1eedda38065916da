"""Spans: one decorated call, or one block that the user marks, from its start to its end."""

from remit._spans._begin import begin, permit
from remit._spans._block import ManualPlan, SpanBlock
from remit._spans._handle import Span, current_span
from remit._spans._open import OpenSpan, open_span
from remit._spans._step import Plan, Step

__all__ = [
    "ManualPlan",
    "OpenSpan",
    "Plan",
    "Span",
    "SpanBlock",
    "Step",
    "begin",
    "current_span",
    "open_span",
    "permit",
]
