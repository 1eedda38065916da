"""Check the built site: its search finds, and its pictures exist: `python -m docs.ask FOLDER`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

from sphinx.search.en import SearchEnglish

EXPECTED: Final = {
    "install": "get-started/install",
    "compare": "get-started/compare",
    "jupyter": "integrations/notebooks",
    "retention": "protect/retention",
    "tenant": "operate/teams",
    "alert": "operate/monitor",
    "troubleshooting": "troubleshoot/index",
    "audit": "comply/evidence",
    "gdpr": "comply/mapping",
    "threat": "comply/threat-model",
}
"""The page that each word has to find."""
PICTURE: Final = re.compile(r'<img [^>]*src="([^"#?]+)')


def found(index: dict[str, dict[str, int | list[int]]], names: list[str], word: str) -> set[str]:
    """Return the names of the pages that the search finds by a word."""
    stem = SearchEnglish({}).stem(word)
    pages: set[str] = set()
    for part in ("terms", "titleterms"):
        places = index[part].get(stem, [])
        pages |= {names[place] for place in ([places] if isinstance(places, int) else places)}
    return pages


def lost_pictures(folder: Path) -> set[str]:
    """Return the pages and pictures where a page shows a picture that the site does not have."""
    return {
        f"{page.relative_to(folder)}: there is no {source}"
        for page in folder.rglob("*.html")
        for source in PICTURE.findall(page.read_text())
        if "://" not in source and not source.startswith(("data:", "/"))
        if not (page.parent / source).is_file()
    }


def main(folder: str) -> None:
    """Exit with the words that do not find their page, and the pictures that are not there."""
    text = Path(folder, "searchindex.js").read_text()
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    missing = [
        f"{word}: {page} is not found"
        for word, page in EXPECTED.items()
        if page not in found(index, index["docnames"], word)
    ]
    missing += sorted(lost_pictures(Path(folder)))
    if missing:
        raise SystemExit("\n".join(missing))


if __name__ == "__main__":
    main(sys.argv[1])
