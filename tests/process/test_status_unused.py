"""The status of delivery in a process that has not used it, and cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes import settings, start, told_by

FULL = """
import os, resource
import remit

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, hard))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
status, flushed, ended = remit.status(), remit.flush(0), remit.shutdown(0)
for each in held:
    os.close(each)
print(status.mode, dict(status.faults), bool(flushed), bool(ended))
print(str(status).splitlines()[0])
print(remit.status().mode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only on Linux or macOS: needs resource")
def test_a_status_is_told_where_no_file_can_be_opened(tmp_path: Path) -> None:
    """Not even a module of remit can be read; the status has the rest."""
    told, errors = told_by(start(FULL, settings(tmp_path, "http://127.0.0.1:9", "pf_none")))
    assert told.splitlines() == [
        "unknown {'the status': 1} True True",
        "mode unknown, to nowhere: idle",
        "remote",
    ]
    assert errors.count("a fault inside remit at the status") == 1
