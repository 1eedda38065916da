"""A run is registered in one form of the protocol for its life, by bulk or by the endpoint.

The server scopes idempotency keys by endpoint: a registration that comes in both forms makes two
instances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests.delivering import Stepped, delivery, record, wait_for, within
from tests.fake_api import RUNS_IN_BULK, Answer, FakeApi, Json, refusal
from tests.inside import BulkSupport, httpx
from tests.recording import HandRun
from tests.spooling import in_child, wait_until_written

Fault = Callable[[FakeApi, str, Json], Answer]


def lost(api: FakeApi, path: str, body: Json) -> Answer:
    """Carry out the request, and answer nothing."""
    api.carry_out(path, body)
    return httpx.ReadError("closed")


def emptied(api: FakeApi, path: str, body: Json) -> Answer:
    """Carry out the request, and leave all outputs out of the answer."""
    return cut(api, path, body, kept=0)


def cut(api: FakeApi, path: str, body: Json, kept: int = 1) -> Answer:
    """Carry out the request, and leave the outputs after the first out of the answer."""
    answer: Json = api.carry_out(path, body).json()
    if "outputs" in answer:
        answer["outputs"] = dict(list(answer["outputs"].items())[:kept])
    return httpx.Response(200, json=answer)


def too_large(api: FakeApi, path: str, body: Json) -> Answer:
    """Do nothing, and refuse the size of the request."""
    del api, path, body
    return refusal(413)


def too_large_afterwards(api: FakeApi, path: str, body: Json) -> Answer:
    """Carry out the request, and answer 413, as a proxy with a limit for answers may."""
    api.carry_out(path, body)
    return refusal(413)


def nothing(api: FakeApi, path: str, body: Json) -> Answer:
    """Answer as it should."""
    del api, path, body
    return None


FAULTS: list[Fault] = [nothing, lost, emptied, cut, too_large, too_large_afterwards]
CASES = {
    "all in bulk, one run, then three": (RUNS_IN_BULK, (1, 3), 3),
    "all in bulk, three runs, then one": (RUNS_IN_BULK, (3, 1), 2),
    "registrations in bulk": (frozenset({"register"}), (1, 3), 2),
    "spans in bulk": (frozenset[str](), (1, 3), 2),
}
"""What the server takes in bulk, how many runs each window has, how many answers may be wrong."""


def server(in_bulk: frozenset[str], faults: tuple[Fault, ...] = ()) -> FakeApi:
    """Return a server that meets its first registrations with *faults*, one after the other."""
    api = FakeApi(in_bulk=in_bulk, keys_by_endpoint=True)
    left = list(faults)

    def rule(path: str, body: Json) -> Answer:
        types = [item["_type"] for item in body.get("items", ())]
        registers = path.endswith("/register") or "agent_instances/register" in types
        return left.pop(0)(api, path, body) if left and registers else None

    api.rules.append(rule)
    return api


def instances(api: FakeApi) -> Counter[str]:
    """Return how many instances the server made of each run."""
    return Counter(each["external_identifier"] for each in api.instances.values())


def forms(api: FakeApi) -> dict[str, list[str]]:
    """Return by the key of a registration the forms in which it came, in order."""
    forms: dict[str, list[str]] = {}
    for seen in api.seen:
        for item in seen.body.get("items", [seen.body]):
            if str(item.get("idempotency_key")).startswith("reg-"):
                forms.setdefault(item["idempotency_key"], []).append(seen.path.rpartition("/")[2])
    return forms


@pytest.mark.parametrize(("in_bulk", "windows", "length"), CASES.values(), ids=CASES)
def test_a_run_is_one_instance_whatever_becomes_of_the_answers(
    in_bulk: frozenset[str], windows: tuple[int, ...], length: int
) -> None:
    """In every order of answers that are right, lost, cut or 413.

    Only a run whose own request was answered 413 is set aside.
    """
    for order in product(FAULTS, repeat=length):
        api = server(in_bulk, order)
        stepped = Stepped(api, support=BulkSupport())
        runs: list[HandRun] = []
        for count in windows:
            for _ in range(count):
                runs.append(HandRun(stepped.sink).open())
                runs[-1].span()
                runs[-1].close()
            stepped.deliver()
        stepped.settle()
        named = [fault.__name__ for fault in order]
        made = instances(api)
        assert set(made.values()) <= {1}, named
        set_aside = stepped.status.set_aside
        assert set(set_aside) <= {"run_http_413"}, named
        ended = [each for each in api.instances.values() if each["status"] == "complete"]
        assert len(ended) == len(runs) - sum(set_aside.values()) / 5, named


def test_a_run_alone_is_registered_by_bulk() -> None:
    """A second window with more runs repeats what was lost in the same form."""
    api = server(RUNS_IN_BULK, (lost, lost))
    stepped = Stepped(api)
    HandRun(stepped.sink).open().close()
    stepped.deliver()
    HandRun(stepped.sink).open().close()
    stepped.settle()
    assert set(map(frozenset, forms(api).values())) == {frozenset({"bulk"})}
    assert len(api.instances) == 2


def test_later_runs_are_registered_by_the_endpoint_from_the_first_attempt() -> None:
    """At a server that refuses the type in bulk, and takes the same registration alone.

    The runs of the first window were in the bulk request, which the server refused.
    """
    api = server(frozenset())
    stepped = Stepped(api, support=BulkSupport())
    for _ in range(2):
        for _ in range(2):
            HandRun(stepped.sink).open().close()
        stepped.deliver()
    assert list(forms(api).values()) == [*[["bulk", "register"]] * 2, *[["register"]] * 2]


def test_a_server_that_answers_no_registration_is_asked_again_in_the_same_form() -> None:
    """Nothing is set aside: the answer of such a server is not the API's."""
    api = server(RUNS_IN_BULK, (emptied,) * 8)
    stepped = Stepped(api)
    HandRun(stepped.sink).open().close()
    stepped.deliver()
    assert stepped.status.health == "wrong_server"
    stepped.settle()
    assert list(forms(api).values()) == [["bulk"] * 9]
    assert len(api.instances) == 1


@pytest.mark.parametrize(
    ("in_bulk", "form"),
    [(RUNS_IN_BULK, "bulk"), (frozenset[str](), "register")],
    ids=["bulk", "register"],
)
def test_a_later_process_registers_a_run_in_the_form_of_the_first(
    in_bulk: frozenset[str], form: str, tmp_path: Path
) -> None:
    """The form is in the spool before the first request in this form.

    The later process meets a server that takes everything in bulk.
    """
    seen_by_first = tmp_path / "forms"

    def act() -> None:
        api = server(in_bulk)
        api.rules.append(lambda path, _: refusal(503) if path.endswith(f"/{form}") else None)
        made = delivery(api, tmp_path)
        record(made)
        made.flush(within(0.5))
        wait_until_written(made.status)
        wait_for(lambda: forms(api))
        seen_by_first.write_text(repr(forms(api)))

    in_child(act)
    assert f"'{form}'" in seen_by_first.read_text()
    api = server(RUNS_IN_BULK)
    made = delivery(api, tmp_path)
    assert made.flush(within(60))
    made.shutdown(within(5))
    assert list(forms(api).values()) == [[form]]
    assert len(api.instances) == 1
