"""What follows from the code is documented as the code has it: settings, errors, commands."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

import remit
from docs import derive, navigation
from remit import client, collector, errors, integrations, testing
from remit.config import Settings
from tests.architecture.sources import ROOT, package, package_with
from tests.subtests import each

REFERENCE = ROOT / "docs" / "reference"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md"))),
]
MAX_LINE_CHARS: Final = 110
"""Prose is wrapped at 100; rows of tables are not."""
DIRECTIVES_ALONE: Final = re.compile(
    r"^(#+ [^\n]*)\n\s*(?:```\{.*?^```\s*)+(?=^#|\Z)", re.DOTALL | re.MULTILINE
)


def test_a_derived_part_is_what_the_code_says_now() -> None:
    """Run `python -m docs.derive` after a change of settings, errors or commands."""
    pages = derive.pages()
    assert [page.name for page in pages if page.read_text() != derive.derived(page)] == []


def test_the_reference_has_every_public_name() -> None:
    """Each name that a program may import from remit has a section, and the classes it gets."""
    sections = _sections()
    public = {f"remit.{name}" for name in remit.__all__} - {"remit.errors"}
    for module in (errors, testing, client, collector):
        public |= {f"{module.__name__}.{name}" for name in module.__all__}
    for found in walk_packages(integrations.__path__, "remit.integrations."):
        if not found.name.rpartition(".")[2].startswith("_"):
            public |= set(_public_members(found.name))
    public |= {f"remit.{name}" for name in ("Run", "Run.fail", "Agent.run", "Span", "otel.Bridge")}
    assert len(public) > 60
    assert public - sections.keys() == set()


def test_the_reference_describes_every_argument() -> None:
    """A row without a meaning is a name and a type, which the signature has."""
    rows = [
        (name, row)
        for name, section in _sections().items()
        for row in re.findall(r"^\| `.*", section, re.MULTILINE)
    ]
    assert len(rows) > 500
    assert [(name, row) for name, row in rows if row.endswith("|  |")] == []


def test_a_signature_is_described_as_its_docstring_has_it() -> None:
    """The arguments of a run, and what it raises: they were nowhere in the documents."""
    section = _sections()["remit.Agent.run"]
    for argument in ("purpose", "subject", "labels", "resume", "traceparent"):
        default = "UNSET" if argument == "resume" else "None"
        row = rf"(?m)^\| `{argument}` \| `[^`]+` \| `{default}` \| .*\w.* \|$"
        assert re.search(row, section)
    assert "    subject=None,\n" in section
    assert "\n- `RunTerminated`: " in section


def test_the_architecture_names_modules_and_packages_that_exist() -> None:
    """Each has a paragraph, or answers a question."""
    text = (ROOT / "docs" / "contribute" / "architecture.md").read_text()
    source = ROOT / "src" / "remit"
    names = set(re.findall(r"`(_\w+(?:/\w+)*|(?:client|collector)/[\w/]+)`", text))
    assert len(names) > 20
    found = {name for name in names if (source / name).is_dir() or (source / f"{name}.py").exists()}
    assert names - found == set()
    packages = {f"`{path.name}`" for path in source.iterdir() if (path / "__init__.py").exists()}
    assert {name for name in packages if f"**{name}**" not in text} == set()
    members = set(re.findall(r"`([\w.]+)` in `([\w/]+)`", text))
    assert len(members) > 60
    assert {(name, path) for name, path in members if not _defines(source / path, name)} == set()


def _defines(path: Path, name: str) -> bool:
    """Return whether a module, or one of a package, contains the names of *name*."""
    module = path.with_suffix(".py")
    text = "".join(each.read_text() for each in (path.glob("*.py") if path.is_dir() else [module]))
    return all(
        re.search(rf"(def|class) {part}\b|^ *{part}:? ", text, re.MULTILINE)
        for part in name.split(".")
    )


def test_each_package_has_a_row_of_tests_that_are_there() -> None:
    """CONTRIBUTING says which tests cover which package."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r'^\| `([\w/]+)`.* \| `OF="?([\w ]+)"?` \|$', text, re.MULTILINE)
    in_gate = re.findall(r"^\| `([\w/]+)` \| `make gate ARGS=([\w./]+)` \|$", text, re.MULTILINE)
    source = ROOT / "src" / "remit"
    packages = {path.parent.name for path in source.glob("*/__init__.py")}
    named = [package for package, _ in (*rows, *in_gate)]
    assert packages - {package.partition("/")[0] for package in named} == set()
    paths = [source / package for package in named]
    missing = [path for path in paths if not (path.is_dir() or path.with_suffix(".py").exists())]
    assert missing == []
    assert [path for _, path in in_gate if not (ROOT / path).exists()] == []
    files = {name: _files_of(name) for _, names in rows for name in names.split()}
    assert [name for name in files if not files[name]] == []
    for_the_gate = set(re.findall(r'"(test_\w+\.py)":', (ROOT / "conftest.py").read_text()))
    fast = {name for name in files if files[name] - for_the_gate}
    assert [names for _, names in rows if fast.isdisjoint(names.split())] == []


def _files_of(name: str) -> set[str]:
    """Return the names of the files that `OF=name` names."""
    return {path.name for path in (ROOT / "tests").glob(f"*/test_{name}*.py")}


def test_each_test_that_a_promise_names_is_there() -> None:
    """A promise whose test has gone is held by nothing."""
    text = (ROOT / "docs" / "contribute" / "tested-guarantees.md").read_text()
    named = set(re.findall(r"`(?:tests/\w+/)?(test_\w+\.py)`", text))
    assert len(named) > 20
    assert named - {path.name for path in (ROOT / "tests").rglob("test_*.py")} == set()


def test_each_test_that_a_way_to_fail_closed_names_is_there() -> None:
    """A row without a file names a test of `test_asks.py`."""
    text = (ROOT / "docs" / "comply" / "governance.md").read_text()
    _, _, table = text.partition("### Every way in which asking fails\n")
    rows = re.findall(r"^\| .+ \| (.*(?:test_|the same test).*) \|$", table, re.MULTILINE)
    assert len(rows) > 40
    missing: list[str] = []
    for row in rows:
        (file,) = re.findall(r"`(tests/\w+/test_\w+\.py)`", row) or ["tests/unit/test_asks.py"]
        source = (ROOT / file).read_text()
        missing += [
            f"{file}: {name}"
            for name in re.findall(r"`(test_\w+)`", row)
            if not re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
        ]
    assert missing == []


def test_the_pages_read_well_where_markdown_alone_is_rendered() -> None:
    """A forge shows them unbuilt, without the titles and docstrings that Sphinx adds."""
    problems = [
        f"{page.relative_to(ROOT)}: {problem}"
        for page in PAGES
        for problem in _unreadable(page.read_text())
    ]
    assert problems == []


@each(
    "page, problem",
    [
        ("See [](other.md).", "link without text: [](other.md)"),
        ("| a | b |\n|---|---|\n| 1 |", "row of 1 cells, header of 2: | 1 |"),
        ("| a |\n|---|\n| 1 |\nand more |", "row in pieces: and more |"),
        ("A read is answered\n504. It ends.", "line that begins like a list: 504. It ends."),
        ("Words " * 30, f"line of 180 characters: {'Words ' * 6}Word"),
        ("# A\n\n```{eval-rst}\n.. automodule:: a\n```\n", "section without text: # A"),
    ],
)
def test_what_a_forge_cannot_show_is_found(page: str, problem: str) -> None:
    """Otherwise the test above could not fail."""
    assert [*_unreadable(page)] == [problem]


def test_every_setting_is_documented() -> None:
    """Each setting has a row in the table."""
    table = (REFERENCE / "settings.md").read_text()
    assert [name for name in Settings.model_fields if f"\n| `{name}` |" not in table] == []


def test_every_error_is_documented() -> None:
    """Each error is named with the reaction that it asks for."""
    text = (REFERENCE / "errors.md").read_text()
    assert [name for name in errors.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_command_is_documented() -> None:
    """Each command has a heading in the words that a person types."""
    text = (REFERENCE / "command-line.md").read_text()
    paths = [context.command_path for context in derive.every_command()]
    assert [path for path in paths if f"\n## `{path}`\n" not in text] == []


def test_every_changelog_fragment_is_read() -> None:
    """One with a type that is not declared would be left out in silence."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
    types = "|".join(each["directory"] for each in declared)
    for fragment in (ROOT / "changelog.d").iterdir():
        assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({types})(\.\d+)?\.md|\.gitignore", fragment.name)


def test_no_document_names_a_shared_temporary_folder() -> None:
    """Another user may have put something there."""
    documents = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    sources = [*(ROOT / "examples").rglob("*.py"), *(ROOT / "src").rglob("*.py")]
    for path in (*documents, *sources):
        assert not re.search(r"(?<![\w.])/(var/)?tmp\b", path.read_text()), path


def test_nothing_says_to_install_remit_by_its_name() -> None:
    """It is not on a package index yet: Install says how to do without."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    sources = [*(ROOT / "examples").rglob("*.py"), *(ROOT / "src").rglob("*.py")]
    by_name = re.compile(r"\bpip install (-\S+ )*['\"]?remit\b(?!/)")
    assert [path for path in (*documents, *sources) if by_name.search(path.read_text())] == []


def test_the_members_that_the_architecture_names_are_there() -> None:
    """It is the map for those who are new."""
    text = (ROOT / "docs" / "contribute" / "architecture.md").read_text()
    members = re.findall(r"`([A-Z]\w+)\.(\w+)`", text)
    assert len(members) > 8
    assert [pair for pair in members if not _is_member(*pair)] == []


def test_each_document_that_the_source_names_is_there() -> None:
    """A reader can open it: notes that are kept elsewhere explain nothing."""
    named = {
        name
        for module in package()
        for name in re.findall(r"[\w/.-]+\.md\b", module.text)
        if not name.startswith("http")
    }
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).is_file()] == []


def _sections() -> dict[str, str]:
    """Return the sections of the Python reference by the name that each describes."""
    pages = [*sorted((REFERENCE / "python").glob("*.md")), REFERENCE / "errors.md"]
    text = "".join(page.read_text() for page in pages)
    parts = re.split(r"^<!-- py:\w+ (\S+) -->$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _public_members(module: str) -> list[str]:
    """Return the public functions and classes that *module* of the integrations defines."""
    path = f"src/{module.replace('.', '/')}.py"
    (source,) = [each for each in package() if each.place == path]
    return [
        f"{module}.{node.name}"
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def _unreadable(page: str) -> Iterator[str]:
    """Yield what a reader of the Markdown of *page* cannot follow."""
    for heading in DIRECTIVES_ALONE.findall(page):
        yield f"section without text: {heading}"
    text = re.sub(r"^```.*?^```$|^<!--.*?-->$", "", page, flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\[\]\([^)]*\)", text):
        yield f"link without text: {link}"
    cells = 0
    for above, line in pairwise(["", *text.splitlines()]):
        if line.startswith("|"):
            count = len(re.findall(r"(?<!\\)\|", line)) - 1
            cells = cells or count
            if count != cells:
                yield f"row of {count} cells, header of {cells}: {line[:40]}"
            continue
        if cells and line:
            yield f"row in pieces: {line[:40]}"
        elif re.match(r"\d+\. ", line) and above and not re.match(r"\d+\. | ", above):
            yield f"line that begins like a list: {line[:40]}"
        elif len(line) > MAX_LINE_CHARS:
            yield f"line of {len(line)} characters: {line[:40]}"
        cells = 0


def _is_member(of: str, name: str) -> bool:
    classes = [
        node
        for module in package_with(rf"^class {of}\b")
        for node in module.nodes
        if isinstance(node, ast.ClassDef) and node.name == of
    ]
    return any(re.search(rf"\b{name}\b", ast.unparse(each)) for each in classes)


def test_each_page_has_one_place_in_the_navigation() -> None:
    """A page that no navigation has is not found."""
    placed = [name for _, names in navigation.sections() for name in names]
    docs = ROOT / "docs"
    pages = [
        page.relative_to(docs).with_suffix("").as_posix() for page in PAGES if docs in page.parents
    ]
    assert sorted([*placed, "index"]) == sorted(pages)
