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
    home,
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
from remit.collector.page.visits import Handler

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", home.home),
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
    ("GET", "/runs/{id}/spans/{span}/read", reading.read),
    ("GET", "/help", help_page.show_help),
    ("GET", "/agents", agents.agents),
    ("GET", "/agents/{id}", agent.agent),
    ("GET", "/agents/{id}/versions.json", versions.both),
    ("GET", datamap.PATH, datamap.show),
    ("POST", datamap.PATH, datamap.choose),
    ("GET", f"{datamap.PATH}.csv", datamap.csv),
    ("GET", f"{datamap.PATH}.svg", datamap.svg),
    ("GET", refused.PATH, refused.show),
    ("POST", refused.PATH, refused.choose),
    ("GET", f"{refused.PATH}.csv", refused.csv),
    ("GET", register.PATH, register.show),
    ("POST", register.PATH, register.choose),
    ("GET", f"{register.PATH}.csv", register.csv),
    ("GET", account.PATH, account.show),
    ("GET", f"{account.PATH}/tokens/{{id}}/revoke", account.ask),
    ("POST", f"{account.PATH}/tokens/{{id}}/revoke", account.revoke),
    ("POST", f"{account.PATH}/sessions/{{id}}/end", account.end),
    ("POST", f"{account.PATH}/sessions/end-others", account.end_others),
)
"""Pages, forms and data: anything that needs a session."""
