"""Write the parts of the documentation that follow from the code: `python -m docs.derive`.

A page holds them between `<!-- derived: NAME -->` and `<!-- end -->`. The tests compare what
stands there with what the code says now, so a page cannot fall behind in silence.
"""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import get_args

import click
from pydantic import BaseModel

from docs.navigation import DOCS, sections, title
from docs.redaction import GROUPS, Rule
from remit import ActionProfile, DataCategories, config, errors
from remit._capture.rules.categories import CATEGORY_RULES
from remit.cli import main
from remit.collector import Permission
from remit.collector.api.endpoints import DOCUMENT, ENDPOINTS, OPERATIONS, PREFIX
from remit.collector.api.openapi import document
from remit.collector.server.prometheus import COUNTERS, LATENCY, LATENCY_LABELS, LATENCY_TEXT

PART = re.compile(r"(<!-- derived: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
UNITS = ((config.GIB, "GiB"), (config.MIB, "MiB"), (config.KIB, "KiB"))
HELP_WIDTH = 88
SHOWN_EXAMPLES = 3
SHOWN_CHARS = 48


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the text below each attribute of *owner*, which Python itself throws away."""
    (tree,) = ast.parse(inspect.getsource(owner)).body
    assert isinstance(tree, ast.ClassDef)
    docs: dict[str, str] = {}
    for node, below in zip(tree.body, tree.body[1:], strict=False):
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(node, ast.AnnAssign) and isinstance(text, ast.Constant):
            docs[ast.unparse(node.target)] = " ".join(str(text.value).split())
    return docs


def shown(name: str, default: object) -> str:
    """Return *default* as the table shows it."""
    if name == "data_dir":
        return "`$XDG_STATE_HOME/remit`; on Windows `%LOCALAPPDATA%\\remit`"
    if name == "flush_on":
        return "`interval`; `run` in a serverless function and a task of Airflow"
    if name == "outside_run":
        return "by `on_violation`"
    if default is None or default == ():
        return "none"
    if name.endswith("_bytes") and isinstance(default, int):
        size, unit = next((size, unit) for size, unit in UNITS if default % size == 0)
        return f"{default // size} {unit}"
    return f"`{default}`"


def settings() -> str:
    """Return the table of settings."""
    docs = attribute_docs(config.Settings)
    rows = ["| setting | variable | default | what it does |", "|---|---|---|---|"]
    for name, field in config.Settings.model_fields.items():
        variables = ", ".join(f"`{each}`" for each in config.variables(name)) or "none"
        default = shown(name, field.default)
        rows.append(f"| `{name}` | {variables} | {default} | {docs[name]} |".replace("||", "|"))
    return "\n".join(rows) + "\n"


def error_tree() -> str:
    """Return the drawing of the errors, and where Sphinx is to describe each."""
    found = re.search(r"```text\n.*?```\n", inspect.cleandoc(errors.__doc__ or ""), re.DOTALL)
    assert found
    described = "".join(
        f".. {kind}:: remit.errors.{name}\n"
        for name in errors.__all__
        for kind in ["autoclass" if name == "Violation" else "autoexception"]
    )
    return f"{found[0]}\n```{{eval-rst}}\n{described}```\n"


def words(owner: type[BaseModel]) -> str:
    """Return the table of the words of one part of a data risk."""
    fields = owner.model_fields
    rows = [
        f"| `{name}` | {', '.join(get_args(fields[name].annotation))} | {text} |"
        for name, text in attribute_docs(owner).items()
    ]
    return "\n".join(["| name | what can be said | meaning |", "|---|---|---|", *rows]) + "\n"


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
    rows = ["| rules | one parameter | one span type | one process |", "|---|---|---|---|"]
    for group in GROUPS:
        ways = (group.parameter, group.span_type, group.process)
        rows.append(f"| {group.title} | {' | '.join(way or 'never' for way in ways)} |")
    return "\n".join(rows) + "\n"


def redaction_rules() -> str:
    """Return a table of rules for each group: what each redacts, with examples."""
    return "\n".join(
        f"### {group.title}\n\n| rule | redacts | redacted | recorded |\n|---|---|---|---|\n"
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
    """Return the table of the collector's endpoints."""
    paths = json.loads(document())["paths"]
    rows = ["| method and path | what it does | token may | in bulk |", "|---|---|---|---|"]
    for endpoint in ENDPOINTS:
        does = paths[endpoint.route][endpoint.method.lower()]["summary"]
        name = f"`{endpoint.operation}`" if endpoint.operation in OPERATIONS else ""
        path = endpoint.path if endpoint.prefix == PREFIX else endpoint.route
        words = dict.fromkeys([endpoint.needs, *([Permission.RECORD] if endpoint.records else [])])
        may = "" if endpoint.operation == DOCUMENT else " or ".join(f"`{word}`" for word in words)
        rows.append(f"| `{endpoint.method} {path}` | {does} | {may} | {name} |")
    return "\n".join(rows) + "\n"


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


def interface(*paths: str) -> str:
    """Return the table of public names, each with the first sentences of its docstring.

    Sphinx describes them in full; a forge shows the page without that.

    Args:
        *paths: Modules, of which every public name has a row, classes and functions. A class has a
            row for each of its public methods and properties too.
    """
    rows = ["| name | what it is |", "|---|---|"]
    for path in paths:
        found = pkgutil.resolve_name(path)
        if not inspect.ismodule(found):
            rows += interface_rows(path.rpartition(".")[2], found)
        for name in public_names(found) if inspect.ismodule(found) else ():
            rows += interface_rows(name, getattr(found, name))
    return "\n".join(rows) + "\n"


def public_names(module: ModuleType) -> list[str]:
    """Return what a module exports, without modules; of a module of models, its classes."""
    here = [name for name, member in vars(module).items() if is_class_of(module, member)]
    names: list[str] = getattr(module, "__all__", here)
    return [name for name in names if not inspect.ismodule(getattr(module, name))]


def is_class_of(module: ModuleType, member: object) -> bool:
    """Return whether *member* is a public class that *module* defines."""
    return (
        inspect.isclass(member)
        and member.__module__ == module.__name__
        and not member.__name__.startswith("_")
    )


def interface_rows(name: str, member: object) -> Iterator[str]:
    """Yield the row of a function or class, and those of the methods of the class."""
    first = " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())
    yield f"| `{name}` | {first} |"
    for attribute, value in vars(member).items() if inspect.isclass(member) else ():
        if isinstance(value, FunctionType | property) and not attribute.startswith("_"):
            yield from interface_rows(f"{name}.{attribute}", value)


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
    "metrics": metrics,
    "interface": partial(interface, "remit"),
    "interface-of-blocks": partial(
        interface,
        "remit._record.wrappers.Agent",
        "remit._record.blocks.Run",
        "remit._record.blocks.Contained",
        "remit._record.blocks.Span",
    ),
    "interface-of-delivery": partial(
        interface,
        "remit._deliver.status.FlushResult",
        "remit._deliver.status.Status",
        "remit._deliver.status.Health",
    ),
    "interface-of-client": partial(interface, "remit.client"),
    "interface-of-endpoints": partial(
        interface,
        "remit.client._sync.AgentInstances",
        "remit.client._sync.AgentSpans",
        "remit.client._sync.Bulk",
        "remit.client._sync.Agents",
    ),
    "interface-of-testing": partial(interface, "remit.testing"),
    "interface-of-config": partial(
        interface,
        "remit.config.load",
        "remit.config.variables",
        "remit.config.default_data_dir",
    ),
    "interface-of-models": partial(
        interface,
        "remit.models.agent",
        "remit.models.agent_instance",
        "remit.models.agent_span",
        "remit.models.bulk",
        "remit.models.data_risk",
        "remit.models.envelope",
    ),
    "interface-of-collector-models": partial(
        interface,
        "remit.collector.models.account",
        "remit.collector.models.api_token",
        "remit.collector.models.deployment",
        "remit.collector.models.service",
    ),
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
