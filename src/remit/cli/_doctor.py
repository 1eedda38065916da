"""`remit doctor`: checks settings, server and spool."""

from __future__ import annotations

import sys
from textwrap import wrap

import click

from remit.cli._checks import outcomes_here
from remit.cli._options import json_option
from remit.cli._outcomes import Outcome, Status
from remit.cli._terminal import columns, emit, emit_json, faint

NAME_COLUMNS = 14
COLOURS = {Status.OK: "green", Status.NOTE: "yellow", Status.WRONG: "red"}
INDENT = " " * (NAME_COLUMNS + 8)


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check settings, server and spool, and find out why nothing is delivered.

    The command records nothing and changes nothing. The exit status is 1 if a check fails.
    """
    outcomes: list[Outcome] = []
    for outcome in outcomes_here():
        outcomes.append(outcome)
        if not as_json:
            _show(outcome)
    wrong = [outcome for outcome in outcomes if outcome.status is Status.WRONG]
    if as_json:
        emit_json({"ok": not wrong, "checks": [outcome.as_json() for outcome in outcomes]})
    elif wrong:
        emit(f"\nSomething is wrong: {', '.join(outcome.name for outcome in wrong)}.")
    else:
        emit("\nNothing is wrong.")
    sys.exit(1 if wrong else 0)


def _show(outcome: Outcome) -> None:
    status = click.style(f"{outcome.status:<6}", fg=COLOURS[outcome.status])
    for number, line in enumerate(_wrapped(outcome.message)):
        emit((f"{status} {outcome.name:<{NAME_COLUMNS}} " if not number else INDENT) + line)
    for line in _wrapped(outcome.advice):
        emit(INDENT + faint(line))


def _wrapped(text: str) -> list[str]:
    """Return *text* wrapped to the remaining columns; a URL is not broken."""
    room = columns() - len(INDENT)
    return [
        line
        for each in text.splitlines()
        for line in wrap(each, room, break_long_words=False, break_on_hyphens=False)
    ]
