"""The API: table of endpoints, dispatch, bulk, OpenAPI, and the ASGI app."""

from __future__ import annotations

from remit.collector.api.asgi import CALLER as CALLER
from remit.collector.api.asgi import CODE as CODE
from remit.collector.api.asgi import LOGGED as LOGGED
from remit.collector.api.asgi import ROUTE as ROUTE
from remit.collector.api.asgi import SESSION as SESSION
from remit.collector.api.asgi import ApiApp as ApiApp
from remit.collector.api.asgi import Executor as Executor
from remit.collector.api.asgi import InlineExecutor as InlineExecutor
from remit.collector.api.asgi import ThreadExecutor as ThreadExecutor
from remit.collector.api.dispatch import HEADERS as HEADERS
from remit.collector.api.dispatch import RETRY_AFTER_S as RETRY_AFTER_S
from remit.collector.api.dispatch import UNAVAILABLE as UNAVAILABLE
from remit.collector.api.dispatch import Request as Request
from remit.collector.api.dispatch import Response as Response
from remit.collector.api.dispatch import Service as Service
from remit.collector.api.dispatch import refused as refused
from remit.collector.api.dispatch import secret_in as secret_in
from remit.collector.api.endpoints import OWN_PREFIX as OWN_PREFIX
from remit.collector.api.endpoints import PREFIX as PREFIX
from remit.collector.api.endpoints import PREFIXES as PREFIXES
