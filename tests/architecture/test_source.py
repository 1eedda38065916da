"""What the linters cannot say of the source: imports, faults, logging."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.architecture.sources import PACKAGE, ROOT, package, package_with
from tests.faults.unguarded import UNCOUNTED, UNGUARDED
from tests.windows import missing

# Where a broad `except` may stand that neither raises again nor counts a fault: the guard, the loop
# of the workers, and the drivers of generators, which throw it into the user's generator.
MAY_CATCH_EVERYTHING = {
    PACKAGE / "_base" / "guard.py",
    PACKAGE / "_base" / "loops.py",
    PACKAGE / "_deliver" / "worker.py",
    PACKAGE / "_record" / "asking.py",
    PACKAGE / "_record" / "generators.py",
    PACKAGE / "_record" / "stepping.py",
    PACKAGE / "collector" / "server" / "maintenance.py",
}
# What a program needs to record, and not to declare, is imported at its first use, in one place.
MAY_IMPORT_LATER = {PACKAGE / "_runtime" / "process.py"}
# What counts a fault.
CONTAIN = {"_contain", "contain", "_lose", "outside_after", "react_to_fault"}
# Spelled in pieces, so that this file does not hold them itself.
FORBIDDEN_WORDS = ("pragma: " + "no cover", "NotImplemented" + "Error")


def own_imports(nodes: Iterable[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports among *nodes* that bring in remit's own code."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name.partition(".")[0] == "remit" for name in names):
            yield node


def test_own_code_is_imported_at_the_top_only() -> None:
    """An import inside a function or under TYPE_CHECKING hides a cycle."""
    hidden = [
        f"{module.place}:{node.lineno}"
        for module in package_with(r"^[ \t]+(from|import) remit\b")
        if module.path not in MAY_IMPORT_LATER
        for node in own_imports(module.nodes)
        if node not in set(own_imports(module.tree.body))
    ]
    assert hidden == []


def test_no_modules_import_each_other() -> None:
    """Not even through others."""
    dotted = {
        ".".join(each.path.relative_to(ROOT / "src").with_suffix("").parts): each
        for each in package()
    }
    modules = {name.removesuffix(".__init__"): each for name, each in dotted.items()}

    def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        for alias in node.names:
            name = f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            yield name if name in modules else name.rpartition(".")[0]

    TopologicalSorter(
        {
            name: {each for node in own_imports(module.tree.body) for each in imported(node)}
            for name, module in modules.items()
        }
    ).prepare()  # raises on a cycle


def test_nothing_in_the_package_imports_its_root() -> None:
    """The root re-exports what stands on the floors; a floor that asks it runs in a circle."""
    folders = {"remit"} | {path.stem for path in PACKAGE.iterdir()}
    offenders: list[str] = []
    for module in package_with(r"^\s*(from|import) remit\b(?!\.)"):
        for node in own_imports(module.nodes):
            names = {alias.name for alias in node.names}
            of_root = (
                node.module == "remit" and not names <= folders
                if isinstance(node, ast.ImportFrom)
                else "remit" in names
            )
            offenders += [f"{module.place}:{node.lineno}"] if of_root else []
    assert offenders == []


def test_a_packages_init_holds_no_logic() -> None:
    """It says what it is, imports, and lists its names."""
    allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.Expr
    strays = [
        f"{module.place}:{node.lineno}"
        for module in package()
        if module.path.name == "__init__.py"
        for node in module.tree.body
        if not isinstance(node, allowed)
    ]
    assert strays == []


def contains(node: ast.stmt) -> bool:
    """Return whether a statement counts a fault, or keeps it for a call that does."""
    return ast.unparse(node) in {"fault = error", "return denied"} or (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func).rpartition(".")[2] in CONTAIN
    )


def test_only_the_guard_and_the_workers_catch_everything() -> None:
    """Anywhere else `except Exception` hides a fault that the guard would have counted."""
    broad = [
        f"{module.place}:{node.lineno}"
        for module in package_with(r"except:|Exception\b")
        if module.path not in MAY_CATCH_EVERYTHING
        for node in module.nodes
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or re.search(r"\b(Base)?Exception\b", ast.unparse(node.type)))
        and not any(
            (isinstance(inner, ast.Raise) and inner.exc is None) or contains(inner)
            for inner in node.body
        )
    ]
    assert broad == []


def test_what_is_listed_as_unguarded_exists() -> None:
    """So that the next function of that name is guarded, or listed for its own reason."""
    gone = [name for name in (*UNGUARDED, *UNCOUNTED) if not exists(PACKAGE, name.split("."))]
    assert gone == []


def exists(folder: Path, parts: list[str]) -> bool:
    """Return whether a module, or a class or function in one, is there."""
    first, *others = parts
    if (folder / first).is_dir():
        return exists(folder / first, others)
    file = folder / f"{first}.py"
    scope: ast.AST | None = ast.parse(file.read_text()) if file.exists() else None
    for name in others:
        inner = ast.iter_child_nodes(scope) if scope is not None else ()
        scope = next((node for node in inner if getattr(node, "name", None) == name), None)
    return scope is not None


def test_one_module_knows_what_windows_lacks() -> None:
    """The others work on both; `tests/windows` shows it for what programs and commands use."""
    lacking = {
        *(missing.MODULES | {"msvcrt", "sys.platform", "winreg"}),
        *(f"os.{name}" for name in missing.OS | {"kill", "name"}),
        *(f"select.{name}" for name in missing.SELECT),
        *(f"signal.{name}" for name in missing.SIGNAL),
        *(f"socket.{name}" for name in missing.SOCKET),
        *(f"time.{name}" for name in missing.TIME),
    }
    offenders: list[str] = []
    written = (
        r"\b(" + "|".join(map(re.escape, lacking)) + r"|from (os|select|signal|socket|sys|time))\b"
    )
    for module in package_with(written):
        if module.path == PACKAGE / "_base" / "system.py":
            continue
        for node in module.nodes:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            else:
                continue
            offenders += [f"{module.place}: {name}" for name in names if name in lacking]
    assert offenders == []


def test_there_is_one_logger() -> None:
    """A user who wants less or more from remit sets one level; the pool's repeats an outage."""
    named = {
        ast.unparse(node)
        for module in package_with("getLogger")
        for node in module.nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger")
    }
    assert named == {"logging.getLogger('remit')", "logging.getLogger('psycopg.pool')"}


def test_nothing_is_left_uncovered_by_a_comment() -> None:
    """Code that no test reaches is tested or removed."""
    offenders = [
        str(path)
        for folder in ("src", "tests", "examples", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if any(word in path.read_text() for word in FORBIDDEN_WORDS)
    ]
    assert offenders == []


def test_requirements_are_names_and_exact_versions() -> None:
    """Which index they come from, and by which hash, is the machine's business."""
    lines = [
        f"{path.name}: {line}"
        for path in (ROOT / "requirements").glob("*.txt")
        for line in path.read_text().splitlines()
    ]
    assert lines
    pinned = re.compile(r"\S+: [A-Za-z0-9._-]+==[A-Za-z0-9.!+]+")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_tests_reach_private_modules_in_one_place() -> None:
    """Outside `tests/unit`, what is private is imported through `tests.inside` alone."""
    reached: list[str] = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.parent.name == "unit" or path.name in {"inside.py", "inside_collector.py"}:
            continue
        reached += [
            f"{path.relative_to(ROOT)}:{node.lineno} {node.module}.{alias.name}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if is_private(f"{node.module}.{alias.name}")
        ]
    assert reached == []


def is_private(name: str) -> bool:
    """Return whether *name* is of a private module, or of the inside of the collector."""
    package_name, *parts = name.split(".")
    if package_name != "remit":
        return False
    modules, own = parts[:-1], parts[-1]
    if modules[:1] == ["collector"]:
        return len(modules) > 1 and modules[1] != "models"
    return any(part.startswith("_") for part in modules) or (
        own.startswith("_") and not own.startswith("__")
    )


def test_the_package_has_no_data_files_outside_the_collector() -> None:
    """A program that PyInstaller freezes has only modules; there, the version names no commit."""
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file()]
    data = {str(path) for path in files if path.suffix not in {".py", ".pyc"}}
    own = {each for each in data if not each.startswith("collector/")}
    assert own - {"_base/version.txt"} == {"py.typed"}


def test_one_module_of_the_page_says_which_runs_a_person_may_see() -> None:
    """The others that read the database ask it; the sessions compare tokens."""
    page = PACKAGE / "collector" / "page"
    asked = (
        r"\b(scope_of|run_ref_of|instance_of|agent_of)\b|caller\.(agent_id|environment_id|sees)\b"
    )
    elsewhere = [
        module.place
        for module in package_with(asked)
        if module.path.is_relative_to(page) and module.path.name not in {"scope.py", "sessions.py"}
    ]
    assert elsewhere == []
