"""Summaries: what the templates of span types and qualities write."""

from __future__ import annotations

from typing import Any

from tests.bombs import TEMPLATES
from tests.collecting import Api, details
from tests.subtests import each

Json = Any


def run_with(api: Api, **templates: str) -> str:
    """Return a run whose span types have these templates."""
    types = [
        {"name": name, "params_schema": {}, "template": template}
        for name, template in templates.items()
    ]
    qualities = [{"name": "tone", "schema": {}, "template": "{{ score }} of {{ most }}"}]
    declared = {"span_type_schemas": types, "quality_schemas": qualities}
    found: str = api.instance(agent_schema_version=declared)["id"]
    return found


def summaries(api: Api, run_id: str, **query: str) -> list[str | None]:
    """Return the summaries of a run's spans as a list shows them."""
    response = api.get("/agent_spans", agent_instance_id=run_id, **query)
    return [each["summary"] for each in response.json()["summaries"]]


@each(
    ("template", "written"),
    [
        ("{{ question }} -> {{ answer }}", "why -> because"),
        ("{{ both }}", "result"),
        ('{{ inputs["dotted.key"] }} {{ inputs.deep.er }}', "dotted 1.5"),
        ("[{{ none }}{{ missing }}{{ missing.too }}]", "[]"),
        ("[{{ inputs }}{{ list }}]", "[]"),
        ("{{ flag }} {{ number }}", "true 42"),
        ("{% if both == 'result' %}a{% elsif flag %}b{% else %}c{% endif %}", "a"),
        ("{{ missing | default: 'nothing' }}", "nothing"),
        ("{{ long | truncate: 8 }} {{ long | truncatewords: 2 }}", "one t... one two..."),
        ("{{ list | size }}: {{ list | first | upcase }} {{ long | slice: 4, 3 }}", "2: A two"),
        ("{% unless flag %}a{% else %}b{% endunless %}", "b"),
        ("{% case both %}{% when 'result' %}a{% else %}b{% endcase %}", "a"),
        ("{{ broken", None),
        ("{% if a %}", None),
        ("{{ question | no_such_filter }}", None),
        ("{% include 'other' %}", None),
        ("{% for one in list %}{{ one }}{% endfor %}", None),
        ("{% assign one = question %}{{ one }}", None),
        ("{{ list | join: ', ' }}", None),
        ("{{ (1..3) }}", None),
        ("{{ missing | default: (1..3) }}", None),
        ("{{ list[(1..3)] }}{% if (1..3) contains 2 %}{% endif %}", None),
        ("{% if missing %}{{ question | replace: 'a', 'b' }}{% endif %}", None),
        ("{{ 1 | divided_by: 0 }}", None),
    ],
    ids=str,
)
def test_a_summary_is_written_from_payload_and_result(
    api: Api, template: str, written: str | None
) -> None:
    """The result wins where both have a name; what cannot be written is null."""
    run_id = run_with(api, one=template)
    payload = {
        "question": "why",
        "both": "payload",
        "none": None,
        "flag": True,
        "number": 42,
        "list": ["a", "b"],
        "long": "one two three four",
        "inputs": {"dotted.key": "dotted", "deep": {"er": 1.5}},
    }
    result = {"answer": "because", "both": "result"}
    ended = {"schema_name": "one", "status": "complete"}
    made = api.span(run_id, payload=payload, result_payload=result, **ended)
    (listed,) = api.get("/agent_spans", agent_instance_id=run_id, include_summaries="true").json()[
        "summaries"
    ]
    assert listed["summary"] == written
    assert (listed["payload"], listed["result_payload"]) == (payload, result)
    assert made["summary"] == written


def test_a_page_with_bombs_is_answered_with_the_rest(api: Api) -> None:
    """One type's template does not take the others' summaries."""
    run_id = run_with(api, good="{{ question }}", bad=TEMPLATES["range joined"])
    for name in ("bad", "good", "bad", "undeclared"):
        api.span(run_id, schema_name=name, status="complete")
    assert summaries(api, run_id, include_summaries="true") == [None, "why", None, None]


def test_a_span_has_a_summary_when_it_has_ended(api: Api) -> None:
    """It is written once, from the payload and the result together."""
    run_id = run_with(api, one="{{ question }} -> {{ answer }}")
    span_id = api.span(run_id, schema_name="one")["id"]
    assert summaries(api, run_id, include_summaries="true") == [None]

    ended = {"status": "complete", "result_payload": {"answer": "because"}}
    answered = details(api.post(f"/agent_spans/{span_id}/finish", ended))

    assert answered["summary"] == "why -> because"
    assert summaries(api, run_id, include_summaries="true") == ["why -> because"]


def test_the_older_quality_has_its_summary_beside_it(api: Api) -> None:
    """The summary has the name `quality`."""
    declared = {"quality_schemas": [{"name": "quality", "schema": {}, "template": "{{ a }}!"}]}
    run = api.instance(agent_schema_version=declared)
    changed = api.put(f"/agent_instance/{run['id']}", {"details": {"quality_payload": {"a": 1}}})
    assert details(changed)["quality_summary"] == "1!"
