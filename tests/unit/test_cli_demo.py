"""`remit demo` with a server whose token may write but not read."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

import remit
from remit import _runtime
from remit.cli._demo import _shown
from remit.config import Settings
from tests.fake_api import FakeApi, Json, refusal


@remit.agent
def echo(word: str) -> str:
    """Say it again."""
    return word


def test_a_run_that_may_not_be_read_back_is_told_by_its_key() -> None:
    """Prefactor's API answers such questions of a deployment's token with 401."""
    api = FakeApi()

    def no_reading(path: str, body: Json) -> httpx.Response | None:
        asked = not body and path.rpartition("/")[2] in api.instances
        return refusal(401, "bad_authtoken") if asked else None

    api.rules.append(no_reading)
    settings = Settings(
        api_url="http://api", api_token=SecretStr("prefactor_0123456789"), transport=api.transport
    )
    with _runtime.isolated(settings) as runtime:
        with echo.run() as run:
            echo("hello")
        assert runtime.flush(10)
        shown = list(_shown(runtime, run))
    assert shown[0].startswith("The token may write there but not read (GET ")
    assert run.key in shown[1]
