"""The table of the pages: method, path, handler."""

from __future__ import annotations

from functools import partial
from typing import Final

from remit.collector.page import help_page
from remit.collector.page.account import account_page
from remit.collector.page.agents import agent_list, agent_page, holds, versions
from remit.collector.page.asks import request, waiting
from remit.collector.page.conversations import conversation_page
from remit.collector.page.data import datamap, denied, register
from remit.collector.page.run import exports, html_file, outline, reading, run_page
from remit.collector.page.runs import compare, run_list
from remit.collector.page.visits import Handler, Redirect

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", lambda _: Redirect("/runs")),
    ("GET", "/runs", run_list.runs),
    ("POST", "/runs", run_list.choose),
    ("GET", "/runs/new", run_list.new_runs),
    ("GET", "/runs.csv", run_list.csv),
    ("GET", "/runs/compare", compare.compare),  # before the run with this id
    ("GET", "/runs/{id}/outline", outline.outline),
    ("GET", "/runs/{id}/find", outline.find),
    ("GET", "/live", outline.live),
    ("GET", "/runs/{id}", run_page.run),
    ("GET", "/runs/{id}/print", run_page.printed),
    ("GET", "/runs/{id}/export", exports.export),
    ("GET", "/runs/{id}/file", partial(html_file.saved, values=False)),
    ("GET", "/runs/{id}/file/values", partial(html_file.saved, values=True)),
    ("GET", "/runs/{id}/terminate", run_page.ask_to_terminate),
    ("POST", "/runs/{id}/terminate", run_page.terminate),
    ("GET", "/runs/{id}/spans/{span}", run_page.span),
    ("GET", "/runs/{id}/spans/{span}/part", run_page.part),
    ("GET", "/runs/{id}/spans/{span}/values", run_page.values),
    ("GET", "/runs/{id}/spans/{span}/text", exports.as_text),
    ("GET", "/runs/{id}/spans/{span}/whole", partial(exports.whole, opened=False)),
    ("GET", "/runs/{id}/spans/{span}/values/whole", partial(exports.whole, opened=True)),
    ("GET", "/runs/{id}/spans/{span}/read", partial(reading.read, opened=False)),
    ("GET", "/runs/{id}/spans/{span}/values/read", partial(reading.read, opened=True)),
    ("GET", conversation_page.PATH, conversation_page.show),
    ("GET", request.PATH, waiting.show),
    ("GET", f"{request.PATH}/{{id}}", request.show),
    ("POST", f"{request.PATH}/{{id}}", request.answer),
    ("GET", "/help", help_page.show_help),
    ("GET", holds.PATH, holds.show),
    ("POST", holds.PATH, holds.make),
    ("POST", f"{holds.PATH}/{{id}}/lift", holds.lift),
    ("GET", "/agents", agent_list.agents),
    ("GET", "/agents/{id}", agent_page.agent),
    ("GET", "/agents/{id}/versions.json", versions.both),
    ("GET", datamap.FILTERS.path, datamap.show),
    ("POST", datamap.FILTERS.path, datamap.FILTERS.choose),
    ("GET", f"{datamap.FILTERS.path}.csv", datamap.csv),
    ("GET", f"{datamap.FILTERS.path}.svg", datamap.svg),
    ("GET", denied.FILTERS.path, denied.show),
    ("POST", denied.FILTERS.path, denied.FILTERS.choose),
    ("GET", f"{denied.FILTERS.path}.csv", denied.csv),
    ("GET", register.FILTERS.path, register.show),
    ("POST", register.FILTERS.path, register.FILTERS.choose),
    ("GET", f"{register.FILTERS.path}.csv", register.csv),
    ("GET", account_page.PATH, account_page.show),
    ("GET", f"{account_page.PATH}/tokens/{{id}}/revoke", account_page.ask),
    ("POST", f"{account_page.PATH}/tokens/{{id}}/revoke", account_page.revoke),
    ("POST", f"{account_page.PATH}/sessions/{{id}}/end", account_page.end),
    ("POST", f"{account_page.PATH}/sessions/end-others", account_page.end_others),
)
"""Pages, forms and data: anything that needs a session."""
