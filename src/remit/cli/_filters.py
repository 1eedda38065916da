"""Options that select runs and spans, and the query for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import reduce
from typing import Any, Final, TypeVar

import click

from remit._base.ids import HASHES
from remit.cli._ages import PAST
from remit.cli._options import TEXT, read_option
from remit.cli._reader import ApiReader

F = TypeVar("F", bound=Callable[..., Any])


def since_option(default: str | None = None) -> Callable[[F], F]:
    return click.option(
        "--since",
        type=PAST,
        metavar="TIME",
        default=default,
        show_default=default is not None,
        help="Earliest start: an age such as 7d, 24h or 30m, or a time such as 2026-11-01.",
    )


def limit_option(listed: str) -> Callable[[F], F]:
    return click.option(
        "--limit",
        "-n",
        default=20,
        show_default=True,
        type=click.IntRange(1, 100_000),
        help=f"Maximum number of {listed}.",
    )


until_option: Final = click.option(
    "--until", type=PAST, metavar="TIME", help="Latest start (exclusive), in the same format."
)
agent_option: Final = click.option(
    "--agent",
    type=TEXT,
    metavar="AGENT",
    help="Select an agent by its display name, identifier (`module:function`) or server ID.",
)


def failed_option(text: str) -> Callable[[F], F]:
    return click.option("--failed", is_flag=True, help=text)


def denied_option(text: str) -> Callable[[F], F]:
    return click.option("--denied", is_flag=True, help=text)


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds options in this order."""
    return lambda command: reduce(lambda made, add: add(made), reversed(decorators), command)


def grouped(text: str, *by: str) -> Callable[[F], F]:
    """Return the options of a command that counts by groups, the first of *by* by default."""
    groups = click.Choice(by)
    group = click.option("--by", type=groups, default=by[0], show_default=True, help=text)
    return options(group, agent_option, since_option("7d"), until_option, read_option)


def query(
    reader: ApiReader,
    *,
    agent: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    failed: bool = False,
    denied: bool = False,
    **others: str | None,
) -> dict[str, str]:
    """Return the parameters of a list; of *others*, people are sent as hashes.

    Raises:
        Failed: There is no such agent.
    """
    found: dict[str, str | None] = {
        "agent_id": None if agent is None else reader.known_agent(agent).id,
        "since": _text(since),
        "until": _text(until),
        # A denied step has failed, too.
        "flag": "denied" if denied else "failed" if failed else None,
        # The server stores only the hashes, and its log may contain addresses.
        **{
            f"{name}_hash": hash_of(text)
            for name, hash_of in HASHES.items()
            if (text := others.pop(name, None))
        },
        **others,
    }
    return {name: value for name, value in found.items() if value}


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
