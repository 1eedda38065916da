"""The options of `remit serve` that are limits, each also a variable of the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from remit.collector.settings import MetricsFor, Settings

F = TypeVar("F", bound=Callable[..., Any])

VARIABLE_PREFIX: Final = "REMIT_SERVE_"
# What stands for no limit is said in the text of those that can be turned off.
LIMITS: Final = (
    (
        "max_body_bytes",
        1,
        "Longest request body in bytes, also decompressed; beyond it 413.",
    ),
    ("max_body_values", 1, "Most JSON values in a request body; beyond it 413."),
    (
        "max_pending_bytes",
        1,
        "Most bytes of bodies in memory, in each process; beyond it 503.",
    ),
    ("body_timeout_s", 1, "Seconds within which a request body must arrive; after that 408."),
    ("max_bulk_items", 1, "Most operations in a bulk request; beyond it 413."),
    ("max_bulk_s", 0, "Seconds after which a bulk request does nothing further."),
    (
        "max_answer_bytes",
        1,
        "Bytes of answers after which a bulk request, and a page of spans, ends.",
    ),
    ("max_depth", 1, "How deep a payload may nest; beyond it 400."),
    (
        "max_requests_per_s",
        0,
        "Most requests a second with one token, in each process; beyond it 429. 0: no limit.",
    ),
    (
        "max_failures_per_minute",
        0,
        "Most refused tokens a minute from one address, in each process; then 429. 0: no limit.",
    ),
    ("max_connections", 1, "Most connections at once, in each process; beyond it 503."),
)


def limit_options(command: F) -> F:
    """Give *command* the options of a collector's limits, by the names of the settings."""
    defaults = Settings()
    command = _option(
        "metrics",
        click.Choice([each.value for each in MetricsFor]),
        str(defaults.metrics),
        "Who may read /metrics.",
    )(command)
    for name, least, text in reversed(LIMITS):
        default = getattr(defaults, name)
        kind = click.FloatRange(least) if isinstance(default, float) else click.IntRange(least)
        command = _option(name, kind, default, text)(command)
    return command


def _option(name: str, kind: click.ParamType[Any], default: object, text: str) -> Callable[[F], F]:
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=kind,
        default=default,
        show_default=True,
        envvar=VARIABLE_PREFIX + name.upper(),
        show_envvar=True,
        help=text,
    )
