"""Capture: arguments and results as bounded, redacted JSON, without running user code."""

from remit._capture.encode import (
    FAULT,
    Rules,
    capture_mapping,
    is_like_mapping,
    redacted,
    redacted_name,
)
from remit._capture.errors import (
    denial_payload,
    error_payload,
    failure_payload,
    merge_error,
    outcome_payload,
    reason_of,
)
from remit._capture.excluded import withhold_excluded
from remit._capture.plan import Capture, Plan
from remit._capture.rules.switches import SWITCHES, switched_off, why_no_switch
from remit._capture.stream import Stream
from remit._capture.withheld import WithheldTexts

__all__ = [
    "FAULT",
    "SWITCHES",
    "Capture",
    "Plan",
    "Rules",
    "Stream",
    "WithheldTexts",
    "capture_mapping",
    "denial_payload",
    "error_payload",
    "failure_payload",
    "is_like_mapping",
    "merge_error",
    "outcome_payload",
    "reason_of",
    "redacted",
    "redacted_name",
    "switched_off",
    "why_no_switch",
    "withhold_excluded",
]
