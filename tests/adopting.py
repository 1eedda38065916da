"""Delivery with a spool, over a server that a test takes down and brings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.delivering import TOKEN, URL
from tests.fake_api import FakeApi, refusal
from tests.inside import Delivery, Folder, Http, Identity, SystemClock
from tests.spooling import GIB


def delivery(api: FakeApi, data_dir: Path, **more: Any) -> Delivery:  # noqa: ANN401 - settings
    """Return delivery with a spool, on the machine's clock."""
    clock = SystemClock()
    return Delivery(
        http=Http(URL, TOKEN, transport=api.transport, clock=clock),
        clock=clock,
        target=URL,
        spool=Folder(data_dir, Identity.of(URL, TOKEN), more.pop("max_spool_bytes", GIB)),
        flush_interval_s=0.05,
        max_buffer_bytes=1 << 26,
        max_batch_items=500,
        max_batch_bytes=1 << 20,
        request_timeout_s=10.0,
        poll_interval_s=more.pop("poll_interval_s", 30.0),
        **more,
    )


def down(api: FakeApi) -> None:
    """Have the server refuse everything, until its rules are cleared."""
    api.rules.append(lambda _path, _body: refusal(503))


def files(data_dir: Path) -> list[str]:
    """Return what is in the spool's folder."""
    return sorted(path.suffix for path in (data_dir / "spool").iterdir())
