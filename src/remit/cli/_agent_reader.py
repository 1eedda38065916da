"""Reads agents through the API; base class of the reader of runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel

from remit.cli._failing import Failed
from remit.cli._wire import PAGE_ROWS
from remit.client.endpoints.endpoint import MAX_LIST_BYTES, Call
from remit.client.endpoints.responses import details, page
from remit.client.endpoints.table import PING, SHOW_AGENT
from remit.errors import ContractError, NotFoundError, UnauthorizedError
from remit.models.agent import Agent
from remit.models.routes import API

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

SCHEMA_VERSIONS: Final = "agent_schema_version"


class Client(Protocol):
    def send(self, call: Call[T]) -> T: ...


class SchemaVersion(BaseModel):
    """The fields of a schema version that are read; lists omit the schemas."""

    id: str
    external_identifier: str | None = None
    span_type_schemas: list[dict[str, Any]] | None = None


class AgentReader:
    """The agents of one server or database.

    Attributes:
        place: The server or the database, for messages.
    """

    def __init__(self, client: Client, place: str) -> None:
        self.place = place
        self.client = client
        self._agent = cache(self._asked_agent)

    def agents(self) -> list[Agent]:
        """Return the agents whose runs the token may read, the oldest first."""
        try:
            return list(self._every("agent", Agent, {}))
        except UnauthorizedError:
            # A deployment's token is for one agent, which remit's collector returns.
            agent_id = self._ping().get("agent_id")
            if not isinstance(agent_id, str):
                raise
            return [self._agent(agent_id)]

    def agent(self, reference: str) -> Agent | None:
        """Return the agent with this identifier, id, name, or end of an identifier.

        Raises:
            Failed: Several have that name.
        """
        with self.listing("agents"):
            agents = self.agents()
        tests: tuple[Callable[[Agent], bool], ...] = (
            lambda agent: agent.external_identifier == reference,
            lambda agent: agent.id == reference,
            lambda agent: agent.name == reference,
            lambda agent: (agent.external_identifier or "").endswith(f"/{reference}"),
        )
        for test in tests:
            matching = list(filter(test, agents))
            if len(matching) > 1:
                ids = ", ".join(agent.id for agent in matching)
                count = len(matching)
                raise Failed(f"{count} agents are called {reference!r}: use the id of one ({ids})")
            if matching:
                return matching[0]
        return None

    def agent_with_risk(self, agent_id: str) -> Agent:
        call = SHOW_AGENT.call(agent_id=agent_id, include_counts=True, include_risk_rollup=True)
        return self.client.send(call)

    def known_agent(self, reference: str) -> Agent:
        agent = self.agent(reference)
        if agent is None:
            raise Failed(
                f"there is no agent {reference!r} in {self.place}: `remit agents list` lists them"
            )
        return agent

    def schema_versions(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest schema version of each agent with its identifier, the oldest first."""
        with self.listing("schema versions"):
            newest = [
                (agent, summary)
                for agent in self.agents()
                for summary in islice(self._schema_versions_of(agent), 1)
            ]
        newest.sort(key=lambda pair: pair[1].id)
        return [
            (agent.external_identifier or agent.id, self._schema_version(summary.id))
            for agent, summary in newest
        ]

    def _schema_versions_of(self, agent: Agent) -> Iterator[SchemaVersion]:
        # In the long form: the service is known to reject the short one.
        newest = {"sorting[field]": "id", "sorting[direction]": "desc"}
        return self._every(SCHEMA_VERSIONS, SchemaVersion, {"agent_id": agent.id, **newest})

    def _schema_version(self, version_id: str) -> dict[str, Any]:
        path = f"{API}/{SCHEMA_VERSIONS}/{version_id}"
        call = Call("GET", path, details(SchemaVersion), limit_bytes=MAX_LIST_BYTES)
        return self.client.send(call).model_dump(exclude={"id"})

    def _every(self, path: str, model: type[M], query: Mapping[str, str]) -> Iterator[M]:
        offset: int | None = 0
        while offset is not None:
            paging = {"pagination[offset]": str(offset), "pagination[page_size]": str(PAGE_ROWS)}
            pairs = tuple({**query, **paging}.items())
            call = Call(
                "GET", f"{API}/{path}", page(model), query=pairs, limit_bytes=MAX_LIST_BYTES
            )
            response = self.client.send(call)
            yield from response.summaries
            following = response.pagination.next_page_offset if response.pagination else None
            offset = following if following != offset else None

    def _asked_agent(self, agent_id: str) -> Agent:
        return self.client.send(SHOW_AGENT.call(agent_id=agent_id))

    def _ping(self) -> Mapping[str, Any]:
        try:
            return self.client.send(PING.call()).details or {}
        except UnauthorizedError as error:
            raise Failed(f"{self.place} does not accept the token: {error}") from error

    @contextmanager
    def listing(self, items: str) -> Generator[None]:
        """Replace the error of a list by one with advice.

        Raises:
            Failed: The token may not read the list, or the server has none.
        """
        try:
            yield
        except UnauthorizedError as error:
            with suppress(NotFoundError, ContractError):
                self._ping()
            raise Failed(
                f"the token may not list {items} at {self.place}: {error}. Use a token of scope "
                "account, or the id of a run, or --db"
            ) from error
        except (NotFoundError, ContractError) as error:
            raise Failed(
                f"{self.place} has no list of {items}: {error}. Only remit's collector has it; use "
                "the id of a run, or --db to read a database"
            ) from error
