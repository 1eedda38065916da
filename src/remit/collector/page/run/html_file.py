"""A run as one HTML file, which can be sent on and opens without a server."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from dataclasses import replace
from functools import cache, partial
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.step_names import NAMED_TYPES
from remit._base.version import __version__
from remit.collector.api.asgi import CALLER, ROUTE, Executor
from remit.collector.api.dispatch import UNAVAILABLE, Service
from remit.collector.api.endpoints import OWN_PREFIX
from remit.collector.domain.context import Caller
from remit.collector.domain.params import check_names
from remit.collector.domain.tokens import TokenScope
from remit.collector.page import shell
from remit.collector.page.account.sessions import SESSION, Sessions
from remit.collector.page.run.facts import (
    MOST_STEPS,
    RunFacts,
    RunRows,
    SpanFacts,
    failure_facts,
    in_run,
    run_facts,
    span_facts,
)
from remit.collector.page.run.notice import ledger_of, notice_of
from remit.collector.page.run.run_page import for_panel, head_values, panel_values
from remit.collector.page.run.step_tree import Tree
from remit.collector.page.visits import Api, Data, Visit
from remit.collector.settings import Settings
from remit.collector.store.base import Store, StoreUnavailableError
from remit.collector.store.rows import SessionRow

HTML: Final = "text/html; charset=utf-8"
MOST_PANELS: Final = 200
"""Steps of a file that have a panel below the tree."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""Bytes of payloads after which a saved file gets no more panels."""
_FONTS: Final = re.compile(r"@font-face\{[^}]*\}")
_LINK: Final = re.compile(r'<a ([^>]*?)href="([^"]*)"')
_SPAN: Final = re.compile(r"[?;]span=(\w+)")


def saved(visit: Visit, *, values: bool) -> Data:
    """Return a run as one HTML file, with the values of its steps or without."""
    return Data(_rendered(visit, values=values), HTML, f"{visit.named['id']}.html")


def html_of_run(store: Store, account_id: str, run_id: str, *, values: bool) -> bytes:
    """Return a run of a database as one HTML file.

    Args:
        values: Whether to add the values of its steps; those of confidential steps stay out.

    Raises:
        RequestError: The database has no such run, or does not respond.
    """
    clock = SystemClock()
    caller = Caller(account_id, TokenScope.ACCOUNT)
    service = Service(store, Settings(), clock, caller=caller)
    return _rendered(_visit(service, Sessions(store, clock), clock, caller, run_id), values=values)


def _visit(
    service: Service, sessions: Sessions, clock: Clock, caller: Caller, run_id: str
) -> Visit:
    """Return the visit of a reader without a session; times are in UTC."""
    now_us = clock.wall_ns() // NS_PER_US
    account_id = caller.account_id
    return Visit(
        api=Api(service, caller),
        sessions=sessions,
        # The database does not keep it.
        session=SessionRow(account_id, account_id, SESSION, None, b"", now_us, now_us, now_us),
        path=f"/runs/{run_id}/file",
        named={"id": run_id},
        query={},
        form={},
        now_us=now_us,
        zone=ZoneInfo("UTC"),
    )


def _rendered(visit: Visit, *, values: bool) -> bytes:
    def run(_: Visit, rows: RunRows) -> tuple[RunFacts, SpanFacts | None]:
        facts = run_facts(rows, limit=MOST_STEPS)
        failed = failure_facts(rows, facts)
        if values:
            return facts, failed
        return replace(facts, names={}), None if failed is None else _unnamed(failed)

    def panel(visit: Visit, rows: RunRows, span_id: str) -> SpanFacts:
        span = span_facts(rows, span_id)
        return for_panel(visit, rows, span, opened=False, alone=True) if values else _unnamed(span)

    facts, failed = in_run(visit, run)
    tree = Tree(facts, visit.now_us)
    lines = list(tree.rows())
    notice = notice_of(visit, facts, failed)
    if notice is not None and not values:
        is_reason = notice.case == "terminated" and notice.text is not None
        notice = notice._replace(text="left out" if is_reason else None)
    shown = [line.step.id for line in lines[:MOST_PANELS]]
    if facts.chosen is not None and facts.chosen.id not in shown:
        # The step that the notice names is there, also of a file that is full.
        shown.insert(0, facts.chosen.id)
    panels: list[dict[str, object]] = []
    size = 0
    for step in shown:
        if size > MOST_BYTES:
            break
        span = in_run(visit, partial(panel, span_id=step))
        panels.append(panel_values(span, opened=False, redacted=not values))
        row = span.span.row
        size += len(row.payload) + len(row.result_payload or "") if values else 0
    policy, style = _style()
    html = shell.render(
        "run_file.html",
        {
            **head_values(visit, facts),
            "signed_in": False,
            "zone": visit.zone,
            "theme": None,
            "path": visit.path,
            "tree": tree,
            "rows": lines,
            "chosen": None,
            "notice": notice,
            "ledger": ledger_of(visit, facts),
            "file": {
                "policy": policy,
                "style": style,
                "values": values,
                "saved_us": visit.now_us,
                "remit": __version__,
                "panels": panels,
            },
        },
    )
    return _within(html.decode(), frozenset(shown[: len(panels)])).encode()


def _unnamed(span: SpanFacts) -> SpanFacts:
    """Return a step without names from payloads."""
    return replace(span, hidden_types=NAMED_TYPES)


@cache
def _style() -> tuple[str, Markup]:
    """Return the policy of a file and its style sheet, without fonts."""
    sheets = shell.static_files()
    text = _FONTS.sub("", "".join(sheets[name].decode() for name in ("page.css", "run.css")))
    digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return policy, Markup(text)  # noqa: S704 - the project's style sheet


def _within(html: str, shown: frozenset[str]) -> str:
    """Return a page whose links lead to the steps in it; other links keep their text only.

    The templates escape quotes and angle brackets of data, so only their tags match.
    """

    def replaced(link: re.Match[str]) -> str:
        span = _SPAN.search(link[2])
        inside = span is not None and span[1] in shown
        return f'<a {link[1]}href="#{span[1]}"' if inside and span else f"<a {link[1]}".rstrip()

    return _LINK.sub(replaced, html)


FILE: Final = f"{OWN_PREFIX}/runs/{{id}}/file"
VALUES: Final = f"{FILE}/values"


def file_routes(service: Service, store: Store, executor: Executor, clock: Clock) -> list[Route]:
    """Return the routes of a run as one HTML file, without values and with them."""
    sessions = Sessions(store, clock)

    def read(request: Request, *, values: bool) -> bytes:
        caller = service.authenticate(request.headers.get("authorization", ""))
        request.scope[CALLER] = caller
        check_names(request.query_params, ())
        visit = _visit(service, sessions, clock, caller, request.path_params["id"])
        return _rendered(visit, values=values)

    async def respond(route: str, request: Request) -> Response:
        request.scope[ROUTE] = route
        try:
            html = await executor.run(partial(read, request, values=route == VALUES))
        except StoreUnavailableError as error:
            raise UNAVAILABLE from error
        return Response(html, headers=shell.file_headers(HTML, f"{request.path_params['id']}.html"))

    return [Route(path, partial(respond, path), methods=["GET"]) for path in (FILE, VALUES)]
