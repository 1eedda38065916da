"""What the operations on an account's resources share: who may, which row, which page.

What belongs to another account does not exist: it is not found, never forbidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from remit.collector.ingest.checks import check_text
from remit.collector.ingest.context import Context
from remit.collector.ingest.lists import page_of, text_in
from remit.collector.refusals import forbidden, invalid_field, not_found
from remit.collector.store import AgentRow, Page
from remit.collector.store.rows import Row
from remit.collector.views import list_answer
from remit.collector.wire import object_of

R = TypeVar("R", bound=Row)
_TRUTHS: Final = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
_ANY: Final = Page(0, 1, "id", descending=False)


def account_values(ctx: Context, params: bytes) -> dict[str, object]:
    """Return the fields of an operation on the account.

    Raises:
        RequestError: 403, the token is a deployment's; 404, the fields name another account; 400.
    """
    need_account(ctx)
    values = object_of(params, ctx.settings.max_depth)
    if text_in(values, "account_id") not in {None, ctx.caller.account_id}:
        raise not_found("account")
    return values


def need_account(ctx: Context) -> None:
    """Refuse a deployment's token.

    Raises:
        RequestError: 403.
    """
    if ctx.caller.agent_id is not None:
        raise forbidden("a deployment's token is for its agent only: use an account's token")


def required(values: Mapping[str, object], field: str) -> str:
    """Return the text called *field*.

    Raises:
        RequestError: 422, there is none.
    """
    text = text_in(values, field)
    if text is None:
        raise invalid_field(field, "is required")
    return text


def found(ctx: Context, kind: type[R], row_id: str, what: str, *, to_remove: bool = False) -> R:
    """Return the row of this id in the caller's account.

    Args:
        ctx: The request.
        kind: The kind of row.
        row_id: Its id.
        what: The row in a word, for the refusal.
        to_remove: Whether the operation removes it.

    Raises:
        RequestError: 404, there is none.
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


def count(ctx: Context, kind: type[R], equal: Mapping[str, str]) -> int:
    """Return how many rows of the account have the values in *equal*."""
    return ctx.tx.list_rows(kind, ctx.caller.account_id, equal, _ANY).total


def listed(
    ctx: Context,
    kind: type[R],
    params: bytes,
    view: Callable[[R], object],
    *,
    sortable: Sequence[str],
    filters: Sequence[str] = (),
) -> bytes:
    """Return one page of the account's rows of a kind.

    Args:
        ctx: The request.
        kind: Which rows.
        params: The query.
        view: What a row looks like.
        sortable: Fields that the list can be sorted by.
        filters: Fields that the query may give, to be equal.

    Raises:
        RequestError: 400, 403, 404 or 422.
    """
    values = account_values(ctx, params)
    equal = equal_to(values, filters)
    page = page_of(values, sortable)
    rows = ctx.tx.list_rows(kind, ctx.caller.account_id, equal, page)
    return list_answer([view(row) for row in rows.rows], page, rows.total)


def equal_to(values: Mapping[str, object], filters: Sequence[str]) -> dict[str, str]:
    """Return the values of those of the *filters* that are given.

    Raises:
        RequestError: 422, one is no text.
    """
    wanted = {name: text_in(values, name) for name in filters}
    for name, text in wanted.items():
        check_text(name, text)
    return {name: text for name, text in wanted.items() if text is not None}


def truth(values: Mapping[str, object], field: str, *, default: bool) -> bool:
    """Return a switch, a boolean or (in a query) its text.

    Raises:
        RequestError: 422, it is neither.
    """
    value = values.get(field)
    if value is None or value == "":
        return default
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise invalid_field(field, "must be true or false")
    return _TRUTHS[value]
