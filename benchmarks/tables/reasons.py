"""Where it stands why a budget is not kept: the reason, the profile and what was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.children import ROOT

DOCS: Final = ROOT / "docs"
COST: Final = "explanation/cost.md"
OF_COLLECTOR: Final = "explanation/collector-cost.md"


@dataclass(frozen=True)
class Reason:
    """A place in the documents.

    Attributes:
        title: How a link to it reads: its heading.
        page: Path of the page in the documents; none is the page of the benchmarks itself.
        whole: The page as a whole is the place.
    """

    title: str
    page: str = ""
    whole: bool = False

    def link(self) -> str:
        """Return a link to it, in Markdown."""
        words = "".join(char for char in self.title.lower() if char.isalnum() or char in " -")
        anchor = "" if self.whole else f"#{words.replace(' ', '-')}"
        return f"[{self.title}]({self.page}{anchor})"


def _of_collector(title: str) -> Reason:
    """Return the page about what the collector costs, where there is one; else our own words."""
    page = DOCS / OF_COLLECTOR
    if not page.is_file():
        return Reason(title)
    heading = page.read_text().splitlines()[0].removeprefix("# ")
    return Reason(heading, OF_COLLECTOR, whole=True)


CALL: Final = Reason("Where the microseconds go", COST)
PEERS: Final = Reason("The peers, and what differs between them")
RATE: Final = Reason("What limits the rate", COST)
THREADS: Final = Reason("What threads pay that outrun the writer", COST)
GROWTH: Final = Reason("What a span costs among many", COST)
IMPORT: Final = Reason("What an import costs", COST)
OUTAGE: Final = Reason("While nothing listens")
INGEST: Final = _of_collector("The collector")
READS: Final = _of_collector("Reads")
ALL: Final = (CALL, PEERS, RATE, THREADS, GROWTH, IMPORT, OUTAGE, INGEST, READS)
