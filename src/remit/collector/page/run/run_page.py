"""The page of a run, and of a step of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Final

from remit._base.costs import PRICES, explained, money, source_of
from remit._base.ids import is_pfid
from remit._policy.violations import denied_by
from remit.collector.domain.context import Context, Permission
from remit.collector.domain.runs import runs_named
from remit.collector.domain.states import ACTIVE
from remit.collector.errors import RequestError
from remit.collector.model_usage import usage_of_call
from remit.collector.page.marks import ALL_MARKS
from remit.collector.page.run.asked_panel import asked_facts
from remit.collector.page.run.conversation import Number, conversation
from remit.collector.page.run.facts import (
    MOST_STEPS,
    PAGE_STEPS,
    RunFacts,
    RunRows,
    SpanFacts,
    failure_facts,
    in_run,
    run_facts,
    span_facts,
)
from remit.collector.page.run.limits import gauges_of
from remit.collector.page.run.model_calls import shown_in_panel
from remit.collector.page.run.notice import ledger_of, notice_of
from remit.collector.page.run.span_panel import panel_of
from remit.collector.page.run.step_tree import Tree
from remit.collector.page.runs.rows import listed_run
from remit.collector.page.scope import scope_in
from remit.collector.page.sides import held_in
from remit.collector.page.visits import Html, Redirect, Response, Visit
from remit.collector.prices import costs_of
from remit.collector.store.questions.costs import costs_of_run
from remit.collector.store.questions.run_lists import runs_beside
from remit.collector.store.rows import DENIED, HoldRow, RunRow
from remit.collector.store.subjects import ROOT_SPAN
from remit.collector.times import format_us

_PRINT: Final = "run_print.html"


def run(visit: Visit) -> Response:
    """Show a run, with the step that the address names, else the one that matters most."""
    return _page(visit, visit.query.get("span"), opened=False)


def span(visit: Visit) -> Response:
    """Show a run with one of its steps."""
    return _page(visit, visit.named["span"], opened=False)


def values(visit: Visit) -> Response:
    """Show the values of a confidential step; the access log has the request."""
    return _page(visit, visit.named["span"], opened=True)


def part(visit: Visit) -> Response:
    """Return the panel of a step, for the script of the page."""

    def work(visit: Visit, rows: RunRows) -> SpanFacts:
        return for_panel(visit, rows, span_facts(rows, visit.named["span"]), opened=False)

    return Html("span_panel.html", panel_values(in_run(visit, work), opened=False))


def printed(visit: Visit) -> Response:
    """Show a run for printing: up to 2,000 steps, and the step that matters most."""
    return _page(visit, visit.query.get("span"), opened=False, template=_PRINT)


def _page(
    visit: Visit, wanted: str | None, *, opened: bool, template: str = "run.html"
) -> Response:
    name = visit.named["id"]
    if not is_pfid(name):
        return _named(visit, name)
    work = partial(_read, wanted=wanted, opened=opened, is_print=template == _PRINT)
    read = visit.at_once(work)
    if read is None:
        return Html("run_not_found.html", {"run_id": name, "runs": []}, HTTPStatus.NOT_FOUND)
    values, chosen = read
    panel = {} if chosen is None else panel_values(chosen, opened=opened)
    return Html(template, {**values, "panel": None, **panel})


def _named(visit: Visit, name: str) -> Response:
    """Show the run with a key or the end of an id at its own address; several are listed."""

    def work(_: Visit, ctx: Context) -> list[str]:
        return [row.id for row in runs_named(ctx, name)]

    ids = visit.at_once(work)
    if len(ids) == 1:
        return Redirect(f"/runs/{ids[0]}")
    runs = [listed_run(visit.api, run_id) for run_id in ids]
    return Html("run_not_found.html", {"run_id": name, "runs": runs}, HTTPStatus.NOT_FOUND)


def _read(
    visit: Visit, ctx: Context, *, wanted: str | None, opened: bool, is_print: bool
) -> tuple[dict[str, object], SpanFacts | None] | None:
    """Return the values of a page about a run, and the step of its panel; None without the run."""
    try:
        rows = RunRows(ctx, visit.named["id"])
    except RequestError as rejection:
        if rejection.status != HTTPStatus.NOT_FOUND:
            raise
        return None
    facts = run_facts(rows, visit.query.get("after"), MOST_STEPS if is_print else PAGE_STEPS)
    tree = Tree(facts, visit.now_us)
    shown = wanted or (None if facts.chosen is None else facts.chosen.id)
    failed = failure_facts(rows, facts)
    is_failed = failed is not None and failed.span.row.id == shown
    chosen = failed if shown is None or is_failed else span_facts(rows, shown)
    # A script draws all of them; to make many rows first takes longer than to draw those in view.
    values = {
        **head_values(visit, facts),
        "tree": tree,
        "rows": list(islice(tree.rows(), None if is_print else PAGE_STEPS)),
        "chosen": shown,
        "beside": runs_beside(ctx.tx, scope_in(ctx, facts.row.agent_id), facts.row.id),
        "notice": notice_of(visit, facts, failed),
        "ledger": ledger_of(visit, facts),
        "first_step": _first_step(facts),
        "mark_words": {name: (kind.words, kind.plural) for name, kind in ALL_MARKS.items()},
    }
    return values, None if chosen is None else for_panel(visit, rows, chosen, opened=opened)


def head_values(visit: Visit, facts: RunFacts) -> dict[str, object]:
    """Return the values of the head of a page about a run."""
    row = facts.row
    return {
        "run": facts,
        "row": row,
        "cost": _cost(visit, row),
        "waited_us": facts.waited_us(visit.now_us),
        "now_us": visit.now_us,
        "may_end": row.status == ACTIVE and visit.api.caller.may.permits(Permission.STOP),
        "iso": format_us,
        "most_steps": MOST_STEPS,
    }


def _cost(visit: Visit, row: RunRow) -> str:
    """Return the costs of a run with their sources; empty without one."""
    return explained(*costs_of_run(row, visit.api.service.settings.prices))


def for_panel(
    visit: Visit, rows: RunRows, facts: SpanFacts, *, opened: bool, alone: bool = False
) -> SpanFacts:
    """Return a step with its model call, and the quality of its run if it is the root.

    Args:
        opened: Whether values of a confidential step are shown.
        alone: Whether a model call is shown without the call before it and the steps that it
            called, of which up to a thousand are read otherwise.
    """
    if facts.span.row.schema_name == ROOT_SPAN:
        run = visit.api.get(f"/api/v1/agent_instance/{facts.run.id}")["details"]
        quality = {
            name: {
                "payload": payload,
                "summary": run["quality_summaries"].get(name),
                "errors": run["quality_errors"].get(name, []),
            }
            for name, payload in run["quality_payloads"].items()
        }
        facts = replace(facts, quality=quality)
    facts = replace(
        facts,
        gauges=gauges_of(rows, facts),
        hold=_hold(rows, facts),
        asked=asked_facts(rows, facts),
    )
    if facts.run.erased_at is not None or (facts.hidden.values and not opened):
        return facts
    span = facts.span.listed
    call = conversation(span) if alone else shown_in_panel(rows, span)
    if call is not None:
        priced = _priced(visit, facts)
        call = replace(call, numbers=[*call.numbers, *priced])
    return replace(facts, call=call)


def _hold(rows: RunRows, facts: SpanFacts) -> HoldRow | None:
    """Return the hold that denied a step; None if there was none, or none on this server."""
    violations = denied_by(facts.span.result) if facts.span.row.flags & DENIED else None
    held = held_in(violations or ())
    return rows.ctx.tx.row(HoldRow, rows.run.account_id, held[0].hold) if held else None


def _priced(visit: Visit, facts: SpanFacts) -> list[Number]:
    """Return the cost of a model call by the prices of the server, if it has one."""
    row = facts.span.row
    used = usage_of_call(row.payload, facts.span.result)
    if used is None:
        return []
    costs = costs_of([(used, row.started_at or row.inserted_at)], visit.api.service.settings.prices)
    return [
        Number(money(cost.amount, cost.currency), f"cost, {source_of(cost)}", is_count=False)
        for cost in costs.amounts
        if cost.source == PRICES
    ]


def panel_values(facts: SpanFacts, *, opened: bool, redacted: bool = False) -> dict[str, object]:
    """Return the values of the panel of a step.

    Args:
        opened: Whether values of a confidential step are shown.
        redacted: Whether all values are left out.
    """
    return {
        "panel": panel_of(facts, opened=opened, redacted=redacted),
        "call": facts.call,
        "run_id": facts.run.id,
        "span_id": facts.span.row.id,
        "iso": format_us,
    }


def _first_step(facts: RunFacts) -> str | None:
    """Return the last step of a page of a long run, after which the next page begins."""
    steps = list(facts.steps)
    return steps[-1] if steps and not facts.is_whole else None


def ask_to_terminate(visit: Visit) -> Response:
    """Show the dialog that terminates a run, also as a page without scripts."""
    return _dialog(visit, None, "")


def terminate(visit: Visit) -> Response:
    """Terminate the run; the program learns of it at its next step."""
    run_id = visit.named["id"]
    reason = visit.form.get("reason", "").strip()
    if not reason:
        message = "a reason is required: it is kept with the run"
        return _dialog(visit, RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message), "")
    try:
        visit.api.post(f"/api/v1/agent_instance/{run_id}/terminate", {"reason": reason})
    except RequestError as rejection:
        return _dialog(visit, rejection, reason)
    return Redirect(f"/runs/{run_id}")


def _dialog(visit: Visit, rejection: RequestError | None, reason: str) -> Html:
    facts = in_run(visit, lambda _, rows: run_facts(rows))
    values = {**head_values(visit, facts), "rejection": rejection, "reason": reason}
    return Html("terminate.html", values, HTTPStatus.OK if rejection is None else rejection.status)
