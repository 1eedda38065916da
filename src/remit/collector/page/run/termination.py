"""The dialog that terminates a run, also a page without scripts."""

from __future__ import annotations

from http import HTTPStatus

from remit.collector.errors import RequestError
from remit.collector.page.run.run_page import head_of
from remit.collector.page.visits import Answer, Page, Redirect, Visit


def ask(visit: Visit) -> Answer:
    """Show the form."""
    return Page("terminate.html", {**head_of(visit), "refusal": None, "reason": ""})


def terminate(visit: Visit) -> Answer:
    """Terminate the run; the program learns of it at its next step."""
    run_id = visit.named["id"]
    reason = visit.form.get("reason", "").strip()
    refusal: RequestError | None = None
    if not reason:
        refusal = RequestError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid",
            "a reason is required: it is kept with the run",
        )
    else:
        try:
            visit.api.post(f"/api/v1/agent_instance/{run_id}/terminate", {"reason": reason})
        except RequestError as error:
            refusal = error
    if refusal is None:
        return Redirect(f"/runs/{run_id}")
    values = {**head_of(visit), "refusal": refusal, "reason": reason}
    return Page("terminate.html", values, refusal.status)
