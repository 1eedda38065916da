"""What is done about a refused item, and how an item is made smaller."""

from __future__ import annotations

import json

import pytest

from remit._delivery.reactions import Reaction, already_so, reaction, smaller_forms, whole
from remit._sink import AnyItem, Item, Kind


def span(payload: bytes | None = b"{}", result: bytes | None = None) -> AnyItem:
    """Return a span."""
    return Item(Kind.SPAN, "run", 1, None, "m:f", 1, 2, "complete", payload, result)


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (Kind.SPAN, "bad_request", Reaction.SET_ASIDE),
        (Kind.SPAN, "validation_errors", Reaction.SET_ASIDE),
        (Kind.FINISH, "validation_errors", Reaction.SET_ASIDE),
        (Kind.SPAN, "not_found", Reaction.RENEW_RUN),
        (Kind.FINISH, "not_found", Reaction.CREATE),
        (Kind.SPAN, "invalid_action", Reaction.TRY_AGAIN),
        (Kind.SPAN, "internal", Reaction.TRY_AGAIN),
        (Kind.FINISH, None, Reaction.TRY_AGAIN),
    ],
    ids=str,
)
def test_each_code_has_its_reaction(kind: Kind, code: str | None, expected: Reaction) -> None:
    """As design.md section 5 lists them."""
    assert reaction(kind, code) is expected


def test_only_the_end_of_an_ended_span_is_already_so() -> None:
    """A second finish answers 409 `invalid_action`, which is what we wanted."""
    end = Item(Kind.FINISH, "run", 1, None, "m:f", 1, 2, "complete", None, None)
    assert already_so(end, "invalid_action")
    assert not already_so(end, "not_found")
    assert not already_so(span(), "invalid_action")


def test_the_end_of_a_span_can_be_sent_as_the_whole() -> None:
    """It carries all that a create needs."""
    end = Item(Kind.FINISH, "run", 1, 2, "m:f", 1, 2, "failed", b'{"a":1}', b'{"b":2}')
    assert whole(end) == Item(Kind.SPAN, "run", 1, 2, "m:f", 1, 2, "failed", b'{"a":1}', b'{"b":2}')


def test_a_large_item_first_loses_its_long_values() -> None:
    """The shape stays, so that the schema's required properties are all there."""
    payload = json.dumps({"id": 7, "text": "x" * 1000, "list": [1, 2]}).encode()
    smaller = next(smaller_forms(span(payload, b'{"result":"ok"}')))
    assert json.loads(smaller[8] or b"") == {
        "id": 7,
        "text": {"$remit": "cut", "of": 1002, "unit": "bytes"},
        "list": [1, 2],
    }
    assert smaller[9] == b'{"result":"ok"}'


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps({f"key{n}": n for n in range(50)}).encode(),
        b"[" + b"1," * 200 + b"1]",
        b"\xff" * 300,
    ],
    ids=["many small values", "no object", "no text"],
)
def test_what_has_no_long_value_becomes_a_skeleton(payload: bytes) -> None:
    """One marker stands for all of it."""
    forms = list(smaller_forms(span(payload)))
    marker = {"$remit": "cut", "of": len(payload), "unit": "bytes"}
    assert [json.loads(form[8] or b"") for form in forms] == [marker]


@pytest.mark.parametrize(
    ("payload", "result"),
    [(b"{}", None), (None, None), (b'{"a":1}', b'{"b":2}')],
    ids=["empty", "absent", "both small"],
)
def test_shrinking_comes_to_an_end(payload: bytes | None, result: bytes | None) -> None:
    """What cannot become smaller is not sent again."""
    assert list(smaller_forms(span(payload, result))) == []


def test_a_huge_item_has_two_smaller_forms() -> None:
    """Long values are cut first, then everything; the skeleton tells the original size."""
    payload = json.dumps({str(n): "x" * 300 for n in range(99)}).encode()
    cut, bare = smaller_forms(span(payload))
    assert len(bare[8] or b"") < len(cut[8] or b"") < len(payload)
    assert json.loads(bare[8] or b"")["of"] == len(payload)
