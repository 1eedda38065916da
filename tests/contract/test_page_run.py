"""What the page of a run says first, as HTML without a browser."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from http import HTTPStatus

import pytest
from click.testing import CliRunner

from remit.cli import main
from remit.collector import Store, create_token
from tests import run_pages
from tests.collecting import NOBODY, Api, World
from tests.inside import httpx
from tests.inside_collector import SqliteStore, hash_of_subject, root_id
from tests.signing_in import signed_in


@pytest.fixture
def http(store: Store) -> httpx.Client:
    """Return somebody who is signed in."""
    return signed_in(store)


def _words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def _notice(http: httpx.Client, run_id: str) -> str:
    page = http.get(f"/runs/{run_id}").text
    return _words(page.partition('<div class="notice')[2].partition(">")[2].partition("</div>")[0])


def _chosen(http: httpx.Client, run_id: str) -> str:
    page = http.get(f"/runs/{run_id}").text
    row = page.partition('aria-selected="true"')[2].partition("</div>")[0]
    return _words(row.partition(">")[2])


def test_a_run_that_a_denial_ended_shows_the_denied_step(api: Api, http: httpx.Client) -> None:
    """It did not run, so nothing is unknown about its effects."""
    run_id = run_pages.denied(api, handled=False)
    assert _notice(http, run_id) == "1 step was denied and did not run: charge."
    assert _chosen(http, run_id) == "denied: charge denied did not run"


def _told(api: Api, *failures: tuple[str, str, str], handled: int = 0) -> str:
    """Return a failed run with failures one after the other; each with step, class and place.

    The first *handled* ones have a parent that succeeded.
    """
    story = run_pages.Story(api)
    well = story.begin("shop.tools:look_up", story.root, ms=1)
    result: dict[str, object] = {}
    for number, (name, kind, place) in enumerate(failures):
        parent = well if number < handled else story.root
        step = story.begin(name, parent, ms=10 * number + 10)
        result = {"error": {"type": kind, "message": f"message {number}", "at": place}}
        story.end(step, "failed", result, ms=10 * number + 15)
    story.end(well, ms=5)
    story.end(story.root, "failed", {"status": "failed", **result}, ms=8420)
    return story.finish("failed")


def test_handled_failures_are_not_the_first(world: World, http: httpx.Client) -> None:
    """The run ended with another one, later."""
    run_id = _told(
        world.account(),
        ("shop.tools:early", "KeyError", "a.py:1 in early"),
        ("shop.tools:charge", "ValueError", "b.py:2 in charge"),
        handled=1,
    )
    assert _notice(http, run_id).startswith("charge failed in b.py:2: message 1.")
    assert _chosen(http, run_id).startswith("failed: charge")


def test_the_innermost_of_nested_failures_is_the_first(world: World, http: httpx.Client) -> None:
    """Also if all ended in the same microsecond."""
    story = run_pages.Story(world.account())
    outer = story.begin("shop.desk:support", story.root, ms=1)
    middle = story.begin("shop.tools:pay_back", outer, ms=2)
    inner = story.begin("shop.tools:charge", middle, ms=3)
    for step in (inner, middle, outer, story.root):
        story.end(step, "failed", run_pages.error("no"), ms=10)
    run_id = story.finish("failed")
    assert _chosen(http, run_id).startswith("failed: charge")
    assert "its error passed through 3 steps" in http.get(f"/runs/{run_id}").text


def test_the_same_failure_names_the_version_before_which_there_is_none(
    world: World, http: httpx.Client
) -> None:
    """A run of an older version went well."""
    api = world.account()
    story = run_pages.Story(api, version="1.4.0")
    story.end(story.root)
    story.finish("complete")
    run_pages.failed(api)
    notice = _notice(http, run_pages.failed(api))
    assert re.search(r"The same failure in 2 runs since [\d:]+, none before 1.5.0$", notice)


def test_a_group_opens_at_its_first_member(world: World, http: httpx.Client) -> None:
    """And names the others, also the step that the group cancelled."""
    run_id = run_pages.grouped(world.account())
    notice = _notice(http, run_id)
    assert notice.startswith("look_up failed in shop/store.py:88: locked.")
    assert "1 more parallel step failed after it. secret was cancelled by the group." in notice
    page = http.get(f"/runs/{run_id}").text
    first, second = page.partition('class="members"')[2].split("<tr>")[2:4]
    assert "400 ms this step sqlite3.OperationalError locked" in _words(first.replace("<", " <"))
    assert "1.28 s charge TimeoutError no message" in _words(second.replace("<", " <"))


def test_handled_failures_are_told_on_a_complete_run(world: World, http: httpx.Client) -> None:
    """With the effect that they may have had, and with the four facts."""
    run_id = run_pages.handled(world.account())
    notice = _notice(http, run_id)
    assert "2 of its 4 steps failed and were handled: charge twice." in notice
    assert "The record does not show whether money moved by charge." in notice
    assert "financial transactions 2" in _words(http.get(f"/runs/{run_id}").text)


def test_a_complete_run_tells_which_steps_may_have_moved_money(
    world: World, http: httpx.Client
) -> None:
    """The steps that succeeded are listed by name."""
    story = run_pages.Story(world.account())
    top = story.begin("shop.desk:support", story.root, ms=5)
    for number, status in enumerate(("complete", "complete", "failed")):
        charge = story.begin("shop.tools:charge", top, ms=10 + number)
        story.end(charge, status, ms=20 + number)
    story.end(top, ms=50)
    story.end(story.root, result={"status": "complete"}, ms=60)
    page = _words(http.get(f"/runs/{story.finish('complete')}").text)
    assert "Steps that may move money (2: charge) succeeded." in page


def test_a_subject_is_told_beside_its_hash(world: World, http: httpx.Client) -> None:
    """The head has the id, and its link the hash, which the first step shows."""
    api = world.account()
    run_id = api.instance()["id"]
    api.span(run_id, schema_name="remit:run", payload={"subject": "ada"})
    html, hashed = http.get(f"/runs/{run_id}").text, hash_of_subject("ada")
    assert "about adaas the program said" in _words(html)
    assert f"/runs?subject={hashed}" in html
    page, hashed = _words(html), hashed[:12]
    assert f"Addresses contain its hash, {hashed}" in page


def test_a_process_that_ended_is_told(world: World, http: httpx.Client) -> None:
    """Nothing is known after its last record."""
    run_id = run_pages.ended_process(world.account())
    notice = _notice(http, run_id)
    assert (
        "The process exited while charge was open and never reported the end of the run." in notice
    )
    last = run_pages.BEGIN + timedelta(milliseconds=3400)
    assert f"Process 48112, last record {last:%H:%M:%S}." in notice
    page = http.get(f"/runs/{run_id}").text
    assert page.count('class="b hat" x=') == 2
    assert _chosen(http, run_id) == "failed: charge not known"


def test_a_cancelled_run_is_told_in_ink(world: World, http: httpx.Client) -> None:
    """Nothing of it is red."""
    run_id = run_pages.cancelled(world.account())
    notice = _notice(http, run_id)
    assert notice.startswith("Cancelled by its caller while look_up was open. Nothing failed.")
    page = http.get(f"/runs/{run_id}").text
    assert 'class="b off"' in page
    assert "b bad" not in page


def test_an_erased_run_keeps_its_shape(world: World, store: Store, http: httpx.Client) -> None:
    """The notice says why and by whom."""
    run_id = run_pages.failed(world.account())
    token = create_token(store, "account", may="erase", name="privacy-office", clock=world.clock)
    body = {"run_id": run_id, "reason": "article 17"}
    answer = world.http(token.secret).post("/api/remit/v1/erasures", json=body)
    assert answer.status_code == HTTPStatus.OK, answer.text
    notice = _notice(http, run_id)
    assert "The values of this run were erased" in notice
    assert "Reason: “article 17”. By privacy-office." in notice
    page = http.get(f"/runs/{run_id}").text
    assert page.count('role="row"') == 5
    assert "502" not in page
    assert page.count('class="bar all gone"') == 2


def test_a_run_of_another_account_does_not_exist(world: World, http: httpx.Client) -> None:
    """Nor one that nobody has; the page says the same of both."""
    foreign = run_pages.failed(world.foreign())
    for run_id in (foreign, NOBODY):
        answer = http.get(f"/runs/{run_id}")
        assert answer.status_code == HTTPStatus.NOT_FOUND
        assert "This account does not have a run with this id" in answer.text
    for tail in ("/export", "/print", "/terminate"):
        assert http.get(f"/runs/{foreign}{tail}").status_code == HTTPStatus.NOT_FOUND


def test_a_long_run_is_shown_in_pages_and_its_first_failure_is_told(
    world: World, http: httpx.Client
) -> None:
    """Up to 2,000 steps are printed whole; the message of a confidential step is hidden."""
    api = world.account()
    story = run_pages.Story(api)
    step = api.span_body(story.run_id, parent_span_id=story.root)
    for count in (*[100] * 19, 99):
        api.bulk(*({"_type": "agent_spans/create", **step} for _ in range(count)))
    assert http.get(f"/runs/{story.run_id}/print").text.count('role="row"') == 2001
    page = http.get(f"/runs/{story.run_id}").text
    assert page.count('role="row"') == 501
    assert "This page shows 500 of 2,000 steps. Without JavaScript, the" in page

    api.bulk({"_type": "agent_spans/create", **step})
    page = http.get(f"/runs/{story.run_id}").text
    assert "The first 500 steps of 2,001." in page
    (after,) = re.findall(r"[?]after=([0-9a-z]+)", page)
    rest = http.get(f"/runs/{story.run_id}?after={after}").text
    assert page.count('role="row"') == rest.count('role="row"') == 501
    shown = [set(re.findall(r"[?]span=([0-9a-z]{32})", html)) for html in (page, rest)]
    assert after in shown[0] - shown[1]
    for tail in ("print", "file"):
        assert "The first 2,000 steps of 2,001" in _words(
            http.get(f"/runs/{story.run_id}/{tail}").text
        )

    around = story.begin("shop.desk:support", story.root, ms=5)
    inner = story.begin("shop.tools:secret", around, ms=6)
    for each in (inner, around, story.root):
        story.end(each, "failed", run_pages.error("a private word"), ms=10)
    run_id = story.finish("failed")
    assert _notice(http, run_id).startswith("secret failed in shop/tools.py:41")
    page = http.get(f"/runs/{run_id}").text
    assert "private" not in page
    assert page.count('role="row"') == 501


def test_a_single_failure_says_nothing_of_others(world: World, http: httpx.Client) -> None:
    """There is none."""
    assert "same failure" not in _notice(http, run_pages.failed(world.account()))


def test_a_run_without_a_failed_step_says_so(world: World, http: httpx.Client) -> None:
    """It was ended as failed by hand."""
    story = run_pages.Story(world.account())
    story.end(story.root, "complete", {"status": "failed", "reason": "no more money"})
    run_id = story.finish("failed")
    assert _notice(http, run_id) == "The run failed: no more money. None of its steps failed."


def test_a_failure_without_an_error_is_named_alone(world: World, http: httpx.Client) -> None:
    """A client ended the steps as failed and said nothing of an exception."""
    story = run_pages.Story(world.account())
    step = story.begin("shop.tools:look_up", story.root, ms=1)
    for each in (step, story.root):
        story.end(each, "failed", ms=5)
    assert _notice(http, story.finish("failed")).startswith("look_up failed.")


def test_the_text_of_a_step_has_what_one_tells_others(world: World, http: httpx.Client) -> None:
    """Its chain, where in the code, and the link."""
    run_id = run_pages.failed(world.account())
    page = http.get(f"/runs/{run_id}").text
    (path,) = set(re.findall(r'href="([^"]+/text)"', page))
    lines = http.get(path).text.splitlines()
    assert lines[0] == f"charge failed, run {run_id} of Desk, version 1.5.0"
    assert lines[2:5] == [
        "shop.tools.PaymentError: the provider answered 502 three times",
        "  at shop/tools.py:41 in charge",
        "directly caused by",
    ]
    assert lines[-1].startswith(f"/runs/{run_id}?span=")


def test_a_run_that_has_not_begun_cannot_be_terminated(world: World, http: httpx.Client) -> None:
    """The API rejects it."""
    for status, may_end in (("pending", False), ("active", True)):
        page = http.get(f"/runs/{world.account().instance(status)['id']}").text
        assert ("/terminate" in page) is may_end


def test_clocks_that_differ_give_no_negative_time(world: World, http: httpx.Client) -> None:
    """A step that ended before it began took no time."""
    story = run_pages.Story(world.account())
    step = story.begin("shop.tools:look_up", story.root, ms=100)
    story.end(step, ms=40)
    story.end(story.root, ms=200)
    run_id = story.finish("complete", ms=-500)
    page = http.get(f"/runs/{run_id}?span={step}").text
    assert "look_up" in page
    assert not re.search(r"-\d[\d.,]* (ms|s|min|h)\b", _words(page))


def test_all_open_steps_of_an_ended_process_count(world: World, http: httpx.Client) -> None:
    """Also those beside the innermost one."""
    story = run_pages.Story(world.account())
    steps = [story.begin(name, story.root, ms=5) for name in ("a:look_up", "shop.tools:charge")]
    ended = {"error": {"type": "ProcessEnded", "message": "its process ended"}}
    for each in steps:
        story.end(each, "failed", ended, ms=10)
    story.end(story.root, "failed", {"reason": "process ended", **ended}, ms=10)
    run_id = story.finish("failed", ms=10)
    notice = _notice(http, run_id)
    assert "3 open steps" in notice
    assert "money moved" in notice


def test_the_runs_beside_are_those_of_the_same_agent(world: World, http: httpx.Client) -> None:
    """None at either end."""
    api = world.account()
    older, run_id, newer = (run_pages.failed(api) for _ in range(3))
    run_pages.failed(world.foreign())
    page = http.get(f"/runs/{run_id}").text
    assert f'id="newer" href="/runs/{newer}"' in page
    assert f'id="older" href="/runs/{older}"' in page
    oldest, newest = (http.get(f"/runs/{run}").text for run in (older, newer))
    assert f'id="newer" href="/runs/{run_id}"' in oldest
    assert f'id="older" href="/runs/{run_id}"' in newest
    assert 'id="older"' not in oldest
    assert 'id="newer"' not in newest


def test_what_a_run_was_not_given_is_no_line(world: World, store: Store) -> None:
    """Of the root of a run; a step shows that an argument was null."""
    api = world.account()
    run_id = api.instance()["id"]
    payload = {"subject": None, "labels": None, "purpose": "live", "pid": 7}
    result = {"status": "complete", "reason": None, "spans": 1, "lost": 0}
    root = api.span(run_id, schema_name="remit:run", payload=payload)
    step = api.span(run_id, parent_span_id=root["id"], payload={"coupon": None})
    body = {"status": "complete", "result_payload": result}
    assert api.post(f"/agent_spans/{root['id']}/finish", body).status_code == 200
    http = signed_in(store)

    panel = http.get(f"/runs/{run_id}?span={root['id']}").text
    names = re.findall(r"<bdi class=\"k\">(\w+)", panel)
    assert "purpose" in names
    assert not {"subject", "labels", "reason"} & {*names}
    assert "coupon" in http.get(f"/runs/{run_id}?span={step['id']}").text


def test_the_list_the_head_the_table_and_the_command_count_steps_alike(
    world: World, store: Store, http: httpx.Client
) -> None:
    """The root of a run is none of its steps, and that it failed is not one more failure."""
    api = world.account()
    run_id = api.instance(external_identifier="01m8ry1r3vxd1mwspms4j7awkb")["id"]
    root = api.span(run_id, schema_name="remit:run", payload={})["id"]
    for status in ("complete", "failed"):
        api.span(run_id, parent_span_id=root, status=status)
    api.post(f"/agent_spans/{root}/finish", {"status": "failed"})
    api.post(f"/agent_instance/{run_id}/finish", {"status": "failed"})

    row = re.search(rf'<tr data-run="{run_id}".*?</tr>', http.get("/runs?from=all").text)
    facts = re.search(r'<p class="facts">.*?</p>', http.get(f"/runs/{run_id}").text, re.DOTALL)
    table = http.get("/runs.csv?from=all").text.splitlines()
    assert isinstance(store, SqliteStore)
    listed = CliRunner().invoke(main, ["runs", "list", "--db", store.path]).stdout
    shown = CliRunner().invoke(main, ["runs", "show", "--db", store.path]).stdout

    assert row is not None
    assert '>2 <span class="soft">· 1 failed</span>' in row[0]
    assert facts is not None
    assert "<span>2 steps</span>" in facts[0]
    cells = dict(zip(table[0].split(","), table[1].split(","), strict=False))
    assert (cells["steps"], cells["failed_steps"]) == ("2", "1")
    assert re.search(r"  2, 1 failed$", listed, re.MULTILINE)
    assert re.search(r"  spans +2, 1 failed$", shown, re.MULTILINE)


def _interrupted(api: Api, *answers: str) -> str:
    """Return a run whose agent and node a question interrupted."""
    run_id = str(api.instance("active")["id"])
    root = api.span(run_id, schema_name="remit:run", id=root_id(run_id), status="active")["id"]
    agent = api.span(
        run_id, schema_name="langchain:agent", parent_span_id=root, status="cancelled"
    )["id"]
    for name in ("langchain:chain", "remit:asked"):
        status = "complete" if name == "remit:asked" else "cancelled"
        api.span(run_id, schema_name=name, parent_span_id=agent, status=status)
    api.span(run_id, schema_name="desk:other", parent_span_id=root, status="cancelled")
    for answer in answers:
        payload = {"answer": answer}
        api.span(
            run_id,
            schema_name="remit:answered",
            parent_span_id=root,
            status="complete",
            payload=payload,
        )
    return run_id


def test_a_run_that_waits_for_a_person_says_so(api: Api, store: Store, http: httpx.Client) -> None:
    """In the list, above its steps, and at the steps that the question passed through."""
    run_id = _interrupted(api)
    assert _notice(http, run_id).startswith(
        "It waits for a person's answer. Nothing runs until then"
    )
    page = http.get(f"/runs/{run_id}").text
    assert '<span class="s waiting">' in page
    assert page.count("<i>suspended</i>") == 2
    assert page.count("<i>cancelled</i>") == 1
    assert isinstance(store, SqliteStore)
    shown = CliRunner().invoke(main, ["runs", "show", "--db", store.path]).stdout
    assert re.findall(r"^  spans +(.*)$", shown, re.MULTILINE) == ["4, 1 cancelled, 2 suspended"]
    words = re.findall(r"^\W*(\S+) +(suspended|cancelled|complete) ", shown, re.MULTILINE)
    assert words == [
        ("langchain:agent", "suspended"),
        ("langchain:chain", "suspended"),
        ("remit:asked", "complete"),
        ("desk:other", "cancelled"),
    ]
    listed = http.get("/runs?status=waiting&from=all").text
    assert run_id in listed
    assert '<span class="s waiting">' in listed
    assert run_id not in http.get("/runs?status=complete&from=all").text


def test_a_run_with_its_answer_does_not_wait(api: Api, http: httpx.Client) -> None:
    """It is running; the steps before the answer stay suspended."""
    run_id = _interrupted(api, "yes")
    page = http.get(f"/runs/{run_id}").text
    assert '<span class="s waiting">' not in page
    assert page.count("<i>suspended</i>") == 2
    assert run_id not in http.get("/runs?status=waiting&from=all").text
