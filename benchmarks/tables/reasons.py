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
    """

    title: str
    page: str = ""

    def link(self) -> str:
        """Return a link to it, in Markdown."""
        words = "".join(char for char in self.title.lower() if char.isalnum() or char in " -")
        return f"[{self.title}]({self.page}#{words.replace(' ', '-')})"


CALL: Final = Reason("Where the microseconds go", COST)
PEERS: Final = Reason("The peers, and what differs between them")
RATE: Final = Reason("What limits the rate", COST)
THREADS: Final = Reason("What threads pay that outrun the writer", COST)
GROWTH: Final = Reason("What a span costs among many", COST)
IMPORT: Final = Reason("What an import costs", COST)
OUTAGE: Final = Reason("While nothing listens")
INGEST: Final = Reason("A span into PostgreSQL", OF_COLLECTOR)
READS: Final = Reason("The last fifty runs from SQLite", OF_COLLECTOR)
ALL: Final = (CALL, PEERS, RATE, THREADS, GROWTH, IMPORT, OUTAGE, INGEST, READS)
