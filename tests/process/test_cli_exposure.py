"""`remit serve` for others: options, variables, TLS, and several processes' counters."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from remit.cli import main
from remit.collector import Settings
from tests.architecture.sources import ROOT
from tests.inside import LIMITS, VARIABLE_PREFIX, httpx
from tests.processes import wait_until
from tests.serving import environment, serving, token_of
from tests.stores import new_database

CREATE_AGENTS: Final = "create_agents"
"""The one setting that is local mode's alone."""


def rejected(*words: str, **variables: str) -> str:
    """Return the error of `remit serve` when it does not serve."""
    done = CliRunner().invoke(main, ("serve", *words), env={"REMIT_SERVE_PORT": "0", **variables})
    assert done.exit_code in {1, 2}
    assert isinstance(done.exception, SystemExit)
    return done.stderr


def test_every_limit_has_an_option() -> None:
    """The options are those of the settings, and no more."""
    others = {CREATE_AGENTS, "metrics", "prices", "retain", "retain_payloads"}
    fields = {name for name in Settings.__slots__ if name not in others}

    assert {name for name, _, _ in LIMITS} == fields


@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_limit_is_set_by_option_or_variable(tmp_path: Path, by: str) -> None:
    """The server applies the limit."""
    db = tmp_path / "remit.db"
    token = token_of(db)
    option = ["--max-body-bytes", "100"] if by == "option" else []
    variable = {f"{VARIABLE_PREFIX}MAX_BODY_BYTES": "100"} if by == "variable" else {}

    with (
        serving(db, *option, env=environment(**variable)) as collector,
        collector.client(token) as client,
    ):
        body = {"details": {"name": "x" * 200}}
        assert client.post("/api/v1/agent", json=body).status_code == 413


def test_host_port_database_and_workers_are_set_by_variables(tmp_path: Path) -> None:
    """As in a container; an option overrides its variable."""
    db = tmp_path / "remit.db"
    token_of(db)
    variables = {
        f"{VARIABLE_PREFIX}{name}": value
        for name, value in (("HOST", "192.0.2.1"), ("DB", str(db)), ("WORKERS", "2"))
    }

    assert "--workers 2 needs a PostgreSQL database" in " ".join(rejected(**variables).split())
    assert "cannot listen on 192.0.2.1 port 0" in rejected("--workers", "1", **variables)


@pytest.mark.parametrize("by", ["option", "variable"])
def test_the_page_is_turned_off(tmp_path: Path, by: str) -> None:
    """The API and the health of the server stay."""
    db = tmp_path / "remit.db"
    token = token_of(db)
    option = ["--page", "off"] if by == "option" else []
    variable = {f"{VARIABLE_PREFIX}PAGE": "off"} if by == "variable" else {}
    with (
        serving(db, *option, env=environment(**variable)) as collector,
        collector.client(token) as client,
    ):
        for path in ("/", "/runs", "/sign-in", "/live"):
            assert client.get(path).status_code == 404, path
        for path in ("/healthz", "/api/v1/agent"):
            assert client.get(path).status_code == 200, path


def test_the_page_has_the_names_that_it_is_told(tmp_path: Path) -> None:
    """Any other one with a dot is rejected; the page is on unless it is turned off."""
    db = tmp_path / "remit.db"
    token = token_of(db)
    with (
        serving(db, "--page-host", "remit.example") as collector,
        collector.client(token) as client,
    ):
        for host, status in (("remit.example", 200), ("evil.example", 421)):
            assert client.get("/sign-in", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("proxies", "reason"),
    [
        ("10.0.0.0/99", "'10.0.0.0/99' does not appear to be an IPv4 or IPv6 network"),
        ("127.0.0.1,foo/8", "'foo/8' does not appear to be an IPv4 or IPv6 network"),
        ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("localhost", "'localhost' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_a_proxy_is_an_address_or_a_network(proxies: str, reason: str) -> None:
    """The server would trust none of these, without saying so."""
    assert f"Invalid value for '--proxy': {reason}" in rejected("--proxy", proxies)


def test_proxies_may_be_addresses_and_networks_of_both_kinds(tmp_path: Path) -> None:
    """An asterisk is all of them."""
    for proxies in ("127.0.0.1, 10.0.0.0/8,fd00::/8,::1", "*"):
        wrong = rejected("--proxy", proxies, "--workers", "2", "--db", str(tmp_path / "remit.db"))
        assert "--workers 2 needs a PostgreSQL database" in " ".join(wrong.split())


def test_who_listens_for_others_is_told_so(tmp_path: Path) -> None:
    """The output says that every request needs a token, and that nothing is encrypted."""
    db = tmp_path / "remit.db"
    token_of(db)
    with serving(db, "--host", "0.0.0.0") as collector:
        errors = collector.end().errors

    assert "0.0.0.0 can be reached from other machines; every request needs a token" in errors
    assert "unencrypted" in errors
    page = re.search(r"A proxy must limit slow clients.*: see (\S+)\.", errors)
    assert page
    assert (ROOT / page[1]).is_file()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a certificate for this machine, signed by itself, and its key."""
    paths = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return paths


def test_it_serves_tls(tmp_path: Path) -> None:
    """It gets a certificate and a key; the URL begins with https."""
    cert, key = certificate(tmp_path)
    words = ["--ssl-certfile", str(cert), "--ssl-keyfile", str(key)]
    with serving(tmp_path / "remit.db", *words) as collector:
        assert collector.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        assert httpx.get(f"{collector.url}/healthz", verify=context, timeout=60).status_code == 200


def test_tls_needs_both_of_its_files(tmp_path: Path) -> None:
    """A file that is neither a certificate nor a key is rejected too."""
    db = str(tmp_path / "remit.db")
    other = tmp_path / "other"
    other.write_text("no certificate")

    assert "--ssl-keyfile together" in rejected("--db", db, "--ssl-certfile", str(other))
    both = ["--ssl-certfile", str(other), "--ssl-keyfile", str(other)]
    assert "certificate or its key cannot be used: one of them is" in rejected("--db", db, *both)


def test_an_access_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The command fails before it serves."""
    db, log = str(tmp_path / "remit.db"), str(tmp_path / "none" / "access.log")

    assert log in rejected("--db", db, "--access-log", log)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/stderr"])
def test_a_standard_stream_may_be_the_access_log(tmp_path: Path, name: str) -> None:
    """The first line has the URL; each request adds one JSON object."""
    with serving(tmp_path / "remit.db", "--access-log", name) as collector:
        httpx.get(f"{collector.url}/healthz", timeout=60)
        ended = collector.end()

    lines = ended.errors.splitlines()[1:] if name == "/dev/stderr" else ended.output.splitlines()
    assert [json.loads(line)["route"] for line in lines] == ["/healthz"]


def counted(client: httpx.Client) -> dict[str, int]:
    """Return how often each worker answered `/healthz`."""
    text = client.get("/metrics").text
    found = re.findall(r'requests_total{.*healthz.*worker="(\d+)"} (\d+)', text)
    return {worker: int(count) for worker, count in found}


def worker_of(client: httpx.Client) -> str:
    """Return the worker at the other end of a connection; only this client asks for `/healthz`."""
    before = counted(client)
    client.get("/healthz")
    (worker,) = (name for name, count in counted(client).items() if count != before.get(name, 0))
    return worker


def test_workers_report_together_what_they_counted(tmp_path: Path) -> None:
    """Each worker's answer includes the counts of the others."""
    with (
        new_database("postgres", tmp_path) as named,
        serving(named, "--workers", "2", "--metrics", "all") as collector,
        httpx.Client(base_url=collector.url, timeout=60) as one,
        ExitStack() as stack,
    ):
        worker = worker_of(one)
        other = one
        while worker_of(other) == worker:
            other = stack.enter_context(httpx.Client(base_url=collector.url, timeout=60))
        before = counted(other)[worker]
        for _ in range(40):
            one.get("/healthz")
        # A worker counts a request after the response is sent.
        wait_until(lambda: counted(other)[worker] >= before + 40)
        assert counted(other)[worker] == before + 40
