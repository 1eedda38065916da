"""`remit token`: API tokens in a database."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

import click

from remit._base.files import PRIVATE_FILE
from remit.cli._ages import FUTURE
from remit.cli._database import maintained, opened, opened_to_read
from remit.cli._failing import Failed
from remit.cli._local import reader_on
from remit.cli._options import TEXT, Database, db_option, json_option
from remit.cli._terminal import bold, cut, emit, emit_json, faint, padded, printable, when, width
from remit.collector import (
    Permission,
    TokenInfo,
    TokenScope,
    create_token,
    list_tokens,
    revoke_token,
)
from remit.collector.domain.context import Permissions
from remit.collector.domain.tokens import DEFAULT_AGENT
from remit.collector.store.base import Store
from remit.collector.store.open import shown
from remit.collector.store.transaction import Transaction

NEVER: Final = "never"
MAX_NAME_COLUMNS: Final = 20
_HEAD: Final = ("ID", "NAME", "MAY", "STATUS", "EXPIRES", "LAST USED", "SCOPE", "AGENT")


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in TokenScope]),
    default=TokenScope.ACCOUNT.value,
    show_default=True,
    help="Access to everything in the account, or to one agent.",
)
@click.option(
    "--agent", type=TEXT, metavar="AGENT", help="Agent, by its id, external identifier or name."
)
@click.option("--name", type=TEXT, metavar="NAME", help="Name, shown by `remit token list`.")
@click.option(
    "--may",
    type=click.Choice([permission.value for permission in Permission]),
    multiple=True,
    default=[Permission.WRITE.value],
    show_default=True,
    help="Permission of the token. read: read everything; write: also record and change; erase: "
    "also erase runs; record: only record, for a program; metrics: only read /metrics; stop: "
    "terminate runs and hold actions, included in write; approve: only answer requests for "
    "approval. Repeatable.",
)
@click.option(
    "--expires",
    type=FUTURE,
    metavar="TIME",
    help="Expiry: a duration such as 90d or 12h, or a time such as 2027-01-01. Default: never.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print only the token.")
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the token to this new file, which only you can read, instead of printing it.",
)
@db_option
def create(  # noqa: PLR0913 - its options
    scope: str,
    agent: str | None,
    name: str | None,
    may: tuple[str, ...],
    expires: datetime | None,
    db: Database | None,
    *,
    quiet: bool,
    file: Path | None,
) -> None:
    """Create a token and show it once: the database stores only a hash.

    With --scope agent_deployment the token is for one agent, which is created if it is unknown.
    """
    bound = scope == TokenScope.AGENT_DEPLOYMENT
    if bound != (agent is not None):
        rule = "needs --agent" if bound else "does not accept --agent"
        raise click.UsageError(f"--scope {scope} {rule}.")
    if agent is not None and not agent.strip():
        raise click.UsageError("--agent must not be empty.")
    path = maintained(db, create=True)
    with nullcontext() if file is None else _private(file) as writer:
        with opened(path, create=True) as store:
            identifier = DEFAULT_AGENT if agent is None else _identifier(store, agent)
            made = create_token(
                store, scope, agent=identifier, name=name, may=",".join(may), expires_at=expires
            )
        if writer is not None:
            writer.write(f"{made.secret}\n")
    if quiet:
        if file is None:
            emit(made.secret)
        return
    may_do = made.info.may.replace(",", " and ")
    ends = "never" if made.info.expires_at is None else made.info.expires_at[:16] + "Z"
    about = (
        f"Id {made.info.id}, scope {made.info.scope}, may {may_do}, expires {ends}, "
        f"in {shown(path)}."
    )
    if file is None:
        emit(bold(made.secret))
        emit(faint(f"\nShown this once. {about}"))
    else:
        emit(f"The token is in {file}, which only you can read. {about}")
    if Permissions.of(made.info.may).permits(Permission.RECORD):
        emit(faint("Programs use it as REMIT_API_TOKEN, with REMIT_API_URL."))


@token.command("list")
@db_option
@json_option
def list_all(db: Database | None, *, as_json: bool) -> None:
    """List the tokens without their secrets, oldest first.

    The last use of a token is recorded at most once in ten minutes.
    """
    path = maintained(db)
    with opened_to_read(path) as store:
        tokens = list_tokens(store)
        with store.reading() as source:
            agents = {each.id: _agent_name(source, each) for each in tokens}
    if as_json:
        emit_json([each._asdict() for each in tokens])
        return
    if not tokens:
        emit(f"No tokens yet in {shown(path)}; create one: remit token create")
        return
    lines = [_HEAD, *((*_cells(each), agents[each.id]) for each in tokens)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        text = "  ".join(map(padded, line, widths)).rstrip()
        emit(text if number else faint(text))


def _cells(info: TokenInfo) -> tuple[str, ...]:
    return (
        info.id,
        cut(printable(info.name or ""), MAX_NAME_COLUMNS),
        info.may.replace(",", ", "),
        info.status,
        _when(info.expires_at),
        _when(info.last_used_at),
        info.scope,
    )


def _when(moment: str | None) -> str:
    return NEVER if moment is None else when(datetime.fromisoformat(moment))


@token.command()
@click.argument("token_id", type=TEXT, metavar="ID")
@db_option
def revoke(token_id: str, db: Database | None) -> None:
    """Revoke a token for good; `remit token list` shows its ID."""
    path = maintained(db)
    with opened(path) as store:
        revoked = revoke_token(store, token_id)
    emit(f"Revoked {revoked.id} in {shown(path)}.")


@contextmanager
def _private(file: Path) -> Generator[TextIO]:
    """Create *file*, readable by its owner only; it is removed if the block fails.

    Raises:
        Failed: It exists, or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except FileExistsError as error:
        raise Failed(f"{file} exists already: remove it, or use another file") from error
    except OSError as error:
        raise Failed(f"{file} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        try:
            yield writer
        except BaseException:
            file.unlink()
            raise


def _agent_name(source: Transaction, info: TokenInfo) -> str:
    row = source.agent(None, info.agent_id) if info.agent_id else None
    return printable(row.name) if row is not None else ""


def _identifier(store: Store, agent: str) -> str:
    """Return the external identifier of an existing agent, else *agent* itself.

    Raises:
        Failed: Several agents have that name, or the agent has no identifier.
    """
    found = reader_on(store).agent(agent)
    if found is None:
        return agent
    if not found.external_identifier:
        raise Failed(
            f"the agent {agent!r} has no external identifier, so its token cannot be created here; "
            "create it through the API"
        )
    return found.external_identifier
