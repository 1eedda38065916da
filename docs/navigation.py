"""The sections of the documentation and their pages: the captioned toctrees of `index.md`."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent
_TOCTREE = re.compile(
    r"^```\{toctree\}\n:hidden:\n:caption: ([^\n]*)\n\n(.*?)^```", re.DOTALL | re.MULTILINE
)


def sections() -> list[tuple[str, list[str]]]:
    """Return the captions, each with the names of its pages, in the order of the sidebar."""
    toctrees = _TOCTREE.findall((DOCS / "index.md").read_text())
    return [(caption, names.split()) for caption, names in toctrees]


def title(name: str) -> str:
    """Return the title of a page."""
    return (DOCS / f"{name}.md").read_text().partition("\n")[0].removeprefix("# ")
