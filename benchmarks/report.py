"""The report: tables in Markdown, a picture for each headline, and the budgets."""

from __future__ import annotations

import html
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.children import ROOT
from benchmarks.collector import STORES
from benchmarks.imports import BASE, PROGRAMS
from benchmarks.integrations import (
    CASES,
    DECORATED,
    EXPORT,
    FEW,
    LANGCHAIN,
    LANGFUSE,
    MANY,
    OUTSIDE,
    TOOL,
)
from benchmarks.peers import PEERS

Results: TypeAlias = dict[str, Any]
"""Lists of measured values by headline, by peer and by field; also `machine` and `failures`."""

PAGE: Final = ROOT / "docs" / "understand" / "benchmarks.md"
FIRST: Final = "calls"
"""The headline whose picture begins the page."""
PART: Final = re.compile(r"(<!-- measured: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
OURS: Final = "remit"
NOTHING: Final = "-"
DIGITS: Final = 3

WIDTH_PX: Final = 860
LABEL_PX: Final = 170
BAR_PX: Final = 26
TITLE_PX: Final = 40
VALUE_PX: Final = 90
GREY, BLUE = "#9aa5b1", "#1f6feb"


def middle(results: Results, headline: str, peer: str, field: str) -> float | None:
    """Return the median of what was measured, if anything was."""
    values = results.get(headline, {}).get(peer, {}).get(field)
    return statistics.median(values) if values else None


def ratio(value: float | None, base: float | None) -> float | None:
    """Return how many times *base* a value is, if both were measured."""
    return value / base if value is not None and base else None


def difference(value: float | None, base: float | None) -> float | None:
    """Return how much larger than *base* a value is, if both were measured."""
    return None if value is None or base is None else value - base


def figure(value: float | None) -> str:
    """Return a number with three significant digits: `0.234`, `12.3`, `123,000`."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    places = DIGITS - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def percent(value: float | None) -> str:
    """Return a part in percent."""
    return NOTHING if value is None else f"{value:.1%}" if value else "none"


def spread(results: Results, headline: str, peer: str, field: str) -> str:
    """Return the median, with minimum and maximum where several values were measured."""
    values = results.get(headline, {}).get(peer, {}).get(field)
    if not values:
        return NOTHING
    median = figure(statistics.median(values))
    return f"{median} ({figure(min(values))} to {figure(max(values))})" if values[1:] else median


def title(peer: str) -> str:
    """Return the name of a peer in the tables; remit stands out."""
    return "**remit**" if peer == OURS else PEERS[peer].title if peer in PEERS else peer


def table(heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Return a table in Markdown; a row without any figure is left out."""
    lines = ["| " + " | ".join(("", *heads)) + " |", "|---" + "|---:" * len(heads) + "|"]
    lines += [
        "| " + " | ".join((title(name), *cells)) + " |"
        for name, cells in rows.items()
        if any(cell != NOTHING for cell in cells)
    ]
    return "\n".join(lines)


def calls(results: Results) -> str:
    """Return the table of calls."""

    def cells(peer: str) -> list[str]:
        case = "async" if PEERS[peer].in_loop_only else "sync"
        own, ours = (middle(results, "calls", name, case) for name in (peer, OURS))
        fields = ("sync", "async", "nested", "sync wall")
        spreads = [spread(results, "calls", peer, field) for field in fields]
        return [*spreads, figure(ratio(own, ours))]

    heads = ("a call, us", "an awaited call, us", "three nested calls, us", "wall of a call, us",
             "CPU, times remit's")  # fmt: skip
    return table(heads, {peer: cells(peer) for peer in PEERS})


def throughput(results: Results) -> str:
    """Return the table of delivered spans."""

    def cells(peer: str) -> list[str]:
        own, base = (middle(results, "throughput", name, "rate 1") for name in (peer, "ddtrace"))
        return [
            spread(results, "throughput", peer, "rate 1"),
            spread(results, "throughput", peer, "rate 8"),
            figure(ratio(own, base)),
            percent(middle(results, "throughput", peer, "lost 1")),
            percent(middle(results, "throughput", peer, "lost 8")),
            figure(middle(results, "throughput", peer, "process_us 1")),
        ]

    heads = ("spans/s, 1 thread", "8 threads", "1 thread, as a multiple of ddtrace's",
             "lost, 1 thread", "8 threads", "CPU of the process, us a span")  # fmt: skip
    return table(heads, {peer: cells(peer) for peer in PEERS})


def short_runs(results: Results) -> str:
    """Return the table of short runs."""

    def cells(peer: str) -> list[str]:
        return [
            spread(results, "runs", peer, "rate"),
            spread(results, "runs", peer, "rate far"),
            percent(middle(results, "runs", peer, "lost far")),
            figure(middle(results, "runs", peer, "process_us")),
            figure(middle(results, "runs", peer, "recording_us")),
            figure(middle(results, "runs", peer, "requests")),
        ]

    heads = ("runs/s, server on loopback", "server 50 ms away", "lost, 50 ms away",
             "CPU of the process, us a run", "time of the caller, us a run",
             "requests a run")  # fmt: skip
    return table(heads, {peer: cells(peer) for peer in PEERS})


def web(results: Results) -> str:
    """Return the table of the service."""

    def cells(peer: str) -> list[str]:
        return [
            spread(results, "web", peer, "rate"),
            spread(results, "web", peer, "cpu_us"),
            spread(results, "web", peer, "median_ms"),
            spread(results, "web", peer, "p99_ms"),
            figure(middle(results, "web", peer, "collections")),
            spread(results, "web", peer, "pause_ms"),
            spread(results, "web", peer, "lag_ms"),
            figure(middle(results, "web", peer, "spans")),
        ]

    heads = ("requests/s", "CPU of the process, us a request", "median, ms", "p99, ms",
             "full collections in 10 s", "longest collection, ms", "longest lag of the loop, ms",
             "spans delivered a request")  # fmt: skip
    return table(heads, {peer: cells(peer) for peer in PEERS})


def integrations(results: Results) -> str:
    """Return the table of the steps of integrations."""

    def cells(case: str) -> list[str]:
        own, base = (middle(results, "integrations", each, "us") for each in (case, DECORATED))
        return [spread(results, "integrations", case, "us"), figure(ratio(own, base))]

    return table(("CPU, us", "times a decorated call"), {case: cells(case) for case in CASES})


def imports(results: Results) -> str:
    """Return the table of imports."""

    def cells(name: str) -> list[str]:
        own, base = (middle(results, "imports", each, "ms") for each in (name, BASE))
        return [spread(results, "imports", name, "ms"), figure(ratio(own, base))]

    heads = ("CPU, ms", f"times {BASE}")
    return table(heads, {name: cells(name) for name in PROGRAMS})


def memory_mib(results: Results, peer: str) -> float | None:
    """Return the peak of memory in an outage beyond the bare program's."""
    own, bare = (middle(results, "outage", name, "peak_mib") for name in (peer, "bare"))
    return None if own is None or bare is None else max(own - bare, 0)


def outage(results: Results) -> str:
    """Return the table of outages."""

    def cells(peer: str) -> list[str]:
        recorded, lost, lines = (
            middle(results, "outage", peer, field) for field in ("recorded", "lost", "lines")
        )
        return [
            NOTHING if recorded is None else f"{recorded:,.0f}",
            figure(memory_mib(results, peer)),
            figure(middle(results, "outage", peer, "exit_s")),
            NOTHING if lines is None else f"{lines:.0f}",
            percent(ratio(lost, recorded)),
        ]

    heads = ("spans recorded", "memory above bare, MiB", "exit, s", "log lines", "lost")
    return table(heads, {peer: cells(peer) for peer in PEERS if peer != "bare"})


def collector(results: Results) -> str:
    """Return the table of collectors."""
    rows = {store: [spread(results, "collector", store, "rate")] for store in STORES}
    return table(("spans/s, bulks of 100",), rows)


PAGES: Final = ("Phoenix", "MLflow", "Inspect", "ADK web")
"""Peers whose pages were measured on 2026-11-29, by hand, with the same program."""
PAGE_ROWS: Final = (
    # What, the field of remit, the figures of the peers.
    ("failed run, cold: KB", ("failed", "kb"), ("6,015", "5,246", "6,418", "6,113")),
    ("first paint, ms", ("failed", "paint_ms"), ("2,412", "716", "476", "800")),
    ("message: s", ("failed", "seen_s"), ("0.2", "1.0", "1.0", "0.5 to 0.9")),
    ("message: clicks", None, ("1", "1", "2", "0")),
    ("root cause: s", ("failed", "seen_s"), ("1.6 to 3.0", "1.1", "1.0", "never")),
    ("root cause: clicks", None, ("3", "1", "2", "never")),
    ("60 messages: nodes", ("talk", "nodes"), ("10,347", NOTHING, NOTHING, NOTHING)),
    ("2,000 steps, cold: KB", ("night", "kb"), (NOTHING,) * 4),
    ("first rows, s", ("night", "rows_ms"), ("4.0", "4.8 to 5.2", "1.0", "8.6")),
    ("nodes", ("night", "nodes"), ("24,839", "50,011", "6,763", "64,163")),
    ("frames/s", ("night", "frames"), ("49", "38", "59", "25")),
    ("choosing a step, s", ("night", "choosing_ms"), ("2.0", "1.4", NOTHING, NOTHING)),
    ("changing the view, s", ("night", "viewing_ms"), (NOTHING, "154 and 196", NOTHING, NOTHING)),
)


def page(results: Results) -> str:
    """Return the table of the pages; of remit's every cause is shown without a click."""

    def own(field: tuple[str, str] | None) -> str:
        if field is None:
            return "0" if "page" in results else NOTHING
        value = middle(results, "page", *field)
        in_seconds = field in {("night", name) for name in ("rows_ms", "choosing_ms", "viewing_ms")}
        return figure(value / 1000 if value is not None and in_seconds else value)

    return table(
        (*PAGES, "**remit**"), {what: [*others, own(field)] for what, field, others in PAGE_ROWS}
    )


def budgets(results: Results) -> str:
    """Return the budgets, with the costs in this run."""

    def of(headline: str, field: str, peer: str = OURS) -> float | None:
        return middle(results, headline, peer, field)

    def of_peer(peer: str) -> float | None:
        return ratio(of("calls", "sync", peer), of("calls", "sync"))

    def of_ddtrace(field: str, headline: str = "throughput") -> float | None:
        return ratio(of(headline, field), of(headline, field, "ddtrace"))

    def of_step(case: str, base: str = DECORATED) -> float | None:
        return ratio(of("integrations", "us", case), of("integrations", "us", base))

    rows: list[tuple[str, str, float, float | None]] = [
        ("caller's CPU of a call, us", "at most", 5, of("calls", "sync")),
        ("caller's CPU of an awaited call, us", "at most", 6, of("calls", "async")),
        ("caller's CPU of three nested calls, us", "at most", 16, of("calls", "nested")),
        ("ddtrace's CPU of a call, times remit's", "at least", 3, of_peer("ddtrace")),
        ("OpenTelemetry's CPU of a call, times remit's", "at least", 5, of_peer("opentelemetry")),
        ("delivered spans/s on 1 thread, as a multiple of ddtrace's rate", "at least", 1.1,
         of_ddtrace("rate 1")),
        ("delivered spans/s on 8 threads, as a multiple of ddtrace's rate", "at least", 1.1,
         of_ddtrace("rate 8")),
        ("spans lost by 1 thread that only records", "at most", 0, of("throughput", "lost 1")),
        ("short runs delivered/s", "at least", 4_000, of("runs", "rate")),
        ("CPU of the process, us a short run", "at most", 150, of("runs", "process_us")),
        ("short runs/s, server 50 ms away", "at least", 1_000, of("runs", "rate far")),
        ("requests/s of a service, as a multiple of ddtrace's", "at least", 1,
         of_ddtrace("rate", "web")),
        ("CPU of a request, as a multiple of ddtrace's", "at most", 1, of_ddtrace("cpu_us", "web")),
        ("p99 of a request, as a multiple of ddtrace's", "at most", 1.2,
         of_ddtrace("p99_ms", "web")),
        ("full garbage collections of a service in 10 s, above the bare service's", "at most", 0,
         difference(of("web", "collections"), middle(results, "web", "bare", "collections"))),
        ("a tool's span, times a decorated call", "at most", 8, of_step(TOOL)),
        ("a model call of 8 messages, times a decorated call", "at most", 25, of_step(FEW)),
        ("a model call of 100 messages, times a call of 8", "at most", 3, of_step(MANY, FEW)),
        ("a watched client outside any run, times a call", "at most", 2, of_step(OUTSIDE)),
        ("exporting a call, times a decorated call", "at most", 2.5, of_step(EXPORT)),
        ("a LangChain agent, times the cost of Langfuse", "at most", 0.5,
         of_step(LANGCHAIN, LANGFUSE)),
        (f"CPU of the import, times {BASE}", "at most", 1.35,
         ratio(of("imports", "ms"), of("imports", "ms", BASE))),
        ("outage: memory, MiB (the buffer plus 32)", "at most", 96, memory_mib(results, OURS)),
        ("outage: exit, s", "at most", 2.5, of("outage", "exit_s")),
        ("outage: log lines", "at most", 1, of("outage", "lines")),
        ("outage: spans lost", "at most", 0, of("outage", "lost")),
        ("collector on SQLite, spans/s", "at least", 30_000, of("collector", "rate", "sqlite")),
        ("collector on PostgreSQL, spans/s", "at least", 20_000,
         of("collector", "rate", "postgres")),
    ]  # fmt: skip

    def cells(word: str, limit: float, measured: float | None) -> list[str]:
        if measured is None:
            return [NOTHING] * 3
        beyond = limit - measured if word == "at least" else measured - limit
        kept = "yes" if beyond <= 0 else "within a tenth" if beyond <= limit / 10 else "**no**"
        return [f"{word} {figure(limit)}", figure(measured), kept]

    return table(
        ("budget", "measured", "kept"),
        {what: cells(word, limit, measured) for what, word, limit, measured in rows},
    )


def machine(results: Results) -> str:
    """Return what was measured on."""
    lines = [f"| {name} | {value} |" for name, value in results["machine"].items()]
    return "\n".join(["| property | value |", "|---|---|", *lines])


def failures(results: Results) -> str:
    """Return what could not be measured, and why."""
    return "\n".join(f"- {line}" for line in results["failures"]) or "Everything was measured."


SECTIONS: Final[dict[str, Callable[[Results], str]]] = {
    "budgets": budgets,
    "calls": calls,
    "throughput": throughput,
    "runs": short_runs,
    "web": web,
    "integrations": integrations,
    "imports": imports,
    "outage": outage,
    "collector": collector,
    "page": page,
    "machine": machine,
    "failures": failures,
}


def svg(head: str, values: Mapping[str, float | None], *, logarithmic: bool = False) -> str:
    """Return horizontal bars with their values as SVG; what was not measured is left out."""
    bars = {name: value for name, value in values.items() if value is not None}
    most = max(bars.values(), default=0) or 1
    # A logarithmic scale begins at a third of the smallest value.
    least = min((value for value in bars.values() if value > 0), default=1) / 3

    def width(value: float) -> float:
        if logarithmic:
            part = math.log(max(value, least) / least) / math.log(max(most / least, 1.01))
        else:
            part = value / most
        return part * (WIDTH_PX - LABEL_PX - VALUE_PX)

    height = TITLE_PX + BAR_PX * len(bars) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height}">',
        "<style>text { font: 13px sans-serif }</style>",
        f'<rect width="{WIDTH_PX}" height="{height}" fill="white"/>',
        f'<text x="10" y="24">{html.escape(head)}</text>',
    ]
    for number, (name, value) in enumerate(bars.items()):
        top, end = TITLE_PX + BAR_PX * number, LABEL_PX + width(value)
        text, colour = top + BAR_PX * 0.65, BLUE if name == OURS else GREY
        label = html.escape(PEERS[name].title if name in PEERS else name)
        lines += [
            f'<text x="{LABEL_PX - 8}" y="{text:.1f}" text-anchor="end">{label}</text>',
            f'<path fill="{colour}" d="M{LABEL_PX} {top + 3}H{end:.1f}v20H{LABEL_PX}"/>',
            f'<text x="{end + 6:.1f}" y="{text:.1f}">{figure(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def pictures(results: Results) -> dict[str, str]:
    """Return an SVG for each headline."""

    def of(headline: str, field: str, names: Sequence[str]) -> dict[str, float | None]:
        return {name: middle(results, headline, name, field) for name in names}

    peers = tuple(PEERS)[1:]
    called = of("calls", "sync", peers[:-1])
    awaited = {"prefactor-core, awaited": middle(results, "calls", "prefactor-core", "async")}
    memory = {peer: memory_mib(results, peer) for peer in peers}
    accepted = of("collector", "rate", STORES)
    return {
        "calls": svg("Caller's CPU of a call, us", called | awaited, logarithmic=True),
        "throughput": svg("Delivered spans/s, one thread", of("throughput", "rate 1", peers)),
        "runs": svg(
            "Short runs/s, server 50 ms away", of("runs", "rate far", peers), logarithmic=True
        ),
        "web": svg("Requests/s of a FastAPI service", of("web", "rate", tuple(PEERS))),
        "integrations": svg(
            "CPU of the steps of integrations, us",
            of("integrations", "us", tuple(CASES)),
            logarithmic=True,
        ),
        "imports": svg("CPU of an import, ms", of("imports", "ms", tuple(PROGRAMS))),
        "outage": svg("Memory in an outage beyond the bare program, MiB", memory),
        "collector": svg("Spans/s that the collector accepts", accepted),
    }


def write(results: Results, page: Path) -> None:
    """Write figures and pictures into *page*, with the text of `docs/understand/benchmarks.md`."""
    folder = page.parent / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = pictures(results)
    for name, picture in drawn.items():
        (folder / f"{name}.svg").write_text(picture)

    def filled(match: re.Match[str]) -> str:
        name = match["name"]
        shown = name in drawn and name != FIRST
        picture = f"\n![{name}](benchmarks/{name}.svg)\n" if shown else ""
        return f"{match[1]}{SECTIONS[name](results)}\n{picture}{match[3]}"

    page.write_text(PART.sub(filled, PAGE.read_text()))
