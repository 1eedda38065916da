"""Runs of several agents in the past, for tests of lists of runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from remit.collector import Store
from remit.errors import Violation
from remit.testing import FakeClock
from tests.collecting import Api, Json, World, details
from tests.violating import exceeding

REDACTED: Final[dict[str, Json]] = {"card": {"$remit": "redacted", "rule": "type:SecretStr"}}
VIOLATION: Final = exceeding(Violation("it may send data"))
DECLARED: Final[dict[str, Json]] = {
    "span_type_schemas": [
        {"name": "remit:run", "params_schema": {}, "template": "{{ answer }}"},
        {"name": "shop:charge", "params_schema": {}},
        {"name": "shop:pay_back", "params_schema": {}},
        {"name": "shop:chat", "params_schema": {}},
        {
            "name": "shop:secret",
            "params_schema": {},
            "data_risk": {
                "action_profile": {},
                "params_data_categories": {},
                "result_data_categories": {"classification": "confidential"},
            },
        },
    ]
}


PAST: Final = timedelta(days=60)
"""How long ago a run may be."""


def error(kind: str, message: str, place: str = "shop/tools.py:41 in charge") -> dict[str, Json]:
    """Return the result of a step that an exception ended."""
    return {"error": {"type": kind, "message": message, "at": place}}


@dataclass
class History:
    """Makes runs in the past, in the order of their times: ids never go back.

    Attributes:
        store: The database.
        now: When the past ends.
        agents: Ids of the agents by name.
    """

    store: Store
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    agents: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        """Open a collector whose clock can be set back."""
        self._clock = FakeClock(self.now - PAST)
        self._api = World(self.store, clock=self._clock).account()

    def run(
        self,
        ago: timedelta,
        *,
        agent: str = "Support desk",
        status: str = "complete",
        steps: Mapping[str, Json] | None = None,
        answer: str | None = None,
        took: float = 1.5,
        root: Mapping[str, Json] | None = None,
        **more: Json,
    ) -> str:
        """Return the id of a run.

        Args:
            ago: How long before now it began.
            agent: Name of its agent.
            status: Its status.
            steps: The results of its steps by name, or their `payload` and `result`; a result
                with an `error` means that the step failed.
            answer: The summary of the run.
            took: How long it took, in seconds.
            root: The payload of its root span.
            more: Members of the registration.
        """
        began = self.now - ago
        api = self._of(agent)
        self._clock.jump(began.timestamp() - self._clock.wall_ns() / 1e9)
        path = f"/agent_instance/{(run := self._opened(api, **more))}"
        details(api.post(f"{path}/start", {"timestamp": began.isoformat()}))
        ended = (began + timedelta(seconds=took)).isoformat()
        named = {"started_at": began.isoformat(), "status": "active"}
        top = api.span(run, schema_name="remit:run", **{**named, "payload": dict(root or {})})
        failed: Json = None
        for name, described in (steps or {}).items():
            has_payload = isinstance(described, dict) and "payload" in described
            payload = described["payload"] if has_payload else {}
            result = described.get("result") if has_payload else described
            body = {**named, "parent_span_id": top["id"], "payload": payload}
            span = api.span(run, schema_name=f"shop:{name}", **body)
            is_failed = isinstance(result, dict) and "error" in result
            failed = result if is_failed else failed
            if status != "active":
                self._end(api, span["id"], "failed" if is_failed else "complete", ended, result)
        if status in {"complete", "failed", "cancelled"}:
            outcome = failed if status == "failed" else {"answer": answer} if answer else None
            self._end(api, top["id"], status, ended, outcome)
            details(api.post(f"{path}/finish", {"status": status, "timestamp": ended}))
        elif status == "terminated":
            self._clock.jump(took)
            details(api.post(f"{path}/terminate", {"reason": answer or "enough"}))
        return run

    def _opened(self, api: Api, **more: Json) -> str:
        body = {"agent_schema_version": DECLARED, "purpose": "live", **more}
        return str(details(api.post("/agent_instance/register", api.registration(**body)))["id"])

    @staticmethod
    def _end(api: Api, span: str, status: str, ended: str, result: Json) -> None:
        body: dict[str, Any] = {"status": status, "timestamp": ended, "result_payload": result}
        details(api.post(f"/agent_spans/{span}/finish", body))

    def _of(self, agent: str) -> Api:
        """Return the collector as an agent, which is created at its first run."""
        if agent not in self.agents:
            body = {"details": {"name": agent, "external_identifier": agent.lower()}}
            self.agents[agent] = details(self._api.post("/agent", body))["id"]
        return Api(self._api.http, self.agents[agent])


def minutes(count: float) -> timedelta:
    """Return a time in minutes."""
    return timedelta(minutes=count)
