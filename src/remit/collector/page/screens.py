"""The table of the pages: method, path, handler."""

from __future__ import annotations

from typing import Final

from remit.collector.page import account, datamap, home, refused, register, runs
from remit.collector.page.visits import Handler

SCREENS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/", home.home),
    ("GET", "/runs", runs.runs),
    ("POST", "/runs", runs.choose),
    ("GET", "/runs/new", runs.new_runs),
    ("GET", "/runs.csv", runs.csv),
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
