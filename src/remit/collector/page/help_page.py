"""Help: words, what the rules say, marks and signs, keys."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.page import formats
from remit.collector.page.visits import Html, Response, Visit

KEYS: Final = (
    (
        "On every page",
        (
            ("?", "this page"),
            ("/", "find, or filter"),
            ("g r", "runs"),
            ("g a", "agents"),
            ("g d", "data map"),
            ("g f", "denied"),
            ("g w", "register"),
            ("t", "light or dark"),
            ("u", "UTC or your time zone"),
        ),
    ),
    (
        "In a run",
        (
            ("↓ ↑ j k", "next and previous step"),
            ("→ ← Space", "open and close a step"),
            ("⇧→ ⇧←", "open and close a level in all of the tree"),
            ("Home End PgUp PgDn", "first and last step, a page"),
            ("p", "the step around it"),
            ("e E", "next and previous failed step"),
            ("m M", "next and previous marked step"),
            ("n N", "next and previous hit"),
            ("z", "axis over the run, or over the rows in view"),
            ("+ -", "closer, farther"),
            ("Enter", "to the panel"),
            ("Esc", "back to the tree"),
            ("c", "copy the link of the step"),
            ("[ ]", "newer and older run"),
        ),
    ),
)
"""Keys of remit's pages; no key changes what is recorded."""
STATUSES: Final = (
    ("complete", "it ended without a failure"),
    ("failed", "an exception ended it, or the policy ended the run"),
    ("denied", "the policy denied it: the step did not begin"),
    (
        "terminated",
        "ended on the server; the program learns of it at its next step",
    ),
    ("cancelled", "the program gave it up before it ended"),
    ("active", "it has begun and has not ended"),
)
WORDS: Final = (
    ("step", "A step is one recorded call: of a function, a tool, a model or another agent."),
    ("remit", "What an agent may do, and with which data, as its program declares it."),
    ("may", "The declaration of an agent or a step says that it may happen."),
    ("never", "The declaration of an agent rules it out."),
    ("as declared", "The page repeats the declaration; it does not say that it happened."),
    ("not as declared", "What a step received or returned differs from what it declares."),
    (
        "undeclared",
        "Neither declared nor ruled out, which is not a no.",
    ),
    ("ran", "It happened and was recorded."),
    (
        "observe",
        "By default, a step that violates the remit is marked and runs.",
    ),
    ("deny", "With this setting a step that violates the remit is denied before it begins."),
    ("terminate", "With this setting a step that violates the remit is denied, and its run ends."),
    (
        "Terminate",
        (
            "On the page of a running run, this button ends it at its next step, "
            "with a token that may write."
        ),
    ),
    ("marked", "A run is marked if one of its steps has a mark; the filter has the same words."),
    ("class", "How sensitive the data is, from public to secret."),
    (
        "confidential",
        "Values of this class or higher are hidden until someone opens them.",
    ),
    ("fold", "A time in which nothing happened, left out of the axis of a run."),
    ("handled", "The step failed, and its parent step succeeded."),
    ("directly caused by", "The error was raised because of another one: raise ... from."),
    ("which came up while this was handled", "The error was raised while another was handled."),
    ("fingerprint", "Step, type and place of a failure: the same in each run that fails so."),
    (
        "subject",
        "The person whom a run is about: the program gives an id, pages show the hash of it.",
    ),
    (
        "access log",
        "It has a line for each request, if it is kept: remit serve --access-log FILE.",
    ),
)


def show_help(visit: Visit) -> Response:
    """Show the help."""
    del visit
    values = {
        "keys": KEYS,
        "statuses": STATUSES,
        "classes": ("public", "internal", "confidential", "restricted", "secret"),
        "rules": RULES,
        "terms": WORDS,
    }
    return Html("help.html", values)


class Rule(NamedTuple):
    """Rules with one beginning.

    Attributes:
        off: Where it can be turned off.
    """

    name: str
    examples: tuple[str, ...]
    redacts: str
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
        "the class hides this field from its repr",
        "nowhere: show the field in its class",
    ),
    Rule(
        "name",
        ("name:password",),
        "the value next to a name",
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
        "values that look like data of a category",
        "the step is declared to exclude that category",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "pattern",
        ("pattern:jwt",),
        "a string with a key, a token or a password in it",
        "the string has the shape of one; the whole string is redacted, not only the part",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "quoted",
        ("quoted",),
        "the message of an error, or a reason in words",
        "it quotes a string that the run redacted before",
        "nowhere",
    ),
    Rule(
        "hook",
        ("hook",),
        "a whole payload",
        "the program's own hook, configure(redact=...), failed on it",
        "nowhere: fix the hook",
    ),
)
"""All beginnings; docs/reference/redaction.md lists every rule."""
_BY_NAME: Final = {rule.name: rule for rule in RULES}


def why(rule: str) -> str:
    """Return why a rule redacted something, in a few words for the margin of a page."""
    name, _, detail = rule.partition(":")
    if name == "classification":
        return f"a step declares {detail}: from then on, contents of model calls are redacted too"
    if name == "category":
        return f"the step excludes {formats.words(detail)}"
    known = _BY_NAME.get(name)
    return f"{rule}: a rule of the program" if known is None else f"{rule}: {known.because}"
