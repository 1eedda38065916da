"""Parameters of a query that an endpoint does not know: refused, never ignored."""

from __future__ import annotations

from tests.collecting import NOBODY, World, refusal
from tests.inside_collector import DOCUMENT, ENDPOINTS
from tests.subtests import each

RUNS = "/api/remit/v1/runs"


def test_a_misspelt_filter_is_refused_with_the_one_that_was_meant(world: World) -> None:
    """A list without it would be that of everybody."""
    api = world.account()
    api.instance("active")

    refused = refusal(api.http.get(RUNS, params={"subjekt": "customer-17"}), 422)

    assert refused["code"] == "validation_errors"
    (message,) = refused["errors"]["subjekt"]
    assert "did you mean subject?" in message
    assert "fingerprint, flag, key, label" in message


def test_every_endpoint_refuses_a_parameter_that_it_does_not_know(world: World) -> None:
    """Those of the service as well, also one that writes, and nothing is written."""
    api = world.account()
    for endpoint in ENDPOINTS:
        if endpoint.operation == DOCUMENT:
            continue
        path = endpoint.route.replace("{id}", NOBODY)
        body = None if endpoint.method == "GET" else {"details": {"name": "Unknown"}}
        answer = api.http.request(endpoint.method, path, params={"hue": "blue"}, json=body)
        if endpoint.erases or (endpoint.approves and endpoint.writes):
            assert answer.status_code == 403
            continue
        assert list(refusal(answer, 422)["errors"]) == ["hue"], endpoint.route
    assert "Unknown" not in api.get("/agent").text
    for file in (f"{RUNS}/{NOBODY}/file", f"{RUNS}/{NOBODY}/file/values"):
        assert list(refusal(api.http.get(file, params={"hue": "blue"}), 422)["errors"]) == ["hue"]


def test_several_unknown_parameters_are_all_named(world: World) -> None:
    """Each with what may have been meant; a long or odd name is not repeated whole."""
    api = world.account()
    query = {"agentid": NOBODY, "page": "2", "x" * 500: "1"}
    errors = refusal(api.get("/agent_instance", agent_id=api.agent_id, **query), 422)["errors"]
    assert sorted(map(len, errors)) == [4, 7, 200]
    assert "did you mean agent_id?" in errors["agentid"][0]
    assert "did you mean" not in errors["page"][0]


@each(
    "query",
    [
        {"pagination[offset]": "0", "pagination[page_size]": "5", "sorting": "-id"},
        {"sorting[field]": "id", "sorting[direction]": "desc"},
        {"idempotency_key": "12345678"},
        {"include_risk_score": "true", "include_counts": "false", "include_costs": "true"},
        {"agent_version_id": NOBODY, "external_identifier": "x", "caused_by": "y"},
    ],
)
def test_what_clients_of_the_service_send_is_known(world: World, query: dict[str, str]) -> None:
    """As its documentation and its public clients have it."""
    api = world.account()
    assert api.get("/agent_instance", agent_id=api.agent_id, **query).status_code == 200


def test_a_parameter_without_a_value_is_refused_too(world: World) -> None:
    """Its name is wrong all the same."""
    assert list(refusal(world.account().get("/agent", nmae=""), 422)["errors"]) == ["nmae"]
