"""HTTP: which path and method is which operation, and how a request is read."""

from __future__ import annotations

from remit.collector.routes.answers import exception_handlers as exception_handlers
from remit.collector.routes.requests import Authenticate as Authenticate
from remit.collector.routes.requests import bearer as bearer
from remit.collector.routes.table import api_routes as api_routes
