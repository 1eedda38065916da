"""What a collector on a network needs: limits, access log, metrics, health checks."""

from __future__ import annotations

from remit.collector.exposure.access_log import AccessLog as AccessLog
from remit.collector.exposure.health import monitoring_routes as monitoring_routes
from remit.collector.exposure.middleware import Gate as Gate
from remit.collector.exposure.rates import Rates as Rates
