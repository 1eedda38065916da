"""Scripts about runs and spans: states, times, flags, summaries, risk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.collecting import NOBODY, Json
from tests.golden.recorder import Call
from tests.golden.rows import (
    CHOSEN,
    EARLY,
    LATE,
    RISK,
    SCHEMA,
    TRACE,
    VERSION,
    details,
    registration,
    span,
)

REGISTER: Final = "POST /agent_instance/register"
STEPS_TO: Final[dict[str, list[tuple[str, Json]]]] = {
    "pending": [],
    "active": [("start", {})],
    "complete": [("start", {}), ("finish", {})],
    "failed": [("start", {}), ("finish", {"status": "failed"})],
    "cancelled": [("finish", {"status": "cancelled"})],
    "terminated": [("start", {}), ("terminate", {"reason": "enough"})],
}
"""The steps that lead a new run to a status."""
STEPS: Final[dict[str, tuple[str, Json]]] = {
    "start": ("start", {}),
    "finish": ("finish", {}),
    "finish as failed": ("finish", {"status": "failed"}),
    "finish as cancelled": ("finish", {"status": "cancelled"}),
    "terminate": ("terminate", {"reason": "enough"}),
    "record the quality of": ("record_quality", {"name": "review", "payload": {"score": 1}}),
    "update": ("update", details(quality_payload={"score": 1})),
}
SPAN_STATUSES: Final = ("pending", "active", "complete", "failed", "cancelled")
FINISHES: Final[dict[str, Json]] = {
    "finish": {},
    "finish as failed": {"status": "failed"},
    "finish as cancelled": {"status": "cancelled"},
}


def _runs() -> Iterator[Call]:
    """Take every step on a run in every status."""
    number = 0
    for status, before in STEPS_TO.items():
        for name, (step, body) in STEPS.items():
            number += 1
            run = f"/agent_instance/<agent_instance {number}>"
            yield Call(f"run {number}", REGISTER, registration(), silent=True)
            for place, (earlier, its_body) in enumerate(before):
                named = f"step {place} of run {number}"
                yield Call(named, f"POST {run}/{earlier}", its_body, silent=True)
            yield Call(f"{name} a run that is {status}", f"POST {run}/{step}", body)
            if name != "update":
                yield Call(f"{name} a run that is {status}, again", f"POST {run}/{step}", body)
    yield Call("start a run that does not exist", f"POST /agent_instance/{NOBODY}/start", {})


def _spans() -> Iterator[Call]:
    """Create and finish spans in every status, and in runs of every status."""
    number = 0
    for place, (status, before) in enumerate(STEPS_TO.items(), 1):
        run = f"<agent_instance {place}>"
        yield Call(f"a run that is {status}", REGISTER, registration(), silent=True)
        yield Call(
            f"a span of it while pending, {status}", "POST /agent_spans", details(**span(run))
        )
        number += 1
        for step, body in before:
            yield Call(f"{step} the run to be {status}", f"POST /agent_instance/{run}/{step}", body)
        yield Call(f"finish the span in a run that is {status}", _finish(number), {})
        yield Call(f"a span of a run that is {status}", "POST /agent_spans", details(**span(run)))
        number += 1
    for status in SPAN_STATUSES:
        for name, body in FINISHES.items():
            number += 1
            yield Call(
                f"a span that is {status}, to {name}",
                "POST /agent_spans",
                details(**span("<agent_instance 2>", status=status)),
            )
            yield Call(f"{name} a span that is {status}", _finish(number), body)
            yield Call(f"{name} a span that was {status}, again", _finish(number), body)


def _finish(number: int) -> str:
    return f"POST /agent_spans/<agent_span {number}>/finish"


def _steps_of_runs() -> list[Call]:
    run = "/agent_instance/<agent_instance 1>"
    return [
        Call("register", REGISTER, registration(agent_version=VERSION)),
        Call("a run that is pending", f"GET {run}"),
        Call("start at a time", f"POST {run}/start", {"timestamp": EARLY}),
        Call("start again", f"POST {run}/start", {"timestamp": EARLY}),
        Call("finish at a time", f"POST {run}/finish", {"status": "failed", "timestamp": LATE}),
        Call("finish again", f"POST {run}/finish"),
        Call("a run that is finished", f"GET {run}"),
        Call("register to finish before the start", REGISTER, registration()),
        Call("finish before the start", "POST /agent_instance/<agent_instance 2>/finish", {}),
        Call(
            "start after the finish",
            "POST /agent_instance/<agent_instance 2>/start",
            {"timestamp": EARLY},
        ),
        Call(
            "start after the finish, again",
            "POST /agent_instance/<agent_instance 2>/start",
            {"timestamp": EARLY},
        ),
        Call("register to terminate", REGISTER, registration()),
        Call(
            "start with a null as time",
            "POST /agent_instance/<agent_instance 3>/start",
            {"timestamp": None},
        ),
        Call(
            "a span before the termination",
            "POST /agent_spans",
            details(**span("<agent_instance 3>")),
        ),
        Call(
            "terminate",
            "POST /agent_instance/<agent_instance 3>/terminate",
            {"reason": "It asked too much."},
        ),
        Call("finish a span of a terminated run", _finish(1), {}),
        Call(
            "a span of a terminated run", "POST /agent_spans", details(**span("<agent_instance 3>"))
        ),
        Call("a run that is terminated", "GET /agent_instance/<agent_instance 3>"),
        Call("finish a terminated run", "POST /agent_instance/<agent_instance 3>/finish", {}),
        Call("start a terminated run", "POST /agent_instance/<agent_instance 3>/start", {}),
        Call(
            "finish a terminated run without a body",
            "POST /agent_instance/<agent_instance 3>/finish",
        ),
        Call("terminate without a reason", f"POST {run}/terminate", {}),
    ]


def _registrations() -> list[Call]:
    environment = {"agent_sdk": ["a@1"], "os": "linux", "prefactor_sdk": ["b@2"], "runtime": "py"}
    return [
        Call(
            "everything",
            REGISTER,
            registration(
                agent_version={**VERSION, "runtime_environment": environment},
                agent_schema_version=SCHEMA,
                environment_id="<environment 1>",
                id=CHOSEN,
                update_current_version=True,
                purpose="eval",
                external_identifier="run-1",
            ),
        ),
        Call("its deployment", "GET /agent_deployment"),
        Call("its version", "GET /agent_version/<agent_version 1>"),
        Call("the same again", REGISTER, registration(external_identifier="run-2")),
        Call("an external identifier again", REGISTER, registration(external_identifier="run-2")),
        Call("an id again, with another body", REGISTER, registration(id=CHOSEN)),
        Call("without a current version", REGISTER, registration(update_current_version=False)),
        Call("the deployment after that", "GET /agent_deployment/<agent_deployment 1>"),
        Call(
            "the schema version by its identifier",
            REGISTER,
            registration(agent_schema_version={"external_identifier": "s1"}, schema_kept=True),
        ),
        Call(
            "a schema version by an unknown identifier",
            REGISTER,
            registration(agent_schema_version={"external_identifier": "no"}, schema_kept=True),
        ),
        Call("without an agent", REGISTER, registration("")),
        Call("an agent that does not exist", REGISTER, registration(NOBODY)),
        Call("an agent of another account", REGISTER, registration("<agent 2>")),
        Call("an id that is no id", REGISTER, registration("desk")),
        Call("an environment that does not exist", REGISTER, registration(environment_id=NOBODY)),
        Call(
            "an environment of another account",
            REGISTER,
            registration(environment_id="<environment 2>"),
        ),
        Call("without versions", REGISTER, {"agent_id": "<agent 1>"}),
        Call(
            "schemas as older clients send them",
            REGISTER,
            registration(
                agent_schema_version={
                    "external_identifier": "old",
                    "span_schemas": {"desk:old": {"type": "object"}},
                    "span_result_schemas": {"desk:old": {"type": "object"}},
                    "quality_schema": {"type": "object"},
                    "toolSchemas": {},
                }
            ),
        ),
        Call("schema versions", "GET /agent_schema_version"),
        Call("the older schema version", "GET /agent_schema_version/<agent_schema_version 3>"),
        Call(
            "a token of a deployment",
            "POST /api_token",
            details(token_scope="agent_deployment", agent_id="<agent 1>"),
        ),
        Call("by a deployment", REGISTER, registration(""), "<secret 1>"),
        Call("by a deployment with its agent", REGISTER, registration(), "<secret 1>"),
        Call(
            "by a deployment for another agent", REGISTER, registration("<agent 2>"), "<secret 1>"
        ),
        Call("another agent", "POST /agent", details(name="Other")),
        Call("by a deployment for that agent", REGISTER, registration("<agent 3>"), "<secret 1>"),
        Call("another environment", "POST /environment", details(name="staging")),
        Call(
            "by a deployment in another environment",
            REGISTER,
            registration("", environment_id="<environment 3>"),
            "<secret 1>",
        ),
        Call("a schema that cannot be read", REGISTER, registration(agent_schema_version=5)),
        Call("all versions", "GET /agent_version"),
    ]


def _spans_in_full() -> list[Call]:
    return [
        Call("a run", REGISTER, registration(agent_schema_version=SCHEMA)),
        Call(
            "everything",
            "POST /agent_spans",
            details(
                **span(
                    id=CHOSEN,
                    parent_span_id=NOBODY,
                    status="complete",
                    payload={"question": "why", "n": [1, 2.5, None, True]},
                    result_payload={"answer": "because"},
                    started_at=EARLY,
                    finished_at=LATE,
                    sensitive_encoding=True,
                )
            ),
        ),
        Call("only what is required", "POST /agent_spans", details(**span())),
        Call("a child", "POST /agent_spans", details(**span(parent_span_id=CHOSEN))),
        Call("a parent that is no id", "POST /agent_spans", details(**span(parent_span_id="p"))),
        Call("pending", "POST /agent_spans", details(**span(status="pending"))),
        Call("finish the pending one", _finish(4), {"status": "complete"}),
        Call("cancel it", _finish(4), {"status": "cancelled", "timestamp": EARLY}),
        Call("an id again, with another body", "POST /agent_spans", details(**span(id=CHOSEN))),
        Call(
            "a payload that is not as declared",
            "POST /agent_spans",
            details(**span(payload={"question": 5}, status="failed", result_payload={"answer": 1})),
        ),
        Call(
            "a span type that is not declared",
            "POST /agent_spans",
            details(**span(schema_name="desk:unknown")),
        ),
        Call(
            "finish with everything",
            _finish(1),
            {
                "status": "failed",
                "result_payload": {"answer": 5},
                "timestamp": LATE,
                "sensitive_encoding": True,
            },
        ),
        Call("finish again", _finish(1), {}),
        Call("finish with details", _finish(2), details(status="failed", result_payload={})),
        Call("finish without a body", _finish(3)),
        Call("a span that does not exist", f"POST /agent_spans/{NOBODY}/finish", {}),
        Call("a run that does not exist", "POST /agent_spans", details(**span(NOBODY))),
        Call(
            "a result of an active span",
            "POST /agent_spans",
            details(**span(result_payload={})),
        ),
        Call("without details", "POST /agent_spans", span()),
        Call(
            "test spans",
            "POST /agent_spans/create_test_spans",
            {"agent_instance_id": "<agent_instance 1>", "count": 3, "parent_span_id": CHOSEN},
        ),
        Call(
            "too many test spans",
            "POST /agent_spans/create_test_spans",
            {"agent_instance_id": "<agent_instance 1>", "count": 101},
        ),
        Call("the run", "GET /agent_instance/<agent_instance 1>"),
        Call(
            "the spans",
            "GET /agent_spans?agent_instance_id=<agent_instance 1>&include_summaries=true"
            "&include_risk_level=true",
        ),
    ]


def _qualities() -> list[Call]:
    run = "/agent_instance/<agent_instance 1>"
    quality = f"POST {run}/record_quality"
    return [
        Call("a run", REGISTER, registration(agent_schema_version=SCHEMA), silent=True),
        Call("as declared", quality, {"name": "review", "payload": {"score": 4}}),
        Call("not as declared", quality, {"name": "review", "payload": {"score": "good"}}),
        Call("a name that is not declared", quality, {"name": "other", "payload": {"a": [1]}}),
        Call("a null removes it", quality, {"name": "other", "payload": None}),
        Call("a name alone removes it", quality, {"name": "review"}),
        Call("the older form", f"POST {run}/update", details(quality_payload={"score": 1})),
        Call("the older form by PUT", f"PUT {run}", details(quality_payload={"score": 2})),
        Call("the older form without a payload", f"PUT {run}", details()),
        Call("the older form removes it", f"PUT {run}", details(quality_payload=None)),
        Call("without a name", quality, {"payload": {}}),
        Call("a payload that is no object", quality, {"name": "review", "payload": [1]}),
        Call("a payload that is too long", quality, {"name": "a", "payload": {"a": "x" * 410_000}}),
        Call("the run", f"GET {run}"),
    ]


TEMPLATES: Final = {
    "field": "{{ question }} -> {{ answer }}",
    "deep": '{{ inputs["a.b"] }} {{ inputs.c.d }}',
    "missing": "[{{ none }}{{ missing.too }}{{ inputs }}{{ list }}]",
    "branch": "{% if answer == 'yes' %}a{% elsif question %}b{% else %}c{% endif %}",
    "default": "{{ missing | default: 'nothing' }}",
    "truncate": "{{ long | truncate: 8 }} {{ long | truncatewords: 2 }}",
    "size": "{{ list | size }}",
    "cut off": "{{ broken",
    "unknown filter": "{{ question | no_such_filter }}",
}
LOOPS: Final = {
    "loop": "{% for one in list %}{{ one }} {% endfor %}",
    "assign": "{% assign a = question %}{{ a }}",
    "filters": "{{ list | join: ', ' | upcase }}",
}


def _summaries(templates: dict[str, str]) -> list[Call]:
    payload = {
        "question": "why",
        "long": "one two three",
        "list": ["a", "b"],
        "inputs": {"a.b": "dotted", "c": {"d": 1.5}},
    }
    types = [
        {"name": name, "params_schema": {}, "template": template}
        for name, template in templates.items()
    ]
    schema = {"span_type_schemas": types}
    spans = "GET /agent_spans?agent_instance_id=<agent_instance 1>"
    return [
        Call("a run", REGISTER, registration(agent_schema_version=schema), silent=True),
        *(
            Call(
                name,
                "POST /agent_spans",
                details(
                    **span(
                        schema_name=name,
                        status="complete",
                        payload=payload,
                        result_payload={"answer": "yes"},
                    )
                ),
                silent=True,
            )
            for name in templates
        ),
        Call("with summaries", f"{spans}&include_summaries=true"),
        Call("without summaries", f"{spans}&pagination[page_size]=1"),
    ]


def _risk() -> list[Call]:
    declared = {"name": "desk:send", "params_schema": {}, "data_risk": RISK}
    schema = {**SCHEMA, "span_type_schemas": [*SCHEMA["span_type_schemas"], declared]}
    send: dict[str, Json] = {"schema_name": "desk:send", "status": "complete", "payload": {}}
    redacted = {"$remit": "redacted", "rule": "type:Sensitive"}
    exceeded = {"sentence": "it may destroy data, which the agent may not"}
    exceeding: dict[str, Json] = {**send, "payload": {"$remit": {"violations": [exceeded]}}}
    violation = {"sentence": "destroy_data is not allowed"}
    refused = {"error": {"type": "DeniedError", "violations": [violation]}}
    risk = "/agent_instance/<agent_instance 1>/risk"
    of_agent = "GET /agent/<agent 1>/risk"
    return [
        Call("a run", REGISTER, registration(agent_schema_version=schema), silent=True),
        Call("start", "POST /agent_instance/<agent_instance 1>/start", {}, silent=True),
        Call("of a run without spans", f"GET {risk}"),
        Call("a span", "POST /agent_spans", details(**span(**send)), silent=True),
        Call(
            "a span with a redacted value",
            "POST /agent_spans",
            details(**span(**{**send, "payload": {"who": redacted, "more": [{"a": redacted}]}})),
            silent=True,
        ),
        Call(
            "a span that exceeds the remit",
            "POST /agent_spans",
            details(**span(**exceeding)),
            silent=True,
        ),
        Call(
            "a refused span",
            "POST /agent_spans",
            details(**span(status="failed", result_payload=refused)),
            silent=True,
        ),
        Call(
            "an undeclared span",
            "POST /agent_spans",
            details(**span(schema_name="desk:unknown")),
            silent=True,
        ),
        Call(
            "an invalid span", "POST /agent_spans", details(**span(payload={"a": 1})), silent=True
        ),
        Call(
            "terminate",
            "POST /agent_instance/<agent_instance 1>/terminate",
            {"reason": "enough"},
            silent=True,
        ),
        Call("of a run", f"GET {risk}"),
        Call("of an agent", of_agent),
        Call(
            "of an agent within a time",
            f"{of_agent}?start_time=2020-01-01T00:00:00Z&end_time=2021-01-01T00:00:00Z",
        ),
        Call("a time that is none", f"{of_agent}?start_time=soon"),
        Call("of a run that does not exist", f"GET /agent_instance/{NOBODY}/risk"),
        Call("of an agent that does not exist", f"GET /agent/{NOBODY}/risk"),
        Call(
            "the roll-up of an agent",
            "GET /agent/show?agent_id=<agent 1>&include_risk_rollup=true&include_counts=false",
        ),
        Call("the context of a run", "GET /agent_instance/<agent_instance 1>/agent_context"),
    ]


def _causes() -> list[Call]:
    root: dict[str, Json] = {
        "schema_name": "remit:run",
        "payload": {"traceparent": f"00-{TRACE}-{'1' * 16}-01"},
    }
    return [
        Call("a run", REGISTER, registration(external_identifier="run-1"), silent=True),
        Call("its root span", "POST /agent_spans", details(**span(**root))),
        Call("the run", "GET /agent_instance/<agent_instance 1>"),
        Call("by cause", f"GET /agent_instance?caused_by={TRACE}"),
        Call("by external identifier", "GET /agent_instance?external_identifier=run-1"),
        Call("by an unknown one", "GET /agent_instance?external_identifier=none"),
    ]


STEPS_OF_RUNS: Final = list(_runs())
STEPS_OF_SPANS: Final = list(_spans())
RUNS: Final = _steps_of_runs()
REGISTRATIONS: Final = _registrations()
SPANS: Final = _spans_in_full()
QUALITIES: Final = _qualities()
SUMMARIES: Final = _summaries(TEMPLATES)
SUMMARIES_WITH_LOOPS: Final = _summaries(LOOPS)
RISKS: Final = _risk()
CAUSES: Final = _causes()
