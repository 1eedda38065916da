"""What is imported is declared, and the lowest versions are those that `lowest` runs on."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain

from tests.architecture.sources import ROOT, package

ASKED = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")

BROUGHT = {"httpcore", "pydantic-core", "pytest"}
"""Brought in the right version by httpx and pydantic, and by who uses the plugin of pytest."""
USED_WHERE_INSTALLED = {"httpcore2", "httpx2"}
"""Chosen by the client in place of a library that remit requires."""
FOR_DEVELOPERS = {"bench", "dev", "test", "test-frameworks", "test-gate"}
APART = {"crewai": {"crewai"}, "google": {"google-adk"}}
"""Not installed beside the pinned versions, so that no distribution tells their modules."""


def plain(name: str) -> str:
    """Return the name of a library as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parts(version: str) -> list[str]:
    """Return the parts of a version without zeros at its end."""
    return version.removesuffix(".0").removesuffix(".0").split(".")


def test_the_lowest_versions_are_tested() -> None:
    """A lower bound that nobody ran is a guess."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [match for match in map(ASKED.fullmatch, project["dependencies"]) if match]
    pinned = (ROOT / "requirements/lowest.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in pinned]
    tested = {plain(name): parts(version) for name, _, version in pairs}
    assert len(asked) == len(project["dependencies"])
    for name, version in (match.groups() for match in asked):
        assert tested[plain(name)] == parts(version), f"{name}>={version}"


def imported() -> dict[str, str]:
    """Return the libraries that the package imports, and for each a module that does."""
    libraries: dict[str, str] = {}
    for module in package():
        for node in module.nodes:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names.append(node.module)
            libraries |= {name.partition(".")[0]: module.place for name in names}
    # The standard library of Python 3.14 is imported where it is there.
    own = {*sys.stdlib_module_names, *USED_WHERE_INSTALLED, "annotationlib", "remit"}
    return {name: place for name, place in libraries.items() if name not in own}


def test_what_is_imported_is_declared() -> None:
    """A library that another one happens to bring may come in any version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"]]
    for extra, libraries in project["optional-dependencies"].items():
        lists += [] if extra in FOR_DEVELOPERS else [libraries]
    asked = {plain(re.split(r"[\[><=]", one)[0]) for one in chain(*lists)}
    distributions = packages_distributions()
    for name, place in imported().items():
        # Several distributions may have modules in one namespace.
        libraries = APART.get(name) or {plain(each) for each in distributions[name]}
        assert libraries & (asked | BROUGHT), f"{libraries}, imported in {place}"
