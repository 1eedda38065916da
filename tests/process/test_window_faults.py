"""Runs that share requests, and a server that fails at one of them: each run arrives once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_api import FakeApi
from tests.faults.windows import (
    FORMS,
    REFUSED,
    REQUESTS,
    RUNS,
    WINDOWS,
    Server,
    cases,
    check,
    kill,
    limited_servers,
    meet_all,
)
from tests.processes import FULL, left_in

EVERY = 1 if FULL else 17
"""Of the cases, the gate takes each fault at some requests."""


@pytest.mark.timeout(7200)
def test_each_request_of_a_window_may_fail_in_any_way(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Each run and each span arrives once, and what is sent again has the same key."""
    chosen = {str(case): case for case in cases()[::EVERY]}
    servers = {name: case.server() for name, case in chosen.items()}
    for name, said in meet_all(servers, tmp_path).items():
        with subtests.test(msg=name):
            assert servers[name].met, "no request met the fault"
            check(servers[name], said, refused=chosen[name].fault in REFUSED)


KILLS = [
    (form, at, done)
    for form, requests in REQUESTS.items()
    for at in range(1, requests // WINDOWS + 1)
    for done in (False, True)
]


@pytest.mark.timeout(1200)
def test_a_process_may_be_killed_at_each_request_of_a_window(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """The next process delivers the rest, with the same keys."""
    for number, (form, at, done) in enumerate(KILLS[:: 1 if FULL else 20]):
        with subtests.test(msg=f"{form}: killed at request {at}, {done=}"):
            server = Server(FakeApi(in_bulk=FORMS[form]), at=at)
            kill(server, tmp_path / f"{number}", done=done)
            assert server.met, "the process was not killed"
            check(server, runs=RUNS)
            assert left_in(tmp_path / f"{number}") == []


def test_servers_that_do_not_take_all_of_it_in_bulk_get_it_alone(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Three ways to refuse a type, and one that wants to be told which agent it is."""
    servers = limited_servers()
    for name, said in meet_all(servers, tmp_path).items():
        with subtests.test(msg=name):
            check(servers[name], said)
