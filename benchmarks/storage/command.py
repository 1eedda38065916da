"""`python -m benchmarks storage`: fill a database, ask, write with readers, open pages."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import children, report
from benchmarks.page import chromium
from benchmarks.storage import beside, page
from benchmarks.storage.ask import Asked, ask_all, sizes
from benchmarks.storage.load import load
from benchmarks.storage.synthetic import Size


def show_load(options: argparse.Namespace) -> None:
    """Fill a database."""
    began_s = time.monotonic()
    made = load(options.database, Size(options.runs, options.seed))
    print(f"{options.runs:,} runs, {made.spans:,} spans in {time.monotonic() - began_s:.0f} s")
    print(sizes(options.database))


def show_questions(options: argparse.Namespace) -> None:
    """Ask a database questions."""
    print("| question | rows | ms |\n|---|---:|---:|")
    slow: list[Asked] = []
    for asked in ask_all(options.database, options.only):
        print(f"| {asked.name} | {asked.rows} | {report.figure(asked.ms)} |", flush=True)
        slow += [asked] if asked.plan else []
    print(f"\n{sizes(options.database)}")
    for asked in slow if options.plans else ():
        print("\n".join([f"\n{asked.name}, {report.figure(asked.ms)} ms", *asked.plan]))


def show_beside(options: argparse.Namespace) -> None:
    """Write while others read."""
    target = beside.Target(options.serve, options.token, options.log)
    print("| beside | " + " | ".join(beside.FIELDS) + " |")
    print("|---" * (len(beside.FIELDS) + 1) + "|")
    for name, measured in beside.measure(target, options.seconds).items():
        cells = [report.figure(measured.get(field)) for field in beside.FIELDS]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def show_page(options: argparse.Namespace) -> None:
    """Open the page in a browser."""
    with chromium(page.OPTION) as browser:
        measured = page.measure(browser, beside.Target(options.serve, options.token))
    rows = {
        name: [report.figure(figures.get(field)) for field in page.FIELDS]
        for name, figures in measured.items()
    }
    print(report.table(list(page.FIELDS.values()), rows), end="\n\n")
    budgets: dict[str, list[str]] = {}
    for budget in page.BUDGETS:
        value = measured[budget.page][budget.field]
        limit = f"at {'least' if budget.is_least else 'most'} {report.figure(budget.limit)}"
        met = "yes" if budget.is_met(value) else "**no**"
        budgets[f"{budget.page}: {page.FIELDS[budget.field]}"] = [limit, report.figure(value), met]
    print(report.table(("budget", "measured", "met within a fifth"), budgets))


def main(arguments: Sequence[str]) -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks storage", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    loading = commands.add_parser("load", help="fill a database that has no rows")
    loading.add_argument("--runs", type=int, default=Size.runs)
    loading.add_argument("--seed", type=int, default=Size.seed)
    loading.set_defaults(run=show_load)
    asking = commands.add_parser("ask", help="ask a filled database questions")
    asking.add_argument("--only", default="", help="a part of the name of the questions")
    asking.add_argument("--plans", action="store_true", help="explain what takes too long")
    asking.set_defaults(run=show_questions)
    for command in (loading, asking):
        command.add_argument("database", help="path of an SQLite file, or postgresql://...")
    writing = commands.add_parser("beside", help="write to a server while others read")
    writing.add_argument("--seconds", type=float, default=20.0)
    writing.add_argument("--log", type=Path, help="the `-wal` file of the database")
    writing.set_defaults(run=show_beside)
    opening = commands.add_parser("page", help="open the page of a server in a browser")
    opening.set_defaults(run=show_page)
    for command in (writing, opening):
        command.add_argument("--serve", required=True, metavar="URL", help="of `remit serve`")
        command.add_argument("--token", required=True, help="secret of the account's token")
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except children.ChildError as error:
        parser.exit(1, f"{error}\n")
