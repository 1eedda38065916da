"""The table of the pages: method, path, handler."""

from __future__ import annotations

from typing import Final

from remit.collector.page import (
    account,
    agent,
    agents,
    compare,
    datamap,
    help_page,
    outline,
    reading,
    refused,
    register,
    run_csv,
    run_exports,
    run_file,
    run_page,
    runs,
    runs_new,
    termination,
    versions,
)
from remit.collector.page.visits import Handler, Redirect

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", lambda _: Redirect("/runs")),
    ("GET", "/runs", runs.runs),
    ("POST", "/runs", runs.choose),
    ("GET", "/runs/new", runs_new.new_runs),
    ("GET", "/runs.csv", run_csv.table),
    ("GET", "/runs/compare", compare.compare),  # before the run with this id
    ("GET", "/runs/{id}/outline", outline.outline),
    ("GET", "/runs/{id}/find", outline.find),
    ("GET", "/live", outline.live),
    ("GET", "/runs/{id}", run_page.run),
    ("GET", "/runs/{id}/print", run_page.printed),
    ("GET", "/runs/{id}/export", run_exports.export),
    ("GET", "/runs/{id}/file", run_file.saved),
    ("GET", "/runs/{id}/file/values", run_file.saved_with_values),
    ("GET", "/runs/{id}/terminate", termination.ask),
    ("POST", "/runs/{id}/terminate", termination.terminate),
    ("GET", "/runs/{id}/spans/{span}", run_page.span),
    ("GET", "/runs/{id}/spans/{span}/part", run_page.part),
    ("GET", "/runs/{id}/spans/{span}/values", run_page.values),
    ("GET", "/runs/{id}/spans/{span}/text", run_exports.as_text),
    ("GET", "/runs/{id}/spans/{span}/whole", run_exports.whole),
    ("GET", "/runs/{id}/spans/{span}/values/whole", run_exports.whole_opened),
    ("GET", "/runs/{id}/spans/{span}/read", reading.read),
    ("GET", "/runs/{id}/spans/{span}/values/read", reading.read_opened),
    ("GET", "/help", help_page.show_help),
    ("GET", "/agents", agents.agents),
    ("GET", "/agents/{id}", agent.agent),
    ("GET", "/agents/{id}/versions.json", versions.both),
    ("GET", datamap.LINE.path, datamap.show),
    ("POST", datamap.LINE.path, datamap.LINE.choose),
    ("GET", f"{datamap.LINE.path}.csv", datamap.csv),
    ("GET", f"{datamap.LINE.path}.svg", datamap.svg),
    ("GET", refused.LINE.path, refused.show),
    ("POST", refused.LINE.path, refused.LINE.choose),
    ("GET", f"{refused.LINE.path}.csv", refused.csv),
    ("GET", register.LINE.path, register.show),
    ("POST", register.LINE.path, register.LINE.choose),
    ("GET", f"{register.LINE.path}.csv", register.csv),
    ("GET", account.PATH, account.show),
    ("GET", f"{account.PATH}/tokens/{{id}}/revoke", account.ask),
    ("POST", f"{account.PATH}/tokens/{{id}}/revoke", account.revoke),
    ("POST", f"{account.PATH}/sessions/{{id}}/end", account.end),
    ("POST", f"{account.PATH}/sessions/end-others", account.end_others),
)
"""Pages, forms and data: anything that needs a session."""
