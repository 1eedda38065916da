"""`remit demo` with a server from which the token may not read."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

import remit
from remit._runtime import setup
from remit.cli._demo import _shown
from remit.config import Settings
from tests.doctored import AGENT
from tests.fake_api import FakeApi, Json, refusal
from tests.inside import httpx

AT = "2026-11-25T10:00:00Z"
IDS = ("id", "account_id", "agent_id", "agent_version_id", "environment_id")
DETAILS = {**dict.fromkeys(IDS, "a"), "status": "complete", "inserted_at": AT, "updated_at": AT}
INSTANCE = {"status": "success", "details": {"type": "agent_instance", **DETAILS}}


@remit.agent
def echo(word: str) -> str:
    """Say it again."""
    return word


@pytest.mark.parametrize("refused", ["agent_instance", "agent_spans"])
def test_a_run_that_may_not_be_read_back_is_told_by_its_key(refused: str) -> None:
    """Prefactor's API refuses lists, or also single runs, to a deployment's token with 401."""
    api = FakeApi()
    answers = {"agent_instance": INSTANCE, "agent": AGENT}

    def no_reading(path: str, body: Json) -> httpx.Response | None:
        if body:
            return None
        resource = path.removeprefix("/api/v1/").partition("/")[0]
        if resource == refused:
            return refusal(401, "bad_authtoken")
        return httpx.Response(200, json=answers[resource]) if resource in answers else refusal(404)

    api.rules.append(no_reading)
    settings = Settings(
        api_url="http://api", api_token=SecretStr("prefactor_0123456789"), transport=api.transport
    )
    with setup.isolated(settings) as runtime:
        with echo.run() as run:
            echo("hello")
        assert runtime.flush(60)
        shown = list(_shown(runtime, run))
    assert shown[0].startswith("The run cannot be read back: ")
    assert f"GET http://api/api/v1/{refused}" in shown[0]
    assert run.key in shown[1]
