"""The table of all redaction rules with examples, for `derive.py` and the tests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from remit._capture.rules.vendors import VENDOR_KEYS, VendorKey


class Rule(Struct, frozen=True):
    """One row of the table.

    Attributes:
        name: As in a marker and in the counts of `remit.status()`.
        redacts: What the rule redacts, in words.
        redacted: Examples that it redacts.
        recorded: Examples that look alike and are recorded.
    """

    name: str
    redacts: str
    redacted: tuple[str, ...]
    recorded: tuple[str, ...]


class Group(Struct, frozen=True):
    """Rules that are turned off in the same ways.

    Attributes:
        title: What they have in common.
        rules: The rules.
        parameter: How to record for one parameter what they redact; empty if there is no way.
        span_type: The same for all parameters and the result of one span type.
        process: The same for one process.
    """

    title: str
    rules: tuple[Rule, ...]
    parameter: str = ""
    span_type: str = ""
    process: str = ""


_VENDORS: Final = "vendors.py"
"""Name of the row that the rows of this module of `remit._capture.rules` replace."""

_LETTERS: Final = "aB3dE5fG7hI9jK1lM2nO4pQ6"


class Examples(Struct, forbid_unknown_fields=True):
    """Examples of a vendor's keys.

    Attributes:
        example: What may follow a prefix; by default letters and digits, enough of them.
        redacted: Texts that are redacted, for a key without a prefix.
        recorded: Texts that look alike and are recorded.
    """

    example: str = ""
    redacted: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()


def _examples() -> dict[str, Examples]:
    """Return the examples, by the rule and how a key begins."""
    text = Path(__file__).with_name("vendor_keys.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Examples])


def _of_vendor(key: VendorKey, examples: dict[str, Examples]) -> Rule:
    prefixes = key.prefixes.split()
    begins = prefixes[0] if prefixes else key.anchor + "".join(key.heads[:1])
    of_key = examples.pop(f"{key.rule} {begins}", Examples())
    redacted, recorded = of_key.redacted, of_key.recorded
    if not key.anchor:
        enough = 1 if 0 < key.random <= len(_LETTERS) else 3
        example = of_key.example or _LETTERS * enough
        redacted = tuple(prefix + example for prefix in prefixes)
        recorded = (
            *(f"our {prefix}token setting" for prefix in prefixes if not prefix[-1].isalnum()),
            *(f"keys that begin with {prefix}" for prefix in prefixes if prefix[-1].isalnum()),
            f"x{prefixes[0]}{example}",
        )
    redacts = key.redacts or f"{key.owner} keys and tokens"
    return Rule(f"pattern:{key.rule}", redacts, redacted, recorded)


def _groups() -> Iterator[Group]:
    """Yield the groups of rules, in the order in which they are applied."""
    text = Path(__file__).with_suffix(".json").read_bytes()
    examples = _examples()
    vendors = [_of_vendor(key, examples) for key in VENDOR_KEYS]
    if examples:
        raise ValueError(f"examples of no row of vendors.py: {', '.join(examples)}")
    for group in msgspec.json.decode(text, type=list[Group]):
        rows = (vendors if rule.name == _VENDORS else [rule] for rule in group.rules)
        yield msgspec.structs.replace(group, rules=tuple(chain.from_iterable(rows)))


GROUPS: Final = tuple(_groups())
RULES: Final = tuple(rule for group in GROUPS for rule in group.rules)
