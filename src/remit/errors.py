"""The errors of remit, each named for the reaction it needs.

```text
BaseException
├── RunTerminated            stop: a person or the policy ended this run
└── Exception
    └── RemitError
        ├── DeclarationError     correct the declaration that the message names
        ├── SettingsError        correct the setting that the message names
        ├── UsageError           correct the call that the message names
        ├── DeniedError          choose another step: this one violates the remit or got no yes
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
_LIMITS: Final = {
    "disallowed": "forbids",
    "excluded": "excludes",
    "asked": "asks a person about",
}

AT_MOST: Final = "at_most"
"""The `limit` of a violation by a step that is beyond a number of `remit.limits`."""
STEPS: Final = "steps"
"""The name, in `remit.limits`, of the number of all steps."""


class Violation(Struct, frozen=True, omit_defaults=True):
    """An action or data category with which a step violates a remit. `str()` returns the sentence.

    Two kinds of violation contain only the sentence: a step that could not be checked against any
    remit, and a step that received a value that its declaration excludes.

    Attributes:
        sentence: The violation as a sentence.
        part: The part of the data risk, such as `action_profile`.
        name: The action or category; `steps` for the limit of all steps.
        word: The value that the step declares: `allowed`, `included` or `unknown`. Empty for
            `steps`.
        agent: The external identifier of the agent that forbids, excludes or limits it, or asks
            about it.
        limit: The value that the agent declares: `disallowed` or `excluded`; `asked` if a step runs
            only after a person's yes, and got none; `at_most` if the step is beyond a limit of
            `remit.limits`; `held` if a hold denied the step, whatever the agent declares.
        number: How many steps of a run the limit allows; 0 if *limit* is not `at_most`.
        hold: For `held`, the id of the hold.
        held_by: For `held`, who made the hold.
        reason: For `held`, why it was made.
    """

    sentence: str
    part: str = ""
    name: str = ""
    word: str = ""
    agent: str = ""
    limit: str = ""
    number: int = 0
    hold: str = ""
    held_by: str = ""
    reason: str = ""

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
    """The step violates the agent's declared remit, or got no yes, so its body did not run.

    Attributes:
        step: Name of the denied step's span type.
        violations: The violations that caused the denial, one for each action or data category.
        outside_run: If the step was called outside any run, the place of the call: file and line,
            or the thread.
        refused_by: The person who refused the step, as the approver names them; None if the step
            was denied for another reason.
        why: Why the step got no yes: the person's reason, if they gave one, or else a sentence of
            remit, for example about an approver that failed. None if no yes was needed.
    """

    def __init__(
        self,
        step: str,
        violations: Sequence[Violation],
        outside_run: str | None = None,
        refused_by: str | None = None,
        why: str | None = None,
    ) -> None:
        """Keep the step and the reasons, and make the message."""
        self.step = step
        self.violations = tuple(violations)
        self.outside_run = outside_run
        self.refused_by = refused_by
        self.why = why
        message = denial(step, violations, outside_run)
        if refused_by is not None:
            message += f"; {refused_by} refused it" + (f": {why}" if why else "")
        elif why is not None:
            message += f"; it got no yes: {why}"
        super().__init__(f"{message.removesuffix('.')}. {self.for_model()}")

    def for_model(self) -> str:
        """Return the denial as a text for the language model that requested the step.

        It says that policy denied the step, that the step did not run, why, and what to do now. It
        does not contain names of steps, agents, persons or files. If a person refused the step, it
        contains their reason as they wrote it. `str(error)` ends with it.
        """
        if self.refused_by is not None:
            reason = f" The reason: {self.why}" if self.why else ""
            stop = "" if reason.endswith((".", "!", "?")) else "."
            return (
                f"A person refused this step and it did not run.{reason}{stop} Do not call it "
                "again with the same arguments. Follow the reason, answer without the step, or say "
                "that it was refused."
            )
        if self.why is not None:
            return (
                f"This step needs a person's yes and got no yes, so it did not run: {self.why}. Do "
                "not call it again. Answer without it, or say that a person has to do it."
            )
        return (
            f"Policy denied this step and it did not run, because {self._why()}. Do not call it "
            "again, even with other arguments. Answer without it, or say that a person has to "
            "do it."
        )

    def _why(self) -> str:
        beyond = [violation.name for violation in self.violations if violation.limit == AT_MOST]
        if beyond:
            return f"the limit of this run for {_spoken(beyond)} is reached"
        on_hold = [violation for violation in self.violations if violation.hold]
        named = [each for each in self.violations if each.name and not each.hold]
        asked = [violation for violation in named if violation.limit == "asked"]
        limited = [violation for violation in named if violation.limit != "asked"]
        involved = [violation for violation in limited if violation.word != "unknown"]
        unknown = [violation for violation in limited if violation.word == "unknown"]
        reasons = [] if self.outside_run is None else ["was called outside any run"]
        reasons += [f"involves {_not_allowed(involved)}"] if involved else []
        reasons += [f"may involve {_not_allowed(unknown)}"] if unknown else []
        if asked:
            names = _spoken(violation.name for violation in asked)
            reasons.append(f"needs a person's yes ({names})")
        reasons += [_held(on_hold)] if on_hold else []
        if not reasons:
            return "it could not be checked against this agent's limits"
        return f"it {' and '.join(reasons)}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the arguments, so that it crosses process pools."""
        fields = (self.step, self.violations, self.outside_run, self.refused_by, self.why)
        return type(self), fields


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
        if violation.hold:
            clauses.append(_hold_clause(violation))
            continue
        if not violation.name:
            clauses.append(violation.sentence)
            continue
        if violation.limit == AT_MOST:
            clauses.append(_beyond(violation, places))
            continue
        cause = (violation.agent, violation.limit, violation.word)
        words = words_by_cause.setdefault(cause, {})
        words.setdefault(violation.name, []).append(SIDES.get(violation.part, ""))
    named = ""
    for (agent, limit, word), words in words_by_cause.items():
        # If a category is on both sides, the sides add nothing.
        names = [what if len(sides) > 1 else what + sides[0] for what, sides in words.items()]
        who = _agent(agent, places)
        clauses.append(
            f"it {_DOES[word].format(listed(names))}, "
            f"which {'the agent' if agent == named else who} {_LIMITS[limit]}"
        )
        named = agent
    return clauses


def _agent(agent: str, places: Mapping[str, str]) -> str:
    return f"the agent {agent}" + (f" ({places[agent]})" if agent in places else "")


def _beyond(violation: Violation, places: Mapping[str, str]) -> str:
    """Return the clause of a step that is beyond a limit."""
    may = " may be" if violation.word == "unknown" else " is"
    return (
        f"it{may} beyond the limit of {violation.number} {violation.name} a run, which "
        f"{_agent(violation.agent, places)} sets"
    )


def _hold_clause(violation: Violation) -> str:
    does = _DOES[violation.word].format(violation.name)
    return f"it {does}, which hold {violation.hold} denies ({violation.held_by})"


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


def _held(violations: Sequence[Violation]) -> str:
    """Return the held actions of *violations*, and why they are held."""
    is_known = all(violation.word != "unknown" for violation in violations)
    actions = dict.fromkeys(violation.name for violation in violations)
    are = "is" if len(actions) == 1 else "are"
    reasons = dict.fromkeys(violation.reason.strip().rstrip(".") for violation in violations)
    held = f"{'involves' if is_known else 'may involve'} {_spoken(actions)}, which {are} on hold"
    return f"{held}. The reason is: {'; '.join(filter(None, reasons))}" if any(reasons) else held


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
