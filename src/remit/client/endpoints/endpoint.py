"""The description of an endpoint, and of one request to it. Nothing here does input or output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from remit._base.clock import SystemClock
from remit._base.ids import key_text, new_key
from remit.errors import ContractError, UsageError
from remit.models.bulk import MAX_KEY_CHARS
from remit.models.envelope import MAX_PAGE_SIZE
from remit.models.routes import API, Route

T = TypeVar("T")
R = TypeVar("R")

JsonMapping: TypeAlias = Mapping[str, Any]
Query: TypeAlias = tuple[tuple[str, str], ...]

MAX_RESPONSE_BYTES: Final = 1024 * 1024
"""Maximum response about one resource."""
MAX_LIST_BYTES: Final = 16 * 1024 * 1024
"""Maximum page of a list: 100 spans with payloads and results at their limit have 13 MB."""
PAGING: Final = {"offset": "pagination[offset]", "page_size": "pagination[page_size]"}
"""Arguments whose names on the wire differ."""


class ResponseTooLongError(ContractError):
    """A response is longer than the limit of its call. Caught in delivery, which asks for less."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, complete: sending it twice sends the same bytes with the same keys.

    Attributes:
        path: Path from the API's root, ids quoted.
        parse: Reads the body of a response; raises nothing but `ContractError`.
        body: JSON, or None. Left out of `repr`: it contains payloads.
        limit_bytes: Maximum length of the response.
        minimal: Whether the response may omit what the sender does not read, by `Prefer:
            return=minimal` (RFC 7240).
        on_sent: Called by the synchronous client each time the body is sent, before it waits for
            the response.
    """

    method: str
    path: str
    parse: Callable[[bytes], T] = field(repr=False, compare=False)
    body: bytes | None = field(default=None, repr=False)
    query: Query = ()
    limit_bytes: int = field(default=MAX_RESPONSE_BYTES, repr=False, compare=False)
    minimal: bool = field(default=False, repr=False, compare=False)
    on_sent: Callable[[], None] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T]):
    """One endpoint of the API.

    Attributes:
        route: Its operation, method and path, and the model of its body.
        response: Reads the body of a response; see `responses.py`.
        nullable: Fields of the body that are sent as null if they are absent.
        query: Arguments that go into the query.
        limit_bytes: Maximum length of a response.
    """

    route: Route[Any]
    response: Callable[[bytes], T]
    nullable: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    limit_bytes: int = MAX_RESPONSE_BYTES

    @property
    def name(self) -> str:
        """The operation in messages: `agent_instances.start`."""
        return self.route.operation.replace("/", ".")

    def call(self, resource_id: str = "", /, **arguments: object) -> Call[T]:
        """Describe a request.

        Args:
            resource_id: The id in the path.
            **arguments: Fields of the body or the query: models, mappings, datetimes and JSON
                values. None is the same as absent.

        Raises:
            UsageError: An argument is unknown, missing or not of its type.
        """
        model = self.route.body
        if model is None:
            return self.raw(resource_id, read=self.response, query=self._query(arguments))
        body = encode(self.name, self._body(model, arguments))
        return self.raw(resource_id, read=self.response, body=body)

    def raw(
        self,
        resource_id: str = "",
        /,
        *,
        read: Callable[[bytes], R],
        body: bytes | None = None,
        query: Query = (),
        minimal: bool = False,
    ) -> Call[R]:
        """Describe a request with a *body* of JSON, and a response for *read*."""
        route, limit = self.route, self.limit_bytes
        path = API + route.path
        if route.id_field:
            path = path.replace("{id}", segment(route.id_field, resource_id))
        return Call(route.method, path, read, body, query, limit_bytes=limit, minimal=minimal)

    def _body(self, model: type[BaseModel], arguments: JsonMapping) -> dict[str, object]:
        """Return the arguments as the body, checked by *model*."""
        known = model.model_fields
        key = idempotency_key(arguments.get("idempotency_key"))
        fields = {**arguments, "idempotency_key": key}
        if "idempotency_key" not in known:
            del fields["idempotency_key"]
        self._reject_unknown(fields, tuple(known))
        body = {name: _plain(value) for name, value in fields.items() if value is not None}
        check(self.name, body, model)
        if self.route.wrapped:
            return {"details": body, "idempotency_key": key}
        return {**dict.fromkeys(self.nullable), **body}

    def _query(self, arguments: JsonMapping) -> Query:
        """Return the query, without arguments that are None or False."""
        self._reject_unknown(arguments, self.query)
        offset, page_size = arguments.get("offset"), arguments.get("page_size")
        if isinstance(offset, int) and offset < 0:
            raise UsageError(f"{self.name}: offset is {offset}; expected 0 or more")
        if isinstance(page_size, int) and not 1 <= page_size <= MAX_PAGE_SIZE:
            raise UsageError(
                f"{self.name}: page_size is {page_size}; expected 1 to {MAX_PAGE_SIZE}"
            )
        return tuple(
            (PAGING.get(name, name), "true" if value is True else str(_plain(value)))
            for name, value in arguments.items()
            if value is not None and value is not False
        )

    def _reject_unknown(self, arguments: JsonMapping, known: tuple[str, ...]) -> None:
        unknown = next((name for name in arguments if name not in known), None)
        if unknown is not None:
            raise UsageError(
                f"{self.name} does not know {unknown!r}; it accepts {', '.join(known)}"
            )


def check(where: str, body: JsonMapping, model: type[BaseModel]) -> None:
    """Raise if *model* does not accept *body*.

    Raises:
        UsageError: It does not. The message has no values, which may be a user's data.
    """
    try:
        model.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    else:
        return
    named = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    raise UsageError(f"{where} cannot be sent: {named}")


def encode(where: str, body: JsonMapping) -> bytes:
    """Return *body* as JSON; NaN and the infinities become null.

    Raises:
        UsageError: It contains something that JSON cannot express.
    """
    try:
        return to_json(
            body, by_alias=True, exclude_none=True, inf_nan_mode="null", bytes_mode="base64"
        )
    except PydanticSerializationError:
        pass  # not chained: it quotes the value, which may be a user's data
    raise UsageError(
        f"{where} cannot be sent: it contains a value that JSON cannot express (an object of a "
        "custom class, a cycle, or a string that is not Unicode)"
    )


def idempotency_key(key: str | None) -> str:
    """Return *key*, else a new one, so that a repetition is safe.

    Raises:
        UsageError: It is empty or too long.
    """
    if key is None:
        return key_text(new_key(SystemClock.wall_ns()))
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise UsageError(
            f"idempotency_key has {len(key)} characters; the API accepts 1 to {MAX_KEY_CHARS}"
        )
    return key


def segment(name: str, value: str) -> str:
    """Return an id as one segment of a path.

    Raises:
        UsageError: It is empty or dots: the request would go to another endpoint.
    """
    if value.strip(". ") == "":
        raise UsageError(f"{name} is {value!r}; expected an id of the API")
    return quote(value, safe="")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        text = aware.astimezone(UTC).isoformat(timespec="microseconds")
        return text.removesuffix("+00:00") + "Z"
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(cast("JsonMapping", value)) if isinstance(value, Mapping) else value
