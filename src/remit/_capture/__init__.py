"""Capture: arguments and results as bounded, redacted JSON, without running user code.

Nobody needs it to declare: each of its modules is imported at the first use of a name that is from
it.
"""

from typing import TYPE_CHECKING

from remit._late import lately

if TYPE_CHECKING:
    from remit._capture.encode import Limits, Rules, redacted, redacted_name, secrets_in, snapshot
    from remit._capture.failures import error_payload
    from remit._capture.plan import Plan
    from remit._capture.remarks import beside, denial_payload, exceeding, told_apart
    from remit._capture.rule import Rule
    from remit._capture.rules import GROUPS, RULES, SWITCHES, Group, no_switch, switched_off
    from remit._capture.secrets import Known
    from remit._capture.stream import Stream
    from remit._capture.wishes import Capture, Wish
else:
    __getattr__, __dir__ = lately(
        __name__,
        {
            "Capture": "remit._capture.wishes",
            "GROUPS": "remit._capture.rules",
            "Group": "remit._capture.rules",
            "Known": "remit._capture.secrets",
            "Limits": "remit._capture.encode",
            "Plan": "remit._capture.plan",
            "RULES": "remit._capture.rules",
            "Rule": "remit._capture.rule",
            "Rules": "remit._capture.encode",
            "SWITCHES": "remit._capture.rules",
            "Stream": "remit._capture.stream",
            "Wish": "remit._capture.wishes",
            "beside": "remit._capture.remarks",
            "denial_payload": "remit._capture.remarks",
            "error_payload": "remit._capture.failures",
            "exceeding": "remit._capture.remarks",
            "no_switch": "remit._capture.rules",
            "redacted": "remit._capture.encode",
            "redacted_name": "remit._capture.encode",
            "secrets_in": "remit._capture.encode",
            "snapshot": "remit._capture.encode",
            "switched_off": "remit._capture.rules",
            "told_apart": "remit._capture.remarks",
        },
    )

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
