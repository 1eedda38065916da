"""The reference of the Python API in Markdown: signatures, arguments and docstrings.

Everything is read from signatures and Google-style docstrings, so that a forge shows the whole
reference. `conf.py` turns the comments `<!-- py:KIND NAME -->` into the anchors of the site.
"""

from __future__ import annotations

import ast
import enum
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, get_overloads, is_typeddict

from pydantic import BaseModel

SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes", "Source")
HEADING = re.compile(rf"({'|'.join(SECTIONS)}):(?: .*)?")
ENTRY = re.compile(r"(\*{0,2}\w+): (.*)")
SIGNATURE_CHARS = 88
LINE_CHARS = 100
SOURCE = Path(__file__).parent.parent / "src"
FRAMEWORKS = ("remit.integrations.", "remit.otel.")
"""Packages that need frameworks when they are imported: their source is read instead."""
ALIASES = {
    "AnyCallable": "Callable[..., Any]",
    "Capture": "bool | Mapping[str, bool | Mapping[str, bool]]",
    "CaptureMessages": 'Literal["new", "all", "none"]',
    "FinishStatus": 'Literal["complete", "failed", "cancelled"]',
    "JsonMapping": "Mapping[str, Any]",
    "JsonObject": "dict[str, Any]",
    "Purpose": 'Literal["live", "smoke_test", "eval"]',
    "Readable": "Reader | Store",
    "Risk": "DataRisk | Mapping[str, object]",
    "Risks": "Mapping[str, DataRisk | Mapping[str, object]]",
    "SpanStatus": 'Literal["pending", "active", "complete", "failed", "cancelled"]',
    "Timestamp": "datetime | str | None",
}
"""Type aliases of the source, each with the type that the reference shows."""


PUBLIC = {"remit_recorder": "remit.testing"}
"""The module that documents a name without one, if it is not `remit`."""


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the text below each attribute of *owner*, which Python itself throws away."""
    return {name: doc for name, _, _, doc in _attributes(owner) if doc}


def _attributes(owner: type) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and text of each attribute in the source of *owner*."""
    tree = _classes(owner.__module__).get(owner.__qualname__)
    if tree is None:
        return
    for base in tree.bases if is_typeddict(owner) else ():
        if not ast.unparse(base).endswith("TypedDict"):
            yield from _attributes(getattr(sys.modules[owner.__module__], ast.unparse(base)))
    for node, below in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        text = below.value if isinstance(below, ast.Expr) else None
        doc = " ".join(str(text.value).split()) if isinstance(text, ast.Constant) else ""
        if isinstance(node, ast.AnnAssign):
            default = "" if node.value is None else ast.unparse(node.value)
            yield ast.unparse(node.target), ast.unparse(node.annotation), default, doc
        elif isinstance(node, ast.Assign) and issubclass(owner, enum.Enum):
            yield ast.unparse(node.targets[0]), "", ast.unparse(node.value), doc


@cache
def _source(module: str) -> ast.Module:
    path = SOURCE / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text())


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a module by name."""
    return {node.name: node for node in _source(module).body if isinstance(node, ast.ClassDef)}


def _unimported(path: str) -> Callable[..., object]:
    """Return a function or class with signatures and docstrings only, without its framework."""
    module, _, name = path.rpartition(".")
    constants: dict[str, ast.expr] = {}
    members: dict[str, ast.stmt] = {}
    for node in _source(module).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            constants[ast.unparse(node.target)] = node.value
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            members[node.name] = node
    member = _Stripped(constants).visit(members[name])
    future = ast.parse("from __future__ import annotations").body
    code = ast.fix_missing_locations(ast.Module([*future, member], []))
    namespace: dict[str, Any] = {"__name__": module}
    exec(compile(code, f"<{module}>", "exec"), namespace)  # noqa: S102 - the source of remit itself
    member_of_source: Callable[..., object] = namespace[name]
    if inspect.isfunction(member_of_source):
        # `get_overloads` finds those of an imported module by this name.
        member_of_source.__module__ = f"source of {module}"
    return member_of_source


class _Stripped(ast.NodeTransformer):
    """Takes decorators, bases, attributes and bodies away, and puts in the values of defaults."""

    def __init__(self, constants: Mapping[str, ast.expr]) -> None:
        self._constants = constants

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.bases, node.keywords, node.decorator_list = [], [], []
        kept = (ast.FunctionDef, ast.AsyncFunctionDef)
        methods = [self.visit(each) for each in node.body if isinstance(each, kept)]
        node.body = [*self._docstring(node), *methods]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._strip(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self._strip(node)
        return node

    def _strip(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        node.decorator_list = []
        node.body = self._docstring(node) or [ast.Pass()]
        arguments = node.args
        arguments.defaults = [self._value(each) for each in arguments.defaults]
        arguments.kw_defaults = [each and self._value(each) for each in arguments.kw_defaults]

    def _value(self, default: ast.expr) -> ast.expr:
        return self._constants.get(ast.unparse(default), default)

    @staticmethod
    def _docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
        return node.body[:1] if ast.get_docstring(node) else []


@dataclass
class Docstring:
    """The parts of a Google-style docstring."""

    summary: str
    text: str
    sections: Mapping[str, str]

    @classmethod
    def of(cls, member: object) -> Docstring:
        """Return the parts of the docstring of *member*."""
        lines: dict[str, list[str]] = {"": []}
        section = ""
        own = member.__doc__ if isinstance(member, type) else inspect.getdoc(member)
        for line in inspect.cleandoc(own or "").splitlines():
            if HEADING.fullmatch(line):
                section, _, rest = line.partition(":")
                lines[section] = [rest.strip()] if rest.strip() else []
            elif line and not line.startswith(" ") and section:
                section = ""
                lines[""] += ["", line]
            else:
                lines[section].append(line)
        text = "\n".join(lines.pop("")).strip()
        summary = " ".join(text.partition("\n\n")[0].split())
        return cls(summary, text, {name: _dedented(part) for name, part in lines.items()})

    def prose(self, section: str) -> str:
        """Return a section as one paragraph."""
        return " ".join(self.sections.get(section, "").split())

    def entries(self, section: str) -> dict[str, str]:
        """Return the entries of a section, `name: text`, by name."""
        entries: dict[str, str] = {}
        name = ""
        for line in self.sections.get(section, "").splitlines():
            entry = None if line.startswith(" ") else ENTRY.fullmatch(line)
            if entry:
                name, text = entry[1].lstrip("*"), entry[2]
                entries[name] = text
            elif name:
                entries[name] = f"{entries[name]} {line.strip()}".strip()
        return entries


def _dedented(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)).strip()


def reference(*paths: str) -> str:
    """Return the reference of public names: a table of them, then a section for each.

    Args:
        *paths: Modules, of which every public name has a section, or single members, each as
            `private.path=public.name` if its public name differs. `name:run,end` describes only
            these methods of a class, `name:` none.
    """
    members = [member for path in paths for member in _members(path)]
    packages = [name.split(".")[:-1] for name, _, _ in members]
    shared = takewhile(lambda words: len({*words}) == 1, zip(*packages, strict=False))
    common = "".join(f"{words[0]}." for words in shared)
    rows = [
        f"| [`{name.removeprefix(common)}`](#{anchor(name)}) | {_cell(summary)} |"
        for name, member, _ in members
        for summary in [Docstring.of(member).summary]
    ]
    table = "\n".join(["| name | description |", "|---|---|", *rows])
    return "\n\n".join([table, *(section(*member) for member in members)]) + "\n"


def sections(*paths: str) -> str:
    """Return a section for each of the public names, without the table."""
    return "\n\n".join(section(*member) for path in paths for member in _members(path)) + "\n"


def anchor(name: str) -> str:
    """Return the anchor that a forge and the site give to the heading of *name*."""
    return re.sub(r"[^\w-]", "", name.lower())


def _members(path: str) -> Iterator[tuple[str, Any, list[str] | None]]:
    path, colon, chosen = path.partition(":")
    methods = chosen.split(",") if colon else None
    private, _, public = path.partition("=")
    found = (
        _unimported(private) if private.startswith(FRAMEWORKS) else pkgutil.resolve_name(private)
    )
    if not inspect.ismodule(found):
        yield public or private, found, methods
        return
    here = [name for name, member in vars(found).items() if _is_class_of(private, member)]
    for name in getattr(found, "__all__", here):
        member = getattr(found, name)
        if not inspect.ismodule(member):
            yield f"{public or private}.{name}", member, methods


def _is_class_of(module: str, member: object) -> bool:
    return (
        inspect.isclass(member)
        and member.__module__ == module
        and not member.__name__.startswith("_")
    )


def section(name: str, member: Callable[..., object], methods: list[str] | None) -> str:
    """Return the section of a function or a class."""
    full = name if "." in name else f"{PUBLIC.get(name, 'remit')}.{name}"
    if inspect.isclass(member):
        return _headed("class", full, name, _class(name, member, methods))
    return _headed("function", full, name, _function(name, member))


def _headed(kind: str, name: str, heading: str, parts: Iterator[str], level: str = "##") -> str:
    return "\n\n".join([f"<!-- py:{kind} {name} -->", f"{level} `{heading}`", *filter(None, parts)])


def _function(name: str, function: Callable[..., object]) -> Iterator[str]:
    """Yield the signature of a function, its docstring, arguments, result and errors."""
    overloads = get_overloads(function)
    signature = inspect.signature(max(overloads or [function], key=_parameter_count))
    doc = Docstring.of(function)
    parameters = _parameters(signature)
    described = doc.entries("Args")
    keyword = "async " if inspect.iscoroutinefunction(function) else ""
    returned = "" if overloads else _type(signature.return_annotation)
    yield _signature(f"{keyword}{name}", parameters, returned, typed=not described)
    yield doc.text.replace("```python", "```py")
    yield _arguments(parameters, described)
    yield from _ends(doc)


def _parameter_count(function: Callable[..., object]) -> int:
    return len(inspect.signature(function).parameters)


class Parameter(NamedTuple):
    """A parameter as it is shown.

    Attributes:
        name: With its stars.
        default: "" if there is none.
    """

    name: str
    type: str
    default: str
    meaning: str = ""
    keyword_only: bool = False


def _parameters(signature: inspect.Signature) -> list[Parameter]:
    """Return the parameters; those of a `TypedDict` one by one."""
    parameters: list[Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in _SELF or parameter.annotation == "Never":
            continue
        fields = _typed_dict_of(parameter)
        if fields is not None:
            parameters += [
                Parameter(
                    name,
                    _written(re.sub(r"^Required\[(.*)\]$", r"\1", kind)),
                    "" if kind.startswith("Required[") else "...",
                    meaning,
                    keyword_only=True,
                )
                for name, kind, _, meaning in _attributes(fields)
            ]
            continue
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        default = "" if parameter.default is parameter.empty else _default(parameter.default)
        parameters.append(
            Parameter(
                stars + parameter.name,
                _type(parameter.annotation),
                default,
                keyword_only=parameter.kind is parameter.KEYWORD_ONLY,
            )
        )
    return parameters


_SELF = frozenset({"self", "cls"})


def _signature(name: str, parameters: list[Parameter], returned: str, *, typed: bool) -> str:
    """Return a signature on one line, or a line for each parameter; *typed* shows their types."""
    shown: list[str] = []
    starred = False
    for parameter in parameters:
        if parameter.keyword_only and not starred:
            shown.append("*")
        starred = starred or parameter.keyword_only or parameter.name.startswith("*")
        kind = f": {parameter.type}" if typed and parameter.type else ""
        equals = " = " if kind else "="
        default = f"{equals}{parameter.default}" if parameter.default else ""
        shown.append(f"{parameter.name}{kind}{default}")
    result = f" -> {returned}" if returned else ""
    line = f"{name}({', '.join(shown)}){result}"
    if len(line) > SIGNATURE_CHARS:
        inner = "".join(f"    {each},\n" for each in shown)
        line = f"{name}(\n{inner}){result}"
    return f"```text\n{line}\n```"


def _arguments(parameters: list[Parameter], described: Mapping[str, str]) -> str:
    """Return the table of arguments; "" if none is described."""
    rows = [
        _row(
            parameter.name,
            parameter.type,
            parameter.default or ("" if parameter.name.startswith("*") else "required"),
            described.get(parameter.name.lstrip("*"), parameter.meaning),
        )
        for parameter in parameters
    ]
    head = ["| argument | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) if described else ""


def _typed_dict_of(parameter: inspect.Parameter) -> type | None:
    found = re.fullmatch(r"Unpack\[endpoints\.(\w+)\]", str(parameter.annotation))
    return pkgutil.resolve_name(f"remit.client.endpoints.table.{found[1]}") if found else None


def _row(name: str, kind: str, default: str, meaning: str) -> str:
    shown = _code(_written(kind)), _code(default, plain="required")
    return f"| `{name}` | {' | '.join(shown)} | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str, plain: str = "") -> str:
    """Return *text* as code in the cell of a table."""
    return text if text in {"", plain} else f"`{_cell(text)}`"


def _default(value: object) -> str:
    shown = f'"{value}"' if isinstance(value, str) else repr(value)
    return shown.replace("datetime.", "")


def _type(annotation: object) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _written(text)


def _written(annotation: str) -> str:
    """Return an annotation in the words of a reader: no private module, no alias, no `Unpack`."""
    text = re.sub(r"\b(?:_\w+|endpoints|config|typing)\.(?=\w)", "", annotation)
    text = re.sub(r"\bremit(?:\.\w+)+\.(?=\w)", "", text).replace("'", '"')
    text = re.sub(r"\b(\w+)\b(?![\[.])", lambda word: ALIASES.get(word[1], word[1]), text)
    return re.sub(r"^Unpack\[(\w+)\]$", r"\1", text)


def _ends(doc: Docstring) -> Iterator[str]:
    """Yield what a function returns and raises."""
    for heading in ("Returns", "Yields"):
        if text := doc.prose(heading):
            yield _wrapped(f"**{heading}**: {text}")
    if raised := doc.entries("Raises"):
        yield "**Raises**:"
        yield "\n".join(_wrapped(f"- `{name}`: {text}", "  ") for name, text in raised.items())


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        LINE_CHARS,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _class(name: str, owner: type, methods: list[str] | None) -> Iterator[str]:
    """Yield how a class is made, its docstring, attributes and methods."""
    doc = Docstring.of(owner)
    init = Docstring.of(vars(owner).get("__init__"))
    making = Docstring("", "", {**doc.sections, **init.sections})
    described = making.entries("Args")
    bases = ", ".join(base.__name__ for base in owner.__bases__ if _is_shown(base))
    if described:
        parameters = _parameters(inspect.signature(owner.__init__))  # type: ignore[misc]  # of the class, not of an instance
        yield _signature(name, parameters, "", typed=False)
        yield doc.text.replace("```python", "```py")
        yield _arguments(parameters, described)
        yield from _ends(making)
    else:
        yield f"```text\nclass {name}({bases})\n```" if bases else ""
        yield doc.text.replace("```python", "```py")
    yield _fields(owner, doc, described)
    for attribute, member in vars(owner).items():
        method = inspect.getattr_static(member, "__func__", member)
        wanted = attribute in methods if methods is not None else not attribute.startswith("_")
        if wanted and isinstance(method, FunctionType):
            short = f"{name.rpartition('.')[2]}.{attribute}"
            full = f"{name if '.' in name else f'remit.{name}'}.{attribute}"
            yield _headed("method", full, short, _function(short, method), "###")


def _is_shown(base: type) -> bool:
    """Return whether a reader has to know of this base: an error, an enumeration, a pool."""
    return base not in {object, Exception} and (
        issubclass(base, BaseException | enum.Enum) or base.__name__ == "ThreadPoolExecutor"
    )


def _fields(owner: type, doc: Docstring, arguments: Mapping[str, str]) -> str:
    """Return the table of attributes, properties included; "" without any."""
    described = doc.entries("Attributes")
    rows: dict[str, tuple[str, str, str]] = {}
    for attribute, kind, default, text in _attributes(owner):
        known = text or described.get(attribute, "")
        if known and not attribute.startswith("_") and attribute not in arguments:
            rows[attribute] = (kind, default, known)
    for attribute, value in vars(owner).items():
        if isinstance(value, property) and not attribute.startswith("_"):
            doc_of_it = Docstring.of(value)
            kind = _type(inspect.signature(value.fget).return_annotation) if value.fget else ""
            rows[attribute] = (kind, "", " ".join(doc_of_it.text.split()))
    for attribute, text in described.items():
        rows.setdefault(attribute, ("", "", text))
    if issubclass(owner, enum.Enum):
        head = "| member | value | meaning |"
        lines = [
            f"| `{name}` | {_code(value)} | {text} |" for name, (_, value, text) in rows.items()
        ]
    elif issubclass(owner, BaseModel) or all(default for _, default, _ in rows.values()):
        head = "| field | type | default | meaning |"
        lines = [
            _row(name, kind, _model_default(default), text)
            for name, (kind, default, text) in rows.items()
        ]
    elif not any(kind for kind, _, _ in rows.values()):
        head = "| attribute | meaning |"
        lines = [f"| `{name}` | {text} |" for name, (_, _, text) in rows.items()]
    else:
        head = "| attribute | type | meaning |"
        lines = [
            f"| `{name}` | {_code(_written(kind))} | {text} |"
            for name, (kind, _, text) in rows.items()
        ]
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *lines]) if rows else ""


def _model_default(default: str) -> str:
    """Return the default of a field; that of `Field(...)` is an argument."""
    found = re.search(r"default(?:_factory)?=([\w.]+)", default)
    if default.startswith("Field("):
        return found[1] if found else "required"
    return default.replace("'", '"') or "required"
