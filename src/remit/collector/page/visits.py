"""The request for a page, and its response."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from remit.collector.api.dispatch import Request, Service
from remit.collector.domain.context import Caller, Context
from remit.collector.errors import RequestError, invalid_field
from remit.collector.page.account.sessions import Sessions
from remit.collector.store.rows import SessionRow

T = TypeVar("T")
RUNS: Final = "/api/remit/v1/runs"
SPANS: Final = "/api/remit/v1/spans"
COUNTS: Final = "/api/remit/v1/counts"
CHANGES: Final = "/api/remit/v1/changes"


class Api(NamedTuple):
    """The API with the rights of the person who visits.

    Attributes:
        within: The transaction of all requests; None for one of its own for each.
    """

    service: Service
    caller: Caller
    within: Context | None = None

    def get(self, path: str, **query: str | None) -> dict[str, Any]:
        """Return the response to a GET; a parameter that is None or empty is left out.

        Raises:
            RequestError: The rejection.
        """
        chosen = {name: value for name, value in query.items() if value}
        return self._details(Request("GET", path, chosen))

    def pages(self, path: str, **query: str | None) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list, each read when it is asked for."""
        before = query.pop("before", None)
        while True:
            page = self.get(path, **query, before=before)
            yield page
            before = page["next"]
            if before is None:
                return

    def get_in_time(self, path: str, **query: str | None) -> dict[str, Any] | None:
        """Return the response to a GET; None if it takes too long."""
        try:
            return self.get(path, **query)
        except RequestError as rejection:
            if rejection.status != HTTPStatus.GATEWAY_TIMEOUT:
                raise
            return None

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Return the response to a POST.

        Raises:
            RequestError: The rejection.
        """
        return self._details(Request("POST", path, body=msgspec.json.encode(body)))

    def read(self, work: Callable[[Context], T]) -> T:
        """Return what *work* returns, which reads one state of the database.

        Raises:
            RequestError: The rejection.
        """
        if self.within is not None:
            return work(self.within)
        return self.service.read(self.caller, work)

    def _details(self, request: Request) -> dict[str, Any]:
        tx = None if self.within is None else self.within.tx
        response = self.service.dispatch(request, caller=self.caller, tx=tx)
        fields: dict[str, Any] = msgspec.json.decode(response.body)
        if response.status != HTTPStatus.OK:
            raise RequestError(
                response.status,
                response.code or "",
                fields["message"],
                errors=fields.get("errors"),
                headers=response.headers,
            )
        return fields


@dataclass(frozen=True, slots=True)
class Visit:
    """A request by a person who is signed in.

    Attributes:
        named: The parts of the path that the route names.
    """

    api: Api
    sessions: Sessions
    session: SessionRow
    path: str
    named: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    now_us: int
    zone: ZoneInfo

    def at_once(self, work: Callable[[Visit, Context], T]) -> T:
        """Return what *work* returns, which reads everything in one transaction.

        Raises:
            RequestError: The rejection.
        """
        return self.api.read(
            lambda ctx: work(replace(self, api=self.api._replace(within=ctx)), ctx)
        )

    def number(self, name: str, least: int, valid: str) -> int:
        """Return a whole number of the address, from *least* on; *least* without one.

        Raises:
            RequestError: 422, it is not *valid*.
        """
        text = self.query.get(name) or str(least)
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) >= least):  # noqa: PLR2004 - digits
            raise invalid_field(name, valid)
        return int(text)


@dataclass(frozen=True, slots=True)
class Html:
    """A page, rendered from a template."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Redirect:
    """The address of another page."""

    address: str


@dataclass(frozen=True, slots=True)
class Data:
    """Data for a script of the page, or a file to be saved.

    Attributes:
        body: The data; None is 204, there is nothing new.
        filename: Name of the file; None shows the data instead of saving it.
    """

    body: bytes | None
    media_type: str = "application/json"
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """A file that is read and sent in pieces, so that other requests run in between.

    Attributes:
        parts: The pieces; each is read when the one before has been sent.
    """

    parts: Iterator[bytes]
    media_type: str
    filename: str


Response: TypeAlias = Html | Redirect | Data | Pieces
Handler: TypeAlias = Callable[[Visit], Response]
