"""`remit asks`: list, show and answer requests for approval."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeVar, get_args

import click

from remit.cli._failing import Failed
from remit.cli._options import TEXT, Database, json_option, read_option
from remit.cli._reader import ApiReader
from remit.cli._source import print_json, printed, reader_of, say_place, supported
from remit.cli._terminal import (
    bold,
    columns,
    cut,
    emit,
    faint,
    lines,
    padded,
    printable,
    when,
    when_columns,
)
from remit.cli._wire import get
from remit.client.endpoints.endpoint import Call, encode, segment
from remit.client.endpoints.responses import details, whole
from remit.errors import NotFoundError
from remit.models.asks import ASKS, Ask, AskAnswer, AskAnswered, AskList, AskStatus

T = TypeVar("T")

LISTED: Final = ("id", "status", "step", "words", "run", "asked_at")
ID_COLUMNS: Final = 32
STATUS_COLUMNS: Final = 9
LABEL_COLUMNS: Final = 12

_id = click.argument("ask_id", type=TEXT, metavar="ID")


@click.group()
def asks() -> None:
    """List, show and answer requests for approval."""


@asks.command("list")
@click.option(
    "--status", type=click.Choice(get_args(AskStatus)), help="List requests with this status."
)
@read_option
@json_option
def list_asks(status: str | None, db: Database | None, *, as_json: bool) -> None:
    """List the newest 100 requests for approval, newest first."""
    query = {} if status is None else {"status": status}
    with reader_of(db) as reader, supported(reader, "does not take requests for approval"):
        found = reader.client.send(get("/asks", AskList, query)).asks
    nothing = "No such requests" if status else "Nothing"
    if printed(reader, found, as_json=as_json, nothing=nothing, form=_listed):
        return
    room = columns() - ID_COLUMNS - STATUS_COLUMNS - when_columns() - 3 * 2
    asked = f"{'ASKED':<{when_columns()}}"
    emit(faint(f"{'ID':<{ID_COLUMNS}}  {'STATUS':<{STATUS_COLUMNS}}  {asked}  STEP"))
    for ask in found:
        moment = f"{when(ask.asked_at):<{when_columns()}}"
        step = padded(cut(_step(ask), room, lines().cut), room).rstrip()
        emit(f"{ask.id:<{ID_COLUMNS}}  {ask.status:<{STATUS_COLUMNS}}  {moment}  {step}")
    emit()
    say_place(reader, err=False)


@asks.command()
@_id
@read_option
@json_option
def show(ask_id: str, db: Database | None, *, as_json: bool) -> None:
    """Show a request: what will run after a yes, with which values.

    ID is the id of a request, or its last 8 characters.
    """
    with reader_of(db) as reader:
        path = f"{ASKS}/{segment('ID', ask_id)}"
        ask = _sent(reader, ask_id, Call("GET", path, details(Ask)))
    if as_json:
        print_json(reader, ask.model_dump(mode="json"))
        return
    emit(f"{bold(printable(ask.step))}  {ask.status}")
    for label, text in _rows(ask):
        emit(faint(f"  {label:<{LABEL_COLUMNS}}") + text)
    emit()
    say_place(reader, err=False)


@asks.command()
@_id
@click.option("--why", type=TEXT, metavar="TEXT", help="Reason, kept with the answer.")
@read_option
def approve(ask_id: str, why: str | None, db: Database | None) -> None:
    """Let the step run once, with the values that `remit asks show` shows.

    ID is the id of a request, or its last 8 characters.
    """
    _answer(db, ask_id, "approved", why)
    emit("Approved: the step may run once, with these values.")


@asks.command()
@_id
@click.option(
    "--why", type=TEXT, metavar="TEXT", required=True, help="Reason, which the model reads."
)
@read_option
def refuse(ask_id: str, why: str, db: Database | None) -> None:
    """Deny the step; the run goes on.

    ID is the id of a request, or its last 8 characters.
    """
    _answer(db, ask_id, "refused", why)
    emit("Refused: the step does not run, and the model reads why.")


def _answer(db: Database | None, ask_id: str, answer: str, why: str | None) -> None:
    """Answer a request.

    Raises:
        Failed: There is none, or the answer changes nothing.
    """
    with reader_of(db, writing=True) as reader:
        body = encode("asks.answer", {"answer": answer, "why": why})
        path = f"{ASKS}/{segment('ID', ask_id)}/answer"
        answered = _sent(reader, ask_id, Call("POST", path, whole(AskAnswered), body))
    if not answered.counted:
        raise Failed(f"{_ended(answered.details)}; your answer is kept, and changes nothing")


def _ended(ask: Ask) -> str:
    if ask.answer is not None:
        at = f"{ask.answer.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{printable(ask.answer.by)} has {ask.answer.answer} it at {at}"
    if ask.status == "withdrawn":
        return f"the request was withdrawn: {printable(ask.why or '')}"
    return f"the request expired at {ask.expires_at:%Y-%m-%d %H:%M:%S} UTC"


def _sent(reader: ApiReader, ask_id: str, call: Call[T]) -> T:
    try:
        return reader.client.send(call)
    except NotFoundError as error:
        raise Failed(
            f"there is no request {ask_id!r} in {reader.place}: `remit asks list` lists the "
            "requests"
        ) from error


def _listed(ask: Ask) -> dict[str, Any]:
    return ask.model_dump(mode="json", include={*LISTED}) | {"agent": ask.agent.name}


def _step(ask: Ask) -> str:
    words = ", ".join(word.replace("_", " ") for word in ask.words)
    return f"{printable(ask.step)} ({words}), {printable(ask.agent.name)}"


def _rows(ask: Ask) -> Iterator[tuple[str, str]]:
    yield "id", ask.id
    yield "may do", ", ".join(word.replace("_", " ") for word in ask.words)
    yield "agent", printable(ask.agent.name)
    yield "run", printable(ask.run)
    yield "asked", when(ask.asked_at)
    yield "expires", when(ask.expires_at)
    for name, value in ask.arguments.items():
        yield "value", f"{printable(name)} = {printable(json.dumps(value, ensure_ascii=False))}"
    for path, rule in ask.hidden.items():
        yield "redacted", f"{printable(path)} by {printable(rule)}; you answer without it"
    for name in ask.unbound:
        yield "not covered", f"the approval does not cover {printable(name)}, only its type"
    for answer in filter(None, (ask.answer, *ask.late_answers)):
        yield "answer" if answer is ask.answer else "late answer", _said(answer)
    if ask.status == "withdrawn":
        yield "withdrawn", printable(ask.why or "")


def _said(answer: AskAnswer) -> str:
    why = f": {printable(answer.why)}" if answer.why else ""
    return f"{answer.answer} by {printable(answer.by)} ({answer.how}) {when(answer.at)}{why}"
