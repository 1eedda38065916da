"""The page of `remit serve`: what agents did, in a browser."""

from remit.collector.page.file_routes import file_routes
from remit.collector.page.routes import PageOptions, page_routes, refusal_page, wants_page
from remit.collector.page.run_file import html_of_run as html_of_run
from remit.collector.page.sessions import create_code

__all__ = [
    "PageOptions",
    "create_code",
    "file_routes",
    "html_of_run",
    "page_routes",
    "refusal_page",
    "wants_page",
]
