"""Counts the steps of a run towards the limits of the agents around them.

A step reserves its place in all limits that it counts towards, or in none: one lock guards the
check and the count. A step whose body does not run gives its place back.

A count belongs to one run and one agent. It is kept in the `RunFeed`, which the contexts of nested
runs refer to even after the run has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from remit._base.locks import SignalSafeLock
from remit._base.system import at_fork
from remit._policy.maxima import Counted
from remit._record.items import RunFeed
from remit._record.runs import CountedIn, Reservation, SpanContext


class _Lock:
    """The lock of all counts, which a forked child replaces."""

    lock = SignalSafeLock()


def reserve(parent: SpanContext, counted: Sequence[Counted], *, force: bool) -> Reservation:
    """Count a step under *parent* towards all of *counted*, or towards none if one is reached.

    With *force*, the step runs in any case: it counts even beyond the limits.

    The function of a framework's tool may be a decorated step below the span of the tool. It is
    the same step: it takes over what the span of the tool counts for.
    """
    reservation = Reservation()
    above = parent.run.reported.get(parent.key)
    of_tool = None if above is None else above.reservation
    with _Lock.lock:
        inherited = [] if of_tool is None else of_tool.places
        exceeded: list[Counted] = []
        added: list[CountedIn] = []
        taken_over: list[CountedIn] = []
        for limit in counted:
            key = limit[:2]
            for feed in _feeds(parent, limit.agent):
                place = (feed, key)
                if inherited and place in inherited:
                    taken_over.append(place)
                    continue
                if _count(feed, key) >= limit.number:
                    exceeded.append(limit)
                    if not force:
                        continue
                added.append(place)
        reservation.exceeded = tuple(dict.fromkeys(exceeded)) if exceeded else ()
        if exceeded and not force:
            return reservation
        for place in taken_over:
            inherited.remove(place)
        for feed, key in added:
            _add(feed, key, 1)
        reservation.places = added + taken_over if taken_over else added
    return reservation


def reached(parent: SpanContext, counted: Iterable[Counted]) -> tuple[Counted, ...]:
    """Return those of *counted* that a further step under *parent* would be beyond."""
    with _Lock.lock:
        return tuple(
            limit
            for limit in counted
            if any(_count(feed, limit[:2]) >= limit.number for feed in _feeds(parent, limit.agent))
        )


def give_back(reservation: Reservation | None) -> None:
    """Take back the count of a step whose body does not run; later calls have no effect."""
    if reservation is None:
        return
    with _Lock.lock:
        places, reservation.places = reservation.places, []
        for feed, key in places:
            _add(feed, key, -1)


def _count(feed: RunFeed, key: tuple[str, str]) -> int:
    return 0 if feed.counts is None else feed.counts.get(key, 0)


def _add(feed: RunFeed, key: tuple[str, str], number: int) -> None:
    if feed.counts is None:
        feed.counts = {}
    feed.counts[key] = feed.counts.get(key, 0) + number


def _feeds(parent: SpanContext, agent: str) -> Sequence[RunFeed]:
    """Return the runs in which a step under *parent* counts for *agent*.

    These are the outermost run in which the agent's limits apply, and the agent's own runs.
    """
    run = parent.run
    if not parent.outer_runs:
        return (run.feed,)
    scopes = [
        (run.feed, parent.ceilings),
        *((outer.feed, outer.ceilings) for outer in parent.outer_runs),
    ]
    applying = [
        feed for feed, ceilings in scopes if any(ceiling.agent == agent for ceiling in ceilings)
    ]
    own = [feed for feed in applying[:-1] if feed.agent.external_identifier == agent]
    return [*own, *applying[-1:]]


def _renew_lock() -> None:
    """Replace the lock in the child of a fork: a thread of the parent may hold it."""
    _Lock.lock = SignalSafeLock()


at_fork(after_in_child=_renew_lock)
