"""The errors of remit, each named for the reaction it needs.

```text
BaseException
├── RunTerminated            stop: a person or the policy ended this run
└── Exception
    └── RemitError
        ├── DeclarationError     correct the declaration that the message names
        ├── SettingsError        correct the setting that the message names
        ├── UsageError           correct the call that the message names
        ├── DeniedError          choose another step: this one violates the agent's remit
        └── ApiError             a call to the API did not succeed
            ├── RejectedError        sending it again cannot help
            │   ├── NotFoundError        create it first, or correct the id
            │   └── TooLargeError        send less at once
            ├── UnauthorizedError    correct the token or its scope
            ├── ContractError        correct the URL: it is not that of the API
            └── UnavailableError     try again later
```

Source: the drawing is compared with the classes by `tests/architecture/test_errors.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

__all__ = [
    "ApiError",
    "ContractError",
    "DeclarationError",
    "DeniedError",
    "NotFoundError",
    "RejectedError",
    "RemitError",
    "RunTerminated",
    "SettingsError",
    "TooLargeError",
    "UnauthorizedError",
    "UnavailableError",
    "UsageError",
    "Violation",
]


OUTSIDE_RUN_HINT: Final = (
    "Put @remit.agent on the function around the call, or open a run with `with agent.run():`. If "
    "another thread or task has the run, carry it there with remit.copy_context, "
    "remit.ContextExecutor or `with run.use():`"
)
"""Advice for a step that is called outside any run."""

MODEL_OUTSIDE_RUN_HINT: Final = (
    "To record it, add two lines: `import remit`, and `@remit.agent` on the function around it"
)
"""Advice for a model call outside any run, in a program that may not use remit otherwise."""

SIDES: Final[Mapping[str, str]] = {
    "params_data_categories": " in the params",
    "result_data_categories": " in the result",
}
"""By part of a data risk, the words after a category in a sentence."""

_DOES: Final = {"allowed": "allows {}", "included": "handles {}", "unknown": "does not declare {}"}
_LIMITS: Final = {"disallowed": "forbids", "excluded": "excludes"}


class Violation(Struct, frozen=True, omit_defaults=True):
    """One word with which a step violates the policy. Its `str()` is the sentence.

    Two violations have only the sentence: a step that could not be compared with any remit, and a
    step that received a value that it excludes.

    Attributes:
        sentence: The violation as a sentence.
        part: The part of the data risk, such as `action_profile`.
        name: The action or category.
        word: The word of the step: `allowed`, `included` or `unknown`.
        agent: The external identifier of the agent that forbids or excludes it.
        limit: The word of that agent: `disallowed` or `excluded`.
    """

    sentence: str
    part: str = ""
    name: str = ""
    word: str = ""
    agent: str = ""
    limit: str = ""

    def __str__(self) -> str:
        """Return the sentence."""
        return self.sentence


class RunTerminated(BaseException):
    """A person or the policy terminated the run; raised at its later steps and in inner runs.

    A run that was terminated on the server has the status `terminated` there. A run that the policy
    ended (`on_violation="terminate"`) has the status `failed` in the record, with the violation;
    `Run.status` is `terminated` in both cases.

    It derives from `BaseException`, like `asyncio.CancelledError`, because agent frameworks put
    `except Exception` around their tools.

    A program that runs one agent should let the exception pass, and report it where it handles
    `KeyboardInterrupt`. Code that serves many runs in one task group or nursery, such as a server
    for tools or chats, should catch it with `with run.contained() as ended:`. Otherwise, the
    exception leaves one task and ends the whole group with all its runs.

    Attributes:
        run_key: Key of the run that was terminated, 26 characters.
        reason: The reason that was given, if any.
    """

    def __init__(self, run_key: str, reason: str | None = None) -> None:
        """Keep the key of the run and the reason."""
        self.run_key = run_key
        self.reason = reason
        super().__init__(f"run {run_key} was terminated: {reason or 'no reason given'}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the arguments, so that it crosses process pools."""
        return type(self), (self.run_key, self.reason)


class RemitError(Exception):
    """Base of every error that remit raises, except `RunTerminated`."""


class DeclarationError(RemitError):
    """A decorator was used wrongly. It is raised at import, where the decorator is used."""


class SettingsError(RemitError):
    """A setting is unknown or its value is not allowed; raised by `configure()`."""


class UsageError(RemitError):
    """A call was made in a state that does not allow it."""


class DeniedError(RemitError):
    """The step violates the agent's declared remit; its body did not run.

    Attributes:
        step: Name of the span type that was denied.
        violations: The violations for which it was denied, one for each declared word.
        outside_run: Place of a call outside any run: file and line, or the thread.
    """

    def __init__(
        self, step: str, violations: Sequence[Violation], outside_run: str | None = None
    ) -> None:
        """Keep the step and the violations, and make the message."""
        self.step = step
        self.violations = tuple(violations)
        self.outside_run = outside_run
        super().__init__(f"{denial(step, violations, outside_run)}. {self.for_model()}")

    def for_model(self) -> str:
        """Return the denial as a text for the language model that requested the step.

        It says that policy denied the step, that the step did not run, why, and what to do now.
        It does not contain names of steps, agents or files. `str(error)` ends with it.
        """
        return (
            f"Policy denied this step and it did not run, because {self._why()}. Do not call it "
            "again, even with other arguments. Answer without it, or say that a person has to "
            "do it."
        )

    def _why(self) -> str:
        named = [violation for violation in self.violations if violation.name]
        involved = [violation for violation in named if violation.word != "unknown"]
        unknown = [violation for violation in named if violation.word == "unknown"]
        reasons = [] if self.outside_run is None else ["was called outside any run"]
        reasons += [f"involves {_not_allowed(involved)}"] if involved else []
        reasons += [f"may involve {_not_allowed(unknown)}"] if unknown else []
        if not reasons:
            return "it could not be checked against this agent's limits"
        return f"it {' and '.join(reasons)}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the arguments, so that it crosses process pools."""
        return type(self), (self.step, self.violations, self.outside_run)


def denial(step: str, violations: Sequence[Violation], outside_run: str | None = None) -> str:
    """Return the message about a denied step: its name, why, and what the author can do about it.

    Args:
        step: Name of the span type.
        violations: The violations for which it was denied.
        outside_run: Place of a call outside any run.
    """
    called = [] if outside_run is None else [f"called outside any run {outside_run}"]
    message = f"{step} was denied: {'; '.join([*called, *causes(violations)])}"
    if called:
        message += f". {OUTSIDE_RUN_HINT}"
    if any(violation.word == "unknown" for violation in violations):
        message += ". Declare what it does with data_risk=remit.risk(...) on the step"
    return message


def causes(violations: Iterable[Violation], places: Mapping[str, str] = {}) -> list[str]:
    """Return a clause for each agent and kind of word, with the words that belong to it.

    A clause names the agent, and where it is declared if *places* has that, unless the clause
    before it does.
    """
    clauses: list[str] = []
    words_by_cause: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for violation in violations:
        if not violation.name:
            clauses.append(violation.sentence)
            continue
        cause = (violation.agent, violation.limit, violation.word)
        words = words_by_cause.setdefault(cause, {})
        words.setdefault(violation.name, []).append(SIDES.get(violation.part, ""))
    named = ""
    for (agent, limit, word), words in words_by_cause.items():
        # If a category is on both sides, the sides add nothing.
        names = [what if len(sides) > 1 else what + sides[0] for what, sides in words.items()]
        who = f"the agent {agent}" + (f" ({places[agent]})" if agent in places else "")
        clauses.append(
            f"it {_DOES[word].format(listed(names))}, "
            f"which {'the agent' if agent == named else who} {_LIMITS[limit]}"
        )
        named = agent
    return clauses


def listed(words: Iterable[str]) -> str:
    """Return *words* as an enumeration, each once: `read_data, destroy_data and health_data`."""
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} and {last}" if most else last


def _not_allowed(violations: Sequence[Violation]) -> str:
    """Return the actions and the data of *violations* in the words of a sentence."""
    actions = {violation.name: None for violation in violations if violation.part not in SIDES}
    data = {violation.name: None for violation in violations if violation.part in SIDES}
    one_or_more = "an action" if len(actions) == 1 else "actions"
    kinds = [f"{one_or_more} that this agent may not take ({_spoken(actions)})"] if actions else []
    kinds += [f"data that this agent may not handle ({_spoken(data)})"] if data else []
    return " and ".join(kinds)


def _spoken(words: Iterable[str]) -> str:
    return listed(word.replace("_", " ") for word in words)


class ApiError(RemitError):
    """A call to the API did not succeed.

    Attributes:
        status: HTTP status, or `None` without a response.
        code: The API's error code (`not_found`, `invalid_action`, ...), if it gave one.
        errors: Messages by field, for validation errors.
        retry_after_s: Value of `Retry-After` in seconds, if the server sent it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        errors: Mapping[str, Sequence[str]] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        """Keep the parts of the answer as attributes."""
        self.status = status
        self.code = code
        self.errors = dict(errors or {})
        self.retry_after_s = retry_after_s
        super().__init__(message)


class RejectedError(ApiError):
    """The server rejected the request; sending it again cannot help."""


class NotFoundError(RejectedError):
    """The requested object does not exist."""


class TooLargeError(RejectedError):
    """The request is larger than the server accepts; send less at once."""


class UnauthorizedError(ApiError):
    """The token is missing, wrong, revoked, expired, or its scope does not allow this."""


class ContractError(ApiError):
    """The response is not from the API: the URL is wrong, or a proxy or a login page responds."""


class UnavailableError(ApiError):
    """The server cannot be reached or is not available now; try again later."""
