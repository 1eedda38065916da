"""Values of a confidential step are hidden on every page but the one that asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from remit.collector import Store, list_tokens
from tests import run_pages
from tests.collecting import World
from tests.inside import httpx
from tests.inside_collector import AccessLog
from tests.signing_in import NAME, signed_in

SECRET = "a private word"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the path of the access log."""
    return tmp_path / "access.log"


@pytest.fixture
def http(store: Store, log: Path) -> Iterator[httpx.Client]:
    """Return somebody who is signed in with a token, at a collector with an access log."""
    access_log = AccessLog(str(log))
    yield signed_in(store, access_log)
    access_log.close()


def test_only_the_route_that_asks_shows_them(world: World, http: httpx.Client) -> None:
    """Neither the page, nor its panel, its text, or the page for printing does."""
    run_id, step = run_pages.confidential(world.account(), {"note": SECRET})
    here = f"/runs/{run_id}/spans/{step}"
    run = f"/runs/{run_id}"
    chosen = (f"{run}?span={step}", f"{run}/print?span={step}", here, f"{here}/part")
    for path in (*chosen, run, f"{run}/print", f"{here}/text"):
        answer = http.get(path)
        assert answer.status_code == HTTPStatus.OK, path
        assert "PaymentError" in answer.text or path not in chosen, path
        assert "private" not in answer.text, path
    assert SECRET in http.get(f"{here}/values").text


def test_a_step_around_it_does_not_tell_its_message(world: World, http: httpx.Client) -> None:
    """The exception passed through it, and it recorded the message, too."""
    story = run_pages.Story(world.account())
    around = story.begin("shop.desk:support", story.root, ms=1)
    step = story.begin("shop.tools:secret", around, ms=2)
    for each in (step, around, story.root):
        story.end(each, "failed", run_pages.error(SECRET), ms=10)
    run_id = story.finish("failed")
    for each in (around, story.root):
        here = f"/runs/{run_id}/spans/{each}"
        for tail in ("", "/part", "/text"):
            answer = http.get(here + tail)
            assert answer.status_code == HTTPStatus.OK, tail
            assert "private" not in answer.text, tail
        assert SECRET in http.get(f"{here}/values").text


@pytest.mark.parametrize("part", ["causes", "members"])
def test_a_step_around_it_does_not_tell_what_caused_it(
    world: World, http: httpx.Client, part: str
) -> None:
    """The messages of its causes and of the members of its group are its own, too."""
    inner = {"type": "KeyError", "message": SECRET, "at": "shop/vault.py:2 in read"}
    story = run_pages.Story(world.account())
    around = story.begin("shop.desk:support", story.root, ms=1)
    step = story.begin("shop.tools:secret", around, ms=2)
    ended = run_pages.error("no")
    ended["error"][part] = [inner]
    story.end(step, "failed", ended, ms=10)
    outer = run_pages.error("no", "RuntimeError", causes=[inner])
    for each in (around, story.root):
        story.end(each, "failed", outer, ms=10)
    run_id = story.finish("failed")
    for each in (around, story.root):
        page = http.get(f"/runs/{run_id}/spans/{each}").text
        assert "RuntimeError" in page
        assert "private" not in page
        assert SECRET in http.get(f"/runs/{run_id}/spans/{each}/values").text


QUOTED = f"the tool failed: {SECRET}"
INNER = {"type": "shop.tools.PaymentError", "message": SECRET, "at": run_pages.PLACE}


def wrapped(**parts: object) -> dict[str, object]:
    """Return the result of a step whose exception quotes that of a confidential step."""
    return run_pages.error(QUOTED, "RuntimeError", at="shop/desk.py:7 in support", **parts)


@pytest.mark.parametrize("early", [False, True], ids=["first", "after another failure"])
@pytest.mark.parametrize(
    "parts",
    [
        {"causes": [INNER | {"relation": "cause"}]},
        {"causes": [INNER | {"relation": "context"}]},
        {"causes": [
            {"type": "KeyError", "message": str(number), "at": f"a.py:{number} in b"}
            for number in range(5)
        ]},
        {"causes": [{"$remit": "cut", "of": 3, "unit": "items"}]},
        {"members": [INNER], "of": 1},
        {"members": [{"type": "OSError", "message": QUOTED, "at": "a.py:1 in b"}], "of": 1},
    ],
    ids=["cause", "context", "more causes than are recorded", "cut", "member", "quoting member"],
)  # fmt: skip
def test_an_exception_that_quotes_it_in_its_chain_is_hidden(
    world: World, http: httpx.Client, parts: dict[str, object], *, early: bool
) -> None:
    """`raise RuntimeError(f"the tool failed: {error}") from error`, on each page and file."""
    story = run_pages.Story(world.account())
    if early:
        other = story.begin("shop.tools:look_up", story.root, ms=1)
        story.end(other, "failed", run_pages.error("no", "OSError", at="shop/a.py:1 in b"), ms=2)
    around = story.begin("shop.desk:support", story.root, ms=3)
    step = story.begin("shop.tools:secret", around, ms=4)
    story.end(step, "failed", run_pages.error(SECRET), ms=10)
    for each in (around, story.root):
        story.end(each, "failed", wrapped(**parts), ms=20)
    run_id = story.finish("failed")
    run = f"/runs/{run_id}"
    for each in (around, story.root):
        here = f"{run}/spans/{each}"
        chosen = (f"{run}?span={each}", f"{run}/print?span={each}", here)
        for path in (*chosen, f"{here}/part", f"{here}/text"):
            answer = http.get(path)
            assert answer.status_code == HTTPStatus.OK, path
            assert "RuntimeError" in answer.text, path
            assert "private" not in answer.text, path
        assert http.get(f"{here}/whole?of=result").status_code == HTTPStatus.FORBIDDEN
        assert SECRET in http.get(f"{here}/values").text
    lists = ("/runs?from=all", "/runs.csv?from=all")
    for path in (run, f"{run}/file/values", f"{run}/file", f"{run}/print", *lists):
        answer = http.get(path)
        assert answer.status_code == HTTPStatus.OK, path
        assert "private" not in answer.text, path


def test_the_list_does_not_tell_the_message_that_passed_through(
    world: World, http: httpx.Client
) -> None:
    """Also if another step failed before, so that the failure of the run is read from its root."""
    story = run_pages.Story(world.account())
    other = story.begin("shop.tools:look_up", story.root, ms=1)
    story.end(other, "failed", run_pages.error("no", "OSError", at="shop/a.py:1 in b"), ms=2)
    around = story.begin("shop.desk:support", story.root, ms=3)
    step = story.begin("shop.tools:secret", around, ms=4)
    for each in (step, around, story.root):
        story.end(each, "failed", run_pages.error(SECRET), ms=10)
    story.finish("failed")
    for path in ("/runs?from=all", "/runs.csv?from=all"):
        answer = http.get(path)
        assert "PaymentError" in answer.text, path
        assert "private" not in answer.text, path


def test_a_failure_beside_it_is_told(world: World, http: httpx.Client) -> None:
    """Of an exception that has nothing to do with the confidential step."""
    story = run_pages.Story(world.account())
    step = story.begin("shop.tools:secret", story.root, ms=1)
    story.end(step, "failed", run_pages.error(SECRET), ms=2)
    open_step = story.begin("shop.tools:look_up", story.root, ms=3)
    cause = {"type": "OSError", "message": "a plain word", "at": "shop/a.py:1 in b"}
    failure = run_pages.error("a plain word", "KeyError", at="shop/a.py:2 in c", causes=[cause])
    story.end(open_step, "failed", failure, ms=4)
    story.end(story.root, "failed", failure, ms=5)
    run_id = story.finish("failed")
    for path in ("/runs?from=all", f"/runs/{run_id}", f"/runs/{run_id}/spans/{open_step}"):
        assert "a plain word" in http.get(path).text, path


def test_the_messages_of_many_failures_are_hidden(world: World, http: httpx.Client) -> None:
    """Not all of them are read to tell which ones are those of a confidential step."""
    story = run_pages.Story(world.account())
    around = story.begin("shop.desk:support", story.root, ms=1)
    others = [story.begin("shop.tools:charge", story.root, ms=2) for _ in range(100)]
    step = story.begin("shop.tools:secret", around, ms=3)
    for other in others:
        story.end(other, "failed", run_pages.error("no", "OSError"), ms=4)
    for each in (step, around, story.root):
        story.end(each, "failed", run_pages.error(SECRET), ms=10)
    run_id = story.finish("failed")
    for path in (f"/runs/{run_id}", f"/runs/{run_id}/spans/{around}"):
        page = http.get(path).text
        assert "PaymentError" in page
        assert "private" not in page
    assert SECRET in http.get(f"/runs/{run_id}/spans/{around}/values").text


def test_the_notice_of_a_run_does_not_tell_its_message(world: World, http: httpx.Client) -> None:
    """Also if a step beside it ended first with the same exception."""
    story = run_pages.Story(world.account())
    beside = story.begin("shop.tools:charge", story.root, ms=1)
    step = story.begin("shop.tools:secret", story.root, ms=2)
    for ms, each in enumerate((beside, step, story.root), 10):
        story.end(each, "failed", run_pages.error(SECRET), ms=ms)
    run_id = story.finish("failed")
    page = http.get(f"/runs/{run_id}").text
    assert "shop/tools.py:41" in page
    assert "private" not in page


@pytest.mark.parametrize(
    ("classification", "takes"), [("confidential", ()), ("unknown", ("health_and_medical",))]
)
def test_how_it_differs_from_its_declaration_is_hidden(
    world: World, http: httpx.Client, classification: str, takes: tuple[str, ...]
) -> None:
    """The sentences name what is in its values."""
    type_ = run_pages.declared("shop.tools:vault", classification=classification, takes=takes)
    type_ |= {"params_schema": {"type": "object", "additionalProperties": {"type": "integer"}}}
    story = run_pages.Story(world.account(), types=(type_,))
    step = story.begin("shop.tools:vault", story.root, {"private": "x"}, ms=2)
    here = f"/runs/{story.run_id}/spans/{step}"
    file = f"/runs/{story.run_id}/file/values"
    for path in (here, f"{here}/part", file, f"/denied?span={step}"):
        answer = http.get(path)
        assert answer.status_code == HTTPStatus.OK, path
        assert "private" not in answer.text, path
    shown = http.get(f"{here}/values").text
    assert "Not as declared" in shown
    assert "private" in shown


def test_a_conversation_is_hidden(world: World, http: httpx.Client, log: Path) -> None:
    """The reading view shows numbers only; its texts need a request to a separate path."""
    type_ = run_pages.declared("shop.tools:chat", classification="confidential")
    story = run_pages.Story(world.account(), types=(type_,))
    messages = [{"role": "user", "content": SECRET}, {"role": "private", "content": "private"}]
    step = story.begin("shop.tools:chat", story.root, {"messages": messages, "model": "private"})
    story.end(step, result={"result": SECRET, "stop_reason": "private"})
    here = f"/runs/{story.run_id}/spans/{step}"
    hidden = http.get(f"{here}/read?q=private")
    assert hidden.status_code == HTTPStatus.OK
    assert "<dt>messages</dt><dd>3</dd>" in hidden.text
    assert f'href="{here}/values/read"' in hidden.text
    assert "private" not in hidden.text
    assert http.get(f"{here}/read?as=text").status_code == HTTPStatus.FORBIDDEN
    assert SECRET in http.get(f"{here}/values/read").text
    assert SECRET in http.get(f"{here}/values/read?as=text").text
    assert f'href="{here}/values/read"' in http.get(f"{here}/values").text
    routes = [json.loads(line)["route"] for line in log.read_text().splitlines()]
    assert routes.count("/runs/{id}/spans/{span}/values/read") == 2


def test_a_whole_value_is_hidden(world: World, http: httpx.Client) -> None:
    """Of a confidential step, and the result of a step around it, which has its message."""
    story = run_pages.Story(world.account())
    around = story.begin("shop.desk:support", story.root, {"question": "refund"}, ms=1)
    step = story.begin("shop.tools:secret", around, {"note": SECRET}, ms=2)
    for each in (step, around, story.root):
        story.end(each, "failed", {**run_pages.error(SECRET), "items": [], "count": 0}, ms=10)
    here = f"/runs/{story.finish('failed')}/spans"
    for hidden in (f"{step}|payload", f"{step}|result", f"{around}|result"):
        span, _, part = hidden.partition("|")
        answer = http.get(f"{here}/{span}/whole?of={part}")
        assert answer.status_code == HTTPStatus.FORBIDDEN, hidden
        assert "private" not in answer.text, hidden
        assert SECRET in http.get(f"{here}/{span}/values/whole?of={part}").text, hidden
        link = f"{here}/{span}/values/whole?of={part}"
        assert f'{part}" data-copy' not in http.get(f"{here}/{span}").text, hidden
        assert f'href="{link}"' in http.get(f"{here}/{span}/values").text, hidden
    assert "refund" in http.get(f"{here}/{around}/whole?of=payload").text


def test_a_search_does_not_tell_its_message(world: World, http: httpx.Client) -> None:
    """Also where the steps around it recorded the message; other failures can be found."""
    api = world.account()
    story = run_pages.Story(api)
    around = story.begin("shop.desk:support", story.root, {"question": "refund"}, ms=1)
    step = story.begin("shop.tools:secret", around, {"note": SECRET}, ms=2)
    for each in (step, around, story.root):
        story.end(each, "failed", run_pages.error(SECRET), ms=10)
    run_id = story.finish("failed")
    assert http.get(f"/runs/{run_id}/find?q=private").json()["ids"] == []
    assert len(http.get(f"/runs/{run_id}/find?q=refund").json()["ids"]) == 1
    other = run_pages.failed(api)
    assert len(http.get(f"/runs/{other}/find?q=provider").json()["ids"]) == 3


def test_an_export_has_its_values_and_says_so(world: World, http: httpx.Client) -> None:
    """Beside its link, where the run has such a step."""
    api = world.account()
    run_id, _ = run_pages.confidential(api, {"note": SECRET})
    words = "Export with confidential values"
    assert words in http.get(f"/runs/{run_id}").text
    assert SECRET in http.get(f"/runs/{run_id}/export").text
    assert words not in http.get(f"/runs/{run_pages.failed(api)}").text


def test_the_access_log_has_who_asked(world: World, http: httpx.Client, log: Path) -> None:
    """The route, the step, and the ids of token and session; no value."""
    run_id, step = run_pages.confidential(world.account(), {"note": SECRET})
    path = f"/runs/{run_id}/spans/{step}/values"
    http.get(path)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (asked,) = (line for line in lines if line["path"] == path)
    (reader,) = (each for each in list_tokens(world.store) if each.name == NAME)
    assert asked["route"] == "/runs/{id}/spans/{span}/values"
    assert asked["token_id"] == reader.id
    with world.store.reading() as tx:
        (session,) = tx.sessions(reader.account_id)
    assert asked["session_id"] == session.id
    assert "private" not in log.read_text()


def test_a_step_of_another_run_does_not_exist(world: World, http: httpx.Client) -> None:
    """Its id is right, its run is not."""
    api = world.account()
    _, step = run_pages.confidential(api, {"note": SECRET})
    other = run_pages.failed(api)
    for tail in ("", "/part", "/values", "/text", "/whole"):
        answer = http.get(f"/runs/{other}/spans/{step}{tail}")
        assert answer.status_code == HTTPStatus.NOT_FOUND, tail


def test_a_whole_value_is_text(world: World, http: httpx.Client) -> None:
    """As it was recorded; what is redacted stays redacted."""
    run_id = run_pages.failed(world.account())
    spans = http.get(f"/runs/{run_id}/export").text.splitlines()
    (charge,) = (span for span in map(json.loads, spans) if "charge" in span.get("schema_name", ""))
    answer = http.get(f"/runs/{run_id}/spans/{charge['id']}/whole?of=payload")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert json.loads(answer.text) == {"order": 1021, "token": run_pages.REDACTED}
    answer = http.get(f"/runs/{run_id}/spans/{charge['id']}/whole?of=everything")
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "must be one of payload, result" in answer.text


def test_pages_say_whether_an_access_log_is_kept(
    world: World, store: Store, http: httpx.Client
) -> None:
    """Before somebody signs in, too."""
    run_id, step = run_pages.confidential(world.account(), {"note": SECRET})
    here = f"/runs/{run_id}/spans/{step}"
    pages = (
        (
            "/sign-in",
            "Its access log records which pages you open.",
            "It does not record which pages you open.",
        ),
        ("/account", "on: it records who opened which page", "off<small>"),
        (here, "The access log records this.", "This server keeps no access log."),
        (f"{here}/part", "The access log records this.", "This server keeps no access log."),
    )
    without = signed_in(store)
    for path, kept, not_kept in pages:
        with_log, without_log = http.get(path).text, without.get(path).text
        assert kept in with_log, path
        assert not_kept not in with_log, path
        assert not_kept in without_log, path
        assert kept not in without_log, path


def test_the_error_of_a_cancelled_step_is_hidden(world: World, http: httpx.Client) -> None:
    """As that of a failed one, if a confidential step below it failed."""
    story = run_pages.Story(world.account())
    around = story.begin("shop.desk:support", story.root, ms=5)
    step = story.begin("shop.tools:secret", around, ms=6)
    failed = run_pages.error(SECRET)
    story.end(step, "failed", failed, ms=10)
    causes = [{**failed["error"], "relation": "context"}]
    ended = {"error": {"type": "asyncio.CancelledError", "message": "", "causes": causes}}
    for other in (around, story.root):
        story.end(other, "cancelled", ended, ms=12)
    here = f"/runs/{story.finish('cancelled')}"
    for path in ("", f"/spans/{around}", f"/spans/{story.root}", "/print", "/file/values"):
        assert SECRET not in http.get(here + path).text, path
    whole = http.get(f"{here}/spans/{around}/whole?of=result")
    assert whole.status_code == HTTPStatus.FORBIDDEN
    assert http.get(f"{here}/find?q=private").json()["ids"] == []
    assert SECRET in http.get(f"{here}/spans/{around}/values").text
