"""Names of the rules that follow from a declaration, and of the rules that can be turned off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from remit._base.text import describe_value, did_you_mean
from remit._capture.rules.categories import CATEGORY_RULES
from remit._capture.rules.names import NAME_RULES
from remit._capture.rules.pattern_rules import PATTERN_RULES
from remit._inspect.annotations import SECRETS
from remit._inspect.fields import EXCLUDED, NOT_IN_REPR
from remit._policy.words import CATEGORIES
from remit.errors import SettingsError

SECRET_TYPE: Final = "type:SecretStr"  # noqa: S105 - the name of a rule
SENSITIVE_MARK: Final = "type:Sensitive"
CAPTURE_OFF: Final = "capture"
QUOTED: Final = "quoted"
HOOK: Final = "hook"

FIXED: Final = frozenset(
    (SECRET_TYPE, SENSITIVE_MARK, EXCLUDED, NOT_IN_REPR, CAPTURE_OFF, QUOTED, HOOK)
)
"""Names of the rules that follow from the declaration: no name turns them off."""

SWITCHES: Final = frozenset(
    {"classification:restricted", "classification:secret"}
    | {rule.name for rule in NAME_RULES}
    | {f"category:{rule.category}" for rule in CATEGORY_RULES}
    | {rule.name for rule in PATTERN_RULES}
)
"""Names of the rules that can be turned off by name."""

CATEGORY_OF_RULE: Final[Mapping[str, str]] = {
    **{f"category:{category}": category for category in CATEGORIES},
    **{rule.name: SECRETS for rule in NAME_RULES},
    SECRET_TYPE: SECRETS,
    "name:card_code": "financial_information",
    "name:ssn": "personal_identifiers",
}
"""The data category of the values that a rule redacts, where the rule implies one."""


def switched_off(names: Iterable[str]) -> frozenset[str]:
    """Return the rules that `configure(redact_off=...)` turns off.

    Raises:
        SettingsError: One is not a rule, or one that no setting turns off.
    """
    off = frozenset(names)
    for name in sorted(off - SWITCHES):
        raise SettingsError(f"setting redact_off: {why_no_switch(name)}")
    return off


def why_no_switch(name: str) -> str:
    """Return a sentence that explains why the rule *name* cannot be turned off."""
    if name in FIXED:
        return (
            f"{name!r} follows from the declaration itself and cannot be turned off by its name; "
            "see the redaction reference for how to change the declaration"
        )
    return (
        f"{describe_value(name)} is not a redaction rule{did_you_mean(name, SWITCHES)}; expected "
        "the name of one, as in a marker: name:..., pattern:..., category:... or "
        "classification:..."
    )
