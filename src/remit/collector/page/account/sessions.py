"""Sessions: who is signed in at the page, and the codes with which a session begins."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from typing import Final

import msgspec

from remit._base.clock import NS_PER_US, Clock, SystemClock
from remit._base.ids import partition_of
from remit.collector.domain.context import Caller, IdSource, Permission, Permissions
from remit.collector.domain.places import prepare
from remit.collector.domain.tokens import TokenScope, hash_of, holder_of
from remit.collector.errors import forbidden, unauthorized
from remit.collector.store.base import Store, StoreUnavailableError, write
from remit.collector.store.rows import SessionRow, TokenRow
from remit.collector.store.transaction import Transaction

SESSION: Final = "session"
CODE: Final = "code"
CODE_US: Final = 10 * 60 * 1_000_000
"""How long a code can be used, once."""
IDLE_US: Final = 12 * 3600 * 1_000_000
"""Idle time after which a session ends."""
LONGEST_US: Final = 7 * 24 * 3600 * 1_000_000
"""How long a session lasts at most."""
MOST_SESSIONS: Final = 50
"""Sessions of one token, and without a token; the oldest ends when one more begins."""
_USE_NOTED_EVERY_US: Final = 10 * 60 * 1_000_000
_SECRET_BYTES: Final = 32
_CODE_BYTES: Final = 15


def create_code(store: Store, *, clock: Clock | None = None) -> str:
    """Return a code that begins a session of the operator, once, within ten minutes.

    It gives access to everything in the account, which the holder of the database has anyway.
    """
    clock = clock or SystemClock()
    account = prepare(store, clock)
    code = secrets.token_urlsafe(_CODE_BYTES)
    now_us = clock.wall_ns() // NS_PER_US
    row = SessionRow(
        id=IdSource(clock).new(partition_of(account.id) or 0),
        account_id=account.id,
        kind=CODE,
        token_id=None,
        secret_hash=hash_of(code),
        inserted_at=now_us,
        last_used_at=now_us,
        expires_at=now_us + CODE_US,
    )
    write(store, lambda tx: tx.add(row))
    return code


class Sessions:
    """The sessions of one database; every method may be called from any thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Keep sessions in *store*."""
        self._store = store
        self._clock = clock
        self._ids = IdSource(clock)

    def account_of(self, given: str) -> str:
        """Return the id of the account that a token or a code opens; no writer waits for it.

        Raises:
            RequestError: 401, it is neither, or is not valid any more; 403, it may not read.
            StoreUnavailableError: If the database is temporarily unavailable.
        """
        with self._store.reading() as tx:
            return self._begun_by(tx, given).account_id

    def sign_in(self, account_id: str, given: str, replaced: str = "") -> str:
        """Begin a session with a token or a code, and return its secret.

        Args:
            replaced: The secret of a session that ends by it.

        Raises:
            RequestError: 401, it is neither, or is not valid any more; 403, it may not read.
            StoreUnavailableError: If the database is temporarily unavailable.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)

        def work(tx: Transaction) -> None:
            # They are locked first: of two sign-ins with one code, the second does not see it.
            rows = tx.sessions(account_id)
            begun = self._begun_by(tx, given)
            now_us = begun.last_used_at
            same = [row for row in rows if row.kind == SESSION and row.token_id == begun.token_id]
            dropped = {row.id for row in same[: max(0, len(same) + 1 - MOST_SESSIONS)]}
            ending = {hash_of(given), hash_of(replaced)}
            for row in rows:
                if row.id in dropped or row.secret_hash in ending or _has_ended(row, now_us):
                    tx.remove(row)
            tx.add(msgspec.structs.replace(begun, secret_hash=hash_of(secret)))
            if begun.token_id is not None:
                tx.touch_token(begun.token_id, now_us)

        write(self._store, work)
        return secret

    def _begun_by(self, tx: Transaction, given: str) -> SessionRow:
        """Return the session that a token or a code begins, without its secret.

        Raises:
            RequestError: 401, or 403 for a token that may not read.
        """
        now_us = self._now_us()
        expires_us = now_us + LONGEST_US
        row = tx.session_of_hash(hash_of(given))
        if row is not None and row.kind == CODE and row.expires_at > now_us:
            account_id, token_id = row.account_id, None
        else:
            token = tx.token_of_hash(hash_of(given))
            if token is None:
                raise unauthorized()
            holder = holder_of(tx, token, now_us)
            if not holder.reads:
                raise forbidden(
                    f"this token may only {holder.may.in_words}: sign in with a token that may read"
                )
            account_id, token_id = holder.account_id, token.id
            expires_us = min(expires_us, token.expires_at or expires_us)
        return SessionRow(
            id=self._ids.new(partition_of(account_id) or 0),
            account_id=account_id,
            kind=SESSION,
            token_id=token_id,
            secret_hash=b"",
            inserted_at=now_us,
            last_used_at=now_us,
            expires_at=expires_us,
        )

    def find(self, secret: str) -> tuple[SessionRow, Caller]:
        """Return the session of *secret*, and the rights of its holder.

        Raises:
            RequestError: 401, it has ended, or its token has.
            StoreUnavailableError: If the database is temporarily unavailable.
        """
        with self._store.reading() as tx:
            now_us = self._now_us()
            row = tx.session_of_hash(hash_of(secret))
            if row is None or row.kind != SESSION or _has_ended(row, now_us):
                raise unauthorized()
            caller = _holder(tx, row, now_us)
        if now_us - row.last_used_at > _USE_NOTED_EVERY_US:
            with suppress(StoreUnavailableError):
                write(self._store, lambda tx: _note_use(tx, row, now_us))
        return row, caller

    def end(self, *rows: SessionRow) -> None:
        """End sessions.

        Raises:
            StoreUnavailableError: If the database is temporarily unavailable.
        """

        def work(tx: Transaction) -> None:
            for row in sorted(rows, key=lambda row: row.id):
                tx.remove(row)

        write(self._store, work)

    def all_of(self, caller: Caller) -> list[SessionRow]:
        """Return the sessions that *caller* sees: those of an account, or of one token.

        Raises:
            StoreUnavailableError: If the database is temporarily unavailable.
        """
        with self._store.reading() as tx:
            now_us = self._now_us()
            return [
                row
                for row in tx.sessions(caller.account_id)
                if row.kind == SESSION
                and not _has_ended(row, now_us)
                and (caller.agent_id is None or row.token_id == caller.token_id)
            ]

    def _now_us(self) -> int:
        return self._clock.wall_ns() // NS_PER_US


def _holder(tx: Transaction, row: SessionRow, now_us: int) -> Caller:
    """Return the rights of the holder of a session: those of its token, else all.

    Raises:
        RequestError: 401, the token is not active any more.
    """
    if row.token_id is None:
        scope = TokenScope.ACCOUNT
        may = Permissions.of(f"{Permission.APPROVE},{Permission.ERASE}")
        return Caller(row.account_id, scope, may=may, in_session=True)
    token = tx.row(TokenRow, row.account_id, row.token_id)
    if token is None:
        raise unauthorized()
    return replace(holder_of(tx, token, now_us), in_session=True)


def _note_use(tx: Transaction, row: SessionRow, now_us: int) -> None:
    tx.change(msgspec.structs.replace(row, last_used_at=now_us))
    if row.token_id is not None:
        tx.touch_token(row.token_id, now_us)


def _has_ended(row: SessionRow, now_us: int) -> bool:
    idle = row.kind == SESSION and now_us - row.last_used_at > IDLE_US
    return idle or row.expires_at <= now_us
