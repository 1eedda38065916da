"""What a database needs before anything can be recorded: an account with an environment."""

from __future__ import annotations

from typing import Final

from remit._base.clock import NS_PER_US, Clock
from remit._base.ids import new_partition, partition_of
from remit.collector.ingest.context import IdSource
from remit.collector.store import AccountRow, EnvironmentRow, Store, Writing, write

ACCOUNT: Final = "default"
ENVIRONMENT: Final = "default"


def prepare(store: Store, clock: Clock) -> AccountRow:
    """Return the account of a database, made with its first environment if it has none."""
    with store.reading() as tx:
        accounts = tx.accounts()
    if accounts:
        return accounts[0]
    now_us = clock.wall_ns() // NS_PER_US
    ids = IdSource(clock)

    def work(tx: Writing) -> AccountRow:
        # Read again: another process may have been faster.
        accounts = tx.accounts()
        if accounts:
            return accounts[0]
        account = AccountRow(ids.new(new_partition()), ACCOUNT, now_us, now_us)
        environment_id = ids.new(partition_of(account.id) or 0)
        tx.add(account)
        tx.add(EnvironmentRow(environment_id, account.id, ENVIRONMENT, now_us, now_us))
        return account

    return write(store, work)
