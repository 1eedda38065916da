"""The file of the access log: rotation, and failures to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remit.collector.server.access_log import AccessLog


def numbers(path: Path) -> list[int]:
    """Return the number in each line of a log."""
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def test_a_rotation_begins_a_new_file(tmp_path: Path) -> None:
    """The new file too is for its owner only."""
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path))
    log.write({"n": 1})
    path.rename(rotated)
    log.write({"n": 2})
    log.close()

    assert (numbers(rotated), numbers(path)) == ([1], [2])
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_becomes_a_link_is_not_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines are dropped, which is logged once; the log goes on when the link is gone."""
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    path.unlink()
    path.symlink_to(tmp_path / "victim")
    log.write({"n": 1})
    log.write({"n": 2})
    path.unlink()
    log.write({"n": 3})
    log.close()

    assert numbers(path) == [3]
    assert not (tmp_path / "victim").exists()
    (message,) = caplog.messages
    assert "the access log cannot be written" in message
