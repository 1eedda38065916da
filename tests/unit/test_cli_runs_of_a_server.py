"""`remit runs` reads, and ends runs at, the server that the environment names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

import remit
from remit._runtime import setup
from remit.cli import main
from remit.collector import create_token, open_store
from remit.config import Settings
from tests.collecting import World, on_a_port
from tests.doctored import AGENT, BAD_TOKEN, EMPTY, PONG, TOKEN, Routes, api
from tests.loopback import serving
from tests.subtests import each

NOBODY = "0" * 32


@remit.span_type
def weigh(grams: int) -> dict[str, float]:
    """Return a weight in kilograms."""
    return {"kg": 1000 / grams}


@remit.agent("Scales")
def scales(grams: int) -> str:
    """Say how heavy something is."""
    return f"{weigh(grams)['kg']} kg"


PITCH = {"type": "object", "properties": {"hz": {"type": "number", "minimum": 20}}}


@remit.agent("Bell", quality={"pitch": PITCH})
def bell() -> str:
    """Ring."""
    return "ding"


@dataclass(frozen=True)
class Place:
    """A server, the database that it serves, and another database in local mode's folder."""

    url: str
    token: str
    world: World
    served: Path
    local: Path

    def run(self, *words: str, **env: str) -> Result:
        """Run a command of a person who set the URL and the token."""
        given = {"REMIT_API_URL": self.url, "REMIT_API_TOKEN": self.token}
        return run(*words, REMIT_DATA_DIR=str(self.local.parent), **{**given, **env})


def run(*words: str, **env: str) -> Result:
    """Run a command, eighty columns wide."""
    return CliRunner().invoke(main, ["runs", *words], env={"COLUMNS": "80", **env})


def record(settings: Settings) -> None:
    """Record a run that fails, one that ends well, and one of another agent."""
    with setup.isolated(settings) as runtime:
        for grams in (0, 500):
            with suppress(ZeroDivisionError):
                scales(grams)
        # The ids of one millisecond are in no order.
        threading.Event().wait(0.002)
        with bell.run() as run:
            bell()
            run.record_quality("pitch", {"hz": 1})
        assert runtime.flush(60)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server with three runs, and another run in local mode's database."""
    folder = tmp_path_factory.mktemp("place")
    with setup.isolated(Settings(mode="local", data_dir=folder / "local")) as runtime:
        scales(1)
        assert runtime.flush(60)
    store = open_store(folder / "served.db")
    world = World(store)
    token = create_token(store, "account").secret
    with on_a_port(world.app) as url:
        data_dir = folder / "recording"
        record(Settings(api_url=url, api_token=SecretStr(token), data_dir=data_dir))
        yield Place(url, token, world, folder / "served.db", folder / "local" / "remit.db")
    store.close()


@each("words", ["list", "show", "show --risk", "tail", "tail -n 2"])
def test_a_server_is_read_as_its_database_is(words: str, place: Place) -> None:
    """The lines are the same but for the last, which says what was read."""
    *there, last_there = place.run(*words.split()).stdout.splitlines()
    *here, last_here = place.run(*words.split(), "--db", str(place.served)).stdout.splitlines()
    assert there == here
    assert len(there) > 1
    marked = [line for line in there if "! score pitch not as declared: /hz" in line]
    assert len(marked) == words.startswith("show")
    assert last_here == last_there.replace(place.url, str(place.served))
    assert place.url in last_there


def test_an_agent_with_a_token_of_its_own_is_listed_by_its_name(tmp_path: Path) -> None:
    """`remit token create` knows the identifier only."""
    db = str(tmp_path / "remit.db")
    create = ("token", "create", "--db", db, "--quiet", "--scope", "agent_deployment", "--agent")
    secret = CliRunner().invoke(main, [*create, f"{__name__}:scales"]).stdout.strip()
    store = open_store(db)
    with on_a_port(World(store).app) as url:
        settings = Settings(api_url=url, api_token=SecretStr(secret), data_dir=tmp_path / "data")
        with setup.isolated(settings) as runtime:
            scales(500)
            assert runtime.flush(60)
    store.close()

    listed = run("list", "--db", db).stdout
    assert "Scales" in listed
    assert f"{__name__}:scales" not in listed


@pytest.mark.parametrize("words", ["list", "show", "tail"])
def test_programs_are_told_on_standard_error_what_was_read(words: str, place: Place) -> None:
    """Standard output is JSON alone."""
    there = place.run(words, "--json")
    here = place.run(words, "--json", "--db", str(place.served))
    for result, name in ((there, place.url), (here, place.served)):
        assert result.stderr == f"Read from {name}.\n"
    ids = [
        [json.loads(line)["id"] for line in result.stdout.splitlines()]
        if words == "tail"
        else json.dumps(json.loads(result.stdout)).count('"external_identifier"')
        for result in (there, here)
    ]
    assert ids[0] == ids[1]


@each(
    ("env", "read"),
    [
        pytest.param({}, "url", id="URL and token"),
        pytest.param({"REMIT_MODE": "off"}, "url", id="off records nothing"),
        pytest.param({"REMIT_MODE": "local"}, "local", id="local mode"),
        pytest.param({"REMIT_API_TOKEN": ""}, "local", id="no token"),
        pytest.param({"REMIT_API_URL": ""}, "local", id="no URL"),
    ],
)
def test_what_is_read_is_what_is_recorded_to(env: dict[str, str], read: str, place: Place) -> None:
    """The server of URL and token, else local mode's database."""
    name = place.url if read == "url" else str(place.local)
    assert place.run("show", **env).stdout.splitlines()[-1] == f"Read from {name}."


def test_a_database_that_is_named_is_read_whatever_the_settings_are(place: Place) -> None:
    """Settings that cannot be read matter only where they name what is read."""
    result = place.run("list", "--db", str(place.served), REMIT_FLUSH_INTERVAL_S="soon")
    assert result.exit_code == 0, result.output


@each("named", ["key", "prefix", "id", "last"])
@pytest.mark.parametrize("where", ["server", "database"])
def test_a_run_is_ended_by_whatever_names_it(where: str, named: str, place: Place) -> None:
    """Its key, its id, the beginning of one, or `last`."""
    api = place.world.account()
    api.instance(external_identifier=f"0{named}-{where}")
    made = api.instance(external_identifier=f"{named}-{where}")
    reference = {
        "key": made["external_identifier"],
        "prefix": made["external_identifier"][:-2],
        "id": made["id"],
        "last": "last",
    }[named]
    words = ("terminate", reference, "--reason", "enough")
    ended = place.run(*words, *(("--db", str(place.served)) if where == "database" else ()))
    assert ended.exit_code == 0, ended.output
    assert f"Terminated {named}-{where}: enough\nIn " in ended.stdout
    assert api.shown(made["id"])["termination_reason"] == "enough"
    by = "API, token " if where == "server" else "holder of the database"
    assert f"\nTerminated by {by}" in place.run("show", made["id"]).stdout
    shown = json.loads(place.run("show", made["id"], "--json").stdout)
    assert shown["terminated_by"].startswith(by)
    again = place.run("terminate", made["id"], "--reason", "twice")
    assert again.exit_code == 1
    assert "cannot be terminated, because it is terminated" in again.stderr


@pytest.mark.parametrize("reference", ["nothing-like-it", NOBODY])
@pytest.mark.parametrize("command", ["show", "terminate"])
def test_a_run_that_a_server_does_not_have_is_told(
    command: str, reference: str, place: Place
) -> None:
    """As of a database: nobody creates a run to look at it."""
    result = place.run(command, reference, *(("--reason", "x") if command == "terminate" else ()))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"there is no run {reference!r} in {place.url}: `remit runs list`" in result.stderr


def test_a_beginning_or_a_key_of_several_runs_names_none(place: Place) -> None:
    """The ids tell runs apart that are called the same."""
    one, other = place.world.account(), place.world.account()
    same = [each.instance(external_identifier="order-17")["id"] for each in (one, other)]
    called = place.run("terminate", "order-17", "--reason", "x")
    begun = place.run("terminate", "order-1", "--reason", "x")
    assert "2 runs are called 'order-17'" in called.stderr
    assert all(each in called.stderr for each in same)
    assert "2 runs begin with 'order-1'" in begun.stderr
    assert one.shown(same[0])["status"] == "active"


def test_new_spans_of_a_server_are_shown_as_they_come(place: Place) -> None:
    """And again when they end; what was there before is not new."""
    api = place.world.account()
    run_id = api.instance()["id"]
    api.span(run_id, schema_name="old")
    command = [sys.executable, "-m", "remit", "runs", "tail", "-n", "1", "--follow", "--json"]
    variables = {"REMIT_API_URL": place.url, "REMIT_API_TOKEN": place.token}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, bufsize=1, env={**os.environ, **variables}
    ) as following:
        try:
            assert following.stdout is not None
            shown = [json.loads(following.stdout.readline())]
            now = datetime.now(UTC).isoformat()
            made = api.span(run_id, schema_name="new", started_at=now)["id"]
            shown.append(json.loads(following.stdout.readline()))
            api.post(f"/agent_spans/{made}/finish", {"status": "failed"})
            shown.append(json.loads(following.stdout.readline()))
        finally:
            following.terminate()
    assert [(each["schema_name"], each["status"]) for each in shown] == [
        ("old", "active"),
        ("new", "active"),
        ("new", "failed"),
    ]


RUN = {
    "type": "agent_instance", "id": NOBODY, "account_id": "c", "agent_id": "a", "status": "active",
    "agent_version_id": "v", "environment_id": "e", "inserted_at": "2026-11-25T10:00:00Z",
    "updated_at": "2026-11-25T10:00:00Z",
}  # fmt: skip


@each(
    ("answer", "said"),
    [
        pytest.param((401, BAD_TOKEN), "the token may not list runs at", id="token"),
        pytest.param((404, EMPTY), "has no list of runs: GET ", id="not-offered"),
        pytest.param((200, EMPTY), "has no list of runs: GET ", id="another-answer"),
    ],
)
def test_a_server_that_lists_nothing_says_so_and_shows_what_it_does(
    answer: tuple[int, object], said: str, tmp_path: Path
) -> None:
    """Prefactor's API lets a deployment's token look at a run, and list none."""
    one = {"status": "success", "details": RUN}
    ended = {"status": "success", "details": {**RUN, "status": "terminated"}}
    agent = {"status": "success", "details": AGENT["details"]}
    path = f"/api/v1/agent_instance/{NOBODY}"
    routes: Routes = {
        f"{path}/terminate": (200, ended),
        path: (200, one),
        "/api/v1/agent/show": (200, agent),
        "/api/remit/v1/runs": answer,
        "/api/v1/ping": (200, PONG),
    }
    with serving(api(routes)) as url:
        env = {"REMIT_API_URL": url, "REMIT_API_TOKEN": TOKEN, "REMIT_DATA_DIR": str(tmp_path)}
        listed = run("list", **env)
        ended_by_id = run("terminate", NOBODY, "--reason", "x", **env)
    assert listed.exit_code == 1
    assert said in listed.stderr
    assert "--db" in listed.stderr
    assert TOKEN not in listed.output
    assert ended_by_id.exit_code == 0, ended_by_id.output


def test_a_token_that_the_server_does_not_know_is_no_question_of_scope(tmp_path: Path) -> None:
    """The ping, which every valid token may send, is rejected as well."""
    routes: Routes = {"/api/remit/v1/runs": (401, BAD_TOKEN), "/api/v1/ping": (401, BAD_TOKEN)}
    with serving(api(routes)) as url:
        env = {"REMIT_API_URL": url, "REMIT_API_TOKEN": TOKEN, "REMIT_DATA_DIR": str(tmp_path)}
        listed = run("list", **env)
    assert listed.exit_code == 1
    assert f"{url} does not accept the token: " in listed.stderr
    assert "Check the api_token" in listed.stderr
    assert "scope" not in listed.stderr


def test_a_run_of_another_server_of_the_api_is_shown_by_its_id(tmp_path: Path) -> None:
    """Such a server has `/api/v1` alone, which lists the spans of a run."""
    span = {
        "type": "agent_span", "id": "s", "agent_instance_id": NOBODY, "schema_name": "a:step",
        "status": "complete", "payload": {"n": 1}, "started_at": "2026-11-25T10:00:01Z",
    }  # fmt: skip
    listed = {"status": "success", "pagination": None, "sorting": None, "summaries": [span]}
    routes: Routes = {
        "/api/v1/agent_spans?": (200, listed),
        f"/api/v1/agent_instance/{NOBODY}": (200, {"status": "success", "details": RUN}),
        "/api/v1/agent/show": (200, AGENT),
    }
    with serving(api(routes)) as url:
        env = {"REMIT_API_URL": url, "REMIT_API_TOKEN": TOKEN, "REMIT_DATA_DIR": str(tmp_path)}
        shown = run("show", NOBODY, **env)
        rejected = run("export", NOBODY, "--html", str(tmp_path / "run.html"), **env)
    assert "a:step" in shown.stdout, shown.output
    assert "n=1" in shown.stdout
    assert rejected.exit_code == 1
    assert "does not write runs as HTML" in rejected.stderr


def test_a_token_of_one_agent_reads_that_agents_runs(place: Place) -> None:
    """The collector says which agent it is for."""
    agent = f"remit/{bell.__module__}:bell"
    token = create_token(place.world.store, "agent_deployment", agent=agent).secret
    listed = json.loads(place.run("list", "--json", REMIT_API_TOKEN=token).stdout)
    assert [each["agent"]["external_identifier"] for each in listed] == [agent]
    assert "bell  " in place.run("show", REMIT_API_TOKEN=token).stdout
    assert "bell\n" in place.run("tail", REMIT_API_TOKEN=token).stdout
    rejected = place.run("show", listed[0]["run"]["id"], REMIT_API_TOKEN="wrong")
    assert rejected.exit_code == 1
    assert "Check the api_token" in rejected.stderr


def test_a_server_is_read_without_the_collector(place: Place) -> None:
    """Its extra is for databases."""
    program = "import sys; sys.modules['starlette'] = None; from remit.cli import main; main()"
    variables = {"REMIT_API_URL": place.url, "REMIT_API_TOKEN": place.token}
    done = subprocess.run(
        [sys.executable, "-c", program, "runs", "show"],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Read from {place.url}.\n")
