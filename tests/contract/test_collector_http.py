"""What bad input gets: a 4xx with an envelope, never a traceback, nothing half-written."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from time import thread_time

import pytest

from remit.collector import Settings, Store
from tests.collecting import URL, Api, Json, World, details, refusal
from tests.inside import httpx
from tests.inside_collector import RequestError, unzip
from tests.subtests import each

MALFORMED = {
    "cut off": b'{"details":',
    "words": b"hello",
    "array": b"[]",
    "text": b'"x"',
    "number": b"5",
    "null": b"null",
    "two values": b"{} {}",
    "trailing comma": b'{"details":{},}',
    "single quotes": b"{'details':{}}",
    "NaN": b'{"details":{"name":NaN}}',
    "infinity": b'{"details":{"name":"x","team_id":Infinity}}',
    "number out of range": b'{"details":{"name":"x","other":1e999}}',
    "number of 5000 digits": b'{"details":{"name":"x","other":' + b"9" * 5000 + b"}}",
    "leading zero": b'{"details":{"name":"x","other":01}}',
    "bad escape": rb'{"details":{"name":"\q"}}',
    "lone surrogate": rb'{"details":{"name":"\ud800"}}',
    "lone low surrogate": rb'{"details":{"name":"\udc00"}}',
    "raw NUL": b'{"details":{"name":"a\x00b"}}',
    "raw newline": b'{"details":{"name":"a\nb"}}',
    "not UTF-8": b'{"details":{"name":"\xff"}}',
    "raw surrogate": b'{"details":{"name":"\xed\xa0\x80"}}',
    "UTF-16": '{"details":{"name":"x"}}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"details":{"name":"x"}}',
    "deep": b'{"details":' + b'{"a":' * 200 + b"1" + b"}" * 201,
    "deeper than a stack": b'{"details":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "open for ever": b"[" * 100_000,
}


@each("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_body_that_is_no_readable_object_is_a_bad_request(api: Api, body: bytes) -> None:
    """This holds for every kind of path; nothing is created."""
    run = api.instance("active")

    for path in ("/agent", f"/agent_instance/{run['id']}/finish", "/agent_spans"):
        response = api.post(path, content=body)
        assert response.status_code in {400, 422}, response.text
        refusal(response, response.status_code)

    assert len(api.get("/agent").json()["summaries"]) == 1
    assert api.spans(run["id"]) == []


@each(
    "value",
    [
        b"1e999",
        b"9" * 5000,
        rb'"\ud800"',
        b'"\xff"',
        b"[" * 200 + b"]" * 200,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b"[" * 100_000 + b"]" * 100_000,
        b'"a\x00b"',
        b"NaN",
    ],
    ids=[
        "out of range",
        "5000 digits",
        "lone surrogate",
        "not UTF-8",
        "deep array",
        "deep object",
        "stack",
        "NUL",
        "NaN",
    ],
)
@each("field", ["payload", "result_payload"])
def test_a_payload_that_a_reader_could_not_read_is_refused(
    api: Api, field: str, value: bytes
) -> None:
    """Alone and in bulk, where the whole request is malformed or the item is rejected."""
    run = api.instance("active")
    text = json.dumps(api.span_body(run["id"], status="complete", **{field: {"a": "HERE"}}))
    body = text.encode().replace(b'"HERE"', value)
    item = b'{"_type":"agent_spans/create","idempotency_key":"12345678",' + body[1:]
    other = b'{"_type":"agents/list","idempotency_key":"23456789"}'

    alone = api.post("/agent_spans", content=body)
    bulk = api.post("/bulk", content=b'{"items":[' + other + b"," + item + b"]}")

    refusal(alone, 400)
    if bulk.status_code == 200:
        assert bulk.json()["outputs"]["12345678"]["code"] == "bad_request"
    else:
        refusal(bulk, 400)
    assert api.spans(run["id"]) == []


@each("body", [b"", b" ", b"\n\t", b"{}"])
def test_an_empty_body_is_an_empty_object(api: Api, body: bytes) -> None:
    """Clients send none with some of their posts."""
    run = api.instance("active")

    assert details(api.post(f"/agent_instance/{run['id']}/finish", content=body))


@each("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_content_type_does_not_matter(api: Api, content_type: str | None) -> None:
    """Published clients send one with GETs and none with some posts."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    before = len(api.get("/agent").json()["summaries"])

    made = api.post("/agent", content=b'{"details":{"name":"x"}}', headers=headers)
    listed = api.http.get("/api/v1/agent", headers={"Content-Type": "application/json"})

    assert details(made)["name"] == "x"
    assert len(listed.json()["summaries"]) == before + 1


def test_a_slash_at_the_end_of_a_path_is_read_over(api: Api) -> None:
    """An unreleased client sent it."""
    assert details(api.get("/ping/")) == details(api.get("/ping"))
    assert details(api.post("/agent/", {"details": {"name": "x"}}))


def test_details_where_none_are_expected_are_read_if_they_can_be(api: Api) -> None:
    """A tracer sends a finish with them; what is no object there is ignored."""
    for said, status in (({"status": "failed"}, "failed"), (5, "complete"), (None, "complete")):
        span = api.span(api.instance("active")["id"])
        done = api.post(f"/agent_spans/{span['id']}/finish", {"details": said})
        assert details(done)["status"] == status


@each("path", ["/agent_instance/%00", "/agent/%ff", "/agent_instance/" + "x" * 5000])
def test_an_id_that_is_none_is_not_found(api: Api, path: str) -> None:
    """It may consist of any bytes."""
    refusal(api.get(path), 404)


def test_a_compressed_body_is_read(api: Api) -> None:
    """It may have several members; the header may be written in any way."""
    body = b'{"details":{"name":"zipped"}}'

    for sent, encoding in (
        (gzip.compress(body), "gzip"),
        (gzip.compress(body[:9]) + gzip.compress(body[9:]), " GZIP "),
        (body, "identity"),
    ):
        made = api.post("/agent", content=sent, headers={"Content-Encoding": encoding})
        assert details(made)["name"] == "zipped"


@each(
    ("body", "encoding", "status"),
    [
        (b"{}", "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", 400),
        (zlib.compress(b"{}"), "deflate", 415),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
    ],
)
def test_a_body_that_is_not_what_its_encoding_says_is_refused(
    api: Api, body: bytes, encoding: str, status: int
) -> None:
    """So is an encoding that is not known."""
    refusal(api.post("/agent", content=body, headers={"Content-Encoding": encoding}), status)


def test_a_body_beyond_the_limit_is_too_large(store: Store) -> None:
    """The limit applies before and after decompression."""
    settings = Settings(max_body_bytes=2000)
    api = World(store, settings=settings).account()

    def send(chars: int, *, zipped: bool = False) -> httpx.Response:
        body = json.dumps({"details": {"name": "x", "description": "y" * chars}}).encode()
        headers = {"Content-Encoding": "gzip"} if zipped else {}
        return api.post("/agent", content=gzip.compress(body) if zipped else body, headers=headers)

    for zipped in (False, True):
        assert details(send(1900, zipped=zipped))
        assert refusal(send(2000, zipped=zipped), 413)["code"] == "payload_too_large"


@each(
    ("payload", "accepted"),
    [
        ([1] * 80, True),
        ([1] * 120, False),
        ({str(n): 0 for n in range(120)}, False),
        ([[]] * 60, False),
        (['a, [b], {c} and \\"d\\", ' * 40] * 20, True),
    ],
    ids=["few", "many items", "many members", "many arrays", "separators in strings"],
)
def test_the_values_of_a_body_have_a_limit(store: Store, payload: Json, *, accepted: bool) -> None:
    """It is found before they are read."""
    api = World(store, settings=Settings(max_body_values=110)).account()
    body = {"name": "x", "other": payload}

    answer = api.post("/agent", {"details": body})

    assert answer.status_code == (200 if accepted else 413), answer.text


def test_an_answer_names_twenty_errors(api: Api) -> None:
    """Each with a place that is not long either."""
    wrong = {"x" * 1000 + str(n): 1 for n in range(100)}
    body = api.registration(agent_schema_version={"span_schemas": wrong})

    errors = refusal(api.post("/agent_instance/register", body), 422)["errors"]

    assert sum(map(len, errors.values())) == 20
    assert max(map(len, errors)) <= 200


@each(
    "schemas",
    [{"span_type_schemas": [1] * 10_001}, {"span_schemas": {str(n): 1 for n in range(10_001)}}],
    ids=["list", "map"],
)
def test_a_schema_version_has_so_many_span_types(api: Api, schemas: Json) -> None:
    """Beyond the cap none of them is read."""
    body = api.registration(agent_schema_version=schemas)

    errors = refusal(api.post("/agent_instance/register", body), 422)["errors"]

    assert list(errors.values()) == [["must have at most 10000 entries"]]


def test_a_bomb_is_not_unpacked(api: Api) -> None:
    """A hundred megabytes of zeros in a hundred kilobytes."""
    bomb = gzip.compress(b"\0" * 100_000_000, compresslevel=1)

    refusal(api.post("/agent", content=bomb, headers={"Content-Encoding": "gzip"}), 413)


def test_members_without_end_are_not_unpacked(api: Api) -> None:
    """Nothing is in them, but each takes time."""
    nothing = gzip.compress(b"")
    headers = {"Content-Encoding": "gzip"}
    begin = thread_time()
    refused = refusal(api.post("/pfid/generate", content=nothing * 200_000, headers=headers), 413)
    assert thread_time() - begin < 1
    assert refused["code"] == "payload_too_large"
    assert details(api.post("/pfid/generate", content=nothing * 1000, headers=headers))


def test_members_of_any_length_are_unpacked() -> None:
    """A member may begin and end anywhere in a part of the body."""
    chars = random.Random(17)
    parts = [chars.randbytes(length) for length in (1, 65_510, 0, 65_536, 200_000, 7, 131_072)]
    zipped = b"".join(map(gzip.compress, parts))
    whole = b"".join(parts)
    assert unzip(zipped, len(whole)) == whole
    with pytest.raises(RequestError):
        unzip(zipped[:-1], len(whole))
    with pytest.raises(RequestError):
        unzip(zipped, len(whole) - 1)


def test_the_depth_of_a_payload_has_a_limit_to_the_level(store: Store) -> None:
    """A payload of many flat members is not deep."""
    api = World(store, settings=Settings(max_depth=5)).account()
    run = api.instance("active", agent_schema_version={})
    deepest: Json = {"a": {"b": {"c": {"d": {}}}}}
    flat: Json = {str(number): {} for number in range(50)}

    assert api.span(run["id"], payload=deepest)["payload"] == deepest
    assert api.span(run["id"], payload=flat)["payload"] == flat
    refusal(api.post("/agent_spans", api.span_body(run["id"], payload={"a": deepest})), 400)
    lists: Json = {"a": [[[[[]]]]]}
    refusal(api.post("/agent_spans", api.span_body(run["id"], payload=lists)), 400)


@each(
    ("client", "accepts", "compressed"),
    [
        ("192.0.2.7", "gzip, br", True),
        ("192.0.2.7", "br", False),
        ("127.0.0.1", "gzip", False),
        ("::1", "gzip", False),
        ("a socket", "gzip", False),
    ],
)
async def test_a_long_answer_is_compressed_for_another_machine(
    store: Store, client: str, accepts: str, *, compressed: bool
) -> None:
    """If the client accepts it; caches tell the two apart."""
    world = World(store)
    api = world.account()
    api.post("/agent", {"details": {"name": "x", "description": "y" * 5000}})
    transport = httpx.ASGITransport(world.app, client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
        authorization = api.http.headers["Authorization"]
        headers = {"Authorization": authorization, "Accept-Encoding": accepts}
        long = await http.get("/api/v1/agent", headers=headers)
        short = await http.get("/api/v1/ping", headers=headers)

    assert long.headers.get("content-encoding") == ("gzip" if compressed else None)
    assert long.headers.get("vary") == ("Accept-Encoding" if compressed else None)
    assert "y" * 5000 in long.text
    assert "content-encoding" not in short.headers
