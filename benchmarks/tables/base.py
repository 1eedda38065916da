"""What a table is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.known import PEERS
from benchmarks.measure import Case, Size
from benchmarks.pictures import Picture
from benchmarks.results import Results


@dataclass(frozen=True)
class Table:
    """Measurements that belong together.

    Attributes:
        cases: What is measured, the peers in turn.
        sections: What is written, by the name that its place on the page has.
        pictures: What is drawn; a picture bears the name of its section.
        at_once: Whether more than one processor has to be free for what is shown.
    """

    cases: Callable[[Size], Iterable[Case]]
    sections: Mapping[str, Callable[[Results], str]]
    pictures: Callable[[Results], Iterable[Picture]]
    at_once: bool = False


def title(peer: str) -> str:
    """Return how tables call a peer; remit stands out."""
    return f"**{PEERS[peer].title}**" if peer == "remit" else PEERS[peer].title
