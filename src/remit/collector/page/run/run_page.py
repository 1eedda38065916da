"""The page of a run, and of a step of it."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import Final

from remit.collector.domain.context import Context, Permission
from remit.collector.domain.states import ACTIVE
from remit.collector.errors import RequestError
from remit.collector.page.run.conversation import conversation
from remit.collector.page.run.facts import (
    FAILED,
    MOST_STEPS,
    PAGE_STEPS,
    RunFacts,
    SpanFacts,
    first_of_group,
    read_run,
    read_span,
)
from remit.collector.page.run.model_calls import shown_in_panel
from remit.collector.page.run.notice import ledger_of, notice_of
from remit.collector.page.run.span_panel import panel_of
from remit.collector.page.run.step_tree import Tree
from remit.collector.page.visibility import scope_in
from remit.collector.page.visits import Answer, Page, Redirect, Visit
from remit.collector.store.questions.run_lists import Beside, runs_beside
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.times import format_us

_NOT_FOUND: Final = 404
_PRINT: Final = "run_print.html"


def run(visit: Visit) -> Answer:
    """Show a run, with the step that the address names, else the one that matters most."""
    return _page(visit, visit.query.get("span"), opened=False)


def span(visit: Visit) -> Answer:
    """Show a run with one of its steps."""
    return _page(visit, visit.named["span"], opened=False)


def values(visit: Visit) -> Answer:
    """Show the values of a confidential step; the access log has the request."""
    return _page(visit, visit.named["span"], opened=True)


def part(visit: Visit) -> Answer:
    """Answer the panel of a step, for the script of the page."""
    return Page("span_panel.html", panel_values(visit, visit.named["span"], opened=False))


def printed(visit: Visit) -> Answer:
    """Show a run for printing: up to 2,000 steps, and the step that matters most."""
    return _page(visit, visit.query.get("span"), opened=False, template=_PRINT)


def _page(visit: Visit, wanted: str | None, *, opened: bool, template: str = "run.html") -> Answer:
    is_print = template == _PRINT
    limit = MOST_STEPS if is_print else PAGE_STEPS
    try:
        facts = read_run(visit, after=visit.query.get("after"), limit=limit)
    except RequestError as refusal:
        if refusal.status != _NOT_FOUND:
            raise
        return Page("run_not_found.html", {"run_id": visit.named["id"]}, _NOT_FOUND)
    tree, failed = tree_of(visit, facts)
    chosen = wanted or (tree.chosen.id if tree.chosen is not None else None)
    panel = {} if chosen is None else panel_values(visit, chosen, opened=opened)
    # A script draws all of them; to make many rows first takes longer than to draw those in view.
    return Page(
        template,
        {
            **head_values(visit, facts),
            "tree": tree,
            "rows": list(islice(tree.rows(), None if is_print else PAGE_STEPS)),
            "chosen": chosen,
            "beside": visit.api.read(lambda ctx: _beside(ctx, facts)),
            "notice": notice_of(visit, facts, tree, failed),
            "ledger": ledger_of(visit, facts),
            "first_step": _first_step(facts),
            "panel": None,
            **panel,
        },
    )


def _beside(ctx: Context, facts: RunFacts) -> Beside:
    """Return the runs of the same agent before and after a run."""
    return runs_beside(ctx.tx, scope_in(ctx, facts.row.agent_id), facts.row.id)


def tree_of(visit: Visit, facts: RunFacts) -> tuple[Tree, SpanFacts | None]:
    """Return the steps of a run, and of a failed one the step that failed first."""
    tree = Tree(facts, visit.now_us)
    if tree.origin is None or facts.row.status != FAILED:
        return tree, None
    failed = read_span(visit, tree.origin.id)
    first = first_of_group(failed)
    if first is None or first not in tree.known:
        return tree, failed
    return Tree(facts, visit.now_us, first), read_span(visit, first)


def head_values(visit: Visit, facts: RunFacts) -> dict[str, object]:
    """Return what the head of a page about a run names."""
    row = facts.row
    return {
        "run": facts,
        "row": row,
        "may_end": row.status == ACTIVE and visit.api.caller.may.permits(Permission.WRITE),
        "iso": format_us,
        "most_steps": MOST_STEPS,
    }


def panel_values(
    visit: Visit, span_id: str, *, opened: bool, withheld: bool = False, alone: bool = False
) -> dict[str, object]:
    """Return what the panel of a step shows.

    Args:
        visit: The visit, whose address names the run.
        span_id: The step.
        opened: Whether values of a confidential step are shown.
        withheld: Whether all values are left out.
        alone: Whether a model call is shown without the steps that it has to do with, which takes
            reading up to a thousand of them.

    Raises:
        RequestError: 404, there is none for this person.
    """
    facts = read_span(visit, span_id)
    quality: dict[str, object] = {}
    if facts.row.schema_name == ROOT_SPAN and not withheld:
        run = visit.api.get(f"/api/v1/agent_instance/{visit.named['id']}")["details"]
        quality = {
            name: {
                "payload": payload,
                "summary": run["quality_summaries"].get(name),
                "errors": run["quality_errors"].get(name, []),
            }
            for name, payload in run["quality_payloads"].items()
        }
    panel = panel_of(facts, opened=opened, quality=quality, withheld=withheld)
    call = None
    if not panel.closed and not panel.erased:
        call = conversation(facts.view) if alone else shown_in_panel(visit.api, facts.view)
    return {
        "panel": panel,
        "call": call,
        "run_id": visit.named["id"],
        "span_id": span_id,
        "iso": format_us,
    }


def _first_step(facts: RunFacts) -> str | None:
    """Return the last step of a page of a long run, after which the next page begins."""
    steps = list(facts.steps)
    return steps[-1] if steps and not facts.is_whole else None


def ask_to_terminate(visit: Visit) -> Answer:
    """Show the dialog that terminates a run, also as a page without scripts."""
    return _dialog(visit, None, "")


def terminate(visit: Visit) -> Answer:
    """Terminate the run; the program learns of it at its next step."""
    run_id = visit.named["id"]
    reason = visit.form.get("reason", "").strip()
    if not reason:
        message = "a reason is required: it is kept with the run"
        return _dialog(visit, RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message), "")
    try:
        visit.api.post(f"/api/v1/agent_instance/{run_id}/terminate", {"reason": reason})
    except RequestError as refusal:
        return _dialog(visit, refusal, reason)
    return Redirect(f"/runs/{run_id}")


def _dialog(visit: Visit, refusal: RequestError | None, reason: str) -> Page:
    values = {**head_values(visit, read_run(visit)), "refusal": refusal, "reason": reason}
    return Page("terminate.html", values, HTTPStatus.OK if refusal is None else refusal.status)
