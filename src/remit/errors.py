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
        └── ApiError             a call to the API failed
            ├── RejectedError        do not send the same request again
            │   ├── NotFoundError        create it first, or correct the id
            │   └── TooLargeError        send less in one request
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
    """An action or data category with which a step violates a remit. `str()` returns the sentence.

    Two kinds of violation contain only the sentence: a step that could not be checked against any
    remit, and a step that received a value that its declaration excludes.

    Attributes:
        sentence: The violation as a sentence.
        part: The part of the data risk, such as `action_profile`.
        name: The action or category.
        word: The value that the step declares: `allowed`, `included` or `unknown`.
        agent: The external identifier of the agent that forbids or excludes it.
        limit: The value that the agent declares: `disallowed` or `excluded`.
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
    """A person or the policy terminated the run. Its later steps and inner runs raise this error.

    If a person terminated the run, its status on the server is `terminated`. If the policy ended it
    (`on_violation="terminate"`), its recorded status is `failed`, with the violation. In both
    cases, `Run.status` is `terminated`.

    Like `asyncio.CancelledError`, this class derives from `BaseException`. Otherwise agent
    frameworks would catch it, because they call tools inside `except Exception` handlers.

    A program that runs one agent should not catch this exception around its steps. It should handle
    the exception in the same place as `KeyboardInterrupt`. Code that serves many runs in one task
    group or nursery, such as a tool server or chat server, should catch it with `with
    run.contained() as ended:`. Otherwise, the exception from one task ends the whole group with all
    its runs.

    Attributes:
        run_key: Key of the terminated run, 26 characters.
        reason: The reason for the termination, if there is one.
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
    """A decorator was used wrongly. The error is raised when the decorated module is imported."""


class SettingsError(RemitError):
    """A setting is unknown or its value is not allowed. `configure()` raises this error."""


class UsageError(RemitError):
    """A call was made in a state that does not allow it."""


class DeniedError(RemitError):
    """The step violates the agent's declared remit, so its body did not run.

    Attributes:
        step: Name of the denied step's span type.
        violations: The violations that caused the denial, one for each action or data category.
        outside_run: If the step was called outside any run, the place of the call: file and line,
            or the thread.
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

        It says that policy denied the step, that the step did not run, why, and what to do now. It
        does not contain names of steps, agents or files. `str(error)` ends with it.
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
    """A call to the API failed.

    Attributes:
        status: HTTP status. `None` if there was no response.
        code: The API's error code, such as `not_found` or `invalid_action`, if the response
            contains one.
        errors: For validation errors, the messages for each field.
        retry_after_s: Value of `Retry-After` in seconds, if the server sent this header.
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
    """The server rejected the request. It would reject the same request again."""


class NotFoundError(RejectedError):
    """The requested object does not exist."""


class TooLargeError(RejectedError):
    """The request is larger than the server accepts. Send less data in one request."""


class UnauthorizedError(ApiError):
    """The token is missing, wrong, revoked or expired, or its scope does not allow the request."""


class ContractError(ApiError):
    """The response is not from the API: the URL is wrong, or a proxy or login page responded."""


class UnavailableError(ApiError):
    """The server cannot be reached or is temporarily unavailable. Try again later."""
