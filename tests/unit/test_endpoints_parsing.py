"""How answers are read, and how answers of something else are refused."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

import pytest

from remit.client.endpoints.endpoint import Call
from remit.errors import ContractError
from tests.calls import OURS
from tests.inside import described
from tests.subtests import each
from tests.vectors import Exchange

ID = "013xrzp12g3nqk8n0123456789abcdef"
Json: TypeAlias = Any
"""A JSON value."""


def test_a_page_is_read_with_where_it_stands() -> None:
    """`pagination` and `sorting` may be null."""
    call = described.list_instances(agent_id="a", agent_version_id="v")
    assert call.query == (("agent_id", "a"), ("agent_version_id", "v"))
    answer: Json = {"status": "success", "summaries": [], "pagination": None, "sorting": None}
    page = call.parse(json.dumps(answer).encode())
    assert (page.summaries, page.pagination, page.sorting) == ([], None, None)


def test_the_control_signal_stands_at_the_span() -> None:
    """On the wire it is beside the span, where the published clients read it."""
    call = described.finish_span(ID)
    details = {
        "type": "agent_span",
        "id": ID,
        "agent_instance_id": ID,
        "schema_name": "n",
        "status": "complete",
    }
    answer: dict[str, object] = {"status": "success", "details": details}
    assert call.parse(json.dumps(answer).encode()).control is None
    answer["control"] = {"terminate": True, "reason": "enough"}
    span = call.parse(json.dumps(answer).encode())
    assert span.control is not None
    assert (span.control.terminate, span.control.reason) == (True, "enough")


@each(
    ("answer", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<html>s3cret</html>", "HTML or XML"),
        (b"OK s3cret", "is not JSON"),
        (b'{"status": "succ', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'["s3cret"]', "not an object"),
        (b"null", "not an object"),
        (b"{}", "details: missing"),
        (b'{"status": "success", "details": {"s3cret": 1}}', "details.type: missing"),
        (b'{"status": "error", "code": "s3cret", "message": "m"}', "status: literal_error"),
    ],
    ids=range(11),
)
@each("call", [described.get_instance(ID), described.finish_span(ID)], ids=str)
def test_an_answer_of_something_else_is_a_contract_error(
    call: Call[Any], answer: bytes, said: str
) -> None:
    """The error says what came and what to do, and quotes nothing."""
    with pytest.raises(ContractError, match=re.escape(said)) as caught:
        call.parse(answer)
    assert "api_url" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_raw_outputs_tell_what_a_sender_decides_by() -> None:
    """They have status, code, message, errors and control, and no details."""
    answer: Json = {
        "status": "success",
        "outputs": {
            "good": {"status": "success", "details": {"id": ID}},
            "told": {"status": "success", "details": {}, "control": {"terminate": True}},
            "odd": {"status": "success", "details": {}, "control": "terminate"},
            "bad": {"status": "error", "code": "c", "message": "m", "errors": {"f": ["e"]}},
        },
    }
    outputs = described.bulk_raw(b"{}").parse(json.dumps(answer).encode())
    assert {name: output.status for name, output in outputs.items()} == {
        "good": "success",
        "told": "success",
        "odd": "success",
        "bad": "error",
    }
    assert outputs["good"].control is None
    assert outputs["told"].control is not None
    assert outputs["told"].control.terminate
    assert outputs["odd"].control is None
    assert (outputs["bad"].code, outputs["bad"].message) == ("c", "m")
    assert outputs["bad"].errors == {"f": ["e"]}
    assert outputs["good"].details is None


@each("exchange", [one for one in OURS if one.endpoint.endswith("/bulk")], ids=str)
def test_both_readers_of_a_bulk_answer_agree(exchange: Exchange) -> None:
    """They agree on every recorded answer."""
    answer = json.dumps(exchange.response).encode()
    slow = described.bulk([{"_type": "t"}]).parse(answer).outputs
    fast = described.bulk_raw(b"{}").parse(answer)
    assert list(slow) == list(fast)
    for name, output in slow.items():
        assert output.model_dump(exclude={"details"}) == fast[name].model_dump(exclude={"details"})


@each(
    ("answer", "said"),
    [
        (b"<html>", "HTML"),
        (b"\xff", "not JSON"),
        (b'{"outputs": {"k": {"status": 1}}}', "outputs.k.status"),
        (b'{"outputs": {"k": {"status": "perhaps"}}}', "outputs.k.status"),
        (b'{"status": "error"}', "outputs"),
    ],
    ids=["html", "bytes", "number", "word", "error"],
)
def test_a_bulk_answer_of_something_else_is_a_contract_error(answer: bytes, said: str) -> None:
    """The fast reader's faults are named by the slow one."""
    with pytest.raises(ContractError, match=re.escape(said)):
        described.bulk_raw(b"{}").parse(answer)


def test_a_bulk_answer_that_only_the_fast_reader_refuses_is_read() -> None:
    """A surrogate escape is JSON to the one and none to the other."""
    answer = b'{"outputs": {"k": {"status": "success", "details": "\\ud800\\udc00"}}}'
    assert described.bulk_raw(b"{}").parse(answer)["k"].status == "success"
