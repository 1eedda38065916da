"""Each line that remit can log is in the troubleshooting guide, and no other."""

from __future__ import annotations

import re
from typing import Final

from tests.architecture.log_lines import ANY, COMPUTED, Line, log_lines, texts
from tests.architecture.sources import PACKAGE, ROOT

GUIDE: Final = ROOT / "docs" / "troubleshoot"
PAGE: Final = GUIDE / "log-messages.md"
TEMPLATES: Final = PACKAGE / "collector" / "page" / "templates"
CELL: Final = re.compile(r"^\| ([^|]*) \|", re.MULTILINE)
SECTION: Final = re.compile(r"^### ([^\n]*)\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def documented() -> dict[Line, str]:
    """Return the lines of the page, each with its heading."""
    found: dict[Line, str] = {}
    for heading, block in SECTION.findall(PAGE.read_text()):
        level, _, text = " ".join(block.split()).partition(" ")
        found[Line(level.lower(), text)] = heading
    return found


def test_each_line_of_the_log_is_in_the_guide() -> None:
    """Somebody who searches for a line finds its cause."""
    computed = {Line("warning", text) for lines in COMPUTED.values() for text in lines}
    logged = {*log_lines(), *computed}
    assert len(logged) > 40
    assert logged - documented().keys() == set()
    assert documented().keys() - logged == set()


def test_each_heading_has_words_of_its_line() -> None:
    """A search shows the heading."""
    for line, heading in documented().items():
        pieces = heading.replace("`", "").split(ANY)
        pattern = ".*".join(map(re.escape, pieces))
        assert re.search(pattern, line.text.replace("`", "")), heading


def test_a_line_that_is_put_together_has_words_of_the_source() -> None:
    """Otherwise the page would keep words that the source has no longer."""
    source = texts()
    lines = [text for lines in COMPUTED.values() for text in lines]
    pieces = [piece.strip(" ():") for text in lines for piece in text.split(ANY)]
    assert [piece for piece in pieces if piece not in source] == []


def test_each_message_of_the_guide_is_in_the_source() -> None:
    """A reader searches for the words that they saw."""
    templates = (path.read_text() for path in TEMPLATES.glob("*.html"))
    source = "\n".join([texts(), *templates])
    cells = CELL.findall((GUIDE / "index.md").read_text())
    quoted = [text for cell in cells for text in re.findall("`([^`]*)`", cell) if " " in text]
    pieces = [piece.strip() for text in quoted for piece in text.split(ANY)]
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece not in source] == []
