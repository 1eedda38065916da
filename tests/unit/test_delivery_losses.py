"""What a run lost is told to its server: one span of type `remit:loss`, and the root's `lost`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from remit._base.ids import key_text
from remit._declare.registry import LOSS_TYPE
from remit._deliver.delivery import Delivery
from remit._deliver.losses import MAX_RUNS, Loss, Losses, loss_span, with_loss_count
from remit._deliver.stored import StoredRun
from remit._record.items import Item, ItemKind
from tests.delivering import Stepped, delivery, down, files, within
from tests.fake_api import FakeApi, Json, error, named, refusal
from tests.inside import httpx
from tests.loopback import serving
from tests.recording import HandRun
from tests.spooling import REGISTRATION, in_child, wait_until_written

LARGE = json.dumps({"text": "x" * 9000}).encode()


@pytest.fixture
def api() -> FakeApi:
    """Return a server."""
    return FakeApi()


def told(api: FakeApi) -> list[Json]:
    """Return the payloads of the losses that were told."""
    return [span["payload"] for span in api.spans.values() if span["schema_name"] == LOSS_TYPE]


def root(api: FakeApi) -> Json:
    """Return the root span of the one run."""
    (found,) = (span for span in api.spans.values() if span["schema_name"] == "remit:run")
    return found


def lost(api: FakeApi) -> Any:
    """Return what the root span of the one run says that it lost."""
    return root(api)["result_payload"]["lost"]


def too_large(path: str, body: Json) -> httpx.Response | None:
    """Refuse bodies above a size."""
    return refusal(413) if path.endswith("/bulk") and len(json.dumps(body)) > 5000 else None


def test_what_found_no_room_is_told_in_one_span_when_the_run_ends() -> None:
    """Under the root, by reason; the root's result says the same number."""
    api = FakeApi()
    stepped = Stepped(api, max_buffer_bytes=64_000)
    run = HandRun(stepped.sink).open()
    for _ in range(200):
        run.span(payload=b'{"order":"%s"}' % (b"x" * 90))
    run.close()
    stepped.settle()
    counts = stepped.status.dropped
    assert counts[Loss.BUFFER_FULL] > 0
    assert counts[Loss.PAYLOAD_BUFFER_FULL] > 0
    assert told(api) == [{"reason": "buffer_full", "counts": counts}]
    (span,) = (span for span in api.spans.values() if span["schema_name"] == LOSS_TYPE)
    assert span["parent_span_id"] == root(api)["id"]
    assert span["status"] == "complete"
    assert span["started_at"] == span["finished_at"] == root(api)["finished_at"]
    assert lost(api) == counts[Loss.BUFFER_FULL] == run.feed.lost
    assert stepped.status.dropped == counts
    assert stepped.status.sent == len(api.spans) - 1 + 3


def test_a_run_that_lost_nothing_is_not_told_of_the_losses_of_others() -> None:
    """Its root's result goes as it was recorded."""
    api = FakeApi()
    api.refuse_item(named("a"), error("validation_errors"))
    stepped = Stepped(api)
    runs = [stepped.record("a"), stepped.record("b")]
    for run in runs:
        run.close()
    stepped.deliver()
    assert len(told(api)) == 1
    roots = [span for span in api.spans.values() if span["schema_name"] == "remit:run"]
    assert [span["result_payload"]["lost"] for span in roots] == [1, 0]


def test_a_refused_span_is_lost_to_its_run() -> None:
    """Although it comes in the same request as the root's end: the server stops there."""
    api = FakeApi()
    api.refuse_item(named("b"), error("validation_errors"))
    stepped = Stepped(api)
    stepped.record("a", "b", "c").close()
    stepped.deliver()
    assert told(api) == [{"reason": "rejected", "counts": {"rejected": 1}}]
    assert lost(api) == 1
    assert stepped.status.dropped == {}


def test_a_payload_that_arrives_cut_is_told_and_its_span_is_not_lost() -> None:
    """The span is there."""
    api = FakeApi()
    api.rules.append(too_large)
    stepped = Stepped(api)
    run = stepped.record("a")
    run.span("b", LARGE)
    run.close()
    stepped.deliver()
    assert told(api) == [{"reason": "payload_too_large", "counts": {"payload_too_large": 1}}]
    assert lost(api) == 0


def test_a_fault_of_ours_is_told() -> None:
    """What could not be written does not arrive."""
    api = FakeApi()
    stepped = Stepped(api)
    run = stepped.record("a")
    run.sink.end_span(run.broken(), 1, "complete", None)
    run.close()
    stepped.deliver()
    assert told(api) == [{"reason": "fault", "counts": {"fault": 1}}]
    assert lost(api) == 1


def test_a_replay_tells_it_once() -> None:
    """The key follows from the run: the server knows that it has it."""
    api = FakeApi()
    api.refuse_item(named("a"), error("validation_errors"))
    stepped = Stepped(api)
    stepped.record("a").close()
    heard: list[Any] = []

    def break_off(_: str, body: Json) -> httpx.ConnectError | None:
        telling = [item for item in body.get("items", ()) if named(LOSS_TYPE)(item)]
        if not telling or heard:
            return None
        heard.extend(telling)
        api.take_bulk(body["items"])
        return httpx.ConnectError("reset")

    api.rules.append(break_off)
    stepped.settle()
    assert len(told(api)) == 1
    again = [item for items in api.bulks() for item in items if named(LOSS_TYPE)(item)]
    assert again == [*heard, *heard]
    (run,) = (span for span in api.spans.values() if span["schema_name"] == "remit:run")
    assert run["status"] == "complete"


@pytest.mark.parametrize("code", ["validation_errors", "internal_error", "not_found"])
def test_a_loss_that_is_refused_is_let_go(code: str) -> None:
    """It is no loss itself, and the run ends as it did."""
    api = FakeApi()
    api.refuse_item(named("a"), error("validation_errors"))
    api.item_rules.append(lambda item: error(code) if named(LOSS_TYPE)(item) else None)
    stepped = Stepped(api)
    stepped.record("a").close()
    stepped.deliver()
    assert told(api) == []
    assert lost(api) == 1
    assert stepped.status.set_aside == {"validation_errors": 1}
    assert stepped.status.pending == 0


def test_a_request_that_is_refused_as_a_whole_goes_on_without_the_loss() -> None:
    """It must not cost the root its end."""
    api = FakeApi()
    api.refuse_item(named("a"), error("validation_errors"))

    def refuse(_: str, body: Json) -> httpx.Response | None:
        return refusal(413) if any(map(named(LOSS_TYPE), body.get("items", ()))) else None

    api.rules.append(refuse)
    stepped = Stepped(api)
    stepped.record("a").close()
    stepped.deliver()
    assert (told(api), lost(api)) == ([], 1)
    assert stepped.status.set_aside == {"validation_errors": 1}


def test_a_run_that_is_left_open_tells_what_it_lost_so_far() -> None:
    """It has no end to tell it at."""
    api = FakeApi()
    api.refuse_item(named("a"), error("validation_errors"))
    stepped = Stepped(api)
    stepped.record("a").close(leave_open=True)
    stepped.deliver()
    assert told(api) == [{"reason": "rejected", "counts": {"rejected": 1}}]
    assert root(api)["status"] == "active"


def test_a_root_whose_own_end_is_refused_leaves_a_loss() -> None:
    """Told before the run's end."""
    api = FakeApi()
    api.item_rules.append(
        lambda item: error("bad_request") if item["_type"] == "agent_spans/finish" else None
    )
    stepped = Stepped(api)
    run = stepped.record()
    stepped.deliver()
    run.close()
    stepped.deliver()
    assert told(api) == [{"reason": "rejected", "counts": {"rejected": 1}}]
    assert api.paths()[-2:] == ["bulk", "finish"]


def test_a_root_that_the_server_lost_arrives_with_the_number_of_losses() -> None:
    """It is sent whole when it ends."""
    api = FakeApi()
    api.refuse_item(named("a"), error("validation_errors"))
    stepped = Stepped(api)
    run = stepped.record("a")
    stepped.deliver(announce=True)
    api.spans.clear()
    run.close()
    stepped.deliver()
    assert (len(told(api)), lost(api)) == (1, 1)


def test_a_refused_run_is_told_nothing() -> None:
    """There is nothing at the server to tell it to."""
    api = FakeApi()
    api.script("/register", refusal(422, "validation_errors"))
    stepped = Stepped(api)
    stepped.record("a").close()
    stepped.deliver()
    assert api.spans == {}


def test_what_the_spool_gave_up_is_told_when_the_server_is_back(
    api: FakeApi, tmp_path: Path
) -> None:
    """All of it, payloads too, in one span."""
    down(api)
    made = delivery(api, tmp_path, max_spool_bytes=600_000)
    run = HandRun(made.sink).open()
    for _ in range(3_000):
        run.span()
    run.close()
    write(made)
    api.rules.clear()
    made.flush(within(60))
    dropped = made.status().dropped
    assert dropped[Loss.SPOOL_FULL] > 0
    assert [each["counts"] for each in told(api)] == [dropped]
    assert lost(api) == dropped[Loss.SPOOL_FULL]
    assert len(api.names()) == 3_000 - dropped[Loss.SPOOL_FULL] + 1
    made.shutdown(within(5))


def write(made: Delivery) -> None:
    """Have all that was recorded written to disk."""
    made.flush(within(0.1))
    wait_until_written(made.status)


def test_what_a_killed_process_had_counted_is_told_by_its_heir(
    api: FakeApi, tmp_path: Path
) -> None:
    """Its record says it; what it did not end arrives as failed, and is told beside."""

    def act() -> None:
        down(api)
        made = delivery(api, tmp_path, max_spool_bytes=600_000)
        run = HandRun(made.sink).open()
        run.start("open")
        write(made)
        for _ in range(3_000):
            run.span()
        write(made)
        run.span("last")
        write(made)

    in_child(act)
    made = delivery(api, tmp_path)
    made.flush(within(60))
    (each,) = told(api)
    assert each["counts"]["spool_full"] == lost(api)
    assert each["counts"]["process_ended"] == 1
    # What was counted after the last write went with the process.
    missing = 3_002 - (len(api.names()) - 1)
    assert 0 < missing - 1 <= lost(api) <= missing
    made.shutdown(within(5))
    assert files(tmp_path) == []


@pytest.mark.parametrize("killed", [False, True], ids=["shut down", "killed"])
def test_what_a_child_lost_of_its_parents_run_is_told_beside_the_parents(
    api: FakeApi, tmp_path: Path, *, killed: bool
) -> None:
    """The run's end is the parent's, and does not know of it."""
    large = b'"%b"' % (b"x" * 200_000)
    with serving(api.behave) as url:
        made = delivery(url=url, data_dir=tmp_path, max_buffer_bytes=200_000)
        run = HandRun(made.sink).open()
        assert made.flush(within(60))
        if killed:
            down(api)

        def act() -> None:
            made.after_fork_in_child()
            for _ in range(3):
                run.span(payload=large)
            if killed:
                write(made)
                run.span("last")
                write(made)
            else:
                assert made.shutdown(within(60)).sent

        in_child(act, made)
        api.rules.clear()
        made.flush(within(60))
        counts = {"payload_buffer_full": 3}
        assert told(api) == [{"reason": "payload_buffer_full", "counts": counts}]
        run.close()
        assert made.flush(within(60))
        assert len(told(api)) == 1
        made.shutdown(within(5))


ROOT = (7 << 80 | 5).to_bytes(16)


def run_with(lost: dict[str, int]) -> StoredRun:
    """Return a run that lost something."""
    return StoredRun("k", ROOT, 1, "live", REGISTRATION, lost=lost)


def test_the_key_of_a_loss_follows_from_the_run() -> None:
    """In the run's own time; another process's differs."""
    lossy = run_with({"spool_full": 2})
    key = loss_span(lossy, 3).key
    assert key == loss_span(lossy, 4).key != loss_span(lossy, 3, "other").key
    assert key[:6] == ROOT[:6]
    assert key_text(key)[:10] == key_text(ROOT)[:10]


def test_the_most_frequent_reason_is_named() -> None:
    """Beside the counts of all."""
    item = loss_span(run_with({"spool_full": 2, "buffer_full": 9}), 3)
    assert json.loads(item.payload or b"") == {
        "reason": "buffer_full",
        "counts": {"buffer_full": 9, "spool_full": 2},
    }


@pytest.mark.parametrize("result", [None, b'{"$remit":"cut","of":9,"unit":"bytes"}', b"{", b"[]"])
def test_a_result_that_says_nothing_of_losses_stays_as_it_is(result: bytes | None) -> None:
    """As one that was left out because the buffer was full."""
    item = Item(ItemKind.FINISH, "k", ROOT, None, None, 1, 2, "complete", None, result)
    assert with_loss_count(item, run_with({"spool_full": 2})).result == result


def test_of_how_many_runs_losses_are_known_is_bounded() -> None:
    """The oldest is forgotten; the whole is counted."""
    losses = Losses()
    for number in range(MAX_RUNS + 1):
        losses.add(Loss.SPOOL_FULL, run_key=str(number))
    assert len(losses.runs()) == MAX_RUNS
    assert "0" not in losses.runs()
    assert losses.by_reason() == {Loss.SPOOL_FULL: MAX_RUNS + 1}
