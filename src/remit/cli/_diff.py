"""`remit diff`: compares two locks."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path, PurePath
from typing import Final

import click
import msgspec

from remit._lock.difference import Lock, changes
from remit._lock.file import FILE, LockError, parsed
from remit._lock.report import Group, counted, grouped, notes
from remit._policy.widening import Effect
from remit.cli._failing import Failed
from remit.cli._options import TEXT
from remit.cli._terminal import bold, columns, emit, emit_json, printable

LABEL_COLUMNS: Final = 11
COLOURS: Final = {
    Effect.WIDENS: "red",
    Effect.WEAKENS: "yellow",
    Effect.NARROWS: "green",
    Effect.DECLARES: "green",
    Effect.CHANGES: None,
}
NONE: Final = "none"
UNCHANGED: Final = "Nothing changed."
_MARKDOWN: Final = re.compile(r"([\\`*_\[\]<>&|~])")
_ESCAPED: Final = r"\\\1"


class LockFailed(Failed):
    """A lock cannot be written, read or compared; status 1 means that two locks differ."""

    exit_code = 2


@click.command()
@click.argument("old", metavar="OLD", type=TEXT)
@click.argument("new", metavar="[NEW]", type=TEXT, required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="text: for a terminal; markdown: for a pull request comment; json: for a program.",
)
@click.option(
    "--fail-on",
    type=click.Choice([*map(str, (Effect.WIDENS, Effect.WEAKENS, Effect.CHANGES)), NONE]),
    multiple=True,
    default=[str(Effect.WIDENS), str(Effect.WEAKENS)],
    help="Exit with status 1 if a change has this effect. Repeatable. The default is widens and "
    "weakens.",
)
def diff(old: str, new: str | None, *, form: str, fail_on: tuple[str, ...]) -> None:
    """Compare two locks, the files that `remit lock` writes.

    OLD and NEW are each a file, or REV:FILE for the file in a Git revision. Without NEW the command
    compares OLD with the same file in the working tree. It does not import your program.

    Each change has one of five effects. widens: an agent may do more, or more data may leave.
    weakens: a declaration is less strict, or less data is redacted. narrows: the opposite of both.
    declares: a step is declared for the first time. changes: anything else. The exit status is 1 if
    a change has an effect in --fail-on, and 2 if the locks cannot be compared.
    """
    new = _same_in_working_tree(old) if new is None else new
    before, after = (_read(source) for source in (old, new))
    listed = changes(before, after)
    if form == "json":
        emit_json({"old": old, "new": new, "changes": msgspec.to_builtins(listed)})
    else:
        groups, closing = grouped(listed, before, after), notes(before, after, old, new)
        write = _write_markdown if form == "markdown" else write_text
        write(groups, counted(groups), closing)
    if not {change.effect for change in listed}.isdisjoint(fail_on):
        raise click.exceptions.Exit(1)


def _same_in_working_tree(old: str) -> str:
    _, colon, file = old.partition(":")
    if Path(old).exists():
        raise LockFailed(
            f"{old} is a file, and there is nothing to compare it with: specify a revision, as in "
            f"main:{old}, or a second file"
        )
    if not colon:
        raise LockFailed(
            f"there is no file {old}: specify one of a revision, as in {old}:{FILE}, or two files"
        )
    return file


def _read(source: str) -> Lock:
    try:
        return parsed(_content(source), source)
    except LockError as error:
        raise LockFailed(str(error)) from error


def _content(source: str) -> bytes:
    revision, colon, file = source.partition(":")
    try:
        if colon and not Path(source).exists():
            return _of_revision(revision, file)
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LockFailed(f"{source} cannot be read: {reason}") from error


def _of_revision(revision: str, file: str) -> bytes:
    """Return a file of a revision; its path is relative to the working directory."""
    env = os.environ | {"LC_ALL": "C"}
    command = ["git", "cat-file", "blob", f"{revision}:./{PurePath(file).as_posix()}"]
    try:
        shown = subprocess.run(  # noqa: S603 - without a shell
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=env
        )
    except FileNotFoundError as error:
        raise LockFailed(f"{revision}:{file} cannot be read: Git is not installed") from error
    if shown.returncode:
        lines = shown.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
        reason = re.sub("^(fatal|error): ", "", lines[0])
        raise LockFailed(f"{revision}:{file} cannot be read: Git says {reason!r}")
    return shown.stdout


def write_text(groups: list[Group], count: str, closing: list[str]) -> None:
    for group in groups:
        for row in _rows(group.heading, columns()):
            emit(bold(row))
        for line in group.lines:
            rows = _rows(line.text, columns() - LABEL_COLUMNS)
            label = click.style(f"  {line.effect:<{LABEL_COLUMNS - 2}}", fg=COLOURS[line.effect])
            for row in rows:
                emit(label + row)
                label = " " * LABEL_COLUMNS
        emit()
    for note in (count or UNCHANGED, *closing):
        for row in _rows(note, columns()):
            emit(row)


def _rows(text: str, width: int) -> list[str]:
    return textwrap.wrap(printable(text), width, subsequent_indent="  ") or [""]


def _write_markdown(groups: list[Group], count: str, closing: list[str]) -> None:
    emit(f"**{count or UNCHANGED}**\n")
    for group in groups:
        emit(f"{_code(group.heading)}\n")
        for line in group.lines:
            emit(f"- **{line.effect}** {_code(line.text)}")
        emit()
    for note in closing:
        emit(f"{_MARKDOWN.sub(_ESCAPED, printable(note))}  ")


def _code(text: str) -> str:
    """Return *text* as a code span.

    Source: https://spec.commonmark.org/0.31.2/#code-spans.
    """
    line = printable(text)
    longest = max((len(ticks) for ticks in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if longest else f"`{line}`"
