"""What the linters cannot say of the source: imports, faults, logging, words left for later."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import PACKAGE, ROOT, Module, modules, package

pytestmark = pytest.mark.slow

# Where a broad `except` may stand that does not raise again: the guard, the loop of the workers,
# the drivers of generators, which throw what came into the user's generator, and the collector's
# threads, which have it raised where the answer is waited for.
MAY_CATCH_EVERYTHING = {
    PACKAGE / "_guard.py",
    PACKAGE / "_delivery" / "worker.py",
    PACKAGE / "_spans" / "_ending.py",
    PACKAGE / "_decorators" / "_driving.py",
    PACKAGE / "collector" / "routes" / "turns.py",
}
# Spelled in pieces, so that this file does not hold them itself.
FORBIDDEN_WORDS = ("pragma: " + "no cover", "TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error")

in_package = pytest.mark.parametrize("module", package(), ids=lambda module: module.place)


def own_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports below *tree* that bring in remit's own code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name.partition(".")[0] == "remit" for name in names):
            yield node


def late_blocks(module: Module) -> list[ast.If]:
    """Return the blocks that tell type checkers of a module, and else import it at first use."""
    blocks = [node for node in module.tree.body if isinstance(node, ast.If)]
    return [each for each in blocks if ast.unparse(each.test) == "TYPE_CHECKING"]


def told_of_names(block: ast.If) -> dict[str, str]:
    """Return which module each name is from, as type checkers are told."""
    told = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in told for alias in node.names}


def names_that_come_late(block: ast.If) -> object:
    """Return which module each name is from, as `__getattr__` of a package has it."""
    (made,) = block.orelse
    assert isinstance(made, ast.Assign)
    assert isinstance(made.value, ast.Call)
    assert ast.unparse(made.targets[0]) == "(__getattr__, __dir__)"
    assert ast.unparse(made.value.func) == "lately"
    return ast.literal_eval(made.value.args[1])


@in_package
def test_own_code_is_imported_at_the_top_only(module: Module) -> None:
    """An import inside a function or under TYPE_CHECKING hides a cycle; a late one is no secret."""
    at_top = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    late = [node for block in late_blocks(module) for node in block.body]
    hidden = [node.lineno for node in own_imports(module.tree) if node not in [*at_top, *late]]
    assert hidden == []


@in_package
def test_a_late_import_is_what_type_checkers_are_told(module: Module) -> None:
    """One name for one module, in both halves: the floors are read from the first."""
    for block in late_blocks(module):
        if module.path.name == "__init__.py":
            assert names_that_come_late(block) == told_of_names(block)
            continue
        told = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in block.body
            if isinstance(node, ast.ImportFrom) and node in own_imports(block)
            for alias in node.names
        }
        done = {
            ast.unparse(node.targets[0]): ast.unparse(node.value)
            for node in block.orelse
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("late(")
        }
        assert done == {name: f"late({place!r})" for name, place in told.items()}


@in_package
def test_nothing_in_the_package_imports_its_root(module: Module) -> None:
    """The root re-exports what stands on the floors; a floor that asks it runs in a circle."""
    folders = {"remit"} | {path.stem for path in PACKAGE.iterdir()}
    for node in own_imports(module.tree):
        if isinstance(node, ast.ImportFrom):
            asked = {alias.name for alias in node.names} if node.module == "remit" else set[str]()
            assert asked <= folders, f"line {node.lineno} imports {asked - folders} from the root"
        else:
            assert all(alias.name != "remit" for alias in node.names), f"line {node.lineno}"


@pytest.mark.parametrize(
    "module",
    [module for module in package() if module.path.name == "__init__.py"],
    ids=lambda module: module.place,
)
def test_a_packages_init_holds_no_logic(module: Module) -> None:
    """It says what it is, imports, and lists its names."""
    allowed = ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.Expr
    late = late_blocks(module)
    strays = [
        node.lineno
        for node in module.tree.body
        if not isinstance(node, allowed) and node not in late
    ]
    assert strays == []


@in_package
def test_only_the_guard_and_the_workers_catch_everything(module: Module) -> None:
    """Anywhere else `except Exception` hides a fault that the guard would have counted."""
    broad = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or re.search(r"\b(Base)?Exception\b", ast.unparse(node.type)))
        and not any(isinstance(inner, ast.Raise) and inner.exc is None for inner in node.body)
    ]
    if module.path not in MAY_CATCH_EVERYTHING:
        assert broad == []


@in_package
def test_there_is_one_logger(module: Module) -> None:
    """A user who wants less or more from remit sets one level."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger"):
            assert [ast.unparse(argument) for argument in node.args] == ["'remit'"]


@pytest.mark.parametrize(
    "module", modules("src", "tests", "examples", "benchmarks"), ids=lambda module: module.place
)
def test_nothing_is_left_for_later(module: Module) -> None:
    """What is not done is in the issues, not in the source; what is not covered is tested."""
    assert [word for word in FORBIDDEN_WORDS if word in module.text] == []


def test_requirements_are_names_and_exact_versions() -> None:
    """Which index they come from, and by which hash, is the machine's business."""
    for path in (ROOT / "requirements").glob("*.txt"):
        for line in path.read_text().splitlines():
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line), f"{path.name}: {line}"
