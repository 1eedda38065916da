"""Which schema versions can be upgraded."""

from __future__ import annotations

import shlex

from remit.collector.store.version import OLDEST, UPGRADING, VERSION, refuse_other
from remit.errors import SettingsError


def check_upgradable(version: int, database: str) -> None:
    """Check that a database has a version from which an upgrade copies, or the current one.

    Raises:
        SettingsError: It has not.
    """
    if VERSION < version <= UPGRADING:
        refuse_other(version, database)
    if version < OLDEST:
        raise SettingsError(
            f"the database {database} has schema version {version}, and this remit upgrades from "
            f"{OLDEST} on. Upgrade it with a remit that knows version 6 first, as in commit "
            f"0b900798: remit db upgrade --db {shlex.quote(database)}"
        )
