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


IMPORTING = """
import faulthandler, threading
import remit

faulthandler.dump_traceback_later(60, exit=True)
other = threading.Thread(target=remit.status)
other.start()
other.join(0.5)  # it waits for this module, to find the hook
print(remit.status().mode)

def redact(payload):
    return payload
"""


def test_a_program_that_is_being_imported_does_not_wait_for_its_own_hook(tmp_path: Path) -> None:
    """Another thread reads the settings meanwhile, one of which names the module."""
    (tmp_path / "hooked.py").write_text(IMPORTING)
    environ = settings(tmp_path, "", "") | {"REMIT_REDACT": "hooked:redact"}
    told, _ = told_by(start("import hooked", environ, folder=tmp_path))
    assert told.split() == ["off"]
