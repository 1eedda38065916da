"""Spool files that an earlier version of remit left: they are read, sent and deleted.

The files in `tests/data/spool` were written by the code of commit 31d4b25; `short` by that of
06cf42f, the last one that delivered each run by requests of its own.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.delivering import delivery, files, within
from tests.fake_api import RUNS_IN_BULK, FakeApi
from tests.spooling import Spooled, numbers

DATA = Path(__file__).parents[1] / "data" / "spool"
NAME = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
UNFINISHED = {
    "01mcc5rm00m5gvvffeb9ny4ghnk6q31c": "active",
    "01mcc5rm00m5gvvf9drmyyn9m8rzy1ag": "active",
    "01mcc5rm00m5gvvfqdwg4mqz7j3p81w0": "pending",
}
"""The runs in `short` that the server knew: one of which only the end waited, one whose spans did,
and one that was not started."""


def leave(data_dir: Path, name: str, ending: str = ".db") -> None:
    """Have the folder look as the earlier version left it."""
    folder = data_dir / "spool"
    folder.mkdir(mode=0o700)
    path = folder / f"{NAME}{ending}"
    shutil.copyfile(DATA / f"{name}.sqlite", path)
    path.chmod(0o600)


def test_runs_that_an_earlier_version_left_are_delivered_and_ended(tmp_path: Path) -> None:
    """One had ended; of the other, a span was still open when its process ended."""
    leave(tmp_path, "waiting")
    api = FakeApi()
    made = delivery(api, tmp_path)
    result = made.flush(within(60))
    assert result
    assert not result.dropped
    assert sorted(str(run["status"]) for run in api.instances.values()) == ["complete", "failed"]
    spans = sorted((str(span["schema_name"]), str(span["status"])) for span in api.spans.values())
    assert spans == [
        *[("desk:find", "complete")] * 4,
        ("long", "failed"),
        ("remit:loss", "complete"),
        ("remit:run", "complete"),
        ("remit:run", "failed"),
    ]
    made.shutdown(within(5))
    assert files(tmp_path) == []


def test_what_an_earlier_version_had_delivered_is_not_sent_again(tmp_path: Path) -> None:
    """A part of a chunk was settled."""
    leave(tmp_path, "partial")
    spooled = Spooled(tmp_path)
    assert numbers(spooled.adopted()) == [0, 4]
    assert files(tmp_path) == []


def test_what_was_refused_in_an_earlier_version_can_be_sent_again(tmp_path: Path) -> None:
    """The server had refused the registration."""
    leave(tmp_path, "refused", ".aside")
    api = FakeApi()
    made = delivery(api, tmp_path)
    made.bring_back()
    assert made.flush(within(60)).sent == 7
    assert [run["status"] for run in api.instances.values()] == ["complete"]
    made.shutdown(within(5))
    assert files(tmp_path) == []


@pytest.mark.parametrize("in_bulk", [frozenset[str](), RUNS_IN_BULK], ids=["alone", "in bulk"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "forgotten"])
def test_short_runs_that_an_earlier_version_left_are_delivered(
    tmp_path: Path, in_bulk: frozenset[str], *, known: bool
) -> None:
    """They were in every state; one was open, with a span, when its process was killed."""
    leave(tmp_path, "short")
    api = FakeApi(in_bulk=in_bulk)
    if known:
        api.instances = {key: {"id": key, "status": UNFINISHED[key]} for key in UNFINISHED}
    made = delivery(api, tmp_path)
    result = made.flush(within(60))
    assert result
    assert not result.dropped
    statuses = Counter(run["status"] for run in api.instances.values())
    assert statuses == {"complete": 5, "failed": 1}
    spans = Counter(str(span["schema_name"]) for span in api.spans.values())
    # Those of the first run were delivered before the kill, and come again with the same keys.
    assert spans == {"remit:run": 6, "gen:work": 5, "step": 11, "long": 1, "remit:loss": 1}
    numbers = [
        span["payload"]["number"] for span in api.spans.values() if span["schema_name"] == "step"
    ]
    assert sorted(numbers) == list(range(4, 15))
    made.shutdown(within(5))
    assert files(tmp_path) == []
