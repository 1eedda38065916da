"""The page of `remit serve`: what agents did, in a browser."""

from remit.collector.page.account.sessions import create_code
from remit.collector.page.routes import PageOptions, page_routes, refusal_page, wants_page
from remit.collector.page.run.html_file import file_routes
from remit.collector.page.run.html_file import html_of_run as html_of_run

__all__ = [
    "PageOptions",
    "create_code",
    "file_routes",
    "html_of_run",
    "page_routes",
    "refusal_page",
    "wants_page",
]
