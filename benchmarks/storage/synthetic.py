"""Synthetic runs and spans as rows of the collector's tables, the same for each seed.

The runs of 60 days: 20 agents in two environments, 300 declared types of spans, 2 to 16 spans a
run, and a few runs of 500 and of 5,000. 3 % of the spans failed or were cancelled, and 7 % have a
finding; no span has the finding LOST. The counts by hour and day are added up with the spans.

One run in five has a conversation, of four runs each, and a person on whose behalf it runs. One run
in 100 and the last runs asked a person; the last ones wait for the answer.

A row is a tuple in the order of `COLUMNS`, which has what either store needs; `load` picks.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec.structs import astuple, fields

from benchmarks.storage.population import (
    AGENTS,
    DECLARED,
    ERRORS,
    MODEL,
    PLACES,
    PURPOSES,
    RULES,
    STEPS,
    TEXTS,
    VIOLATIONS,
    Place,
    Population,
    Row,
    type_ref,
)
from remit._base.ids import KEY_BYTES, RANDOM_BITS, hash_of_on_behalf_of, hash_of_subject, pfid
from remit._policy.violations import fields_of
from remit.collector.store.rows import (
    AccountRow,
    AgentRow,
    AskRow,
    DeploymentRow,
    EnvironmentRow,
    HoldProcessRow,
    HoldRow,
    LateAnswerRow,
    RunRow,
    SchemaVersionRow,
    SealRow,
    VersionRow,
)
from remit.collector.store.statements import OF_RUN, TABLES, columns
from remit.errors import Violation

UNTIL_MS: Final = 1_795_910_400_000
"""End of the 60 days: 2026-11-29."""
DAYS: Final = 60
MS_PER_HOUR: Final = 3_600_000
US_PER_HOUR: Final = MS_PER_HOUR * 1000
BATCH_SPANS: Final = 20_000
SEQ_RUNS: Final = 100
"""Runs that change in one transaction."""
LABEL: Final = ("customer", "acme")
"""The label that one run in 50 has."""
MEDIUM_SPANS: Final = 500
LARGE_SPANS: Final = 5000
SUBJECTS: Final = 20_000
TENANTS: Final = 1000
ASKED_EVERY: Final = 100
TURNS: Final = 4
"""Runs of a conversation."""
ASK_S: Final = 120
ID_SHIFT: Final = 110
"""Bits of an id after its milliseconds: those of the partition and 80 random ones."""

ACTIVE, CANCELLED, COMPLETE, FAILED = range(4)
TERMINATED: Final = 4
"""Status of runs alone."""
STATUSES: Final = ("active", "cancelled", "complete", "failed", "terminated")
KEYS: Final = 2 | 4
"""Flags of a span that the SDK created and finished."""
BAD_PAYLOAD, UNCHECKED_PAYLOAD, BAD_RESULT, UNCHECKED_RESULT = 16, 32, 64, 128
UNDECLARED, DENIED, REDACTED, VIOLATION = 256, 512, 1024, 2048

_RUN: Final[dict[str, Any]] = {"ref": 0, "id": b""} | {
    field.name: None if field.required else field.default
    for field in fields(RunRow)
    if field.name in OF_RUN
}
"""The columns of a run, with the values that most have."""
_NUMBERED: Final = (AccountRow, EnvironmentRow, AgentRow)
_PLAIN: Final = (
    VersionRow, SchemaVersionRow, DeploymentRow, AskRow, LateAnswerRow, SealRow, HoldRow,
)  # fmt: skip
COLUMNS: Final[dict[str, str]] = {
    **{TABLES[kind]: f"ref, {columns(kind)}" for kind in _NUMBERED},
    **{TABLES[kind]: columns(kind) for kind in _PLAIN},
    "hold_processes": columns(HoldProcessRow),
    "runs": ", ".join(_RUN),
    "span_types": "ref, agent_ref, name, title, data_risk, hash",
    "span_type_words": "word, side, type_ref",
    "run_places": (
        "ref, account_ref, agent_ref, environment_ref, account_id, agent_id, agent_version_id, "
        "agent_schema_version_id, environment_id, agent_deployment_id"
    ),
    "run_keys": "external_identifier, agent_ref, environment_ref, run_id",
    "run_changes": "run_ref, seq",
    "run_labels": "key, value, run_id, run_ref",
    "run_subjects": "subject_hash, run_id, run_ref",
    "spans": (
        "ref, run_ref, id, parent_id, type_ref, status, created_status, flags, started_at, "
        "finished_at, inserted_at, updated_at, summary"
    ),
    "span_payloads": "span_ref, run_ref, id, payload, result",
    "span_findings": (
        "kind, started_at, run_ref, span_id, number, agent_ref, environment_ref, sentence, part, "
        "name, word, agent, limit_word, limit_number, hold"
    ),
    "span_hours": (
        "bucket, agent_ref, environment_ref, purpose, type_ref, unfinished, complete, failed, "
        "cancelled, denied, redacted, violation, undeclared, invalid, unchecked, duration_us, "
        "duration_max_us"
    ),
    "run_hours": (
        "bucket, agent_ref, environment_ref, purpose, active, cancelled, complete, failed, "
        "terminated, pending"
    ),
    "redacted_days": "bucket, agent_ref, environment_ref, type_ref, rule, times",
}
COLUMNS["span_days"] = COLUMNS["span_hours"]

UNFINISHED_AT, DENIED_AT, REDACTED_AT, VIOLATION_AT, UNDECLARED_AT, INVALID_AT = 0, 4, 5, 6, 7, 8
UNCHECKED_AT, DURATION_AT, LONGEST_AT = 9, 10, 11
STATUS_AT: Final = (UNFINISHED_AT, 3, 1, 2)
"""Place of each status of spans among the counts."""
FLAGS_AT: Final = {
    DENIED: DENIED_AT, REDACTED: REDACTED_AT, VIOLATION: VIOLATION_AT, UNDECLARED: UNDECLARED_AT,
    BAD_PAYLOAD: INVALID_AT, BAD_RESULT: INVALID_AT, UNCHECKED_PAYLOAD: UNCHECKED_AT,
    UNCHECKED_RESULT: UNCHECKED_AT,
}  # fmt: skip


def _parts(violation: Violation | None) -> tuple[str | int | None, ...]:
    """Return the columns of a finding from its sentence on."""
    if violation is None:
        return (None,) * 8
    *texts, number, hold, _, _ = astuple(violation)
    return (*texts, number or None, hold or None)


class Outcome(NamedTuple):
    """How a span ends: its status, and at most one finding."""

    status: int
    flag: int


def _outcomes() -> tuple[Outcome, ...]:
    """Return the outcomes of a thousand spans."""
    parts = {
        Outcome(CANCELLED, 0): 10, Outcome(FAILED, 0): 13, Outcome(FAILED, DENIED): 7,
        Outcome(COMPLETE, REDACTED): 40, Outcome(COMPLETE, VIOLATION): 8,
        Outcome(COMPLETE, BAD_PAYLOAD): 4, Outcome(COMPLETE, BAD_RESULT): 2,
        Outcome(COMPLETE, UNCHECKED_PAYLOAD): 2, Outcome(COMPLETE, UNCHECKED_RESULT): 2,
        Outcome(COMPLETE, UNDECLARED): 5,
    }  # fmt: skip
    outcomes = [outcome for outcome, count in parts.items() for _ in range(count)]
    return (*outcomes, *[Outcome(COMPLETE, 0)] * (1000 - len(outcomes)))


OUTCOMES: Final = _outcomes()
FINDINGS: Final = frozenset({DENIED, REDACTED, VIOLATION, BAD_PAYLOAD, BAD_RESULT})
"""Flags that have rows of findings; a bad result is one of the kind `BAD_PAYLOAD`."""
BODY_HASH: Final = hashlib.sha256(b"{}").hexdigest()
ASK_STATUSES: Final = ("approved",) * 8 + ("refused", "expired")
RUN_STATUSES: Final = (FAILED,) * 3 + (CANCELLED, TERMINATED) + (COMPLETE,) * 95
# Agents and types are not equally frequent: the first is chosen most often.
OFTEN_AGENTS: Final = tuple(
    agent for agent in range(AGENTS) for _ in range(max(1, 60 // (agent + 1)))
)
OFTEN_STEPS: Final = (1,) * 40 + tuple(
    step for step in range(2, DECLARED) for _ in range(max(1, 20 // step))
)


Batch: TypeAlias = dict[str, list[Row]]


@dataclass(frozen=True)
class Size:
    """How much is made.

    Attributes:
        runs: Number of runs.
        seed: Seed of all random choices.
    """

    runs: int = 1_000_000
    seed: int = 32

    def long_runs(self, rng: random.Random) -> dict[int, int]:
        """Return the numbers of the runs that are long, with their spans."""
        medium, large = max(1, self.runs // 2500), self.runs // 100_000
        numbers = rng.sample(range(self.runs), medium + large)
        return dict.fromkeys(numbers[:medium], MEDIUM_SPANS) | dict.fromkeys(
            numbers[medium:], LARGE_SPANS
        )


@dataclass(slots=True)
class Run:
    """One run while its spans are made.

    Attributes:
        clock_us: When its next span starts.
        cell: What the counts of its spans have in common: place and purpose, as a number.
        by_status: Its spans by status.
        failure: When the first failed step began, its type, its error and its message.
    """

    ref: int
    id: bytes
    place: Place
    purpose: int
    status: int
    clock_us: int
    cell: int
    by_status: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    flags: int = 0
    denied: int = 0
    handled: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    failure: tuple[int, str, str, str] | None = None


class Parent(NamedTuple):
    """What a span needs of the span around it."""

    id: bytes
    status: int


class Synthetic:
    """Makes the rows.

    Attributes:
        population: What exists before the first run.
        spans: Number of spans so far.
    """

    def __init__(self, size: Size) -> None:
        """Begin with the population."""
        self._size, self._rng = size, random.Random(size.seed)
        self._from_ms = UNTIL_MS - DAYS * 24 * MS_PER_HOUR
        self.population = Population(self._rng, self._from_ms)
        self.spans = 0
        self._partition = self.population.partition << 80
        self._texts = self.population.texts
        self._long = size.long_runs(self._rng)
        self._hours: dict[int, list[int]] = {}
        self._run_hours: dict[tuple[int, int], list[int]] = {}
        self._redacted: Counter[tuple[int, int, int, str]] = Counter()
        self._batch: Batch = defaultdict(list)
        self._numbered = 0

    def batches(self) -> Iterator[Batch]:
        """Yield the rows of all tables, those of the counts at last."""
        yield self.population.rows
        for number in range(self._size.runs):
            self._add_run(number)
            if len(self._batch["spans"]) >= BATCH_SPANS:
                yield self._batch
                self._batch = defaultdict(list)
        yield self._batch
        yield self._counts()

    def _id(self, ms: int) -> bytes:
        bits = ms << ID_SHIFT | self._partition | self._rng.getrandbits(80)
        return bits.to_bytes(20)

    def _text_id(self, ms: int) -> str:
        """Return an id as text, without a random choice, so that the other rows stay the same."""
        self._numbered += 1
        key = (ms << RANDOM_BITS | self._numbered).to_bytes(KEY_BYTES)
        return pfid(key, self.population.partition)

    def _add_run(self, number: int) -> None:
        """Make a run and its spans."""
        rng, size = self._rng, self._size
        step_ms = DAYS * 24 * MS_PER_HOUR / size.runs
        ms = self._from_ms + int((number + rng.random()) * step_ms)
        agent = OFTEN_AGENTS[int(rng.random() * len(OFTEN_AGENTS))]
        place = PLACES[2 * agent + (rng.random() < 0.2)]
        purpose = int(rng.random() < 0.15)
        status = RUN_STATUSES[int(rng.random() * len(RUN_STATUSES))]
        if status == TERMINATED and agent == AGENTS - 1:
            status = CANCELLED  # a status that one agent does not have
        if number >= size.runs - max(2, size.runs // 20_000):
            status = ACTIVE
        cell = (place.ref << 1 | purpose) << 12
        run = Run(number + 1, self._id(ms), place, purpose, status, ms * 1000 + 200, cell)
        labels = labels_of(number)
        subject = f"customer-{number // 10 % SUBJECTS}" if number % 10 == 1 else None
        about = {"subject": subject, "labels": labels, **said_of(number)}
        self._add_spans(run, self._long.get(number) or rng.randint(2, 16), about)
        self._add_rows_of_run(run, number, labels, subject)
        hours = self._run_hours.setdefault((ms // MS_PER_HOUR, cell), [0] * 6)
        hours[status] += 1

    def _add_spans(self, run: Run, count: int, about: dict[str, Any]) -> None:
        """Make the spans of a run; each is inside the root span or inside the one before it."""
        rng = self._rng
        began_us = run.clock_us
        status = CANCELLED if run.status == TERMINATED else run.status
        parent = root = Parent(self._id(began_us // 1000), status)
        self.spans += 1
        ref, at = self.spans, len(self._batch["spans"])
        for table in ("spans", "span_payloads"):
            self._batch[table].append(())
        for number in range(1, count):
            outcome = OUTCOMES[int(rng.random() * 1000)]
            if status == ACTIVE and number == count - 1:
                outcome = Outcome(ACTIVE, 0)
            step = OFTEN_STEPS[int(rng.random() * len(OFTEN_STEPS))]
            run.clock_us += 500 + int(rng.random() * 200_000)
            span = self._add_span(run, step, outcome, parent)
            parent = span if rng.random() < 0.3 else root
        finished_us = None if status == ACTIVE else run.clock_us + 300
        payload = json.dumps({**about, "inputs": {"n": run.ref}})
        result = None
        if status == FAILED:
            result = self._failure(run, 0, began_us, ())
        elif status == COMPLETE:
            result = '{"outcome":"done"}'
        summary = f"Run {run.ref}"
        self._batch["spans"][at] = (
            ref, run.ref, root.id, None, type_ref(run.place.agent, 0), status, ACTIVE,
            KEYS if finished_us else 2, began_us, finished_us, began_us + 20_000,
            (finished_us or began_us) + 20_000, summary,
        )  # fmt: skip
        self._batch["span_payloads"][at] = (ref, run.ref, root.id, payload, result)
        self._count(run, type_ref(run.place.agent, 0), Outcome(status, 0), began_us, finished_us)

    def _add_span(self, run: Run, step: int, outcome: Outcome, parent: Parent) -> Parent:
        """Make a span below *parent*, and return what a span inside it needs."""
        rng, texts = self._rng, self._texts
        status, flag = outcome
        started_us = run.clock_us
        span_id = self._id(started_us // 1000)
        finished_us = None
        if status != ACTIVE:
            finished_us = run.clock_us = started_us + 400 + int(rng.random() ** 4 * 4_000_000)
        self.spans += 1
        kind = type_ref(run.place.agent, DECLARED if flag == UNDECLARED else step)
        bits = rng.getrandbits(24)
        text = texts[bits & TEXTS - 1]
        extra, violations = self._find(run, kind, flag, started_us, span_id)
        if status == COMPLETE:
            result = f'{{"answer":"{texts[bits >> 12]}"'
            if STEPS[step] == MODEL:
                used_in, used_out = bits & 0xFFF, bits >> 16
                run.tokens_in = (run.tokens_in or 0) + used_in
                run.tokens_out = (run.tokens_out or 0) + used_out
                result += (
                    f',"token_usage":{{"prompt_tokens":{used_in},"completion_tokens":{used_out}}}'
                )
            result += "}"
        elif status == FAILED:
            result = self._failure(run, step, started_us, violations)
            run.handled += parent.status == COMPLETE
        else:
            result = None
        self._batch["spans"].append((
            self.spans, run.ref, span_id, parent.id, kind, status, ACTIVE,
            flag | KEYS if finished_us else 2, started_us, finished_us, started_us + 20_000,
            (finished_us or started_us) + 20_000, f"{STEPS[step]}: {text[:24]}",
        ))  # fmt: skip
        payload = f'{{"question":"{text}","n":{bits}{extra}}}'
        self._batch["span_payloads"].append((self.spans, run.ref, span_id, payload, result))
        self._count(run, kind, outcome, started_us, finished_us)
        return Parent(span_id, status)

    def _find(
        self, run: Run, kind: int, flag: int, started_us: int, span_id: bytes
    ) -> tuple[str, tuple[Violation, ...]]:
        """Add what is found in a span; return what its payload has for it, and the violations."""
        rng = self._rng
        extra = ""
        violations: tuple[Violation, ...] = ()
        if flag == REDACTED:
            rule = RULES[int(rng.random() * len(RULES))]
            extra = f',"token":{{"$remit":"redacted","rule":"{rule}"}}'
            day = started_us // US_PER_HOUR // 24
            self._redacted[day, run.place.ref, kind, rule] += 1
        elif flag in {DENIED, VIOLATION}:
            violations = tuple(rng.sample(VIOLATIONS, 1 + (rng.random() < 0.3)))
            if flag == VIOLATION:
                noted = json.dumps([*map(fields_of, violations)])
                extra = f',"$remit":{{"violations":{noted}}}'
            run.denied += flag == DENIED
        run.flags |= flag
        if flag in FINDINGS:
            found = BAD_PAYLOAD if flag == BAD_RESULT else flag
            place = run.place
            self._batch["span_findings"].extend(
                (found, started_us, run.ref, span_id, number, place.agent, place.environment,
                 *_parts(violation))
                for number, violation in enumerate(violations or (None,))
            )  # fmt: skip
        return extra, violations

    def _failure(
        self, run: Run, step: int, started_us: int, violations: tuple[Violation, ...]
    ) -> str:
        """Return the result of a failed span, and note the failure that began first."""
        error = ERRORS[int(self._rng.random() * len(ERRORS))]
        message = self._texts[self._rng.getrandbits(12)][:120]
        # The root span ends last, and fails because a step failed, if one did.
        if run.failure is None:
            run.failure = (started_us, STEPS[step], error, message)
        described: dict[str, object] = {"type": error, "message": message}
        if violations:
            described["violations"] = [*map(fields_of, violations)]
        return json.dumps({"error": described})

    def _count(
        self, run: Run, kind: int, outcome: Outcome, started_us: int, finished_us: int | None
    ) -> None:
        """Add a span to the counts of its run and of its hour."""
        status, flag = outcome
        run.by_status[status] += 1
        run.flags |= KEYS if finished_us else 2
        key = started_us // US_PER_HOUR << 24 | run.cell | kind
        counts = self._hours.get(key)
        if counts is None:
            counts = self._hours[key] = [0] * 12
        counts[STATUS_AT[status]] += 1
        if flag:
            counts[FLAGS_AT[flag]] += 1
        if finished_us:
            duration_us = finished_us - started_us
            counts[DURATION_AT] += duration_us
            counts[LONGEST_AT] = max(counts[LONGEST_AT], duration_us)

    def _add_rows_of_run(
        self, run: Run, number: int, labels: dict[str, str] | list[str], subject: str | None
    ) -> None:
        """Add the row of a run, and those of its labels, its subject and its key."""
        batch, place = self._batch, run.place
        began_us = int.from_bytes(run.id) // (1 << ID_SHIFT) * 1000
        key = f"order-{number}" if number % 10 == 2 or run.status == ACTIVE else None
        is_asked = number % ASKED_EVERY == 2 or run.status == ACTIVE
        said = said_of(number)
        finished_us = None if run.status == ACTIVE else run.clock_us + 500
        failure: dict[str, Any] = {}
        if run.failure is not None:
            failed_us, step, error, message = run.failure
            where = f"shop/{step}.py"
            failure = {
                "failure_us": failed_us, "failure_step": step, "failure_type": error,
                "failure_place": where, "failure_text": message,
                "fingerprint": fingerprint(step, error, where),
            }  # fmt: skip
        active, cancelled, complete, failed = run.by_status
        row = _RUN | failure | {
            "ref": run.ref, "id": run.id, "place_ref": place.ref, "account_ref": 1,
            "agent_ref": place.agent, "environment_ref": place.environment,
            "external_identifier": key, "purpose": PURPOSES[run.purpose], "body_hash": BODY_HASH,
            "caused_by": f"{number // 60:032x}" if number % 20 == 3 else None,
            "inserted_at": began_us + 5000, "status": STATUSES[run.status], "start_seen": 1,
            "started_at": began_us + 200, "finished_at": finished_us,
            "termination_reason": "stopped by its operator" if run.status == TERMINATED else None,
            "quality_payloads": "{}", "updated_at": (finished_us or began_us) + 5000,
            "spans_active": active, "spans_complete": complete, "spans_failed": failed,
            "spans_cancelled": cancelled, "flags": run.flags, "denied": run.denied,
            "handled": run.handled, "tokens_in": run.tokens_in, "tokens_out": run.tokens_out,
            "summary": f"Run {run.ref}", "conversation": said.get("conversation"),
            "question": self._texts[number % TEXTS] if said else None,
            "answer": self._texts[-number % TEXTS] if said else None,
            "asked": int(is_asked), "answered": int(is_asked and run.status != ACTIVE),
        }  # fmt: skip
        batch["runs"].append(tuple(row.values()))
        batch["run_changes"].append((run.ref, number // SEQ_RUNS + 1))
        pairs = labels.items() if isinstance(labels, dict) else [(word, "") for word in labels]
        batch["run_labels"].extend((name, value, run.id, run.ref) for name, value in pairs)
        if subject:
            batch["run_subjects"].append((hash_of_subject(subject), run.id, run.ref))
        if said:
            person = hash_of_on_behalf_of(said["on_behalf_of"])
            batch["run_subjects"].append((person, run.id, run.ref))
        if key:
            batch["run_keys"].append((key, place.agent, place.environment, run.id))
        if key and is_asked:
            self._add_ask(run, number, key)

    def _add_ask(self, run: Run, number: int, key: str) -> None:
        """Add a request for approval: the last ones wait, one in ten is refused or has expired."""
        population, place = self.population, run.place
        status = "waiting" if run.status == ACTIVE else ASK_STATUSES[number // ASKED_EVERY % 10]
        ask_id = self._text_id(run.clock_us // 1000)
        answered_us = run.clock_us + 20_000_000
        is_answered = status in {"approved", "refused"}
        answered = ("ben", "web UI, session of a token", "because") if is_answered else (None,) * 3
        arguments = json.dumps({"order": key, "amount": number, "reason": self._texts[0]})
        self._batch["asks"].append((
            ask_id, population.account, population.agents[place.agent - 1],
            population.environments[place.environment - 1], f"agent-{place.agent:02}", key,
            f"ticket-{number}", "refund", '["financial_transactions"]', arguments, "{}", "[]", "[]",
            None, None, BODY_HASH, None, run.clock_us, run.clock_us + ASK_S * 1_000_000, status,
            *answered, answered_us if is_answered else None,
        ))  # fmt: skip
        if status == "approved":
            seal = (population.account, ask_id, f"{number:032x}", answered_us)
            self._batch["used_seals"].append(seal)
        if number // ASKED_EVERY % 10 == 1:
            late_id = self._text_id(answered_us // 1000)
            self._batch["late_answers"].append((
                late_id, population.account, ask_id, "refused", "dana",
                "API, token", "too late", answered_us,
            ))  # fmt: skip

    def _counts(self) -> Batch:
        """Return the rows of the counts by hour and day."""
        days: dict[int, list[int]] = {}
        for key, counts in self._hours.items():
            day_key = (key >> 24) // 24 << 24 | key & 0xFFFFFF
            total = days.setdefault(day_key, [0] * 12)
            longest = max(total[LONGEST_AT], counts[LONGEST_AT])
            total[:] = map(sum, zip(total, counts, strict=True))
            total[LONGEST_AT] = longest
        return {
            "span_hours": [
                (key >> 24, *cell_of(key), key & 0xFFF, *counts)
                for key, counts in sorted(self._hours.items())
            ],
            "span_days": [
                (key >> 24, *cell_of(key), key & 0xFFF, *counts)
                for key, counts in sorted(days.items())
            ],
            "run_hours": [
                (hour, *cell_of(cell), *counts)
                for (hour, cell), counts in sorted(self._run_hours.items())
            ],
            "redacted_days": [
                (day, PLACES[place - 1].agent, PLACES[place - 1].environment, kind, rule, times)
                for (day, place, kind, rule), times in sorted(self._redacted.items())
            ],
        }


def cell_of(cell: int) -> tuple[int, int, str]:
    """Return the agent, environment and purpose of a cell of the counts."""
    place = PLACES[(cell >> 13 & 0x7FF) - 1]
    return place.agent, place.environment, PURPOSES[cell >> 12 & 1]


def labels_of(number: int) -> dict[str, str] | list[str]:
    """Return the labels of a run."""
    if number % 50 == 0:
        return dict([LABEL])
    if number % 5 == 1:
        return {"tenant": f"t{number // 5 % TENANTS}"}
    return ["nightly"] if number % 7 == 3 else []


def said_of(number: int) -> dict[str, str]:
    """Return the conversation of a run and the person on whose behalf it runs, if it has them."""
    if number % 5 != 4:
        return {}
    conversation = number // 5 // TURNS
    return {
        "conversation": f"thread-{conversation}",
        "on_behalf_of": f"user-{conversation % SUBJECTS}",
    }


@cache
def fingerprint(step: str, error: str, where: str) -> int:
    """Return a number for failures of a step with the same error at the same place."""
    return int.from_bytes(
        hashlib.sha256(f"{step}\n{error}\n{where}".encode()).digest()[:8], signed=True
    )
