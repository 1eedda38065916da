"""Capture: arguments and results as bounded, redacted JSON, without running user code."""

from remit._capture.encode import Limits, Rules, redacted, redacted_name, secrets_in, snapshot
from remit._capture.failures import error_payload
from remit._capture.plan import Plan
from remit._capture.remarks import beside, denial_payload, exceeding, told_apart
from remit._capture.rule import Rule
from remit._capture.rules import GROUPS, RULES, SWITCHES, Group, no_switch, switched_off
from remit._capture.secrets import Known
from remit._capture.stream import Stream
from remit._capture.wishes import Capture, Wish

__all__ = [
    "GROUPS",
    "RULES",
    "SWITCHES",
    "Capture",
    "Group",
    "Known",
    "Limits",
    "Plan",
    "Rule",
    "Rules",
    "Stream",
    "Wish",
    "beside",
    "denial_payload",
    "error_payload",
    "exceeding",
    "no_switch",
    "redacted",
    "redacted_name",
    "secrets_in",
    "snapshot",
    "switched_off",
    "told_apart",
]
