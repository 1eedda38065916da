"""`remit config`: the settings and their sources."""

from __future__ import annotations

from typing import Final, cast

import click
from pydantic import SecretStr

from remit import config
from remit._deliver.circuit import without_credentials
from remit.cli._failing import Failed
from remit.cli._options import json_option
from remit.cli._terminal import columns, cut, emit, emit_json, faint, lines, padded, printable
from remit.config import Settings

SHOWN_CHARS: Final = 10
MIN_SECRET_CHARS: Final = 24
"""A shorter secret is not shown at all."""
DEFAULT: Final = "default"


@click.group("config")
def config_group() -> None:
    """Show the settings."""


@config_group.command()
@json_option
def show(*, as_json: bool) -> None:
    """Show each setting with its value and the variable that sets it.

    Only the beginning of a secret is shown. The exit status is 1 if a value is invalid. remit then
    uses the default, or the strictest value if the setting belongs to the policy.
    """
    sources = config.environment_sources()
    settings, problems = config.read({}, sources)
    rows = [
        (name, _value(settings, name), sources[name][0] if name in sources else DEFAULT)
        for name in Settings.model_fields
        if config.variables(name)
    ]
    if as_json:
        emit_json({name: {"value": value, "source": source} for name, value, source in rows})
    else:
        _show(rows)
    if problems:
        raise Failed("\n".join(problems))


def _show(rows: list[tuple[str, object, str]]) -> None:
    names = max(len(name) for name, _, _ in rows)
    sources = max(len(source) for _, _, source in rows)
    room = columns() - names - sources - 4
    for name, value, source in rows:
        text = padded(cut(printable(_text(value)), room, lines().cut), room)
        emit(f"{name:<{names}}  {text}  {faint(source) if source == DEFAULT else source}".rstrip())


def _value(settings: Settings, name: str) -> object:
    value = getattr(settings, name)
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return f"{secret[:SHOWN_CHARS]}..." if len(secret) >= MIN_SECRET_CHARS else "(hidden)"
    if name == "api_url" and value is not None:
        return without_credentials(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in cast("tuple[object, ...]", value)]
    return _plain(value)


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    name = getattr(value, "__qualname__", None)
    return f"{getattr(value, '__module__', '')}:{name}" if isinstance(name, str) else str(value)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, cast("list[object]", value))) or "none"
    return "none" if value is None else str(value)
