"""The commands that the documents tell a reader to type are there, with the options they name."""

from __future__ import annotations

import re
import shlex

from docs import derive
from tests.architecture.sources import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TYPED = re.compile(r"(?:^\$ |`)(?P<words>remit [a-z][^`|>\n]*)", re.MULTILINE)
COMMANDS = {context.command_path: context.command for context in derive.every_command()}
GROUPS = {path.rpartition(" ")[0] for path in COMMANDS}


def typed() -> list[tuple[str, str]]:
    """Return each command line of the documents with its page."""
    return [
        (page.name, found["words"].partition(" #")[0].strip())
        for page in PAGES
        for found in TYPED.finditer(page.read_text())
    ]


def mistakes(page: str, text: str) -> list[str]:
    """Return what is wrong with one command line of a document."""
    words = shlex.split(text)
    paths = [" ".join(words[:3]), f"{' '.join(words[:2])} ACTION", " ".join(words[:2])]
    path = next((each for each in paths if each in COMMANDS), None)
    if path is None:
        return [] if text in GROUPS else [f"{page}: {text!r} is no command"]
    given = {word.partition("=")[0] for word in words if word.startswith("-")}
    known = {option for each in COMMANDS[path].params for option in each.opts}
    return [f"{page}: {text!r} has no option {option}" for option in sorted(given - known)]


def test_a_command_in_a_document_can_be_typed() -> None:
    """Its words are those of a command, its options are among that command's."""
    lines = sorted(set(typed()))
    assert lines
    assert [mistake for page, text in lines for mistake in mistakes(page, text)] == []
