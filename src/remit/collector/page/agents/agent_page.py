"""One agent: its remit, its activity, and its versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from remit.collector.domain.collisions import program_view, programs_of
from remit.collector.domain.context import Context
from remit.collector.domain.holds import in_force
from remit.collector.errors import invalid_field
from remit.collector.page.agents import activity, holds, matrix, versions
from remit.collector.page.agents.subjects import Subject, subject_of
from remit.collector.page.visits import Html, Redirect, Response, Visit
from remit.collector.page.windows import PERIODS

_VIEWS: Final[Mapping[str, Callable[[Visit, Subject], Html]]] = {
    "remit": matrix.remit,
    "activity": activity.activity,
    "versions": versions.compare,
}


def agent(visit: Visit) -> Response:
    """Show one agent."""
    view = visit.query.get("view")
    if view == "runs":
        return Redirect(f"/runs?agent={quote(visit.named['id'], safe='')}")
    if view and view not in _VIEWS:
        raise invalid_field("view", f"must be one of {', '.join((*_VIEWS, 'runs'))}")
    subject = subject_of(visit)
    # Without declarations, the remit has nothing to show.
    view = view or ("activity" if subject.is_undeclared else "remit")
    page = _VIEWS[view](visit, subject)
    shown = subject.shown if visit.query.get("version") else None
    chosen = "" if shown is None else f"&version={quote(shown.key, safe='')}"
    programs = visit.api.read(lambda ctx: _programs(ctx, subject.id))
    on_hold = visit.api.read(lambda ctx: in_force(ctx, subject.id))
    frame = {
        **_frame(subject, view),
        "on_hold": on_hold,
        "may_stop": holds.may_stop(visit),
        "programs": programs if len(programs) > 1 else (),
    }
    values = {**frame, "version_part": chosen, **page.values}
    return Html(page.template, values)


def _programs(ctx: Context, agent_id: str) -> list[dict[str, object]]:
    """Return the programs that registered the agent, with the steps that are named."""
    row = ctx.tx.agent(ctx.caller.account_id, agent_id)
    return [] if row is None else [program_view(program) for program in programs_of(ctx, row)]


def _frame(subject: Subject, view: str) -> dict[str, object]:
    """Return the values of the head of all views."""
    return {
        "agent": subject.agent,
        "view": view,
        "is_undeclared": subject.is_undeclared,
        "title": subject.agent["name"],
        "owner": subject.declared.owner,
        "purpose": subject.agent["description"] or subject.declared.description,
        "shown": subject.shown,
        "period": subject.period,
        "periods": PERIODS,
        "runs_in_period": subject.runs,
    }
