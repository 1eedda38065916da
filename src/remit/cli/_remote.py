"""A run as an API answers it, for what was sent to a server."""

from __future__ import annotations

from collections.abc import Iterator

from remit.cli._records import Record
from remit.client import Client
from remit.models.agent_span import AgentSpan


def fetched(client: Client, instance_id: str) -> Record:
    """Return a run with all its spans.

    Raises:
        ApiError: The server does not give it, for instance because the token may not read.
    """
    instance = client.agent_instances.get(instance_id)
    agent = client.agents.show(agent_id=instance.agent_id)
    return Record.of(agent, instance, _spans(client, instance_id))


def _spans(client: Client, instance_id: str) -> Iterator[AgentSpan]:
    offset: int | None = 0
    while offset is not None:
        page = client.agent_spans.list(agent_instance_id=instance_id, offset=offset)
        yield from page.summaries
        following = page.pagination.next_page_offset if page.pagination else None
        offset = following if following != offset else None
