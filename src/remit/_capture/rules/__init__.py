"""The rules of redaction: by type, by name, by data category, by the shape of a text."""

from remit._capture.rules.switches import (
    CAPTURE_OFF,
    FIXED,
    HOOK,
    QUOTED,
    SECRET_TYPE,
    SENSITIVE_MARK,
    SWITCHES,
    switched_off,
    why_no_switch,
)

__all__ = [
    "CAPTURE_OFF",
    "FIXED",
    "HOOK",
    "QUOTED",
    "SECRET_TYPE",
    "SENSITIVE_MARK",
    "SWITCHES",
    "switched_off",
    "why_no_switch",
]
