"""The API: table of endpoints, dispatch, bulk, OpenAPI, and the ASGI app."""

from __future__ import annotations

from remit.collector.routes.answers import answer as answer
from remit.collector.routes.answers import envelope as envelope
from remit.collector.routes.answers import exception_handlers as exception_handlers
from remit.collector.routes.asgi import CALLER as CALLER
from remit.collector.routes.asgi import CODE as CODE
from remit.collector.routes.asgi import ROUTE as ROUTE
from remit.collector.routes.asgi import ApiApp as ApiApp
from remit.collector.routes.asgi import Executor as Executor
from remit.collector.routes.asgi import InlineExecutor as InlineExecutor
from remit.collector.routes.asgi import ThreadExecutor as ThreadExecutor
from remit.collector.routes.dispatch import RETRY_AFTER_S as RETRY_AFTER_S
from remit.collector.routes.dispatch import Request as Request
from remit.collector.routes.dispatch import Response as Response
from remit.collector.routes.dispatch import Service as Service
from remit.collector.routes.dispatch import secret_in as secret_in
from remit.collector.routes.endpoints import PREFIX as PREFIX
