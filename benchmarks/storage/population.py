"""What the synthetic runs have in common: agents, environments, declarations and texts."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias

from remit._base import ids
from remit._policy.words import PARAMS
from remit.errors import Violation

Row: TypeAlias = tuple[Any, ...]
"""Texts, numbers, bytes and None."""

AGENTS: Final = 20
ENVIRONMENTS: Final = ("production", "staging")
PURPOSES: Final = ("live", "eval")
DECLARED: Final = 15
"""Types that each agent declares; the first is that of root spans."""
TYPES: Final = DECLARED + 1
"""Types of each agent; the last is not declared."""
ROOT: Final = "remit:run"
MODEL: Final = "llm"
"""Name of the type whose results have a usage of tokens; it is the most frequent one."""
STEPS: Final = (
    ROOT, MODEL, "search", "look_up", "read_page", "summarize", "classify", "send_mail", "refund",
    "book", "cancel_order", "translate", "rank", "store", "notify", "experiment",
)  # fmt: skip
ACTIONS: Final = ("create_data", "read_data", "update_data", "destroy_data",
                  "financial_transactions", "external_communication")  # fmt: skip
CATEGORIES: Final = ("personal_identifiers", "contact_information", "financial_information",
                     "health_and_medical", "location_and_tracking",
                     "behavioural_and_inferred")  # fmt: skip
RULES: Final = ("name:password", "name:api_key", "text:credit_card", "text:iban", "name:token")
VIOLATIONS: Final = tuple(
    Violation(
        f"{category}: {step} declares included, but the agent desk:support declares excluded",
        part=PARAMS,
        name=category,
        word="included",
        agent="desk:support",
        limit="excluded",
    )
    for step, category in product(STEPS[2:], CATEGORIES)
)
ERRORS: Final = ("TimeoutError", "ValueError", "KeyError", "PermissionError")
HOLDS: Final = 20
PROCESSES: Final = 50
"""Processes that know the holds."""
MS_PER_DAY: Final = 24 * 3_600_000
TEXTS: Final = 4096
"""Different texts of which payloads, results and summaries are made."""
WORDS: Final = (
    "a", "about", "address", "again", "an", "and", "another", "are", "arrived", "ask", "back",
    "because", "by", "check", "country", "customer", "flight", "for", "has", "held", "in", "is",
    "it", "late", "money", "not", "of", "or", "order", "please", "send", "shipped", "so", "sorry",
    "the", "then", "this", "to", "tomorrow", "up", "voucher", "was", "we", "weather", "when",
    "will", "you",
)  # fmt: skip


class Place(NamedTuple):
    """A registration: an agent in an environment, by refs."""

    ref: int
    agent: int
    environment: int


PLACES: Final = tuple(
    Place(agent * len(ENVIRONMENTS) + number, agent + 1, number)
    for agent in range(AGENTS)
    for number in range(1, len(ENVIRONMENTS) + 1)
)


def data_risk(rng: random.Random) -> dict[str, dict[str, str]]:
    """Return the words that a type declares."""

    def included() -> dict[str, str]:
        return dict.fromkeys(rng.sample(CATEGORIES, rng.randint(0, 2)), "included")

    return {
        "action_profile": dict.fromkeys(rng.sample(ACTIONS, rng.randint(1, 2)), "allowed"),
        "params_data_categories": included(),
        "result_data_categories": included(),
    }


def declaration(name: str, rng: random.Random) -> dict[str, Any]:
    """Return the declaration of a type of spans."""
    return {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "description": "",
        "params_schema": {"type": "object"},
        "result_schema": {"type": "object"},
        "data_risk": data_risk(rng),
    }


def content_hash(value: object) -> str:
    """Return SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Population:
    """The rows that exist before the first run, and the texts of payloads.

    Attributes:
        partition: Partition of the account's ids.
        rows: The rows by table.
        account: Id of the account; `agents` and `environments` are those of the others, by ref.
        texts: Texts of 20 to 300 characters.
    """

    def __init__(self, rng: random.Random, now_ms: int) -> None:
        """Make them; *now_ms* is when all were created."""
        self._rng, self._now_ms = rng, now_ms
        self.partition = rng.getrandbits(ids.PARTITION_BITS)
        self.texts = [" ".join(rng.choices(WORDS, k=rng.randint(4, 65))) for _ in range(TEXTS)]
        self.rows: dict[str, list[Row]] = {}
        now_us = now_ms * 1000
        account = self._id()
        self._add("accounts", (1, account, "Synthetic", now_us, now_us))
        self.account, self.agents = account, list[str]()
        environments = self.environments = [self._id() for _ in ENVIRONMENTS]
        for ref, (row_id, name) in enumerate(zip(environments, ENVIRONMENTS, strict=True), 1):
            self._add("environments", (ref, row_id, account, name, now_us, now_us))
        for agent in range(1, AGENTS + 1):
            self._add_agent(agent, account, environments)
        self._add_holds(account)

    def _id(self) -> str:
        key = (self._now_ms << ids.RANDOM_BITS | self._rng.getrandbits(ids.RANDOM_BITS)).to_bytes(
            ids.KEY_BYTES
        )
        return ids.pfid(key, self.partition)

    def _add(self, table: str, row: Row) -> None:
        self.rows.setdefault(table, []).append(row)

    def _add_agent(self, ref: int, account: str, environments: list[str]) -> None:
        """Add an agent, its version, its declarations, its deployments and its places."""
        now_us = self._now_ms * 1000
        name = f"agent-{ref:02}"
        agent, version, schema = self._id(), self._id(), self._id()
        self.agents.append(agent)
        self._add("agents", (ref, agent, account, name, None, name, "active", None, None, None,
                             content_hash(name), now_us, now_us))  # fmt: skip
        self._add("agent_versions", (version, account, agent, "1", "1", None, None, now_us, now_us))
        declared = [declaration(name, self._rng) for name in STEPS[:DECLARED]]
        self._add("agent_schema_versions",
                  (schema, account, agent, "1", json.dumps(declared), "[]",
                   content_hash(declared), None, environments[0], *[now_us] * 3))  # fmt: skip
        for number, entry in enumerate(declared):
            self._add_type(ref, number, entry)
        undeclared = STEPS[DECLARED]
        self._add("span_types",
                  (type_ref(ref, DECLARED), ref, undeclared, undeclared, None, ""))  # fmt: skip
        for number, environment in enumerate(environments, 1):
            deployment = self._id()
            self._add("agent_deployments", (deployment, account, agent, environment, version,
                                            now_us, now_us))  # fmt: skip
            ref_of_place = (ref - 1) * len(environments) + number
            self._add("run_places", (ref_of_place, 1, ref, number, account, agent, version, schema,
                                     environment, deployment))  # fmt: skip

    def _add_holds(self, account: str) -> None:
        """Add holds, of which the last is in force, and the processes that know them."""
        for number in range(HOLDS):
            held_us = (self._now_ms + number * MS_PER_DAY) * 1000
            lifted = (held_us + 3_600_000_000, "ben") if number < HOLDS - 1 else (None, None)
            action, agents = ACTIONS[number % len(ACTIONS)], self.agents[number % AGENTS]
            self._add("holds", (
                f"{number:032x}", account, action, agents, 0, "wrong prices", "ben", held_us, None,
                *lifted,
            ))  # fmt: skip
        now_us = self._now_ms * 1000
        for number in range(PROCESSES):
            named = f"agent-{number % AGENTS + 1:02}"
            self._add("hold_processes", (account, f"{number:026x}", f"host-{number}", named,
                                         2 * HOLDS - 1, now_us, now_us))  # fmt: skip

    def _add_type(self, agent: int, number: int, entry: dict[str, Any]) -> None:
        ref = type_ref(agent, number)
        risk = entry["data_risk"]
        self._add("span_types", (ref, agent, entry["name"], entry["title"], json.dumps(risk),
                                 content_hash(entry)))  # fmt: skip
        for side, word in words(risk):
            self._add("span_type_words", (word, side, ref))


def type_ref(agent: int, number: int) -> int:
    """Return the ref of a type of an agent."""
    return (agent - 1) * TYPES + number + 1


def words(risk: dict[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the sides and words of a data risk."""
    yield from (("action", word) for word in risk["action_profile"])
    yield from (("params", word) for word in risk["params_data_categories"])
    yield from (("result", word) for word in risk["result_data_categories"])
