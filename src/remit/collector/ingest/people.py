"""Answers to requests for people, profiles and alerts, of which the collector has none.

Readers of the API ask for these; a missing path would stop them, an empty answer does not. Whoever
may use a collector holds a token, so nobody can be invited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from remit.collector.ingest.checks import check_name, validated
from remit.collector.ingest.context import Context
from remit.collector.ingest.lists import page_of
from remit.collector.ingest.resources import account_values
from remit.collector.models.account import AdminUserInviteForCreate
from remit.collector.refusals import invalid_action, not_found
from remit.collector.views import list_answer
from remit.collector.wire import encode

SORTABLE: Final = ("id", "inserted_at", "updated_at")


def nothing_listed(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return an empty list."""
    del key
    page = page_of(account_values(ctx, params), SORTABLE)
    return list_answer([], page, 0)


def none_called(what: str) -> Callable[[Context, bytes, str | None], bytes]:
    """Return an operation on one *what*, of which there is none."""

    def missing(ctx: Context, params: bytes, key: str | None) -> bytes:
        """Answer 404: a collector has none."""
        del key
        account_values(ctx, params)
        raise not_found(what)

    return missing


def invite(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Refuse the invitation: a collector has no people."""
    del key
    request = validated(AdminUserInviteForCreate, account_values(ctx, params))
    check_name("email", request.email)
    raise invalid_action("a collector has no users: hand out a token instead")


def count_alerts(ctx: Context, params: bytes, key: str | None) -> bytes:
    """Return the number of alerts."""
    del key
    account_values(ctx, params)
    return encode({"count": 0})
