"""The account: who can get in, and whether the server is well."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from remit._base.version import __version__
from remit.collector.domain.context import Context, Permission
from remit.collector.domain.tokens import TokenScope
from remit.collector.errors import not_found
from remit.collector.models.api_token import ApiToken
from remit.collector.page.account.sessions import IDLE_US
from remit.collector.page.visits import COUNTS, RUNS, Html, Redirect, Response, Visit
from remit.collector.page.windows import DAY_US, days_in
from remit.collector.store.questions.facts import database_facts
from remit.collector.store.rows import SessionRow, TokenRow
from remit.collector.store.version import VERSION as SCHEMA
from remit.collector.times import format_us, parse_us
from remit.collector.views.resources import row_view

PATH: Final = "/account"
UNUSED_DAYS: Final = 90
"""Idle days after which a token that never ends comes first."""
_TOKENS: Final = "/api/v1/api_token"
_PER_PAGE: Final = 100
_MOST_TOKENS: Final = 1000
_MOST_LOST: Final = 100
_MAY: Final = {"write": "read, write", "erase": "read, write, erase"}


class Token(NamedTuple):
    """A token, without its secret.

    Attributes:
        days_left: In how many days it ends; None if never, negative if it has ended.
        used: When it was last used, None if that is not known.
        days_unused: For how many days it was not used; since it was made, if it was never used.
        status: `active`, `suspended` or `revoked`.
    """

    id: str
    name: str | None
    good_for: str
    may: str
    made: str
    ends: str | None
    days_left: int | None
    used: str | None
    days_unused: int
    status: str
    is_own: bool

    @property
    def reads(self) -> bool:
        """Whether its holder may read runs."""
        return "read" in self.may.split(", ")

    @property
    def is_forgotten(self) -> bool:
        """Whether it never ends and was not used for long."""
        active = self.status == "active" and self.ends is None
        return active and self.days_unused >= UNUSED_DAYS


def show(visit: Visit) -> Response:
    """Show the account."""
    caller = visit.api.caller
    tokens = _tokens(visit)
    forgotten = [token for token in tokens if token.is_forgotten]
    names = {token.id: token.name or token.id for token in tokens}
    own = next((token for token in tokens if token.is_own), None)
    browsers = [_browser(visit, row, names) for row in visit.sessions.all_of(caller)]
    values: dict[str, object] = {
        "account": _account_name(visit),
        "own": own,
        "may": _may(str(caller.may)),
        "is_account": caller.scope == TokenScope.ACCOUNT,
        "may_change": _may_change(visit),
        "tokens": tokens,
        "forgotten": forgotten,
        "browsers": sorted(browsers, key=lambda browser: not browser["is_own"]),
        "server": _server(visit),
        "now": format_us(visit.now_us),
        "unused_days": UNUSED_DAYS,
    }
    return Html("account.html", values)


def ask(visit: Visit) -> Response:
    """Ask once more whether a token is to be revoked."""
    return Html("revoke.html", {"token": _token_to_revoke(visit)})


def revoke(visit: Visit) -> Response:
    """Revoke a token."""
    token = _token_to_revoke(visit)
    visit.api.post(f"{_TOKENS}/{token.id}/revoke", {})
    return Redirect(PATH)


def end(visit: Visit) -> Response:
    """End a session."""
    chosen = [row for row in _to_end(visit) if row.id == visit.named["id"]]
    if not chosen:
        raise not_found("session")
    visit.sessions.end(*chosen)
    return Redirect(PATH)


def end_others(visit: Visit) -> Response:
    """End all sessions but this one, as far as this person may."""
    visit.sessions.end(*(row for row in _to_end(visit) if row.id != visit.session.id))
    return Redirect(PATH)


def _to_end(visit: Visit) -> list[SessionRow]:
    """Return the sessions that this person may end."""
    return [row for row in visit.sessions.all_of(visit.api.caller) if _may_end(visit, row)]


def _may_end(visit: Visit, row: SessionRow) -> bool:
    """Return whether this person may end a session: who only reads ends those of the own token."""
    caller = visit.api.caller
    return caller.may.permits(Permission.WRITE) or row.token_id == caller.token_id


def _may_change(visit: Visit) -> bool:
    """Return whether this person may revoke tokens."""
    caller = visit.api.caller
    return caller.scope == TokenScope.ACCOUNT and caller.may.permits(Permission.WRITE)


def _token_to_revoke(visit: Visit) -> Token:
    """Return the token that the address names.

    Raises:
        RequestError: 403 or 404.
    """
    view = visit.api.get(f"{_TOKENS}/{visit.named['id']}")["details"]
    if view["status"] == "revoked":
        raise not_found("api_token")
    return _token(visit, view, _places(visit, [view]))


def _account_name(visit: Visit) -> str | None:
    """Return the name of the account; None for the holder of a deployment's token."""
    if visit.api.caller.scope != TokenScope.ACCOUNT:
        return None
    name: str = visit.api.get(f"/api/v1/account/{visit.api.caller.account_id}")["details"]["name"]
    return name


def _tokens(visit: Visit) -> list[Token]:
    """Return the tokens that this person sees; the forgotten ones first, revoked ones never."""
    views = _all_views(visit) if visit.api.caller.scope == TokenScope.ACCOUNT else _own_view(visit)
    views = [view for view in views if view["status"] != "revoked"]
    places = _places(visit, views)
    tokens = [_token(visit, view, places) for view in views]
    return sorted(tokens, key=lambda token: (not token.is_forgotten, token.made))


def _all_views(visit: Visit) -> list[dict[str, Any]]:
    views: list[dict[str, Any]] = []
    while len(views) < _MOST_TOKENS:
        page = visit.api.get(
            _TOKENS,
            **{
                "pagination[offset]": str(len(views)),
                "pagination[page_size]": str(_PER_PAGE),
                "sorting": "-inserted_at",
            },
        )["summaries"]
        views += page
        if len(page) < _PER_PAGE:
            break
    return views


def _own_view(visit: Visit) -> list[dict[str, Any]]:
    """Return the token of this person, whom the list of all is not for."""
    token_id = visit.api.caller.token_id

    def work(ctx: Context) -> TokenRow | None:
        return ctx.tx.row(TokenRow, ctx.caller.account_id, token_id) if token_id else None

    row = visit.api.read(work)
    return [] if row is None else [row_view(ApiToken, row)]


def _places(visit: Visit, views: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the agents and environments of deployments' tokens, by id."""
    agents = {view["agent_id"] for view in views if view["agent_id"]}

    def work(ctx: Context) -> dict[str, str]:
        account_id = ctx.caller.account_id
        rows = [ctx.tx.agent(account_id, agent_id) for agent_id in sorted(agents)]
        environments = ctx.tx.environments(account_id) if agents else []
        return {row.id: row.name for row in (*rows, *environments) if row is not None}

    return visit.api.read(work)


def _token(visit: Visit, view: Mapping[str, Any], places: Mapping[str, str]) -> Token:
    ends, used, created = view["expires_at"], view["last_used_at"], view["inserted_at"]
    named = [places.get(view[name], view[name]) for name in ("agent_id", "environment_id")]
    bound = view["token_scope"] != TokenScope.ACCOUNT
    return Token(
        id=view["id"],
        name=view["name"],
        good_for=", ".join(named) if bound else "account",
        may=_may(view["may"]),
        made=created,
        ends=ends,
        days_left=None if ends is None else (parse_us(ends) - visit.now_us) // DAY_US,
        used=used,
        days_unused=(visit.now_us - parse_us(used or created)) // DAY_US,
        status=view["status"],
        is_own=view["id"] == visit.session.token_id,
    )


def _may(words: str) -> str:
    """Return permissions with those that they include and that readers look for."""
    return ", ".join(_MAY.get(word, word) for word in words.split(","))


def _browser(visit: Visit, row: SessionRow, names: Mapping[str, str]) -> dict[str, object]:
    """Return a session; its token is None if it began with a one-time code."""
    return {
        "id": row.id,
        "token": None if row.token_id is None else names.get(row.token_id, row.token_id),
        "since": format_us(row.inserted_at),
        "used": format_us(row.last_used_at),
        "ends": format_us(min(row.expires_at, row.last_used_at + IDLE_US)),
        "is_own": row.id == visit.session.id,
        "may_end": _may_end(visit, row),
    }


def _server(visit: Visit) -> dict[str, object]:
    """Return the values about the server and its database."""
    settings = visit.api.service.settings
    of_account = visit.api.caller.scope == TokenScope.ACCOUNT
    runs = visit.api.get(COUNTS, of="runs", by="status")["counts"]
    spans = visit.api.get(COUNTS, of="spans", by="status")["counts"]
    lost = visit.api.get(RUNS, flag="lost", limit=str(_MOST_LOST))["runs"]
    return {
        "ready": visit.api.service.ready(),
        "database": visit.api.read(lambda ctx: database_facts(ctx.tx)) if of_account else None,
        "runs": sum(int(group["runs"]) for group in runs),
        "spans": sum(int(group["spans"]) for group in spans),
        "lost": len(lost),
        "schema": SCHEMA,
        "remit": __version__,
        "python": platform.python_version(),
        "kept_days": days_in(settings.retain),
        "payloads_kept_days": days_in(settings.retain_payloads),
    }
