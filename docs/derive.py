"""Write the parts of the documentation that follow from the code: `python -m docs.derive`.

A page holds them between `<!-- derived: NAME -->` and `<!-- end -->`. The tests compare what
stands there with what the code says now, so a page cannot fall behind in silence.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import get_args

import click
from pydantic import BaseModel

from docs.interface import attribute_docs, reference
from docs.interface import sections as reference_sections
from docs.navigation import DOCS, sections, title
from docs.redaction import GROUPS, Rule
from remit import ActionProfile, DataCategories, config, errors
from remit._capture.rules.categories import CATEGORY_RULES
from remit.cli import main
from remit.collector.api.endpoints import BULK, DOCUMENT, ENDPOINTS, OPERATIONS, PREFIX
from remit.collector.api.openapi import document
from remit.collector.server.prometheus import COUNTERS, LATENCY, LATENCY_LABELS, LATENCY_TEXT

PART = re.compile(r"(<!-- derived: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
UNITS = ((config.GIB, "GiB"), (config.MIB, "MiB"), (config.KIB, "KiB"))
RESOURCES = {
    "agent_instance": "Runs (`agent_instance`)",
    "agent_spans": "Spans",
    "agent": "Agents",
    "agent_version": "Agent versions",
    "agent_schema_version": "Schema versions",
    "account": "Accounts and environments",
    "environment": "Accounts and environments",
    "agent_deployment": "Deployments",
    "api_token": "Tokens",
}
HELP_WIDTH = 88
SHOWN_EXAMPLES = 3
SHOWN_CHARS = 48


def shown(name: str, default: object) -> str:
    """Return *default* as the table shows it."""
    if name == "data_dir":
        return "`$XDG_STATE_HOME/remit`; on Windows `%LOCALAPPDATA%\\remit`"
    if name == "flush_on":
        return "`interval`; in serverless functions and Airflow tasks `run`"
    if name == "outside_run":
        return "depends on `on_violation`"
    if default is None or default == ():
        return "none"
    if name.endswith("_bytes") and isinstance(default, int):
        size, unit = next((size, unit) for size, unit in UNITS if default % size == 0)
        return f"{default // size} {unit}"
    return f"`{default}`"


def settings() -> str:
    """Return the table of settings."""
    docs = attribute_docs(config.Settings)
    rows = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for name, field in config.Settings.model_fields.items():
        variables = ", ".join(f"`{each}`" for each in config.variables(name)) or "none"
        default = shown(name, field.default)
        rows.append(f"| `{name}` | {variables} | {default} | {docs[name]} |".replace("||", "|"))
    return "\n".join(rows) + "\n"


def error_tree() -> str:
    """Return the drawing of the errors, and a section for each."""
    found = re.search(r"```text\n.*?```\n", inspect.cleandoc(errors.__doc__ or ""), re.DOTALL)
    assert found
    return f"{found[0]}\n{reference_sections('remit.errors')}"


def words(owner: type[BaseModel]) -> str:
    """Return the table of the names and values of one part of a data risk."""
    fields = owner.model_fields
    rows = [
        f"| `{name}` | {', '.join(get_args(fields[name].annotation))} | {text} |"
        for name, text in attribute_docs(owner).items()
    ]
    return "\n".join(["| name | values | meaning |", "|---|---|---|", *rows]) + "\n"


def telling_types() -> str:
    """Return the table of types that show a data category."""
    rows = ["| category | types |", "|---|---|"]
    for rule in CATEGORY_RULES:
        by_package = groupby(rule.types, itemgetter(0))
        found = [
            f"{package}: {', '.join(f'`{name}`' for _, name in types)}"
            for package, types in by_package
        ]
        rows += [f"| `{rule.category}` | {'; '.join(found)} |"] if found else []
    return "\n".join(rows) + "\n"


def redaction_switches() -> str:
    """Return the table of how to turn rules off, group by group."""
    rows = [
        "| rules | off for one parameter | off for one span type | off for one process |",
        "|---|---|---|---|",
    ]
    for group in GROUPS:
        ways = (group.parameter, group.span_type, group.process)
        rows.append(f"| {group.title} | {' | '.join(way or 'not possible' for way in ways)} |")
    return "\n".join(rows) + "\n"


def redaction_rules() -> str:
    """Return a table of rules for each group: what each redacts, with examples."""
    return "\n".join(
        f"### {group.title}\n\n| rule | redacts | redacted examples | recorded examples |\n"
        "|---|---|---|---|\n"
        + "".join(rule_row(name, list(rules)) for name, rules in groupby(group.rules, rule_key))
        for group in GROUPS
    )


def rule_key(rule: Rule) -> str:
    """Return what rows of the table share that say the same."""
    return f"`{rule.name}` | {rule.redacts}"


def rule_row(name: str, rules: list[Rule]) -> str:
    """Return one row of the table of rules, with a few of its examples."""
    kinds = ([each for rule in rules for each in rule.redacted], rules[0].recorded)
    examples = (", ".join(example(text) for text in kind[:SHOWN_EXAMPLES]) for kind in kinds)
    return f"| {name} | {' | '.join(examples)} |\n"


def example(text: str) -> str:
    """Return an example as a table can hold it: on one line, and not for ever."""
    line = text.replace("\r", "\\r").replace("\n", "\\n").replace("|", "\\|")
    short = line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}..."
    return f"`` {short} ``" if "`" in short else f"`{short}`"


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the context of *command* and of all below it; its path is what a person types."""
    yield context
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner
        settings = inner.context_settings
        yield from commands(inner, click.Context(inner, info_name=name, parent=context, **settings))


def every_command() -> Iterator[click.Context]:
    """Yield a context for every command that there is, groups included."""
    context = click.Context(main, info_name="remit", **main.context_settings)
    context.terminal_width = HELP_WIDTH
    return commands(main, context)


def command_line() -> str:
    """Return the help of every command."""
    return "\n".join(
        f"## `{context.command_path}`\n\n```text\n{context.get_help()}\n```\n"
        for context in every_command()
    )


def endpoints() -> str:
    """Return a table of the collector's endpoints for each resource."""
    groups: dict[str, list[str]] = {title: [] for title in RESOURCES.values()}
    paths = json.loads(document())["paths"]
    for endpoint in ENDPOINTS:
        does = paths[endpoint.route][endpoint.method.lower()]["summary"]
        name = f"`{endpoint.operation}`" if endpoint.operation in OPERATIONS else ""
        path = endpoint.path if endpoint.prefix == PREFIX else endpoint.route
        may = " or ".join(f"`{permission}`" for permission in endpoint.permissions)
        token = "account" if endpoint.account and endpoint.operation != BULK else "any"
        if endpoint.operation == DOCUMENT:
            may, token = "", "none"
        row = f"| `{endpoint.method} {path}` | {does} | {token} | {may} | {name} |\n"
        groups.setdefault(group_of(endpoint.path, endpoint.prefix), []).append(row)
    head = "| endpoint | action | token | permission | in bulk |\n|---|---|---|---|---|\n"
    return "\n".join(f"### {title}\n\n{head}{''.join(rows)}" for title, rows in groups.items())


def group_of(path: str, prefix: str) -> str:
    """Return the heading of an endpoint: that of its resource."""
    name = path.split("/")[1]
    if prefix == PREFIX:
        return RESOURCES.get(name, "Service")
    return "Approval" if name in {"asks", "seals"} else "Lists and erasure"


def metrics() -> str:
    """Return the table of the metrics of a server."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    counters = [(name, "counter", labels, text) for name, (text, labels) in COUNTERS.items()]
    for name, kind, labels, text in (
        *counters,
        (LATENCY, "histogram", LATENCY_LABELS, LATENCY_TEXT),
    ):
        named = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {kind} | {named} | {text} |")
    return "\n".join(rows) + "\n"


def contents() -> str:
    """Return the sections of the navigation and their pages as a table of links."""
    rows = [
        f"| {caption} | " + " · ".join(f"[{title(name)}]({name}.md)" for name in names)
        for caption, names in sections()
    ]
    return "\n".join(["| section | pages |", "|---|---|", *(f"{row} |" for row in rows)])


PARTS: dict[str, Callable[[], str]] = {
    "actions": partial(words, ActionProfile),
    "categories": partial(words, DataCategories),
    "telling-types": telling_types,
    "redaction-switches": redaction_switches,
    "redaction-rules": redaction_rules,
    "settings": settings,
    "errors": error_tree,
    "commands": command_line,
    "endpoints": endpoints,
    "python": partial(
        reference,
        "remit.agent",
        "remit._record.wrappers.Agent=Agent:run,registration",
        "remit.span_type",
        "remit.span",
        "remit.about",
        "remit.risk",
        "remit.limits",
        "remit.Sensitive",
        "remit.Skip",
        "remit.configure",
        "remit.flush",
        "remit.aflush",
        "remit.shutdown",
        "remit.status",
        "remit.current_run",
        "remit.current_span",
        "remit.trace_headers",
        "remit.copy_context",
        "remit.ContextExecutor",
        "remit._record.blocks.Run=Run",
        "remit._record.blocks.Contained=Contained",
        "remit._record.blocks.Span=Span",
        "remit._deliver.status.FlushResult=FlushResult:",
        "remit._deliver.status.Status=Status:",
        "remit._deliver.status.Health=Health",
        "remit.ApprovalRequest",
        "remit.Approved",
        "remit.Refused",
        "remit.DataRisk",
        "remit.ActionProfile",
        "remit.DataCategories",
    ),
    "python-testing": partial(
        reference,
        "remit.testing.isolated",
        "remit.testing.pytest_plugin.remit_recorder=remit_recorder",
        "remit.testing.RecordingSink:spans,tree,effects,asked,never,at_most,only,no_flow",
        "remit.testing.RecordedRun",
        "remit.testing.RecordedSpan",
        "remit.testing.FakeClock",
    ),
    "python-integrations": partial(
        reference,
        "remit.integrations.langchain.RemitHandler:",
        "remit.integrations.langchain.RemitTools:wrap_tool_call,awrap_tool_call",
        "remit.integrations.langchain.by_interrupt",
        "remit.integrations.openai.watch",
        "remit.integrations.anthropic.watch",
        "remit.integrations.openai_agents.RemitProcessor:",
        "remit.integrations.openai_agents.govern",
        "remit.integrations.openai_agents.answered_by",
        "remit.integrations.claude_agent_sdk.govern",
        "remit.integrations.pydantic_ai.Remit:",
        "remit.integrations.pydantic_ai.by_deferral",
        "remit.integrations.google_adk.RemitPlugin:",
        "remit.integrations.crewai.RemitListener:close",
        "remit.integrations.mcp.govern",
        "remit.integrations.mcp.Recorded:of",
        "remit.integrations.opentelemetry_context.RemitContext:",
    ),
    "python-otel": partial(reference, "remit.otel.bridge.Bridge=remit.otel.Bridge:"),
    "python-client": partial(
        reference,
        "remit.client.Client",
        "remit.client.AsyncClient",
        "remit.client._sync.AgentInstances=remit.client.AgentInstances",
        "remit.client._sync.AgentSpans=remit.client.AgentSpans",
        "remit.client._sync.Bulk=remit.client.Bulk",
        "remit.client._sync.Agents=remit.client.Agents",
    ),
    "python-config": partial(
        reference,
        "remit.config.load",
        "remit.config.variables",
        "remit.config.default_data_dir",
    ),
    "python-collector": partial(
        reference,
        "remit.collector.open_store",
        "remit.collector.create_token",
        "remit.collector.list_tokens",
        "remit.collector.revoke_token",
        "remit.collector.CreatedToken",
        "remit.collector.TokenInfo",
        "remit.collector.TokenScope",
        "remit.collector.Permission",
        "remit.collector.Settings",
        "remit.collector.Store:retain,maintain,scrub,close",
    ),
    "python-models": partial(
        reference,
        "remit.models.agent",
        "remit.models.agent_instance",
        "remit.models.agent_span",
        "remit.models.asks",
        "remit.models.bulk",
        "remit.models.envelope",
    ),
    "python-collector-models": partial(
        reference,
        "remit.collector.models.account",
        "remit.collector.models.api_token",
        "remit.collector.models.deployment",
        "remit.collector.models.service",
    ),
    "metrics": metrics,
    "contents": contents,
}


def derived(page: Path) -> str:
    """Return the text of *page* with its parts as the code says now."""
    return PART.sub(
        lambda part: part[1] + "\n" + PARTS[part["name"]]() + "\n" + part[3], page.read_text()
    )


def pages() -> list[Path]:
    """Return the pages that hold such a part."""
    return [page for page in sorted(DOCS.rglob("*.md")) if PART.search(page.read_text())]


if __name__ == "__main__":
    for each in pages():
        each.write_text(derived(each))
