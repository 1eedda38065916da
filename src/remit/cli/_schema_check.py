"""`remit schema check`: lists parameters and results with a missing or weak schema."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import click

from remit import _runtime
from remit._declare.registry import AgentType, SpanType
from remit._policy.rehearsal import Reasons
from remit.cli._failing import Failed
from remit.cli._modules import imported, submodules
from remit.cli._options import json_option
from remit.cli._schema_risk import rehearsal_of
from remit.cli._schema_weakness import Grade, Weakness, weaknesses
from remit.cli._terminal import bold, columns, cut, emit, emit_json, faint, padded

OPEN: Final = "open"
"""A step leaves unknown what an agent forbids."""

MAX_PLACE_COLUMNS: Final = 28
"""Longer places push the rest of their own line to the right."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One span type, and its missing and weak schemas."""

    declared: SpanType
    found: tuple[Weakness, ...]

    def graded(self, grades: Iterable[Grade]) -> list[Weakness]:
        """Return the weaknesses of these grades."""
        return [each for each in self.found if each.grade in grades]


@click.command()
@click.argument("module", metavar="MODULE")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice([*(str(each) for each in Grade), OPEN]),
    help="Exit with status 1 if something has no schema (none), or also if a schema says little "
    "(weak), or if a step leaves unknown what an agent forbids (open). Repeatable.",
)
@json_option
def check(module: str, *, fail_on: tuple[str, ...], as_json: bool) -> None:
    """List parameters and results with a missing or weak schema.

    The command checks what the agents of MODULE register, or without an agent the span types of
    MODULE, and prints the file and line of each. If MODULE is a package, it imports all of its
    modules but __main__, and the status is 1 if one of them cannot be imported.

    A schema is missing if there is no annotation, if the annotation names something that does not
    exist at run time, or if remit does not look into the type. A schema is weak if it accepts
    anything: Any, object, and lists and dicts of anything.

    With --fail-on open the command also lists the steps that leave unknown what an agent forbids
    or excludes, which `deny` refuses.
    """
    _, failures = submodules(imported(module, "MODULE, as in myapp.bot"))
    agents = _agents(module)
    declared = _declared(module, agents)
    if not declared:
        message = (
            f"{module} declares no span type: decorate its functions with @remit.span_type, or "
            "the one that answers with @remit.agent"
        )
        raise Failed("\n".join([message, *failures]))
    if OPEN in fail_on and not agents:
        message = (
            f"{module} declares no agent, with which --fail-on open compares its steps: name the "
            "module that has @remit.agent"
        )
        raise Failed("\n".join([message, *failures]))
    checked = [_checked(each) for each in declared]
    unknown = _open_steps(agents) if OPEN in fail_on else {}
    if as_json:
        emit_json([{**_as_json(each), **_open_for(each, unknown)} for each in checked])
    else:
        _show_open(unknown)
        _show(module, checked)
    if failures:
        raise Failed("\n".join(failures))
    wanted = [Grade.NONE] if Grade.NONE in fail_on else []
    wanted = list(Grade) if Grade.WEAK in fail_on else wanted
    if any(each.graded(wanted) for each in checked) or any(unknown.values()):
        raise click.exceptions.Exit(1)


def _agents(module: str) -> list[AgentType]:
    """Return the agents of a module and of those beneath it."""
    registry = _runtime.registry()
    return [agent for agent in registry.agents() if agent.span_type.is_within(module)]


def _open_steps(agents: Iterable[AgentType]) -> dict[str, Reasons]:
    """Return by agent the steps that leave unknown what it forbids, with the words."""
    registry = _runtime.registry()
    return {agent.external_identifier: rehearsal_of(agent, registry).undeclared for agent in agents}


def _open_for(checked: Checked, unknown: Mapping[str, Reasons]) -> dict[str, Any]:
    """Return the agents for which a step is open, with the words; nothing if that is not asked."""
    name = checked.declared.name
    agents = {agent: steps[name] for agent, steps in unknown.items() if name in steps}
    return {"open": agents} if unknown else {}


def _declared(module: str, agents: Iterable[AgentType]) -> list[SpanType]:
    """Return what the agents of a module and of those beneath it register, by file and line.

    Without an agent, the span types of these modules.
    """
    registry = _runtime.registry()
    if agents:
        found = {each.name: each for agent in agents for each in registry.span_types_of(agent)}
    else:
        found = {each.name: each for each in registry.span_types() if each.is_within(module)}
    return sorted(found.values(), key=lambda each: (each.file, each.line, each.name))


def _checked(declared: SpanType) -> Checked:
    found = weaknesses(
        declared.declared_signature,
        declared.recorded_signature,
        declared.kind,
        params=declared.params,
        result=declared.result,
    )
    return Checked(declared, found)


def _as_json(checked: Checked) -> dict[str, Any]:
    declared = checked.declared
    return {
        "span_type": declared.name,
        "file": declared.file,
        "line": declared.line,
        "found": [asdict(each) for each in checked.found],
    }


def _show_open(unknown: Mapping[str, Reasons]) -> None:
    for agent, steps in unknown.items():
        if steps:
            emit(f"{bold(agent)} is refused these steps under deny, which leave words open")
            for name, words in steps.items():
                emit(f"  {name}: {', '.join(words)}")
            emit()


def _show(module: str, checked: list[Checked]) -> None:
    for each in checked:
        if each.found:
            _show_one(each)
    without, weak = (
        sum(len(each.graded((grade,))) for each in checked) for grade in (Grade.NONE, Grade.WEAK)
    )
    emit(
        f"{module}: {len(checked)} span types; {without} places without a schema, "
        f"{weak} with a weak one"
    )


def _show_one(checked: Checked) -> None:
    declared = checked.declared
    emit(f"{os.path.relpath(declared.file)}:{declared.line}  {bold(declared.name)}")
    widest = min(MAX_PLACE_COLUMNS, max(len(each.place) for each in checked.found))
    for each in checked.found:
        line = f"  {padded(each.place, widest)}  {padded(each.grade, len(Grade.NONE))}  "
        emit(line + faint(cut(each.why, max(columns() - len(line), widest))))
    emit()
