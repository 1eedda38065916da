"""What stands between a collector and a network: rates, a log, counters, signs of life."""

from __future__ import annotations

from remit.collector.exposure.access_log import AccessLog as AccessLog
from remit.collector.exposure.gate import Gate as Gate
from remit.collector.exposure.operating import operating_routes as operating_routes
from remit.collector.exposure.rates import Rates as Rates
