"""Lists: pages, orders in both styles, filters, defaults."""

from __future__ import annotations

from typing import Any

from remit.collector import Settings, Store
from remit.models.agent_instance import AgentInstance
from remit.models.envelope import ListResponse
from tests.collecting import Api, Json, World, details, refusal
from tests.stores import on_each_store
from tests.subtests import each


def listed(api: Api, path: str, **query: Json) -> dict[str, Any]:
    """Return a list's whole answer."""
    response = api.get(path, **query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    """Return the ids of what is listed."""
    return [one["id"] for one in answer["summaries"]]


@on_each_store
def test_pages_follow_each_other_to_the_end(api: Api) -> None:
    """Oldest first, also among what was made in one millisecond."""
    made = [api.instance("pending")["id"] for _ in range(7)]
    seen: list[str] = []
    offset: int | None = 0
    places = []
    while offset is not None:
        answer = listed(
            api,
            "/agent_instance",
            agent_id=api.agent_id,
            **{"pagination[offset]": offset, "pagination[page_size]": 3},
        )
        ListResponse[AgentInstance].model_construct(**answer)
        seen += ids(answer)
        places.append(answer["pagination"])
        offset = answer["pagination"]["next_page_offset"]

    assert seen == made
    assert [
        (place["item_start"], place["item_end"], place["page_index"], place["previous_page_offset"])
        for place in places
    ] == [(1, 3, 1, None), (4, 6, 2, 0), (7, 7, 3, 3)]
    assert {(place["item_count"], place["page_count"]) for place in places} == {(7, 3)}


@on_each_store
@each(
    ("query", "order"),
    [
        ({}, "abc"),
        ({"sorting": "name"}, "acb"),
        ({"sorting": "-name"}, "bca"),
        ({"sorting": "-id"}, "cba"),
        ({"sorting[field]": "name", "sorting[direction]": "desc"}, "bca"),
        ({"sorting[field]": "name"}, "acb"),
        ({"sorting[direction]": "desc"}, "cba"),
        ({"sorting": "", "pagination[offset]": ""}, "abc"),
    ],
)
def test_both_styles_of_sorting_are_read(world: World, query: dict[str, str], order: str) -> None:
    """The default is the id, which is the time of creation."""
    api = world.deployment()
    owner = Api(world.account().http)
    made = {}
    for letter, name in (("a", "A 1"), ("b", "C 3"), ("c", "B 2")):
        made[owner.post("/agent", {"details": {"name": name}}).json()["details"]["id"]] = letter

    answer = listed(owner, "/agent", **query)

    assert api.agent_id is None
    assert "".join(made[one] for one in ids(answer) if one in made) == order


@each(
    ("query", "field"),
    [
        ({"pagination[offset]": "-1"}, "pagination[offset]"),
        ({"pagination[offset]": "x"}, "pagination[offset]"),
        ({"pagination[offset]": "9" * 30}, "pagination[offset]"),
        ({"pagination[page_size]": "0"}, "pagination[page_size]"),
        ({"pagination[page_size]": "101"}, "pagination[page_size]"),
        ({"pagination[page_size]": "1.5"}, "pagination[page_size]"),
        ({"sorting": "payload; DROP TABLE agents"}, "sorting"),
        ({"sorting": "body_hash"}, "sorting"),
        ({"sorting[field]": "nothing"}, "sorting"),
        ({"sorting[direction]": "up"}, "sorting[direction]"),
        ({"start_time": "soon"}, "start_time"),
        ({"end_time": "2026-99-01"}, "end_time"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(
    api: Api, query: dict[str, str], field: str
) -> None:
    """The list does not fall back to other rows."""
    answer = refusal(api.get("/agent_spans", agent_id=api.agent_id or "", **query), 422)

    assert list(answer["errors"]) == [field]


@on_each_store
def test_instances_are_found_by_key_and_by_cause_without_their_agent(world: World) -> None:
    """Within the account, or the agent of a deployment's token."""
    api, bound = world.account(), world.deployment()
    traceparent = {"payload": {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}}
    made: dict[str, str] = {}
    for name, owner in (("one", api), ("two", api), ("three", bound)):
        made[name] = owner.instance("active", external_identifier=name)["id"]
        owner.span(made[name], schema_name="remit:run", **traceparent)
    api.span(api.instance("active")["id"], schema_name="step", **traceparent)

    assert ids(listed(api, "/agent_instance", external_identifier="one")) == [made["one"]]
    assert ids(listed(api, "/agent_instance", external_identifier="zero")) == []
    caused = listed(api, "/agent_instance", caused_by="a" * 32)
    assert ids(caused) == [made["one"], made["two"], made["three"]]
    assert {row["caused_by"] for row in caused["summaries"]} == {"a" * 32}
    assert details(api.get(f"/agent_instance/{made['one']}"))["caused_by"] == "a" * 32
    assert ids(listed(bound, "/agent_instance", caused_by="a" * 32)) == [made["three"]]
    assert ids(listed(bound, "/agent_instance", external_identifier="one")) == []
    assert ids(listed(world.foreign(), "/agent_instance", external_identifier="one")) == []
    mine = listed(api, "/agent_instance", agent_id=api.agent_id, caused_by="a" * 32)
    assert ids(mine) == [made["one"], made["two"]]


@on_each_store
def test_a_window_of_time_includes_both_ends(api: Api) -> None:
    """It looks at when a span started, so that a pending one is in no window."""
    run = api.instance("active")["id"]
    times = [f"2026-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3, 4)]
    spans = [api.span(run, started_at=time)["id"] for time in times]
    api.span(run, status="pending")

    def between(**window: str) -> list[str]:
        return ids(listed(api, "/agent_spans", agent_instance_id=run, **window))

    assert between(start_time=times[1], end_time=times[2]) == spans[1:3]
    assert between(start_time=times[3]) == spans[3:]
    assert between(end_time="2026-01-01T01:00:00+01:00") == spans[:1]
    # As a program writes it that does not encode its query: the plus is a space by then.
    assert between(end_time="2026-01-01T01:00:00 01:00") == spans[:1]


@on_each_store
def test_spans_of_a_time_are_those_of_the_agent_and_type(world: World) -> None:
    """They are in order and counted, and the next page goes on."""
    api, other = world.account(), world.account()
    runs = [api.instance("active")["id"] for _ in range(3)]
    times = [f"2026-01-0{day}T00:00:00.000000Z" for day in (1, 2, 3, 4)]
    spans: dict[str, str] = {}
    for day, time in enumerate(times, 1):
        for number, run in enumerate(runs):
            name = f"desk:{number % 2}"
            spans[f"{day} {number}"] = api.span(run, started_at=time, schema_name=name)["id"]
        other.span(other.instance("active")["id"], started_at=time)
    asked = {"agent_id": api.agent_id, "sorting": "-started_at"}

    def found(**query: str) -> tuple[list[str], int]:
        answer = listed(api, "/agent_spans", **asked, **query)
        names = {span_id: name for name, span_id in spans.items()}
        return [names[each] for each in ids(answer)], answer["pagination"]["item_count"]

    assert found(start_time=times[1], end_time=times[2]) == (
        ["3 2", "3 1", "3 0", "2 2", "2 1", "2 0"],
        6,
    )
    assert found(start_time=times[2], schema_name="desk:1") == (["4 1", "3 1"], 2)
    assert found(end_time=times[0], schema_name="desk:2") == ([], 0)
    page = {"pagination[page_size]": "2", "pagination[offset]": "1"}
    assert found(start_time=times[2], **page) == (["4 1", "4 0"], 6)
    assert found(schema_name="desk:1") == (["4 1", "3 1", "2 1", "1 1"], 4)


@on_each_store
@each("by", ["agent_instance_id", "agent_id"])
def test_a_page_of_long_spans_is_shorter(store: Store, by: str) -> None:
    """The next page begins where it ends, and no page is empty."""
    api = World(store, settings=Settings(max_response_bytes=10_000)).account()
    run = api.instance("active")["id"]
    lengths = [4000, 4000, 4000, 20_000, 10, 10, 10]
    spans = [api.span(run, payload={"long": "x" * length})["id"] for length in lengths]
    query = {by: run if by == "agent_instance_id" else api.agent_id}

    pages: list[list[str]] = []
    offset: int | None = 0
    while offset is not None:
        answer = listed(api, "/agent_spans", **query, **{"pagination[offset]": offset})
        pagination = answer["pagination"]
        pages.append(ids(answer))
        assert pagination["page_offset"] == offset
        assert pagination["item_count"] == len(spans)
        offset = pagination["next_page_offset"]

    assert [len(page) for page in pages] == [2, 1, 1, 3]
    assert [span_id for page in pages for span_id in page] == spans
