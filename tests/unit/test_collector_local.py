"""Local mode: the collector in the process, behind no port, needing no token."""

from __future__ import annotations

from pathlib import Path

import pytest

from remit.client._inprocess import InProcessTransport
from remit.collector.local import open_app
from tests.collecting import NOBODY, Api, details
from tests.inside import httpx


def api_in(folder: Path) -> Api:
    """Return a view of the collector in *folder*, with its agent made if need be."""
    app, token = open_app(folder)
    http = httpx.Client(
        transport=InProcessTransport(app),
        base_url="http://remit.local",
        headers={"Authorization": f"Bearer {token}"},
    )
    found = http.get("/api/v1/agent/show", params={"external_identifier": "desk"})
    if found.status_code == 404:
        body = {"details": {"name": "Desk", "external_identifier": "desk"}}
        # Several processes may find at once that there is none: they make one, under one key.
        found = http.post("/api/v1/agent", json={**body, "idempotency_key": "agent-desk"})
    return Api(http, details(found)["id"])


def test_it_works_on_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    """From registration to reading."""
    api = api_in(tmp_path / "state" / "remit")
    run = api.instance("active")
    span = api.span(run["id"], status="complete")

    assert api.spans(run["id"]) == [span]
    assert (tmp_path / "state" / "remit" / "remit.db").is_file()


def test_two_of_them_share_a_folder(tmp_path: Path) -> None:
    """As two programs do: one account, the same agent, each other's runs."""
    one, other = api_in(tmp_path), api_in(tmp_path)
    run = one.instance("active")

    assert one.agent_id == other.agent_id
    assert other.shown(run["id"]) == one.shown(run["id"])


def test_an_agent_that_only_a_server_knows_is_made(tmp_path: Path) -> None:
    """The program was set up for the server, by id."""
    api = api_in(tmp_path)
    api.agent_id = NOBODY

    assert api.instance("pending")["agent_id"] == NOBODY


def test_a_folder_that_cannot_be_written_is_told_as_such(tmp_path: Path) -> None:
    """As the error of the operating system that it is."""
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match=r"file is not a directory"):
        open_app(tmp_path / "file")
