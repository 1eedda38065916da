"""Help: keys, marks and signs, what the rules say, words."""

from __future__ import annotations

from typing import Final

from remit.collector.page.rules import RULES
from remit.collector.page.visits import Answer, Page, Visit

KEYS: Final = (
    (
        "On every page",
        (
            ("?", "this page"),
            ("/", "find, or filter"),
            ("g r", "runs"),
            ("g a", "agents"),
            ("g d", "data map"),
            ("g f", "refused"),
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
    ("complete", "ended well"),
    ("failed", "an exception ended it"),
    ("refused", "the policy refused it: the step did not begin"),
    ("terminated", "a person ended the run; the program learns of it at its next step"),
    ("cancelled", "the program gave it up before its end"),
    ("active", "it has begun and has not ended"),
)
MARKS: Final = (
    ("denied", "refused", "the policy refused the step"),
    ("beyond", "beyond the remit", "the step exceeded the remit of its agent, and was let through"),
    ("withheld", "withheld", "a value in it was not recorded"),
    ("invalid", "not as declared", "payload or result differ from what the step declares"),
    ("undeclared", "undeclared", "the step has no declaration: what it may do is not known"),
    ("lost", "lost", "the run could not record everything"),
)
WORDS: Final = (
    ("may", "declared: an agent or a step says that it may happen"),
    ("never", "declared: it is ruled out"),
    ("nothing said", "neither declared nor ruled out; it is not a no"),
    ("ran", "it happened and was recorded"),
    ("remit", "what an agent may do, and with which data, as its program declares"),
    ("step", "one recorded call: of a function, a tool, a model, another agent"),
    ("handled", "the step failed, and the step around it ended well"),
    ("directly caused by", "raise ... from: the error was raised because of another one"),
    ("which came up while this was handled", "the error was raised while another was handled"),
    ("fingerprint", "step, type and place of a failure: the same in each run that fails so"),
    ("subject", "the person whom a run is about; an address has its hash only"),
)


def show_help(visit: Visit) -> Answer:
    """Show the help."""
    del visit
    values = {
        "keys": KEYS,
        "statuses": STATUSES,
        "marks": MARKS,
        "classes": ("public", "internal", "confidential", "restricted", "secret"),
        "rules": RULES,
        "terms": WORDS,
    }
    return Page("help.html", values)
