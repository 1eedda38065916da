"""A day of several agents, in which more goes wrong towards its end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from remit.collector import Store
from remit.errors import Violation
from tests.run_history import REDACTED, VIOLATION, History, error
from tests.violating import denial

AGENTS: Final = ("Support desk", "Support desk", "Invoice clerk", "Mail sorter", "Night review")
"""The first one pays, and begins two runs of five."""
_DAY_S: Final = 20 * 3600
_OUTAGE_S: Final = 3 * 3600
_OUTAGE_OF_5: Final = 2
"""Runs of five that fail during the outage at the end of the day."""


def busy_day(store: Store, runs: int = 140, agents: Sequence[str] = AGENTS) -> None:
    """Record a day of several agents; the last run goes on."""
    dice = random.Random(4)
    history = History(store)
    payment = error("shop.errors.PaymentError", "the provider answered 502 three times")
    locked = error("sqlite3.OperationalError", "database is locked", "shop/store.py:88 in save")
    answers = ("solved", "63.90 euros paid back", "sent to a person", "order 1240 is on its way")
    for ago in sorted((dice.random() ** 1.5 * _DAY_S for _ in range(runs)), reverse=True):
        began, agent = timedelta(seconds=ago + 60), dice.choice(agents)
        took = 0.4 + dice.random() * 9
        pays = agent == agents[0]
        (kind,) = dice.choices(("well", "failed", "refused", "violation"), (86, 4, 6, 4))
        run = partial(history.run, began, agent=agent, took=took)
        if pays and ago < _OUTAGE_S and dice.randrange(5) < _OUTAGE_OF_5:
            charge = {"payload": REDACTED, "result": payment}
            run(status="failed", steps={"chat": {}, "charge": charge})
        elif kind == "failed":
            run(status="failed", steps={"save": locked})
        elif kind == "refused" and pays:
            refused = denial("shop:pay_back", Violation("it may not move money"))
            run(steps={"chat": {}, "pay_back": refused})
        elif kind == "violation":
            run(steps={"chat": {"payload": VIOLATION}})
        else:
            run(steps={"chat": {}}, answer=dice.choice(answers))
    reason, busiest = "it answers the wrong customer", agents[0]
    history.run(timedelta(seconds=40), agent=busiest, status="terminated", answer=reason)
    history.run(timedelta(seconds=20), agent=busiest, status="active", steps={"chat": None})
