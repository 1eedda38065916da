"""Tokens: who gets in, what a scope covers, and that no account sees another."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from remit.collector import Store, create_token, list_tokens, revoke_token
from remit.errors import UsageError
from tests.collecting import Api, World, details, refusal
from tests.inside_collector import ConflictError, Transaction
from tests.subtests import each

PATHS = [("GET", "/ping"), ("POST", "/bulk"), ("GET", "/agent_instance/x")]


@each(("method", "path"), PATHS)
@each(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic d3Jvbmc6", "wrong", "Bearer \xe9"],
)
def test_nobody_gets_in_without_a_token(
    world: World, method: str, path: str, header: str | None
) -> None:
    """Every path gives the same answer, without a detail."""
    http = world.http(None)
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]

    answer = http.request(method, f"/api/v1{path}", headers=headers)

    assert refusal(answer, 401) == {
        "status": "error",
        "code": "bad_authtoken",
        "message": "Invalid or expired API token",
    }
    assert answer.headers["www-authenticate"] == "Bearer"


@each("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(world: World, store: Store, scheme: str) -> None:
    """HTTP defines it so."""
    secret = create_token(store, "account").secret

    ping = world.http(None).get("/api/v1/ping", headers={"Authorization": f"{scheme} {secret}"})

    assert details(ping)["token_scope"] == "account"


def test_a_secret_is_shown_once_and_kept_as_a_hash(store: Store, tmp_path: Path) -> None:
    """It is neither in the list nor in the file."""
    made = create_token(store, "account")

    assert len(made.secret) > 40
    assert list_tokens(store) == [made.info]
    with store.reading() as tx:
        (row,) = tx.tokens()
    assert row.token_hash == hashlib.sha256(made.secret.encode()).digest()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made.secret.encode() not in files


def test_a_revoked_token_is_worthless_for_good(world: World, store: Store) -> None:
    """Other tokens are not affected."""
    made, other = create_token(store, "account"), create_token(store, "account")
    revoked = revoke_token(store, made.info.id)

    assert revoked.status == "revoked"
    refusal(world.http(made.secret).get("/api/v1/ping"), 401)
    details(world.http(other.secret).get("/api/v1/ping"))
    assert [token.status for token in list_tokens(store)] == ["revoked", "active"]
    assert revoke_token(store, made.info.id).status == "revoked"


def test_a_token_that_does_not_exist_cannot_be_revoked(store: Store) -> None:
    """The error says how to find those that do."""
    with pytest.raises(UsageError, match="remit token list"):
        revoke_token(store, "nothing")


class Contended:
    """A store whose first transactions lose against another writer."""

    def __init__(self, store: Store, times: int) -> None:
        """Stand before *store*."""
        self._store = store
        self.times = times

    def reading(self) -> AbstractContextManager[Transaction]:
        """Read."""
        return self._store.reading()

    @contextmanager
    def writing(self) -> Generator[Transaction]:
        """Write, then fail as if another writer was faster."""
        with self._store.writing() as tx:
            yield tx
            if self.times:
                self.times -= 1
                raise ConflictError("somebody else was faster")


def test_a_token_is_made_and_revoked_though_others_write(store: Store) -> None:
    """A transaction that loses against another is retried, as for requests."""
    contended = Contended(store, 3)
    made = create_token(cast("Store", contended), "agent_deployment", agent="contended desk")
    assert contended.times == 0
    contended.times = 3

    revoked = revoke_token(cast("Store", contended), made.info.id)

    assert contended.times == 0
    assert [(row.id, row.status) for row in list_tokens(store)] == [(revoked.id, "revoked")]


@each("agent", ["", "a\x00", "x" * 1001, "\U0001f600" * 626])
def test_a_token_for_an_agent_that_cannot_be_is_refused(store: Store, agent: str) -> None:
    """The error is a sentence, and not that of the database."""
    with pytest.raises(UsageError, match="external identifier of an agent must have"):
        create_token(store, "agent_deployment", agent=agent)


def test_an_unknown_scope_is_refused(store: Store) -> None:
    """The two that there are stand in an enumeration."""
    with pytest.raises(ValueError, match="environment"):
        create_token(store, "environment")


def test_two_tokens_of_a_deployment_share_agent_and_environment(store: Store) -> None:
    """An agent is found by its external identifier, and made the first time."""
    one, two = (create_token(store, "agent_deployment", agent="desk").info for _ in range(2))
    other = create_token(store, "agent_deployment", agent="else").info
    unnamed = create_token(store, "agent_deployment").info

    assert (one.agent_id, one.environment_id) == (two.agent_id, two.environment_id)
    assert len({one.agent_id, other.agent_id, unnamed.agent_id}) == 3
    assert datetime.fromisoformat(one.inserted_at).tzinfo == UTC


def test_the_scopes_of_a_token_survive_a_new_app(world: World, store: Store) -> None:
    """Nothing about them is kept in the process."""
    made = create_token(store, "agent_deployment", agent="desk")

    again = Api(World(store).http(made.secret))

    assert details(again.get("/ping"))["agent_id"] == made.info.agent_id
    del world
