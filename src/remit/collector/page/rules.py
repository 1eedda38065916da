"""What the rules that withhold values say, by the beginning of their name."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.page import formats


class Rule(NamedTuple):
    """Rules with one beginning.

    Attributes:
        name: The beginning, before the colon.
        examples: Some of the rules.
        withholds: What it withholds.
        because: On whose word.
        off: Where it can be turned off.
    """

    name: str
    examples: tuple[str, ...]
    withholds: str
    because: str
    off: str


RULES: Final = (
    Rule(
        "type",
        ("type:Sensitive", "type:SecretStr"),
        "the value of a parameter, a field or a result",
        "its declaration gives it a secret type of pydantic, or marks it as sensitive",
        "nowhere: declare another type",
    ),
    Rule(
        "hidden",
        ("hidden:repr",),
        "a field",
        "the author of its class leaves it out of what an object shows of itself",
        "nowhere: show the field in its class",
    ),
    Rule(
        "name",
        ("name:password",),
        "the value beside a name",
        "the name is that of a password, a token, a key, a cookie or the like",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "capture",
        ("capture",),
        "a parameter, a result or all of a step",
        "the step is declared with capture=False for it",
        "in the declaration of the step",
    ),
    Rule(
        "classification",
        ("classification:restricted",),
        "every value of a step, and afterwards the contents of model calls of the run",
        "the step is declared restricted or secret, and a model quotes what it reads",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "category",
        ("category:contact_information",),
        "what looks like data of a category",
        "the step is declared to exclude that category",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "pattern",
        ("pattern:jwt",),
        "a text with a key, a token or a password in it",
        "the text has the shape of one; the whole text is withheld, not only the part",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "quoted",
        ("quoted",),
        "the message of an error, or a reason in words",
        "it quotes a text that the run had withheld before",
        "nowhere",
    ),
    Rule(
        "hook",
        ("hook",),
        "a whole payload",
        "the program's own hook, configure(redact=...), failed on it",
        "nowhere: mend the hook",
    ),
)
"""All beginnings; docs/reference/redaction.md lists every rule."""
_BY_NAME: Final = {rule.name: rule for rule in RULES}


def why(rule: str) -> str:
    """Return why a rule withheld something, in a few words for the margin of a page."""
    name, _, detail = rule.partition(":")
    if name == "classification":
        return f"a step declares {detail}: from then on, contents of model calls are withheld too"
    if name == "category":
        return f"the step excludes {formats.words(detail)}"
    known = _BY_NAME.get(name)
    return f"{rule}: a rule of the program" if known is None else f"{rule}: {known.because}"
