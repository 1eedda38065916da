"""The actions that an agent asks a person about: which steps do them, and why one gets no yes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from remit._policy.words import ACTION, UNKNOWN, Words, word_of
from remit.errors import Violation

ASKED: Final = "asked"
"""The word of an agent for an action that it asks about, as the limit of a `Violation`."""
ASKED_BY: Final = ("allowed", UNKNOWN)
"""The words of a step that need a person's yes."""

NO_APPROVER: Final = "no approver is set; remit.configure(approver=...) sets one"
NO_SERVER: Final = "the approver 'server' needs a server of remit that keeps requests"
IN_LOOP: Final = (
    "the approver is a coroutine function, and the step is a plain function that runs inside an "
    "event loop"
)
IN_APPROVER: Final = "it was called by an approver, whose own steps cannot ask"
NOT_ASKABLE: Final = "it was already running, or runs where nobody can be asked"
CHANGED: Final = "its arguments changed each time while the approver was asked, three times"
EXPIRED: Final = "no answer came within {:g} seconds"
FAILED: Final = "the approver failed with {}"
OTHER_ANSWER: Final = (
    "the approver returned an object of type {}; expected remit.Approved or remit.Refused"
)
UNBOUND: Final = (
    "an approval would not cover {}, which remit does not read, and its agent declares "
    "unbound='deny'; pass values instead, such as a dataclass"
)
USED_SEAL: Final = "the answer belongs to a request that was answered before"
NOT_APPROVED: Final = "it was not approved"
APPROVED_ALL: Final = "the approval was for all calls of the tool; approve each call"
INSIDE_TOOL: Final = (
    "its framework asks about tools only, and the step runs inside the tool {}; declare on the "
    "tool what the step does, or set an approver"
)
UNCHECKED_SEAL: Final = "whether its answer was used before could not be checked at the server: {}"
FAULT: Final = "it could not be asked about because of a fault inside remit"
NO_REASON: Final = "the approver refused it"


def asked_words(asks: Iterable[str], words: Words, *, strict: bool) -> tuple[str, ...]:
    """Return the actions in *asks* for which a step with *words* needs a person's yes.

    If *strict*, as with `deny` and `terminate`, an undeclared action needs a yes as well.
    """
    needed = ASKED_BY if strict else ASKED_BY[:1]
    return tuple(name for name in asks if word_of(words, ACTION, name) in needed)


def asked_violations(
    asks: Iterable[str], step: str, words: Words, agent: str, *, strict: bool
) -> Iterator[Violation]:
    """Yield a violation for each of `asked_words`."""
    for name in asked_words(asks, words, strict=strict):
        word = word_of(words, ACTION, name)
        sentence = f"{name}: {step} declares {word}, and the agent {agent} asks a person about it"
        yield Violation(sentence, ACTION, name, word, agent, ASKED)


def unasked(violation: Violation) -> Violation:
    """Return the violation of a step that ran without a yes."""
    return replace(violation, sentence=f"{violation.sentence}, but nobody was asked")


def question(step: str, violations: Iterable[Violation]) -> str:
    """Return the question to a person: whether *step* may run."""
    words = dict.fromkeys(violation.name.replace("_", " ") for violation in violations)
    return f"May {step} run? ({', '.join(words)})"
