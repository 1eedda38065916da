"""The HTTP server: app, middleware with limits and access log, health checks, processes."""

from __future__ import annotations

from remit.collector.server.access_log import AccessLog as AccessLog
from remit.collector.server.health import monitoring_routes as monitoring_routes
from remit.collector.server.maintenance import Maintenance as Maintenance
from remit.collector.server.middleware import Gate as Gate
