"""`remit.collector.ingest.spans`: what only its own reader refuses."""

from __future__ import annotations

import msgspec
import pytest

from remit.collector.ingest import spans
from remit.collector.ingest.spans import SpanToFinish
from remit.collector.refusals import Refusal
from remit.models._types import WireModel


class Anything(WireModel):
    """A model that takes every object."""


def test_what_the_model_takes_and_the_reader_does_not_is_refused() -> None:
    """Should the two ever differ, the item is refused rather than half read."""
    decoder = msgspec.json.Decoder(SpanToFinish)

    with pytest.raises(Refusal) as refused:
        spans._read(decoder, Anything, b'{"agent_span_id":5}', 100)

    assert refused.value.code == "bad_request"
