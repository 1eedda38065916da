"""Instances: the state machine with its unusual orders, and times to the microsecond."""

from __future__ import annotations

from typing import Any, Final

from remit.testing import FakeClock
from tests.collecting import FINISHED, NOBODY, Api, details, refusal
from tests.stores import on_each_store
from tests.subtests import each

AT = "2026-01-02T03:04:05.678901Z"


@on_each_store
def test_start_and_finish_say_when_and_how(api: Api) -> None:
    """The instants survive exactly; the answer of each step shows the instance after it."""
    made = api.instance("pending")
    path = f"/agent_instance/{made['id']}"

    started = details(api.post(f"{path}/start", {"timestamp": "2026-01-02T03:04:05.678901+00:00"}))
    finished = details(
        api.post(f"{path}/finish", {"status": "failed", "timestamp": "2026-01-02T04:04:06+01:00"})
    )

    assert (started["status"], started["started_at"]) == ("active", AT)
    assert (finished["status"], finished["finished_at"]) == (
        "failed",
        "2026-01-02T03:04:06.000000Z",
    )
    assert api.shown(made["id"])["started_at"] == AT


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


@each("body", [None, {}, {"timestamp": None}], ids=["none", "empty", "null"])
def test_no_timestamp_means_now(api: Api, clock: FakeClock, body: dict[str, Any] | None) -> None:
    """The TypeScript SDK sends none, the Python one null."""
    made = api.instance("pending")
    clock.advance(60)

    started = details(api.post(f"/agent_instance/{made['id']}/start", body))

    assert started["started_at"] == started["updated_at"] > made["inserted_at"]


@each(
    "text",
    [
        "yesterday",
        "",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "2026-01-02T03:04:05\x00",
    ],
    ids=["words", "empty", "month 13", "before year 1", "NUL"],
)
def test_a_timestamp_that_is_none_is_refused_and_changes_nothing(api: Api, text: str) -> None:
    """The field is named; the instance stays as it was."""
    made = api.instance("pending")

    answer = refusal(api.post(f"/agent_instance/{made['id']}/start", {"timestamp": text}), 422)

    assert list(answer["errors"]) == ["timestamp"]
    assert api.shown(made["id"])["status"] == "pending"


def test_finish_without_a_status_means_complete(api: Api) -> None:
    """The TypeScript SDK sends neither status nor time."""
    made = api.instance("active")

    assert details(api.post(f"/agent_instance/{made['id']}/finish"))["status"] == "complete"


@on_each_store
@each("status", FINISHED)
def test_a_finish_may_overtake_the_start(api: Api, status: str) -> None:
    """It implies the start; one start may come late and tells when it really was; no more."""
    made = api.instance("pending")
    path = f"/agent_instance/{made['id']}"

    finished = details(api.post(f"{path}/finish", {"status": status, "timestamp": AT}))
    assert (finished["status"], finished["started_at"], finished["finished_at"]) == (
        status,
        AT,
        AT,
    )

    late = details(api.post(f"{path}/start", {"timestamp": "2026-01-02T03:04:04Z"}))
    assert (late["status"], late["started_at"], late["finished_at"]) == (
        status,
        "2026-01-02T03:04:04.000000Z",
        AT,
    )
    again = refusal(api.post(f"{path}/start", {}), 409)
    assert again["code"] == "invalid_action"


STEPS: Final[list[tuple[str, dict[str, str]]]] = [
    ("start", {}),
    *(("finish", {"status": status}) for status in FINISHED),
    ("terminate", {"reason": "no"}),
]


@each(
    ("status", "step", "body"),
    [
        ("active", "start", {}),
        ("pending", "terminate", {"reason": "no"}),
        *((status, *step) for status in (*FINISHED, "terminated") for step in STEPS),
    ],
)
def test_a_step_that_the_state_does_not_allow_is_a_conflict(
    api: Api, status: str, step: str, body: dict[str, str]
) -> None:
    """Terminal states are final; the code is the one that the clients swallow."""
    made = api.instance("pending" if status == "cancelled" else status)
    path = f"/agent_instance/{made['id']}"
    if status == "cancelled":
        details(api.post(f"{path}/start"))
        details(api.post(f"{path}/finish", {"status": "cancelled"}))
    before = api.shown(made["id"])

    answer = refusal(api.post(f"{path}/{step}", body), 409)

    assert answer["code"] == "invalid_action"
    assert api.shown(made["id"]) == before


@on_each_store
def test_a_termination_says_why_and_when(api: Api, clock: FakeClock) -> None:
    """A client that polls finds the status and the reason."""
    made = api.instance("active")
    clock.advance(5)

    ended = details(api.post(f"/agent_instance/{made['id']}/terminate", {"reason": "too dear"}))

    assert (ended["status"], ended["termination_reason"]) == ("terminated", "too dear")
    assert ended["finished_at"] > made["started_at"]
    assert api.shown(made["id"])["status"] == "terminated"


@each("body", [{}, {"reason": None}, {"reason": 5}, {"reason": "a\x00b"}])
def test_a_termination_needs_a_reason(api: Api, body: dict[str, Any]) -> None:
    """It is for the people who read the run later."""
    made = api.instance("active")

    answer = refusal(api.post(f"/agent_instance/{made['id']}/terminate", body), 422)

    assert list(answer["errors"]) == ["reason"]


@each("step", ["start", "finish", "terminate", "record_quality", "update"])
def test_an_unknown_instance_is_not_found(api: Api, step: str) -> None:
    """The id may be well-formed or not."""
    for instance_id in (NOBODY, "nothing"):
        body = {"reason": "r", "name": "n", "details": {}}
        answer = refusal(api.post(f"/agent_instance/{instance_id}/{step}", body), 404)
        assert answer == {
            "status": "error",
            "code": "not_found",
            "message": "agent_instance not found",
        }
