"""HTTP: which path and method is which operation, and how a request is read."""

from __future__ import annotations

from remit.collector.routes.answers import CODE as CODE
from remit.collector.routes.answers import RETRY_AFTER_S as RETRY_AFTER_S
from remit.collector.routes.answers import answer as answer
from remit.collector.routes.answers import envelope as envelope
from remit.collector.routes.answers import exception_handlers as exception_handlers
from remit.collector.routes.endpoints import PREFIX as PREFIX
from remit.collector.routes.executors import Executor as Executor
from remit.collector.routes.executors import InlineExecutor as InlineExecutor
from remit.collector.routes.executors import ThreadExecutor as ThreadExecutor
from remit.collector.routes.requests import CALLER as CALLER
from remit.collector.routes.requests import Authenticate as Authenticate
from remit.collector.routes.requests import bearer as bearer
from remit.collector.routes.requests import secret_in as secret_in
from remit.collector.routes.table import Asgi as Asgi
from remit.collector.routes.table import api_routes as api_routes
