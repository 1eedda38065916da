"""What follows from the code is documented as the code has it: settings, errors, commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs import derive
from remit import errors
from remit.config import Settings
from tests.architecture.sources import ROOT

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", derive.pages(), ids=lambda page: page.name)
def test_a_derived_part_is_what_the_code_says_now(page: Path) -> None:
    """Run `python docs/derive.py` after a change of settings, errors or commands."""
    assert page.read_text() == derive.derived(page)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    """A table that lost a row is not the table."""
    assert f"\n| `{name}` |" in (REFERENCE / "settings.md").read_text()


@pytest.mark.parametrize("name", sorted(errors.__all__))
def test_every_error_is_documented(name: str) -> None:
    """With the reaction that it asks for."""
    assert re.search(rf"\b{name}\b", (REFERENCE / "errors.md").read_text())


@pytest.mark.parametrize(
    "words", sorted(context.command_path for context in derive.every_command())
)
def test_every_command_is_documented(words: str) -> None:
    """In the words that a person types."""
    assert f"\n## `{words}`\n" in (REFERENCE / "command-line.md").read_text()


def test_every_changelog_fragment_is_read() -> None:
    """One with a type that is not declared would be left out in silence."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]["type"]
    types = "|".join(each["directory"] for each in declared)
    for fragment in (ROOT / "changelog.d").iterdir():
        assert re.fullmatch(rf"\d+\.({types})(\.\d+)?\.md|\.gitignore", fragment.name)
