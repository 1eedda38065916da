"""`remit schema`: what a program declares, as it would be registered."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, TypeGuard, cast

import click

from remit._decorators import Agent
from remit._guard import attempt
from remit.cli._failing import Failed
from remit.cli._options import json_option
from remit.cli._terminal import bold, columns, cut, emit, emit_json, faint

Json = dict[str, Any]


@click.group()
def schema() -> None:
    """Look at what a program declares."""


@schema.command()
@click.argument("target", metavar="MODULE[:AGENT]")
@json_option
def show(target: str, *, as_json: bool) -> None:
    """Show what registers an agent: its span types, their schemas and their data risk.

    With --json it is the payload, with sorted keys: the same bytes for the same source. Without
    AGENT all agents of the module are shown, as an object by name.
    """
    name, colon, path = target.partition(":")
    module = _imported(name)
    agents = {path: _agent(module, path)} if colon else _agents(module)
    payloads = {found: cast("Json", each.registration()) for found, each in agents.items()}
    if as_json:
        emit_json(payloads[path] if colon else payloads)
        return
    for found, payload in payloads.items():
        _show(f"{name}:{found}", payload)


def _imported(name: str) -> ModuleType:
    """Return the module of *name*; the current folder is looked into, as with `python -m`.

    Raises:
        Failed: It is not there, or fails while it is imported.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 - as Python itself puts it there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    if not all(part.isidentifier() for part in name.split(".")):
        raise click.UsageError(
            f"{name!r} is not the name of a module: expected MODULE[:AGENT], as in myapp.bot:answer"
        )
    module = attempt(lambda: import_module(name))
    if not isinstance(module, Exception):
        return module
    if isinstance(module, ModuleNotFoundError) and _begins(name, module.name):
        raise Failed(
            f"there is no module {module.name!r} on the path: run this where "
            f"`python -c 'import {name}'` works"
        ) from module
    raise Failed(
        f"{name} fails while it is imported: {type(module).__name__}: {module}"
    ) from module


def _begins(name: str, missing: str | None) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _is_agent(value: object) -> TypeGuard[Agent[..., object]]:
    # `isinstance` would ask the objects of others for their `__class__`.
    return issubclass(type(value), Agent)


def _agents(module: ModuleType) -> dict[str, Agent[..., object]]:
    """Return the agents that *module* declares, by the names that it has for them."""
    found: dict[str, Agent[..., object]] = {}
    for name, value in vars(module).items():
        if _is_agent(value) and value.__module__ == module.__name__:
            found[name] = value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            members = vars(value).items()
            found |= {f"{name}.{inner}": each for inner, each in members if _is_agent(each)}
    if not found:
        raise Failed(
            f"{module.__name__} declares no agent: decorate the function that answers with "
            "@remit.agent"
        )
    return dict(sorted(found.items()))


def _agent(module: ModuleType, path: str) -> Agent[..., object]:
    """Return the agent of the dotted *path* in *module*."""
    found: object = module
    for part in path.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    if _is_agent(found):
        return found
    known = attempt(lambda: _agents(module))
    there = ", ".join(known) if isinstance(known, Mapping) else "none"
    what = "is not an agent" if found is not None else "is not there"
    raise Failed(f"{path!r} {what} in {module.__name__}; its agents: {there}")


def _show(name: str, payload: Json) -> None:
    version, declared = payload["agent_version"], payload["agent_schema_version"]
    emit(bold(name))
    for label, text in (
        ("version", version.get("external_identifier")),
        ("schema", declared.get("external_identifier")),
        ("about", version.get("description")),
    ):
        if text:
            emit(faint(f"  {label:<9}") + cut(" ".join(text.split()), columns() - 11))
    for each in declared.get("span_type_schemas", ()):
        emit()
        _show_type(each)
    for each in declared.get("quality_schemas", ()):
        emit()
        emit(f"  {each['name']}  " + faint("quality"))
        _row("holds", _fields(each["schema"]))
    emit()


def _show_type(declared: Json) -> None:
    emit(f"  {declared['name']}")
    description = declared.get("description") or ""
    _row("about", description.partition("\n")[0])
    _row("takes", _fields(declared["params_schema"]))
    _row("gives", _fields(declared.get("result_schema") or {}))
    _row("may", _risk(declared.get("data_risk") or {}))


def _row(label: str, text: str) -> None:
    if text:
        emit(faint(f"    {label:<7}") + cut(text, columns() - 11))


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    return ", ".join(
        f"{name}{'' if name in required else '?'}: {_type(each)}"
        for name, each in schema.get("properties", {}).items()
    )


def _type(schema: Json) -> str:
    """Return the type that a JSON Schema describes, in a word or a few."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"{_type(schema.get('items', {}))}[]"
    return str(schema.get("format", kind)) if isinstance(kind, str) else " | ".join(kind)


def _risk(risk: Json) -> str:
    actions = risk.get("action_profile", {})
    parts = [name for name, word in actions.items() if word == "allowed"]
    parts += [f"never {name}" for name, word in actions.items() if word == "disallowed"]
    return ", ".join(parts)
