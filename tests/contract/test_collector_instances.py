"""Instances: the state machine with its unusual orders, and times to the microsecond."""

from __future__ import annotations

from tests.collecting import Api, details
from tests.stores import on_each_store
from tests.subtests import each

AT = "2026-01-02T03:04:05.678901Z"


@on_each_store
@each(
    ("sent", "read"),
    [
        ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.000000Z"),
        ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678000Z"),
        ("2026-01-02T03:04:05.678901", AT),
        ("2026-01-02T08:34:05.678901+05:30", AT),
        ("2026-01-02", "2026-01-02T00:00:00.000000Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
    ],
    ids=["whole seconds", "milliseconds", "naive is UTC", "offset", "date", "before 1970"],
)
def test_an_instant_survives_exactly(api: Api, sent: str, read: str) -> None:
    """A client may write it in any form; it is read back as UTC with microseconds."""
    made = api.instance("pending")

    started = details(api.post(f"/agent_instance/{made['id']}/start", {"timestamp": sent}))

    assert started["started_at"] == read
