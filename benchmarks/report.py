"""The report: tables on the terminal, and on the page with a picture for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import pictures, shown
from benchmarks.children import ROOT
from benchmarks.known import PEERS
from benchmarks.results import About, Results
from benchmarks.tables import (
    budgets,
    calls,
    collectors,
    down,
    growth,
    imports,
    modes,
    runs,
    throughput,
)
from benchmarks.tables.base import Table

TABLES: Final[dict[str, Table]] = {
    "calls": calls.TABLE,
    "throughput": throughput.TABLE,
    "runs": runs.TABLE,
    "import": imports.TABLE,
    "down": down.TABLE,
    "growth": growth.TABLE,
    "local": modes.TABLE,
    "collector": collectors.INGEST_TABLE,
    "reads": collectors.READ_TABLE,
}
"""In the order in which they are measured, and stand on the page."""

PART: Final = re.compile(r"(<!-- measured: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PAGE: Final = ROOT / "docs" / "benchmarks.md"
DRAWN_IN: Final = "benchmarks"
"""The folder of the pictures, beside the page."""


def abouts(results: Results) -> list[About]:
    """Return what the runs of a file were on; of an empty one, what it would be on."""
    return [about for about, _ in results.runs()] or [results.about]


def places(runs: Sequence[Results], tables: Sequence[str] = ()) -> list[tuple[str, About]]:
    """Return each run with its file, its tables and its date, in words.

    Args:
        runs: Files of results, each of a run or of several.
        tables: Leaves out the runs that have measured none of these.
    """
    return [
        (f"{results.path} ({', '.join(names)}; {about.get('date', 'unknown')})", about)
        for results in runs
        for about, names in results.runs(tables)
    ]


def dated(results: Results, table: str) -> str:
    """Return a line that says when a table was measured, where tables of several runs stand."""
    if len(results.dates()) < 2 or not results.dates(table):
        return ""
    return f"Measured {' and '.join(results.dates(table))}.\n\n"


def parted(runs: Sequence[Results]) -> str:
    """Return a line for each file whose tables are of more than one run."""
    lines = [
        f"Run {number} of {len(runs)} was made in parts: "
        + "; ".join(
            f"{', '.join(names)} {about.get('date', 'unknown')}" for about, names in results.runs()
        )
        + "."
        for number, results in enumerate(runs, 1)
        if len(results.dates()) > 1
    ]
    return "".join(f"{line}\n\n" for line in lines)


def machine(runs: Sequence[Results]) -> str:
    """Return what was measured on; what differs from run to run, of each of them."""
    found: dict[str, list[str]] = {}
    for told in [about for results in runs for about in abouts(results)]:
        about = dict(told)
        versions: dict[str, str] = about.pop("versions", {})
        named = {f"`{name}`": version for name, version in versions.items()}
        for name, value in {**about, **named}.items():
            found.setdefault(name, []).append(str(value))
    rows = [
        [name, values[0] if len(set(values)) == 1 else " / ".join(values)]
        for name, values in found.items()
    ]
    return shown.table(["what", ""], rows)


def peers(_results: Results) -> str:
    """Return how the peers differ."""
    rows = [
        [known.title, known.records, known.sends, known.bounds or "-"]
        for known in PEERS.values()
        if known.records
    ]
    return shown.table(["", "records", "sends", "when it cannot keep up"], rows)


def failures(runs: Sequence[Results]) -> str:
    """Return what could not be measured, and why; the same reason once."""
    told = {
        re.sub(r", round \d+", "", line): None
        for results in runs
        for lines in results.errors().values()
        for line in lines
    }
    return "\n".join(f"- {line}" for line in told) or "Everything was measured."


def sections(runs: Sequence[Results]) -> Iterator[tuple[str, str]]:
    """Yield what stands in each place of the page: the budgets of all runs, the rest of the last.

    A run that could not measure something says so, whichever it was.
    """
    results = runs[-1]
    yield "budgets", parted(runs) + budgets.budgets(runs)
    yield "machine", machine(runs)
    yield "peers", peers(results)
    for table_name, table in TABLES.items():
        for name, write_section in table.sections.items():
            yield name, dated(results, table_name) + write_section(results)
    yield "failures", failures(runs)


def printed(results: Results, name: str) -> str:
    """Return one table as the terminal shows it, with what failed in it."""
    when = dated(results, name)
    sections = TABLES[name].sections.items()
    parts = [f"{section}\n\n{when}{make(results)}" for section, make in sections]
    failed = results.errors().get(name, [])
    return "\n\n".join([*parts, *failed]) + "\n"


def drawn(results: Results, folder: Path) -> dict[str, Path]:
    """Draw the pictures into *folder*; return their paths by name.

    Without pygal there are none, and the page says so by what it lacks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return {
            picture.name: pictures.draw(picture, folder)
            for table in TABLES.values()
            for picture in table.pictures(results)
        }
    except ImportError:
        return {}


def write(runs: Sequence[Results], page: Path) -> None:
    """Write the tables into a page, each to its place; another page begins as a copy of ours."""
    paths = drawn(runs[-1], page.parent / DRAWN_IN)
    found = dict(sections(runs))

    def filled(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in found:
            return match[0]
        picture = f"\n![{name}]({DRAWN_IN}/{paths[name].name})\n" if name in paths else ""
        return f"{match[1]}{found[name]}\n{picture}{match[3]}"

    page.write_text(PART.sub(filled, PAGE.read_text()))
