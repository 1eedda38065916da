"""Small operations: ping, ids, and resources that a collector does not have.

Clients of the API read people, profiles and alerts; an empty list lets them go on, a missing path
does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from remit.collector.domain.context import Context
from remit.collector.domain.params import ListQuery, check_name
from remit.collector.errors import invalid_action, not_found
from remit.collector.models.account import AdminUserInviteForCreate
from remit.collector.models.service import GeneratePfidsRequest
from remit.collector.views.envelopes import list_response


def ping(ctx: Context) -> dict[str, object]:
    """Return the token's scope and permissions."""
    caller = ctx.caller
    return {
        "token_scope": caller.scope,
        "account_id": caller.account_id,
        "agent_id": caller.agent_id,
        "environment_id": caller.environment_id,
        "may": str(caller.may),
    }


def generate_pfids(ctx: Context, request: GeneratePfidsRequest) -> dict[str, object]:
    """Generate ids in the account's partition."""
    if request.account_id not in {None, ctx.caller.account_id}:
        raise not_found("account")
    return {"pfids": [ctx.new_id() for _ in range(request.count)]}


def nothing_listed(ctx: Context, query: ListQuery) -> bytes:
    """Return an empty list."""
    del ctx
    return list_response([], query.page, 0)


def none_called(what: str) -> Callable[[Context, str], NoReturn]:
    """Return the operation on one *what*; a collector has none."""

    def missing(ctx: Context, thing_id: str) -> NoReturn:
        """Return 404, because a collector does not support this resource."""
        del ctx, thing_id
        raise not_found(what)

    return missing


def invite(ctx: Context, request: AdminUserInviteForCreate) -> NoReturn:
    """Return 409, because a collector does not support invitations."""
    del ctx
    check_name("email", request.email)
    raise invalid_action("a collector has no users: create a token instead")


def count_alerts(ctx: Context) -> dict[str, object]:
    """Return the number of alerts."""
    del ctx
    return {"count": 0}
