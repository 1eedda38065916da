"""`remit db upgrade`: copies a database of an older schema version into this one."""

from __future__ import annotations

from remit.collector.upgrade.steps import Upgraded as Upgraded
from remit.collector.upgrade.steps import old_data as old_data
from remit.collector.upgrade.steps import upgrade as upgrade
