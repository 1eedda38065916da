"""The id of a run: made from its key, and accepted by its last 8 characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from remit.cli import main
from remit.collector import Store, create_token
from remit.testing import FakeClock
from tests.collecting import Api, World, on_a_port
from tests.inside import key_text, new_key
from tests.inside_collector import create_app
from tests.signing_in import sign_in, stranger
from tests.stores import on_each_store

DAY_NS = 24 * 3600 * 10**9
TAIL = "0123abcd"


@pytest.fixture
def api(world: World) -> Api:
    """Return the view of an account's token."""
    return world.account()


def key_at(clock: FakeClock, later_ns: int = 0, end: str = "") -> str:
    """Return a key of a time, with an end of its own."""
    key = key_text(new_key(clock.wall_ns() + later_ns))
    return key[: len(key) - len(end)] + end


def registered(api: Api, key: str, **fields: Any) -> str:
    """Return the id of a new run with this key."""
    run_id: str = api.instance(external_identifier=key, **fields)["id"]
    return run_id


@on_each_store
def test_an_id_has_the_time_and_the_random_characters_of_its_key(
    world: World, clock: FakeClock
) -> None:
    """The id of the account is between the two."""
    api, key = world.account(), key_at(clock)
    run_id = registered(api, key)
    assert (run_id[:10], run_id[16:]) == (key[:10], key[10:])
    assert registered(api, key_at(clock, -DAY_NS // 2))[:10] < run_id[:10]


@on_each_store
def test_a_key_that_another_run_has_gives_no_id(world: World, clock: FakeClock) -> None:
    """Keys are unique for an agent and an environment."""
    api, key = world.account(), key_at(clock)
    run_id = registered(api, key)
    other = api.http.post("/api/v1/agent", json={"details": {"name": "Other"}}).json()
    second = registered(Api(api.http, other["details"]["id"]), key)
    assert second[16:] != run_id[16:]


@pytest.mark.parametrize("later_ns", [-3 * DAY_NS, 3 * DAY_NS], ids=["before", "after"])
def test_a_key_of_another_time_gives_no_id(api: Api, clock: FakeClock, later_ns: int) -> None:
    """The clock of the program may be wrong, and lists go by the time of ids."""
    key = key_at(clock, later_ns)
    assert registered(api, key)[:10] != key[:10]


def test_an_identifier_of_another_form_gives_no_id(api: Api) -> None:
    """Of other clients."""
    assert len(registered(api, "order-17")) == 32


@on_each_store
def test_a_run_is_found_by_its_id_its_key_and_the_end_of_each(
    world: World, clock: FakeClock
) -> None:
    """Also one whose id was not made from its key."""
    api = world.account()
    key, old = key_at(clock), key_at(clock, -3 * DAY_NS)
    run_id, old_id = registered(api, key), registered(api, old)
    assert run_id[-8:] == key[-8:]
    for expected, names in ((run_id, (run_id, key, key[-8:])), (old_id, (old[-8:], old_id[-8:]))):
        for name in names:
            shown = api.http.get(f"/api/v1/agent_instance/{name}").json()
            assert shown["details"]["id"] == expected, name
    for name, expected in ((key, run_id), (key[-8:], run_id), (old[-8:], old_id)):
        listed = api.http.get(f"/api/remit/v1/runs?key={name}&total=true").json()
        assert [run["id"] for run in listed["runs"]] == [expected]
        assert listed["total"] == 1
    assert api.http.get(f"/api/v1/agent_instance/{TAIL}").status_code == 404
    assert api.http.get(f"/api/remit/v1/runs?key={TAIL}").json()["runs"] == []


@on_each_store
def test_an_end_that_several_runs_have_lists_them(world: World, clock: FakeClock) -> None:
    """The API, and not the runs of another account."""
    api, foreign = world.account(), world.foreign()
    registered(foreign, key_at(clock, end=TAIL))
    assert api.http.get(f"/api/v1/agent_instance/{TAIL}").status_code == 404
    ids = [registered(api, key_at(clock, end=TAIL)) for _ in range(2)]
    refused = api.http.get(f"/api/v1/agent_instance/{TAIL}")
    assert (refused.status_code, refused.json()["code"]) == (409, "ambiguous")
    assert all(run_id in refused.json()["message"] for run_id in ids)
    listed = api.http.get(f"/api/remit/v1/runs?key={TAIL}").json()["runs"]
    assert {run["id"] for run in listed} == set(ids)


def test_the_command_accepts_what_it_prints(
    world: World, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list has the last 8 characters of the id, as the web UI."""
    monkeypatch.chdir(tmp_path)
    api = world.account()
    run_id = registered(api, key_at(clock))
    twice = [registered(api, key_at(clock, end=TAIL)) for _ in range(2)]
    secret = create_token(world.store, "account").secret
    with on_a_port(world.app) as url:
        env = {"REMIT_API_URL": url, "REMIT_API_TOKEN": secret}
        listed = CliRunner().invoke(main, ["runs", "list"], env=env).stdout.splitlines()
        shown = CliRunner().invoke(main, ["runs", "show", run_id[-8:], "--json"], env=env)
        refused = CliRunner().invoke(main, ["runs", "show", TAIL], env=env)
    assert sorted(line.split()[0] for line in listed[1:4]) == sorted([run_id[-8:], TAIL, TAIL])
    assert json.loads(shown.stdout)["run"]["id"] == run_id
    assert refused.exit_code == 1
    assert f"2 runs end with '{TAIL}': use the id of one (" in refused.stderr
    assert all(each in refused.stderr for each in twice)


def test_the_page_accepts_what_it_shows(world: World, store: Store, clock: FakeClock) -> None:
    """It goes on to the address with the id; of several runs it lists each."""
    api = world.account()
    key = key_at(clock)
    run_id = registered(api, key)
    twice = [registered(api, key_at(clock, end=TAIL)) for _ in range(2)]
    http = stranger(create_app(store, clock=clock, page_hosts=()))
    sign_in(http, create_token(store, "account", clock=clock).secret)
    assert f">{run_id[-8:]}</a>" in http.get("/runs").text.replace(
        '<span class="hide">Run </span>', ""
    )
    for name in (key, run_id[-8:]):
        answer = http.get(f"/runs/{name}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run_id}")
    several = http.get(f"/runs/{TAIL}")
    assert several.status_code == 404
    assert "2 runs have this name" in several.text
    assert all(f'href="/runs/{each}"' in several.text for each in twice)
    assert "No such run" in http.get("/runs/zzzzzzzz").text
