"""Requests for a person's approval under `/api/remit/v1/asks`, and used seals."""

from datetime import datetime
from typing import Final, Literal, TypeAlias

from pydantic import Field

from remit.models._types import JsonObject, WireModel

ASKS: Final = "/api/remit/v1/asks"
"""Path of the requests for approval."""
SEALS: Final = "/api/remit/v1/seals"
"""Path of the seals that were used."""
MAX_WAIT_S: Final = 25
"""Longest time for which a server holds a request for the answer, in seconds."""

AskStatus: TypeAlias = Literal["waiting", "approved", "refused", "expired", "withdrawn"]
"""Status of a request for approval. Only the clock of the server decides that it has expired."""


class AskForCreate(WireModel):
    """A step that asks a person before it runs."""

    run: str
    """Key of the run. The run need not have been registered yet."""
    ticket: str
    """Name of this request within the run. A repetition with the same ticket changes nothing."""
    agent: str
    """External identifier of the agent, or its name."""
    step: str
    """Name of the step, as in its declaration."""
    words: list[str]
    """Actions that the step declares and that the agent asks about."""
    arguments: JsonObject
    """Arguments by name, in the order of the program, redacted."""
    hidden: dict[str, str] = Field(default_factory=dict)
    """Redacted arguments: the rule by the path of the argument."""
    unbound: list[str] = Field(default_factory=list)
    """Arguments that the approval does not cover, such as files and connections."""
    time_limit_s: float
    """Time in seconds after which the request expires."""
    seal: str | None = None
    """Digest of what the answer is bound to."""
    after: str | None = None
    """Ticket of the request of the same run that this one replaces: its arguments changed."""
    changed: list[str] = Field(default_factory=list)
    """Arguments that differ from the request before, also among the redacted ones."""
    environment_id: str | None = None
    """ID of the environment of the run, as in its registration."""


class AnswerForCreate(WireModel):
    """The answer of a person."""

    answer: Literal["approved", "refused"]
    """Whether the step may run."""
    why: str | None = None
    """Reason. It is required for a refusal. The model reads it."""


class SealForCreate(WireModel):
    """The use of a seal."""

    seal: str
    """The seal, or the id of the request that was approved."""
    use: str
    """Random text of this use. A repetition with the same text succeeds again."""


class AskAnswer(WireModel):
    """An answer to a request."""

    answer: Literal["approved", "refused"]
    """Whether the step may run."""
    by: str
    """Who answered: name or id of the token, or the operator of the server."""
    how: str
    """How the person signed in."""
    why: str | None = None
    """Reason."""
    at: datetime
    """Time of the answer."""


class AskState(WireModel):
    """The state of a request, as the program that asked reads it."""

    id: str
    """Id of the request, a PFID."""
    run: str
    """Key of the run."""
    ticket: str
    """Name of the request within the run."""
    status: AskStatus
    """Status."""
    expires_at: datetime
    """Time at which it expires or expired."""
    by: str | None = None
    """Who answered."""
    why: str | None = None
    """Reason of the answer, or why it was withdrawn."""


class AskedAgent(WireModel):
    """The agent that asks."""

    id: str | None = None
    """Id of the agent. Null if the server does not know the agent yet."""
    name: str
    """Name of the agent, otherwise its identifier."""


class Ask(AskState):
    """A request for approval."""

    run_id: str | None = None
    """Id of the run. Null if the run has not been registered yet."""
    agent: AskedAgent
    """The agent that asks."""
    step: str
    """Name of the step, as in its declaration."""
    words: list[str]
    """Actions that the step declares and that the agent asks about."""
    arguments: JsonObject
    """Arguments by name, in the order of the program, redacted."""
    hidden: dict[str, str]
    """Redacted arguments: the rule by the path of the argument."""
    unbound: list[str]
    """Arguments that the approval does not cover: only their types are compared."""
    seal: str | None = None
    """Digest of what the answer is bound to."""
    after: str | None = None
    """Id of the request that this one replaces."""
    changed: list[str]
    """Arguments that differ from the request before."""
    asked_at: datetime
    """Time of the request."""
    withdrawn_at: datetime | None = None
    """Time at which it was withdrawn."""
    used_at: datetime | None = None
    """Time at which the program used the approval."""
    answer: AskAnswer | None = None
    """The answer that counts, which is the first one."""
    late_answers: list[AskAnswer]
    """Answers that came later and changed nothing, oldest first."""


class AskList(WireModel):
    """Requests for approval, the waiting ones first, then the newest."""

    status: Literal["success"] = "success"
    """Always `success`."""
    asks: list[Ask]
    """The requests."""
    waiting: int
    """Number of requests that wait, on all pages together."""
    next: str | None = None
    """Cursor of the next page, for `before`. Null on the last page."""


class AskAnswered(WireModel):
    """Response to an answer."""

    status: Literal["success"] = "success"
    """Always `success`."""
    details: Ask
    """The request after the answer."""
    counted: bool
    """Whether this answer counts. If not, another one came first, or the request had expired or
    been withdrawn; the answer is kept, and changed nothing.
    """


class SealUsed(WireModel):
    """Response to the use of a seal."""

    status: Literal["success"] = "success"
    """Always `success`."""
    used_at: datetime
    """Time of the use."""
