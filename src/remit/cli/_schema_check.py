"""`remit schema check`: lists parameters and results with a missing or weak schema."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import click

from remit._declare.registry import AgentType, SpanType
from remit._policy.rehearsal import Reasons
from remit._runtime import process
from remit.cli._failing import Failed
from remit.cli._modules import imported, submodules
from remit.cli._options import json_option
from remit.cli._schema_risk import rehearsal_of
from remit.cli._schema_weakness import Grade, Weakness, weaknesses
from remit.cli._terminal import bold, columns, cut, emit, emit_json, faint, number_of, padded

UNDECLARED: Final = "undeclared"
"""A step does not declare an action that an agent forbids, or a category that it excludes."""

MAX_PLACE_COLUMNS: Final = 28
"""Longer places push the rest of their own line to the right."""


@dataclass(frozen=True, slots=True)
class Checked:
    declared: SpanType
    found: tuple[Weakness, ...]

    def graded(self, grades: Iterable[Grade]) -> list[Weakness]:
        return [each for each in self.found if each.grade in grades]


@click.command()
@click.argument("module", metavar="MODULE")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice([*(str(each) for each in Grade), UNDECLARED]),
    help="Exit with status 1 for a missing schema (none), for a missing or weak schema (weak), or "
    "for a step that does not declare an action or category that an agent forbids or excludes "
    "(undeclared). Repeatable.",
)
@json_option
def check(module: str, *, fail_on: tuple[str, ...], as_json: bool) -> None:
    """List parameters and results with a missing or weak schema.

    The command checks the span types that the agents of MODULE register; if MODULE has no agent, it
    checks the span types of MODULE. It prints the file and line of each. If MODULE is a package,
    the command imports all of its modules except __main__, and the exit status is 1 if an import
    fails.

    A schema is missing if there is no annotation, if the annotation refers to a name that does not
    exist at run time, or if remit does not look into the type. A schema is weak if it accepts any
    value: Any, object, and lists and dicts of these.

    With --fail-on undeclared the command also lists the steps that `deny` would deny because they
    do not declare an action or category that an agent forbids or excludes.
    """
    _, failures = submodules(imported(module, "MODULE, as in myapp.bot"))
    agents = _agents(module)
    declared = _declared(module, agents)
    if not declared:
        message = (
            f"{module} declares no span type: decorate its functions with @remit.span_type, or "
            "its entry point with @remit.agent"
        )
        raise Failed("\n".join([message, *failures]))
    if UNDECLARED in fail_on and not agents:
        message = (
            f"{module} declares no agent, which --fail-on undeclared needs: specify the module "
            "that has @remit.agent"
        )
        raise Failed("\n".join([message, *failures]))
    checked = [_checked(each) for each in declared]
    undeclared = _undeclared_steps(agents) if UNDECLARED in fail_on else {}
    if as_json:
        emit_json([{**_as_json(each), **_undeclared_in(each, undeclared)} for each in checked])
    else:
        _show_undeclared(undeclared)
        _show(module, checked)
    if failures:
        raise Failed("\n".join(failures))
    wanted = [Grade.NONE] if Grade.NONE in fail_on else []
    wanted = list(Grade) if Grade.WEAK in fail_on else wanted
    if any(each.graded(wanted) for each in checked) or any(undeclared.values()):
        raise click.exceptions.Exit(1)


def _agents(module: str) -> list[AgentType]:
    registry = process.registry()
    return [agent for agent in registry.agents() if agent.span_type.is_within(module)]


def _undeclared_steps(agents: Iterable[AgentType]) -> dict[str, Reasons]:
    """Return by agent the steps that do not declare all of its limits, with those limits."""
    registry = process.registry()
    return {agent.external_identifier: rehearsal_of(agent, registry).undeclared for agent in agents}


def _undeclared_in(checked: Checked, undeclared: Mapping[str, Reasons]) -> dict[str, Any]:
    name = checked.declared.name
    agents = {agent: steps[name] for agent, steps in undeclared.items() if name in steps}
    return {"undeclared": agents} if undeclared else {}


def _declared(module: str, agents: Iterable[AgentType]) -> list[SpanType]:
    """Return the span types that *agents* register, else those of a module, by file and line."""
    registry = process.registry()
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


def _show_undeclared(undeclared: Mapping[str, Reasons]) -> None:
    for agent, steps in undeclared.items():
        if steps:
            emit(f"These steps of {bold(agent)} would be denied, because they do not declare")
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
        f"{module}: {number_of(len(checked), 'span type')}; "
        f"{number_of(without, 'place')} without a schema, {weak} with a weak one"
    )


def _show_one(checked: Checked) -> None:
    declared = checked.declared
    emit(f"{os.path.relpath(declared.file)}:{declared.line}  {bold(declared.name)}")
    widest = min(MAX_PLACE_COLUMNS, max(len(each.place) for each in checked.found))
    for each in checked.found:
        line = f"  {padded(each.place, widest)}  {padded(each.grade, len(Grade.NONE))}  "
        emit(line + faint(cut(each.why, max(columns() - len(line), widest))))
    emit()
