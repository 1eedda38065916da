"""The OpenAPI 3.1 document, made from the table of endpoints and the wire models."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, TypeAlias, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from remit.collector.api.endpoints import BULK, DOCUMENT, ENDPOINTS, OWN_PREFIX, Endpoint
from remit.collector.domain.params import ListQuery, Query
from remit.collector.json_io import encode
from remit.models.bulk import MAX_KEY_CHARS
from remit.models.envelope import Control, ErrorResponse, Pagination, Sorting

Json: TypeAlias = dict[str, object]

VERSION: Final = "1"
_REF: Final = "#/components/schemas/{model}"
_PFID: Final = "^[0-7][0-9a-hjkmnp-tv-z]{31}$"
_KEY: Final[Json] = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS}
# The errors of all endpoints; a GET has no 409.
_ERRORS: Final = {
    400: "The request is not well-formed.",
    401: "The token does not exist, or is no longer valid.",
    403: "The token lacks the required scope or permission.",
    404: "The resource does not exist, or the token cannot read it.",
    408: "The body did not arrive in time.",
    409: "The resource's current state does not allow this operation.",
    411: "The body uses chunked encoding, without a `Content-Length`.",
    413: "The request exceeds a size limit.",
    415: "The body's content encoding is not supported.",
    422: "Fields are not valid; `errors` lists them.",
    429: "Too many requests: try again after `Retry-After` seconds.",
    503: "The collector is temporarily unavailable: try again after `Retry-After` seconds.",
    504: "The query took too long: request less data.",
}
_SHOWN: Final = ("type", "enum", "format", "minimum", "maximum", "pattern")
"""The keys of a parameter's schema that the document has."""
_OTHER_WORDS: Final = {
    BULK: "Execute several operations in order, up to the first one that is rejected.",
    DOCUMENT: "Return the OpenAPI description of the API.",
}


@cache
def document() -> bytes:
    """Return the document as JSON."""
    paths: dict[str, dict[str, Json]] = {}
    for endpoint in ENDPOINTS:
        described = _operation(endpoint)
        paths.setdefault(endpoint.route, {})[endpoint.method.lower()] = described
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "remit collector",
                "version": VERSION,
                "description": "The HTTP API of Prefactor, as a remit collector serves it.",
            },
            "paths": paths,
            "components": {
                "schemas": _schemas(),
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }
    )


def _schemas() -> Mapping[str, object]:
    bodies = {endpoint.body for endpoint in ENDPOINTS if endpoint.body}
    answers = {endpoint.answers for endpoint in ENDPOINTS}
    answers |= {Control, ErrorResponse, Pagination, Sorting}
    # Read and written alike: no model has a field whose JSON differs between the two.
    wanted = sorted(bodies | answers, key=lambda model: model.__name__)
    _, schema = models_json_schema([(model, "validation") for model in wanted], ref_template=_REF)
    found = cast("dict[str, Json]", schema["$defs"])
    for model in answers - bodies:
        found[model.__name__].setdefault("additionalProperties", False)
    return found


def _operation(endpoint: Endpoint) -> Json:
    verb = endpoint.method.lower()
    name = endpoint.path.strip("/").replace("/", "_").replace("{id}", "id").replace(".", "_")
    described: Json = {
        "operationId": f"{verb}_{'remit_' if endpoint.prefix == OWN_PREFIX else ''}{name}",
        "summary": _summary(endpoint),
        "tags": [endpoint.path.split("/")[1]],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint),
    }
    if endpoint.body is not None:
        described["requestBody"] = _body(endpoint, endpoint.body)
    if endpoint.operation == DOCUMENT:
        described["security"] = []
    return described


def _summary(endpoint: Endpoint) -> str:
    words = _OTHER_WORDS.get(endpoint.operation)
    return words or (inspect.getdoc(endpoint.perform) or "").partition("\n")[0]


def _parameters(endpoint: Endpoint) -> list[Json]:
    parameters: list[Json] = []
    if endpoint.id_field:
        schema: Json = {"type": "string", "pattern": _PFID}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": schema})
    if endpoint.query is not None:
        parameters += _filters(endpoint, endpoint.query)
        parameters += _paging(endpoint.sortable) if endpoint.sortable else []
    takes_key = endpoint.operation != BULK and not endpoint.erases
    if endpoint.method in {"POST", "PUT", "DELETE"} and takes_key:
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": _KEY})
    return parameters


def _filters(endpoint: Endpoint, query: type[Query]) -> list[Json]:
    # The id in the path is enough.
    other = {endpoint.id_field, "external_identifier"} if endpoint.id_field else set[str]()
    names = [name for name in query.model_fields if name not in {*ListQuery.model_fields, *other}]
    schemas = query.model_json_schema()["properties"]
    return [{"name": name, "in": "query", "schema": _shown(schemas[name])} for name in names]


def _shown(schema: Json, *more: str) -> Json:
    return {key: schema[key] for key in (*_SHOWN, *more) if key in schema}


def _paging(sortable: Sequence[str]) -> list[Json]:
    either = [f"{sign}{field}" for field in sortable for sign in ("", "-")]
    stated = ListQuery.model_json_schema()["properties"]
    pages = ("pagination[offset]", "pagination[page_size]")
    schemas: dict[str, Json] = {
        **{name: _shown(stated[name], "default") for name in pages},
        "sorting": {"type": "string", "enum": either},
        "sorting[field]": {"type": "string", "enum": list(sortable)},
        "sorting[direction]": {"type": "string", "enum": ["asc", "desc"]},
    }
    return [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]


def _body(endpoint: Endpoint, body: type[BaseModel]) -> Json:
    schema: Json = _ref(body)
    if endpoint.wrapped:
        schema = {
            "type": "object",
            "properties": {"details": schema, "idempotency_key": _KEY},
            "required": ["details"],
        }
    needed = endpoint.wrapped or any(each.is_required() for each in body.model_fields.values())
    return {"required": needed, "content": {"application/json": {"schema": schema}}}


def _responses(endpoint: Endpoint) -> dict[str, Json]:
    success: Json = {
        "description": "Success.",
        "content": _json(_envelope(endpoint)),
    }
    if endpoint.operation == DOCUMENT:
        return {"200": success}
    failed = _json(_ref(ErrorResponse))
    return {
        "200": success,
        **{
            str(status): {"description": why, "content": failed}
            for status, why in _ERRORS.items()
            if status != 409 or endpoint.method != "GET"  # noqa: PLR2004 - the status itself
        },
    }


def _envelope(endpoint: Endpoint) -> Json:
    answers = _ref(endpoint.answers)
    if endpoint.bare:
        return answers
    held: dict[str, Json] = {"status": {"const": "success"}}
    if endpoint.sortable:
        held["summaries"] = {"type": "array", "items": answers}
        held |= {"pagination": _ref(Pagination), "sorting": _ref(Sorting)}
    else:
        held["details"] = answers
    required = list(held)
    if endpoint.path.startswith("/agent_spans") and endpoint.method == "POST":
        held["control"] = _ref(Control)
    return {
        "type": "object",
        "properties": held,
        "required": required,
        "additionalProperties": False,
    }


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
