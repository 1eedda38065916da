"""Parameters of requests: validation of bodies, query models, and checks of single values.

Values that the contract leaves open are rejected rather than guessed, so that a reader never gets
other rows than it meant (docs/reference/wire.md).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, NamedTuple, TypeAlias, TypeVar, cast

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_plain_validator_function
from typing_extensions import override

from remit._base.ids import is_pfid
from remit._base.text import closest
from remit.collector.domain.context import Context
from remit.collector.errors import RequestError, forbidden, invalid, invalid_field, not_found
from remit.collector.json_io import JsonText, object_of
from remit.collector.settings import KIB
from remit.collector.store.filters import Listed, Page
from remit.collector.store.rows import AgentRow, Row, RunRow
from remit.collector.times import parse_us
from remit.collector.views.envelopes import list_response
from remit.models.bulk import MAX_KEY_CHARS
from remit.models.envelope import MAX_PAGE_SIZE

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=Row)
Values: TypeAlias = Mapping[str, object]
"""The decoded fields of a query, a body or a bulk item, with the id of the path."""

MAX_NAME_CHARS: Final = 1000
MAX_TEXT_CHARS: Final = 64 * KIB
"""Length of a description or a reason; a list holds a hundred of them."""
MAX_ERRORS: Final = 20
"""Number of errors in one response."""
MAX_PLACE_CHARS: Final = 200
MAX_DECLARED: Final = 10_000
"""Span types, and kinds of quality payload, of one schema version."""
# Identifiers are indexed together with an id; PostgreSQL indexes at most 2,704 bytes.
MAX_IDENTIFIER_BYTES: Final = 2500
MAX_OFFSET: Final = 2**53
_DECLARING: Final = frozenset({"agent_schema_version", "agent_version", "runtime_environment"})
_DECLARED: Final = frozenset(
    {
        "agent_sdk",
        "prefactor_sdk",
        "quality_schemas",
        "span_result_schemas",
        "span_schemas",
        "span_type_schemas",
    }
)
_NUL: Final = "\x00"
_PFID_CHARS: Final = 32
_DIGITS: Final = re.compile("[0-9]{1,18}")
_ONE_ROW: Final = Page(0, 1, "id", descending=False)
_NOT_A_TEXT: Final = "must be a string"
_NOT_AN_INSTANT: Final = "must be a time in ISO 8601, in the years 1 to 9999"
_LONG_TEXT: Final = f"must have at most {MAX_TEXT_CHARS} characters, none of them a NUL"


# Query models


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("value", cast("Any", message))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(_NOT_A_TEXT)
    return value


def _filter(value: object) -> str:
    text = _text(value)
    if not _is_short_text(text):
        raise _wrong(_LONG_TEXT)
    return text


def _switch(value: object) -> bool:
    if value is True or value in ("true", "1"):
        return True
    if value is False or value in ("false", "0"):
        return False
    raise _wrong("must be true or false")


def _is_true(value: object) -> bool:
    return value is True or value == "true"


def _instant(value: object) -> int:
    text = _text(value)
    try:
        # The `+` of an offset is a space in a query that was not encoded.
        return parse_us(text.replace(" ", "+") if "T" in text else text)
    except (ValueError, OverflowError) as error:
        raise _wrong(_NOT_AN_INSTANT) from error


class _Described(NamedTuple):
    """Annotation of a parameter: its check, and its schema in the document."""

    check: Callable[[object], object]
    schema: dict[str, object]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:  # noqa: ANN401 - pydantic's own
        """Return the check as pydantic takes it."""
        del source, handler
        return no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, object]:  # noqa: ANN401 - as above
        """Return the schema."""
        del schema, handler
        return self.schema


_TRUTH: Final[dict[str, object]] = {"type": "string", "enum": ["true", "false"]}
Text: TypeAlias = Annotated[str | None, _Described(_text, {"type": "string"})]
Filter: TypeAlias = Annotated[str | None, _Described(_filter, {"type": "string"})]
"""A string that a column is compared with."""
Switch: TypeAlias = Annotated[bool, _Described(_switch, _TRUTH)]
LenientSwitch: TypeAlias = Annotated[bool, _Described(_is_true, _TRUTH)]
"""A switch that is off unless it is `true`."""
Instant: TypeAlias = Annotated[
    int | None, _Described(_instant, {"type": "string", "format": "date-time"})
]
"""A time, in microseconds since 1970."""


def one_of(*words: str) -> _Described:
    """Return the annotation of a parameter that is one of *words*."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise _wrong(f"must be one of {', '.join(words)}")
        return value

    return _Described(check, {"type": "string", "enum": list(words)})


def text_like(pattern: str, message: str) -> _Described:
    """Return the annotation of a string that matches *pattern*; *message* describes it."""
    matches = re.compile(pattern).fullmatch

    def check(value: object) -> str:
        text = _text(value)
        if matches(text) is None:
            raise _wrong(message)
        return text

    return _Described(check, {"type": "string", "pattern": f"^{pattern}$"})


def integer(least: int, most: int) -> _Described:
    """Return the annotation of an integer from *least* to *most*."""

    def check(value: object) -> int:
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _wrong(f"must be an integer from {least} to {most}")
        return value

    return _Described(check, {"type": "integer", "minimum": least, "maximum": most})


class Query(BaseModel):
    """Parameters of a GET; null and the empty string are the same as absent.

    Other parameters are rejected, see `check_names`.
    """

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="before")
    @classmethod
    def _present(cls, values: Values) -> dict[str, object]:
        return {name: value for name, value in values.items() if value is not None and value != ""}


class ListQuery(Query):
    """Parameters of a list: paging and sorting in both styles of the published clients.

    In a bulk item `pagination` and `sorting` may also be objects. Fields of a subclass are filters.
    """

    sortable: ClassVar[tuple[str, ...]] = ("id", "inserted_at", "updated_at")
    """The fields that the list can be sorted by."""

    offset: Annotated[int, integer(0, MAX_OFFSET)] = Field(default=0, alias="pagination[offset]")
    size: Annotated[int, integer(1, MAX_PAGE_SIZE)] = Field(
        default=MAX_PAGE_SIZE, alias="pagination[page_size]"
    )
    sorting: str = "id"
    direction: str = Field(default="asc", alias="sorting[direction]")

    @model_validator(mode="before")
    @classmethod
    def _flattened(cls, values: Values) -> dict[str, object]:
        """Return the values with `name[member]` for the members of objects."""
        flat = dict(values)
        for name in ("pagination", "sorting"):
            members = flat.get(name)
            if isinstance(members, dict):
                for member, value in cast("dict[str, object]", members).items():
                    flat.setdefault(f"{name}[{member}]", value)
        short, field = flat.pop("sorting", None), flat.pop("sorting[field]", None)
        if isinstance(short, str) and short:
            field = short.removeprefix("-") or short
            flat["sorting[direction]"] = "desc" if short.startswith("-") else "asc"
        return flat if field is None else {**flat, "sorting": field}

    @field_validator("sorting", mode="before")
    @classmethod
    def _sortable(cls, field: object) -> object:
        if field not in cls.sortable:
            raise _wrong(f"must be one of {', '.join(cls.sortable)}, `-` before it")
        return field

    @field_validator("direction", mode="before")
    @classmethod
    def _either(cls, direction: object) -> object:
        if direction not in ("asc", "desc"):
            raise _wrong("must be asc or desc")
        return direction

    @classmethod
    @override
    def names(cls) -> tuple[str, ...]:
        """Return the names of the parameters."""
        return (*super().names(), "sorting[field]")

    @property
    def page(self) -> Page:
        """The page that is asked for."""
        return Page(self.offset, self.size, self.sorting, descending=self.direction == "desc")

    @property
    def equal(self) -> dict[str, str]:
        """The filters that were given, by column."""
        columns = type(self).model_fields.keys() - ListQuery.model_fields.keys() - {"account_id"}
        return {
            name: value
            for name in type(self).model_fields
            if name in columns and (value := getattr(self, name)) is not None
        }


def check_names(
    query: Iterable[str], known: Collection[str], ignored: Collection[str] = ()
) -> None:
    """Reject a query with other parameters, which would not narrow the list.

    Raises:
        RequestError: 422, with the known ones for each.
    """
    unknown = [name for name in query if name not in known and name not in ignored]
    if not unknown:
        return
    there = f"it has {', '.join(sorted(known))}" if known else "it has none"
    messages: dict[str, list[str]] = {}
    for name in (name[:MAX_PLACE_CHARS] for name in unknown[:MAX_ERRORS]):
        meant = closest(name, known)
        hint = f" (did you mean {meant}?)" if meant else ""
        messages[name] = [f"is not a parameter of this endpoint{hint}: {there}"]
    raise invalid(messages)


def listed(ctx: Context, kind: type[R], query: ListQuery, view: Callable[[R], object]) -> bytes:
    """Return one page of the account's rows of a kind."""
    rows: Listed[R] = ctx.tx.list_rows(kind, ctx.caller.account_id, query.equal, query.page)
    return list_response([view(row) for row in rows.rows], query.page, rows.total)


def count(ctx: Context, kind: type[R], equal: Mapping[str, str]) -> int:
    """Return how many rows of the account have the values in *equal*."""
    return ctx.tx.list_rows(kind, ctx.caller.account_id, equal, _ONE_ROW).total


def count_runs(ctx: Context, equal: Mapping[str, str]) -> int:
    """Return how many runs of the account have the values in *equal*."""
    return ctx.tx.list_runs(ctx.caller.account_id, equal, _ONE_ROW).total


# Bodies


def model_of(kind: type[M], params: JsonText, max_depth: int) -> M:
    """Return the JSON object *params* as the wire model *kind*.

    Raises:
        RequestError: 400 or 422.
    """
    return validated(kind, object_of(params, max_depth))


def validated(kind: type[M], values: Values) -> M:
    """Return *values* as a model. Strict: a number is not a string, and a string not a number.

    Raises:
        RequestError: 422, with messages by field.
    """
    try:
        return kind.model_validate(values, strict=True)
    except ValidationError as error:
        raise invalid(_errors_by_field(error)) from error


def _errors_by_field(error: ValidationError) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = defaultdict(list)
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    for one in errors[:MAX_ERRORS]:
        place = ".".join(str(part)[:MAX_PLACE_CHARS] for part in one["loc"])
        messages[place[:MAX_PLACE_CHARS]].append(one["msg"])
    return dict(messages)


def check_declared(values: Values) -> None:
    """Reject a registration that declares too much, before its items are validated.

    Raises:
        RequestError: 422.
    """
    for name, value in values.items():
        if name in _DECLARED and isinstance(value, list | dict):
            if len(cast("list[object]", value)) > MAX_DECLARED:
                raise invalid_field(name, f"must have at most {MAX_DECLARED} entries")
        elif name in _DECLARING and isinstance(value, dict):
            check_declared(cast("dict[str, object]", value))


# Single values


def text_in(values: Values, name: str) -> str | None:
    """Return the string called *name*; an empty one is the same as None.

    Raises:
        RequestError: 422, it is not a text.
    """
    value = values.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid_field(name, _NOT_A_TEXT)
    return value


def required(values: Values, name: str) -> str:
    """Return the string called *name*.

    Raises:
        RequestError: 422, it is missing.
    """
    text = text_in(values, name)
    if text is None:
        raise invalid_field(name, "is required")
    return text


def checked_key(key: object) -> str | None:
    """Return *key* if it may be an idempotency key; None stays None.

    Raises:
        RequestError: 422, it is not a text of 1 to 64 characters.
    """
    if key is None:
        return None
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_CHARS or _NUL in key:
        raise invalid_field(
            "idempotency_key", f"must be a string of 1 to {MAX_KEY_CHARS} characters"
        )
    return key


def checked_id(identifier: str | None) -> str | None:
    """Return the id that a client chose; None stays None.

    Raises:
        RequestError: 422, it is not a PFID.
    """
    if identifier is not None and not is_pfid(identifier):
        raise invalid_field("id", f"must be a PFID: {_PFID_CHARS} characters of 0-9 and a-z")
    return identifier


def check_name(field: str, name: str | None) -> None:
    """Reject a *name* that is empty, too long, or holds a NUL.

    Raises:
        RequestError: 422.
    """
    if name is not None:
        _reject(field, wrong_in_name(name))


def check_identifier(field: str, identifier: str | None) -> None:
    """Reject an external identifier that is not a name, or too long to be indexed.

    Raises:
        RequestError: 422.
    """
    if identifier is not None:
        _reject(field, wrong_in_identifier(identifier))


def wrong_in_identifier(identifier: str) -> str | None:
    """Return the rule that an external identifier breaks, None if it breaks none."""
    wrong = wrong_in_name(identifier)
    if wrong is None and len(identifier.encode("utf-8", "replace")) > MAX_IDENTIFIER_BYTES:
        return f"must have at most {MAX_IDENTIFIER_BYTES} bytes in UTF-8"
    return wrong


def wrong_in_name(name: str) -> str | None:
    """Return the rule that a name breaks, None if it breaks none."""
    if not name or len(name) > MAX_NAME_CHARS or _NUL in name:
        return f"must have 1 to {MAX_NAME_CHARS} characters, none of them a NUL"
    return None


def _reject(field: str, wrong: str | None) -> None:
    if wrong is not None:
        raise invalid_field(field, wrong)


def check_text(field: str, text: str | None) -> None:
    """Reject a *text* that is too long for a list, or holds a NUL, which PostgreSQL cannot keep.

    Raises:
        RequestError: 422.
    """
    if text is not None and not _is_short_text(text):
        raise invalid_field(field, _LONG_TEXT)


def _is_short_text(text: str) -> bool:
    return len(text) <= MAX_TEXT_CHARS and _NUL not in text


def instant(field: str, text: str | None, default_us: int) -> int:
    """Return the instant in *text*; without one, the default.

    Raises:
        RequestError: 422, it is not an ISO 8601 time.
    """
    if text is None:
        return default_us
    try:
        return parse_us(text)
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, _NOT_AN_INSTANT) from error


def taken(field: str) -> RequestError:
    """Return the error for a name or id that is already in use."""
    return invalid_field(field, "has already been taken")


# Rows


def row_of(ctx: Context, kind: type[R], row_id: str, what: str, *, to_remove: bool = False) -> R:
    """Return the row of this id in the caller's account.

    Raises:
        RequestError: 404, it does not exist in this account.
    """
    read = ctx.tx.row_to_remove if to_remove else ctx.tx.row
    row = read(kind, ctx.caller.account_id, row_id)
    if row is None:
        raise not_found(what)
    return row


def agent_of(ctx: Context, agent_id: str) -> AgentRow:
    """Return the agent of this id.

    Raises:
        RequestError: 404, the account has no such agent; 403, the token is for another one.
    """
    row = ctx.tx.agent(ctx.caller.account_id, agent_id)
    if row is None:
        raise not_found("agent")
    if ctx.caller.agent_id not in {None, agent_id}:
        raise forbidden("this token is for another agent: leave agent_id out, or use its own token")
    return row


def run_of(ctx: Context, run_id: str) -> RunRow:
    """Return the run of this id.

    Raises:
        RequestError: 404, it does not exist for this caller.
    """
    row = ctx.tx.runs(ctx.caller.account_id, [run_id]).get(run_id)
    if row is None or not ctx.caller.sees(row):
        raise not_found("agent_instance")
    return row
