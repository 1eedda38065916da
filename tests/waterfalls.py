"""Runs of many steps, recorded through the API: what the waterfall of the page shows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from tests.collecting import Api, details

BEGAN: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
_BATCH: Final = 1000
_RISK: Final = {
    "action_profile": {"read_data": "allowed"},
    "params_data_categories": {"classification": "internal"},
    "result_data_categories": {"classification": "internal"},
}
_CLOSED: Final = {**_RISK, "params_data_categories": {"classification": "confidential"}}
_HEALTH: Final = {"health_and_medical": "included", "classification": "internal"}
_RISKS: Final = {
    "shop.desk:charge": _CLOSED,
    "shop.desk:diagnose": {**_RISK, "result_data_categories": _HEALTH},
}
TYPES: Final = (
    "remit:run",
    "shop.desk:night_review",
    "shop.desk:open_questions",
    "shop.desk:search_help",
    "shop.desk:chat",
    "shop.desk:look_up",
    "shop.desk:refund",
    "shop.desk:check_fraud",
    "shop.desk:pay_back",
    "shop.desk:charge",
    "shop.desk:write",
    "shop.desk:notify",
    "shop.desk:diagnose",
)
_SUMMED: Final = ("shop.desk:open_questions", "shop.desk:diagnose")
SCHEMA: Final = {
    "external_identifier": "1.5.0",
    "span_type_schemas": [
        {
            "name": name,
            "params_schema": {"x-remit-kind": "llm"} if name.endswith(":chat") else {},
            "data_risk": _RISKS.get(name, _RISK),
            "template": "{{ found }} found" if name in _SUMMED else None,
        }
        for name in TYPES
    ],
}


@dataclass
class Step:
    """A step to record; times are milliseconds since the run began.

    Attributes:
        name: Name of its type, without the module.
        parent: The place of its parent among the steps; None at the top.
        start_ms: When it began; None if it has not.
        took_ms: How long it took; None if it has not ended.
        status: Its status.
        payload: What it received.
        result: Its result.
    """

    name: str
    parent: int | None = None
    start_ms: float | None = 0
    took_ms: float | None = 1
    status: str = "complete"
    payload: dict[str, Any] = field(default_factory=dict[str, Any])
    result: dict[str, Any] | None = None


def begun(api: Api, **more: object) -> str:
    """Return the id of a run that has begun."""
    body = api.registration(agent_schema_version=SCHEMA, **more)
    run = details(api.post("/agent_instance/register", body))["id"]
    details(api.post(f"/agent_instance/{run}/start", {"timestamp": _time(0)}))
    return str(run)


def ended(api: Api, run: str, at_ms: float, status: str = "complete") -> None:
    """End a run."""
    body = {"status": status, "timestamp": _time(at_ms)}
    details(api.post(f"/agent_instance/{run}/finish", body))


def record(api: Api, run: str, steps: Iterable[Step], *, first: int = 0) -> None:
    """Record steps of a run; the places of parents begin with *first*."""
    numbered = enumerate(steps, first)
    while left := [_item(run, number, step) for number, step in islice(numbered, _BATCH)]:
        while left:
            # A request stops before it has taken too long.
            outputs = list(api.bulk(*left).values())
            done = [output for output in outputs if output["status"] == "success"]
            assert done, outputs
            assert all(output["code"] == "unavailable" for output in outputs[len(done) :]), outputs
            left = left[len(done) :]


def id_of(run: str, number: int) -> str:
    """Return the id of a step."""
    return f"{run[:16]}{number + 1:016d}"


def _item(run: str, number: int, step: Step) -> dict[str, Any]:
    started = {} if step.start_ms is None else {"started_at": _time(step.start_ms)}
    if step.start_ms is not None and step.took_ms is not None:
        started["finished_at"] = _time(step.start_ms + step.took_ms)
    name = step.name if ":" in step.name else f"shop.desk:{step.name}"
    return {
        "_type": "agent_spans/create",
        "details": {
            "agent_instance_id": run,
            "id": id_of(run, number),
            "parent_span_id": None if step.parent is None else id_of(run, step.parent),
            "schema_name": name,
            "status": step.status,
            "payload": step.payload,
            "result_payload": step.result,
            **started,
        },
    }


def _time(at_ms: float) -> str:
    return (BEGAN + timedelta(milliseconds=at_ms)).isoformat()


def night() -> list[Step]:
    """Return a run of about 2,000 steps that ended well, five of which failed."""
    dice = random.Random(3)
    steps = [
        Step("remit:run", took_ms=201_000),
        Step("night_review", 0, took_ms=200_900),
        Step("open_questions", 1, 120, 310, result={"found": 412}),
    ]
    at = 1400.0
    redacted = {"token": {"$redacted": {"rule": "type:Sensitive"}}}
    for number in range(412):
        at += 150 + dice.random() * 60 + (36_000 if number == 190 else 0)
        failed = number in {130, 300}
        steps.append(
            Step(
                "search_help",
                1,
                at,
                12 + dice.random() * 8,
                "failed" if failed else "complete",
                {"query": f"question {number}"},
                _error("LookupError", "no page") if failed else {"pages": 3},
            )
        )
        usage = {"prompt_tokens": 1500 + number, "completion_tokens": 300}
        steps.append(
            Step(
                "chat",
                1,
                at + 30,
                100 + dice.random() * 60,
                payload={"operation": "chat", "model_name": "gpt-5-mini"},
                result={"outputs": {"messages": []}, "token_usage": usage},
            )
        )
        if number % 2:
            steps.append(Step("look_up", 1, at + 5, 5, payload=redacted))
    at += 2_000
    for number in range(20):
        top = len(steps)
        failing = {2: (0, 1), 5: (0,)}.get(number, ())
        steps.append(Step("refund", 1, at, 900 + 2_000 * len(failing)))
        steps.append(Step("check_fraud", top, at + 4, 1.2))
        steps.append(Step("pay_back", top, at + 9, 800 + 2_000 * len(failing)))
        for attempt in range(1 + len(failing)):
            failed = attempt in failing
            steps.append(
                Step(
                    "charge",
                    top + 2,
                    at + 20 + attempt * 2000,
                    1_900 if failed else 400,
                    "failed" if failed else "complete",
                    {"order": 1187, **redacted},
                    _error("shop.tools.PaymentError", "answered 503") if failed else {},
                )
            )
        at += 1_100 + 2_000 * len(failing)
    at += 500
    steps += [Step("write", 1, at + number * 71, 60) for number in range(60)]
    steps.append(Step("notify", 1, at + 4_400, 380))
    whole = max((step.start_ms or 0) + (step.took_ms or 0) for step in steps[2:])
    steps[0].took_ms, steps[1].took_ms = whole + 200, whole + 100
    return steps


def deep(count: int, *, seed: int = 5) -> Iterator[Step]:
    """Yield a run of many steps up to twelve levels deep, some of which failed."""
    dice = random.Random(seed)
    names = [name.partition(":")[2] for name in TYPES[3:]]
    yield Step("remit:run", took_ms=count * 20.0)
    path: list[tuple[int, float]] = [(0, count * 20.0)]
    for number in range(1, count):
        at = number * 20.0
        while len(path) > 1 and (dice.random() < 0.45 or len(path) > 11 or path[-1][1] < at):
            path.pop()
        took = 2 + dice.random() * 60
        failed = dice.random() < 0.004
        yield Step(
            dice.choice(names),
            path[-1][0],
            at,
            took,
            "failed" if failed else "complete",
            {"request": {"topic": "order", "number": number}},
            _error("ValueError", "no") if failed else {"ok": True},
        )
        path.append((number, at + took + 400))


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "at": "shop/tools.py:41"}}


def shuffled(steps: Sequence[Step], seed: int) -> list[Step]:
    """Return steps whose parents are arbitrary, also unknown ones and circles."""
    dice = random.Random(seed)
    made = list(steps)
    for step in made:
        step.parent = dice.choice([None, *range(len(made) + 2)])
    return made
