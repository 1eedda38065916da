"""`remit spool`: undelivered items."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter

import click

from remit import config
from remit._base.clock import NS_PER_S
from remit._deliver.spool.folder import Folder, OtherFiles
from remit._runtime.setup import send_spooled
from remit._runtime.targets import spool_of
from remit.cli._failing import Failed
from remit.cli._files import private_directory
from remit.cli._options import TEXT, confirm_deletion, json_option, yes_option
from remit.cli._spool_files import FileState, RejectedItem, SpoolFileInfo, listed, purge
from remit.cli._terminal import bold, emit, emit_json, faint, number_of, printable, size
from remit.config import Settings

SHORT_CHARS = 8
MOST_REASONS = 20
STATE_COLOURS = {
    FileState.IN_USE: "cyan",
    FileState.WAITING: "yellow",
    FileState.SET_ASIDE: "red",
    FileState.EMPTY: "white",
    FileState.DAMAGED: "red",
}


@click.group()
def spool() -> None:
    """Show, send and delete undelivered items.

    Each process has its own file in `spool` in the data directory. If a process ends before
    everything is delivered, the next process with the same server and token sends the rest. Use
    these commands if no such process starts.
    """


@spool.command()
@json_option
def status(*, as_json: bool) -> None:
    """Show the waiting items with their server, and the rejected items."""
    settings = config.load({})
    folder = _folder(settings)
    files = listed(folder)
    if as_json:
        emit_json(
            {
                "directory": str(folder.path),
                "max_bytes": folder.max_bytes,
                "size_bytes": folder.size_bytes(),
                "files": [_as_json(file, folder) for file in files],
            }
        )
        return
    if not files:
        emit(f"No items wait in {folder.path}.")
        return
    emit(faint(f"{'FILE':<8}  {'STATE':<9}  {'ITEMS':>9}  {'SIZE':>9}  {'WRITTEN':<16}  FOR"))
    for file in files:
        emit(_line(file, folder))
    _show_rejected(files)
    used = f"{size(folder.size_bytes())} of at most {size(folder.max_bytes)}"
    emit(faint(f"\n{used} in {folder.path}"))
    waiting = [file for file in files if file.state is FileState.WAITING]
    for command, whose in _commands(waiting, folder):
        emit(faint(f"`{command}` sends the items{whose}."))
    for command, whose in _commands([file for file in files if file.rejected], folder):
        emit(faint(f"`{command} --set-aside` sends the rejected items{whose} again."))


@spool.command()
@click.option(
    "--all", "every", is_flag=True, help="Also send items that were recorded with another token."
)
@click.option(
    "--from",
    "source",
    type=TEXT,
    metavar="TARGET",
    help="Also send items for this other server, or for `local`, as `status` shows it.",
)
@click.option("--set-aside", "aside", is_flag=True, help="Also send items that a server rejected.")
@click.option(
    "--timeout",
    "timeout_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Stop after this time; the remaining items are kept.",
)
def send(timeout_s: float, *, every: bool, source: str | None, aside: bool) -> None:
    """Send the items of ended processes to the configured server.

    After you correct a token, use --all to also send items that were recorded with another token.
    After you correct a URL, use --from to also send items for another server or for local mode.
    The exit status is 1 if the server rejected an item or an item could not be sent in time.
    """
    settings = config.load({})
    if settings.resolved_mode == "off":
        raise Failed("the mode is off, so there is no server to send to: unset REMIT_MODE")
    folder = _folder(settings)
    if source is not None:
        source = _known_target(source, folder)
    others = OtherFiles(every, source)
    result = send_spooled(settings, timeout_s, others, set_aside=aside)
    emit(f"Sent {number_of(result.sent, 'item')} to {_target(settings)}.")
    if result.set_aside:
        rejected = number_of(result.set_aside, "item")
        emit(f"The server rejected {rejected} (now set aside): {result.last_error}")
    for reason, count in result.dropped.items():
        emit(f"{number_of(count, 'item')} given up: {reason}")
    waits = _show_rest(folder, result.last_error, others)
    sys.exit(0 if result and not waits else 1)


@spool.command("purge")
@click.option(
    "--set-aside", "aside", is_flag=True, help="Delete only rejected items and damaged files."
)
@yes_option
def purge_files(*, aside: bool, yes: bool) -> None:
    """Delete the files that no running process uses."""
    folder = _folder(config.load({}))
    wanted = (FileState.SET_ASIDE, FileState.DAMAGED)
    found = [
        file
        for file in listed(folder)
        if (file.state in wanted if aside else file.state is not FileState.IN_USE)
    ]
    if not found:
        emit(f"There is nothing to delete in {folder.path}.")
        return
    others = sum(not _is_ours(file, folder) for file in found)
    theirs = f", {number_of(others, 'file')} of them of another server or token" if others else ""
    confirm_deletion(f"Delete {_amount(found)}, never delivered{theirs}?", yes=yes)
    deleted = purge(folder, found)
    emit(f"Deleted {_amount(deleted)}.")
    if len(deleted) < len(found):
        left = number_of(len(found) - len(deleted), "file")
        raise Failed(
            f"{left} could not be deleted: a program uses it, or this user cannot write to "
            f"{folder.path}"
        )


def _folder(settings: Settings) -> Folder:
    folder = spool_of(settings)
    for each in (settings.data_dir, folder.path):
        private_directory(each)
    return folder


def _line(file: SpoolFileInfo, folder: Folder) -> str:
    state = click.style(f"{file.state:<9}", fg=STATE_COLOURS[file.state])
    items = _items(file)
    written = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.written_ns / NS_PER_S))
    name = file.path.stem[:SHORT_CHARS]
    whose = _whose(file, folder)
    if runs := _open_runs([file]):
        whose += f", {runs}"
    return f"{bold(name)}  {state}  {items:>9,}  {size(file.size_bytes):>9}  {written}  {whose}"


def _items(file: SpoolFileInfo) -> int:
    return file.items + file.rejected.total()


def _amount(found: list[SpoolFileInfo]) -> str:
    amount = f"{number_of(len(found), 'file')} with {number_of(sum(map(_items, found)), 'item')}"
    return f"{amount} and {runs}" if (runs := _open_runs(found)) else amount


def _open_runs(found: list[SpoolFileInfo]) -> str:
    """Return the number of open runs in files without items, such as `2 open runs`, or ''."""
    sent = [file for file in found if file.state is FileState.WAITING and not file.items]
    count = sum(file.open_runs for file in sent)
    return number_of(count, "open run") if count else ""


def _is_ours(file: SpoolFileInfo, folder: Folder) -> bool:
    """Return whether the current settings send a file, as they send one without a target."""
    return file.identity in (folder.identity, None)


def _whose(file: SpoolFileInfo, folder: Folder) -> str:
    """Return the target of a file, and whether the current settings send it."""
    if file.state is FileState.EMPTY:
        return "nothing was written to it"
    if file.identity is None:
        in_use = file.state is FileState.IN_USE
        return "nothing is written to it yet" if in_use else "it cannot be read"
    target = printable(file.identity.target)
    if file.identity.target != folder.identity.target:
        return f"{target} (another target)"
    if file.identity.fingerprint != folder.identity.fingerprint:
        return f"{target} (another token: send --all)"
    return target


def _commands(files: list[SpoolFileInfo], folder: Folder) -> list[tuple[str, str]]:
    """Return the commands that send *files*, each with a description of its files."""
    found: dict[str, str] = {}
    ours = folder.identity
    for file in files:
        identity = file.identity
        if identity is None or identity == ours:
            found.setdefault("remit spool send", "")
        elif identity.target == ours.target:
            found.setdefault("remit spool send --all", " by another token")
        else:
            found.setdefault(_send_from(identity.target), f" for {printable(identity.target)}")
    return sorted(found.items())


def _send_from(target: str) -> str:
    return f"remit spool send --from {shlex.quote(printable(target))}"


def _known_target(target: str, folder: Folder) -> str:
    """Return *target* without a trailing slash.

    Raises:
        Failed: No file was recorded for it.
    """
    target = target.rstrip("/")
    known = sorted({file.identity.target for file in listed(folder) if file.identity})
    if target not in known:
        there = ", ".join(map(printable, known)) or "nothing"
        raise Failed(
            f"nothing in {folder.path} was recorded for {target}; there are items for {there}"
        )
    return target


def _show_rejected(files: list[SpoolFileInfo]) -> None:
    rejected: Counter[RejectedItem] = Counter()
    for file in files:
        rejected += file.rejected
    if not rejected:
        return
    emit(faint(f"\n{'REJECTED':>9}  {'REASON':<24}  {'RUN':<12}  NAME"))
    for each, count in rejected.most_common(MOST_REASONS):
        run = each.run_key[:12]
        emit(f"{count:>9,}  {printable(each.reason):<24}  {run:<12}  {printable(each.name)}")
    if len(rejected) > MOST_REASONS:
        emit(faint(f"{len(rejected) - MOST_REASONS:>9,}  more lines: --json shows all"))


def _show_rest(folder: Folder, last_error: str | None, others: OtherFiles) -> int:
    """Print the remaining items and the reason; return the number of those to be sent."""
    files = listed(folder)
    waiting = [file for file in files if file.state is FileState.WAITING and file.identity]
    ours, left = 0, Counter[tuple[str, str]]()
    for file in waiting:
        ((command, whose),) = _commands([file], folder)
        if others.include(file.identity, folder.identity):
            ours += file.items
        else:
            left[command, whose] += file.items
    in_use = sum(file.state is FileState.IN_USE for file in files)
    if ours:
        emit(f"{number_of(ours, 'item')} still wait: {last_error or 'there was not enough time'}")
    for (command, whose), count in sorted(left.items()):
        emit(f"{number_of(count, 'item')} left{whose}: `{command}` sends them")
    if in_use:
        emit(f"{number_of(in_use, 'file')} in use by running programs, which send the items")
    return ours


def _as_json(file: SpoolFileInfo, folder: Folder) -> dict[str, object]:
    identity = file.identity
    return {
        "file": file.path.name,
        "state": file.state.value.replace(" ", "_"),
        "target": identity and identity.target,
        "ours": identity == folder.identity,
        "items": file.items,
        "open_runs": file.open_runs,
        "size_bytes": file.size_bytes,
        "written_at": file.written_ns / NS_PER_S,
        "set_aside": [
            {"count": count, "name": each.name, "reason": each.reason, "run_key": each.run_key}
            for each, count in file.rejected.most_common()
        ],
    }


def _target(settings: Settings) -> str:
    return "the local database" if settings.resolved_mode == "local" else settings.api_url or ""
