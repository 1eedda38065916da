"""Help: words, redaction rules, marks and signs, keyboard shortcuts."""

from __future__ import annotations

from typing import Final, NamedTuple

from remit.collector.page import formats
from remit.collector.page.visits import Html, Response, Visit

KEYS: Final = (
    (
        "On every page",
        (
            ("?", "help"),
            ("/", "go to the search or to the first filter"),
            ("g r", "runs"),
            ("g a", "agents"),
            ("g d", "data map"),
            ("g f", "denied"),
            ("g w", "processing register"),
            ("t", "light or dark theme"),
            ("u", "UTC or your time zone"),
        ),
    ),
    (
        "In a run",
        (
            ("↓ ↑ j k", "next and previous step"),
            ("→ ← Space", "open and close a step"),
            ("⇧→ ⇧←", "open and close one level of the whole tree"),
            ("Home End PgUp PgDn", "first step, last step, page up, page down"),
            ("p", "parent step"),
            ("e E", "next and previous failed step"),
            ("m M", "next and previous marked step"),
            ("n N", "next and previous search hit"),
            ("z", "time axis: whole run, or visible rows"),
            ("+ -", "zoom in, zoom out"),
            ("Enter", "focus the panel"),
            ("Esc", "focus the tree"),
            ("c", "copy the link of the step"),
            ("[ ]", "newer and older run"),
        ),
    ),
)
"""Keyboard shortcuts; none changes what is recorded."""
STATUSES: Final = (
    ("complete", "ended without a failure"),
    ("failed", "ended by an exception, or by the policy"),
    ("denied", "did not run: the policy denied the step"),
    (
        "terminated",
        "ended by a request to the server; the program stops at its next step",
    ),
    ("cancelled", "cancelled by the program before it ended"),
    ("active", "has started and has not ended yet"),
    ("waiting", "has asked a person, and goes on after the answer"),
    ("approved", "a person approved the step"),
    ("refused", "a person refused the step, and it did not run"),
    ("expired", "no answer came in time, and the step did not run"),
)
WORDS: Final = (
    ("step", "One recorded call of a function, a tool, a model or another agent."),
    ("remit", "The limits of an agent: the actions and data that its author allows."),
    ("may", "The agent or the step declares that it may take this action."),
    (
        "never",
        "The agent or the step declares that it never does this, or never handles this data.",
    ),
    ("as declared", "This information comes from the declaration. It may not have happened."),
    ("not as declared", "The payload or the result of a step differs from its declared schema."),
    (
        "undeclared",
        "The declaration does not mention this action or data. The step may still use it.",
    ),
    ("ran", "The step was executed and recorded."),
    (
        "observe",
        "The default setting: a step that violates the remit still runs, and gets a mark.",
    ),
    ("deny", "Setting: a step that violates the remit is denied before it begins."),
    ("terminate", "Setting: a step that violates the remit is denied, and its run ends."),
    (
        "Terminate",
        (
            "Button on the page of a running run. It ends the run before its next step. "
            "Your token needs the permission write."
        ),
    ),
    ("marked", "Filter that shows the runs in which a step has this mark."),
    ("class", "The sensitivity of data, from public to secret."),
    (
        "confidential",
        "Values of this class or higher are hidden until someone opens them.",
    ),
    ("fold", "To hide idle time on the time axis of a run."),
    ("handled", "The step failed, and its parent step succeeded."),
    ("directly caused by", "The error was raised from another error, with raise ... from."),
    ("raised while handling", "The error was raised while another error was handled."),
    (
        "fingerprint",
        (
            "Identifies the same failure in several runs. It is derived from the step, the error "
            "type and the place in the code."
        ),
    ),
    (
        "subject",
        "The person whose data a run handles. The program sets an id; addresses have its hash.",
    ),
    (
        "on behalf of",
        "The person who asked. The program sets an id; addresses have its hash.",
    ),
    (
        "conversation",
        "Runs that belong together, such as the turns of a chat. The program sets an id.",
    ),
    (
        "access log",
        "Optional file that contains one line per request: remit serve --access-log FILE.",
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
        "its declared type is a pydantic secret type, or it is marked as sensitive",
        "no: declare another type",
    ),
    Rule(
        "hidden",
        ("hidden:repr",),
        "a field",
        "the class hides this field from its repr",
        "no: show the field in the repr of its class",
    ),
    Rule(
        "name",
        ("name:password",),
        "the value next to a name",
        "the name suggests a password, a token, a key, a cookie or a similar secret",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "capture",
        ("capture",),
        "a parameter, a result, or all values of a step",
        "the declaration of the step sets capture=False for it",
        "in the declaration of the step",
    ),
    Rule(
        "classification",
        ("classification:restricted",),
        "every value of a step, and the contents of later model calls in the run",
        "the step is declared restricted or secret, and a model may quote its values",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "category",
        ("category:contact_information",),
        "values whose name or type indicates a category of data",
        "the step declares that it excludes the category",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "pattern",
        ("pattern:jwt",),
        "a string that contains a key, a token or a password",
        "part of it looks like a secret; the whole string is redacted",
        "for a parameter, a span type or the process",
    ),
    Rule(
        "quoted",
        ("quoted",),
        "an error message, or the text of a reason",
        "it contains a string that was redacted earlier in the run",
        "no",
    ),
    Rule(
        "hook",
        ("hook",),
        "a whole payload",
        "the program's own hook, configure(redact=...), failed on this payload",
        "no: fix the hook",
    ),
)
"""All beginnings; docs/reference/redaction.md lists every rule."""
_BY_NAME: Final = {rule.name: rule for rule in RULES}


def why(rule: str) -> str:
    """Return why a rule redacted something, in a few words for the margin of a page."""
    name, _, detail = rule.partition(":")
    if name == "classification":
        return f"not recorded, because an earlier step is declared {detail}"
    if name == "category":
        return f"the step excludes {formats.words(detail)}"
    known = _BY_NAME.get(name)
    return f"{rule}: a rule of the program" if known is None else f"{rule}: {known.because}"
