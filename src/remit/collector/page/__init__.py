"""The page of `remit serve`: what agents did, in a browser."""

from remit.collector.page.routes import PageOptions, page_routes
from remit.collector.page.sessions import create_code

__all__ = ["PageOptions", "create_code", "page_routes"]
