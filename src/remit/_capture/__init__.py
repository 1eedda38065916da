"""Capture: arguments and results as bounded, redacted JSON, without running user code."""

from remit._capture.encode import Limits, Rules, redacted, snapshot
from remit._capture.failures import error_payload
from remit._capture.plan import Plan
from remit._capture.rule import Rule
from remit._capture.rules import RULES
from remit._capture.stream import Stream

__all__ = [
    "RULES",
    "Limits",
    "Plan",
    "Rule",
    "Rules",
    "Stream",
    "error_payload",
    "redacted",
    "snapshot",
]
