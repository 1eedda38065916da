"""What the server is told of an agent, as bytes, one object shared by its runs."""

from __future__ import annotations

import platform
import sys
from typing import Final

import msgspec

from remit._gentle import gently
from remit._guard import guarded
from remit._sink import AgentRef, Item, RunFeed
from remit._spool import Registration, RunRecord, RunState
from remit._version import __version__

SDK: Final = f"remit@{__version__}"


def runtime_environment() -> dict[str, object]:
    """Return what runs the agent: added when sent, never part of a hash.

    Source: CONTRACT.md section 9, `agent_version`.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    return {
        "agent_sdk": [SDK],
        "os": platform.system().lower(),
        "prefactor_sdk": [SDK],
        "runtime": f"python {version}",
    }


class Registrations:
    """Makes run records; builds the registration of each agent once.

    Recording gives an agent a new `AgentRef` when something was declared since, so that a span
    type that is first seen later joins the registration of later runs.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._built: dict[str, tuple[AgentRef, Registration]] = {}

    def record(self, item: Item, feed: RunFeed) -> RunRecord:
        """Return the record of the run that *item* opened."""
        return self._record(item.started_ns or 0, feed)

    def inherited(self, feed: RunFeed) -> RunRecord:
        """Return the record of a run that our parent process opened, and will end."""
        record = self._record(0, feed)
        record.inherited = True
        return record

    def _record(self, started_ns: int, feed: RunFeed) -> RunRecord:
        opened = feed.instance_id is not None and not feed.resumed
        return RunRecord(
            feed.key,
            feed.root,
            started_ns,
            feed.purpose,
            self._registration(feed.agent),
            feed.instance_id,
            RunState.STARTED if opened else RunState.NEW,
            resumed=feed.resumed,
        )

    def _registration(self, agent: AgentRef) -> Registration:
        known = self._built.get(agent.external_identifier)
        if known is not None and known[0] is agent:
            return known[1]
        built = _build(agent)
        if known is not None and known[1] == built:
            built = known[1]
        self._built[agent.external_identifier] = (agent, built)
        return built


class _Payload(msgspec.Struct):
    """The parts of a registration that are the same for every run of an agent."""

    agent_version: dict[str, object]
    agent_schema_version: dict[str, object]


def _build(agent: AgentRef) -> Registration:
    with gently():
        declared = _declared(agent)
    version, schema = declared or (b"", b"")
    return Registration(
        agent.local_identifier or agent.external_identifier,
        agent.name,
        agent.description,
        agent.agent_id,
        agent.environment_id,
        version,
        schema,
        complete=declared is not None,
    )


@guarded("building a registration")
def _declared(agent: AgentRef) -> tuple[bytes, bytes]:
    declared = msgspec.convert(agent.registration(), _Payload)
    running = {**declared.agent_version, "runtime_environment": runtime_environment()}
    return msgspec.json.encode(running), msgspec.json.encode(declared.agent_schema_version)
