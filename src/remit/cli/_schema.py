"""`remit schema`: the declarations of a program, as they would be registered."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeGuard, cast

import click

from remit._record.wrappers import Agent
from remit._runtime import process
from remit.cli._failing import Failed
from remit.cli._modules import imported, submodules, without_agent
from remit.cli._options import json_option
from remit.cli._schema_check import check
from remit.cli._schema_risk import risk_report, show_risk
from remit.cli._terminal import bold, columns, cut, emit, emit_json, faint

Json = dict[str, Any]
# Keywords of the schema of a result without an annotation.
_WITHOUT_CONTENT = frozenset({"$comment", "type", "x-remit-rules-off", "x-remit-redacted"})


@click.group()
def schema() -> None:
    """Show and check the declarations of a program."""


schema.add_command(check)


@schema.command()
@click.argument("target", metavar="MODULE[:AGENT]")
@click.option("--risk", is_flag=True, help="Show declared, inferred and undeclared data risk.")
@json_option
def show(target: str, *, risk: bool, as_json: bool) -> None:
    """Show the registration of an agent.

    The registration contains the span types, their schemas and their data risk. With --json the
    output is the payload of the registration with sorted keys, so the same source always produces
    the same bytes. Without AGENT the output contains all agents of the module, as an object whose
    keys are their names.

    With --risk the output is the data risk of each span type and of the agent as a whole. It lists
    declared actions and categories, categories that are inferred from a type in the signature,
    violations of the agent's remit, undeclared actions and categories, and categories that a name
    suggests.
    """
    name, colon, path = target.partition(":")
    module = imported(name, "MODULE[:AGENT], as in myapp.bot:answer")
    agents = {path: _agent(module, path)} if colon else _agents(module)
    if not agents:
        raise _no_agent(module)
    describe, write = (_risk_report, show_risk) if risk else (_payload, _show)
    found = {attribute: describe(each) for attribute, each in agents.items()}
    if as_json:
        emit_json(found[path] if colon else found)
        return
    for attribute, described in found.items():
        write(f"{name}:{attribute}", described)


def _payload(agent: Agent[..., object]) -> Json:
    return agent.registration()


def _risk_report(agent: Agent[..., object]) -> Json:
    registry = process.registry()
    declared = next(each for each in registry.agents() if each.span_type.is_of(agent))
    return risk_report(declared, registry)


def _is_agent(value: object) -> TypeGuard[Agent[..., object]]:
    # `isinstance` would read `__class__` of foreign objects.
    return issubclass(type(value), Agent)


def _inside(value: object) -> object:
    """Return the function of a class method or static method, from the class itself."""
    if type(value) in {classmethod, staticmethod}:
        return getattr(value, "__func__", None)
    return value


def _agents(module: ModuleType) -> dict[str, Agent[..., object]]:
    found: dict[str, Agent[..., object]] = {}
    for name, value in vars(module).items():
        if _is_agent(value) and value.__module__ == module.__name__:
            found[name] = value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            members = {inner: _inside(each) for inner, each in vars(value).items()}
            found |= {f"{name}.{key}": each for key, each in members.items() if _is_agent(each)}
    return dict(sorted(found.items()))


def _no_agent(module: ModuleType) -> Failed:
    below, failures = submodules(module)
    agents = [f"{each.__name__}:{path}" for each in below for path in _agents(each)]
    if agents:
        return Failed(f"{module.__name__} declares no agent; its modules do: {', '.join(agents)}")
    return Failed("\n".join([without_agent(module.__name__), *failures]))


def _agent(module: ModuleType, path: str) -> Agent[..., object]:
    found: object = module
    for part in path.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    found = _inside(found)
    if _is_agent(found):
        return found
    there = ", ".join(_agents(module)) or "none"
    fault = "is not an agent" if found is not None else "does not exist"
    raise Failed(f"{path!r} {fault} in {module.__name__}; its agents: {there}")


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
        emit(f"  {each['name']}  " + faint("score"))
        _row("fields", _fields(each["schema"]))
    emit()


def _show_type(declared: Json) -> None:
    emit(f"  {declared['name']}")
    description = declared.get("description") or ""
    _row("about", description.partition("\n")[0])
    _row("takes", _fields(declared["params_schema"]))
    _row("gives", _result(declared.get("result_schema") or {}))
    _row("may", _risk(declared.get("data_risk") or {}))


def _row(label: str, text: str) -> None:
    if text:
        emit(faint(f"    {label:<7}") + cut(text, columns() - 11))


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    return ", ".join(
        f"{name}{'' if name in required else '?'}: {_type(each)}{_redaction(each)}"
        for name, each in schema.get("properties", {}).items()
    )


def _result(schema: Json) -> str:
    """Return the shape of a result: its fields, or the types of its keys and values."""
    known = [each for each in schema.get("anyOf", (schema,)) if each.keys() - _WITHOUT_CONTENT]
    return (" | ".join(_fields(each) or _type(each) for each in known) + _redaction(schema)).strip()


def _redaction(schema: Json) -> str:
    rule, off = schema.get("x-remit-redacted"), schema.get("x-remit-rules-off")
    redacted = f" (redacted: {rule})" if rule else ""
    return f"{redacted} (off: {', '.join(off)})" if off else redacted


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    kind = schema.get("type", "any")
    if isinstance(inside := schema.get("additionalProperties"), dict):
        return f"{{string: {_type(cast('Json', inside))}}}"
    if kind == "array":
        return f"{_type(schema.get('items', {}))}[]"
    return str(schema.get("format", kind)) if isinstance(kind, str) else " | ".join(kind)


def _risk(risk: Json) -> str:
    actions = risk.get("action_profile", {})
    parts = [name for name, word in actions.items() if word == "allowed"]
    parts += [f"never {name}" for name, word in actions.items() if word == "disallowed"]
    return ", ".join(parts)
