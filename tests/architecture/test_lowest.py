"""The lowest versions that we ask for are the ones that the session `lowest` runs on."""

from __future__ import annotations

import re
import tomllib

from tests.architecture.sources import ROOT

ASKED = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


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
