"""`remit doctor`: checks settings, server and spool."""

from __future__ import annotations

import sys
from textwrap import wrap

import click

from remit.cli._checks import examined
from remit.cli._options import json_option
from remit.cli._terminal import columns, emit, emit_json, faint
from remit.cli._verdicts import Check, CheckResult

COLOURS = {CheckResult.OK: "green", CheckResult.NOTE: "yellow", CheckResult.WRONG: "red"}
INDENT = " " * 20


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check settings, server and spool, and say why nothing arrives.

    The command records nothing and changes nothing. The exit status is 1 if a check fails.
    """
    found: list[Check] = []
    for check in examined():
        found.append(check)
        if not as_json:
            _show(check)
    wrong = [check for check in found if check.verdict is CheckResult.WRONG]
    if as_json:
        emit_json({"ok": not wrong, "checks": [check.as_json() for check in found]})
    elif wrong:
        emit(f"\nSomething is wrong: {', '.join(check.name for check in wrong)}.")
    else:
        emit("\nNothing is wrong.")
    sys.exit(1 if wrong else 0)


def _show(check: Check) -> None:
    word = click.style(f"{check.verdict:<6}", fg=COLOURS[check.verdict])
    for number, line in enumerate(_wrapped(check.said)):
        emit((f"{word} {check.name:<12} " if not number else INDENT) + line)
    for line in _wrapped(check.advice):
        emit(INDENT + faint(line))


def _wrapped(text: str) -> list[str]:
    """Return *text* wrapped to the remaining columns; a URL is not broken."""
    room = columns() - len(INDENT)
    return [
        line
        for each in text.splitlines()
        for line in wrap(each, room, break_long_words=False, break_on_hyphens=False)
    ]
