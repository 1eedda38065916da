"""Write the parts of the documentation that follow from the code: `python docs/derive.py`.

A page holds them between `<!-- derived: NAME -->` and `<!-- end -->`. The tests compare what
stands there with what the code says now, so a page cannot fall behind in silence.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from remit import config, errors
from remit.cli import main

DOCS = Path(__file__).parent
PART = re.compile(r"(<!-- derived: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
UNITS = ((config.GIB, "GiB"), (config.MIB, "MiB"), (config.KIB, "KiB"))
HELP_WIDTH = 88


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
        return "`$XDG_STATE_HOME/remit`"
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
    described = "".join(f".. autoexception:: remit.errors.{name}\n" for name in errors.__all__)
    return f"{found[0]}\n```{{eval-rst}}\n{described}```\n"


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the context of every command below *command*; its path is what a person types."""
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner
        settings = inner.context_settings
        yield from commands(inner, click.Context(inner, info_name=name, parent=context, **settings))


def every_command() -> Iterator[click.Context]:
    """Yield a context for every command that there is."""
    context = click.Context(main, info_name="remit", **main.context_settings)
    context.terminal_width = HELP_WIDTH
    return commands(main, context)


def command_line() -> str:
    """Return the help of every command."""
    return "\n".join(
        f"## `{context.command_path}`\n\n```text\n{context.get_help()}\n```\n"
        for context in every_command()
    )


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "errors": error_tree,
    "commands": command_line,
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
