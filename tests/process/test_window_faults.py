"""Runs that share requests, and a server that fails at one of them: each run arrives once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.windows import REFUSED, cases, check, limited_servers, meet_all
from tests.processes import FULL

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


def test_servers_that_do_not_take_all_of_it_in_bulk_get_it_alone(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Three ways to refuse a type, and one that wants to be told which agent it is."""
    servers = limited_servers()
    for name, said in meet_all(servers, tmp_path).items():
        with subtests.test(msg=name):
            check(servers[name], said)
