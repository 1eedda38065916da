"""Templates and schemas made to hang a collector or to fill its memory, each in a few lines.

Run as a program it tries them all, and writes by how many MiB that made the process grow.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, Final

from tests.inside_collector import Budget, Checker, Template

Json = Any
MIB: Final = 1024 * 1024
BIG: Final[dict[str, Json]] = {
    "s": "a" * 60_000,
    "l": [{"n": n, "t": "x" * 20} for n in range(3000)],
    "d": "1" * 4000,
    "w": "w " * 10_000,
}
"""A payload of some 200 KB."""
BIG_CHARS: Final = len(json.dumps(BIG))

TEMPLATES: Final = {
    "range joined": "{% assign a=(1..1000000000) %}{{ a | join }}",
    "range in a loop": "{% for i in (1..1000000000) %}x{% endfor %}",
    "range backwards": "{% for i in (1..1000000000) reversed %}x{% endfor %}",
    "range of a value": "{{ (1..d) | join }}",
    "range in a condition": "{% if (1..1000000000) contains 5.5 %}x{% endif %}",
    "range in a case": "{% case (1..1000000000) %}{% when s %}x{% endcase %}",
    "range as an argument": "{{ l | concat: (1..1000000000) | size }}",
    "offset": "{% for i in (1..900000000) offset:899999999 %}x{% endfor %}",
    "nested loops": "{% for i in (1..999) %}{% for j in (1..999) %}{% endfor %}{% endfor %}",
    "silent loops": "{% for i in l %}{% if 1 == 2 %}{% endif %}{% endfor %}" * 60,
    "loop over letters": "{% assign p = s | split: '' %}{% for i in p %}{% for j in p %}x"
    "{% endfor %}{% endfor %}",
    "doubling": "{% assign a='x' %}{% for i in (1..60) %}{% assign a = a | append: a %}"
    "{% endfor %}",
    "doubling a list": "{% assign a=l %}{% for i in (1..40) %}{% assign a = a | concat: a %}"
    "{% endfor %}{{ a | join }}",
    "doubling a capture": "{% capture a %}{{ s }}{% endcapture %}{% for i in (1..50) %}"
    "{% capture a %}{{ a }}{{ a }}{% endcapture %}{% endfor %}",
    "squaring": "{% assign a=9 %}{% for i in (1..90) %}{% assign a = a | times: a %}{% endfor %}",
    "replace each letter": "{{ s | replace: 'a', s }}",
    "replace nothing": "{{ s | replace: '', s }}",
    "long separator": "{{ l | map: 't' | join: s }}",
    "sort again and again": "{% for i in (1..500) %}{% assign z = l | sort: 't' %}{% endfor %}",
    "compare again and again": "{% for i in (1..400) %}{% if l == l %}{% endif %}{% endfor %}",
    "search again and again": "{% for i in (1..400) %}{% if s contains 'b' %}{% endif %}"
    "{% endfor %}",
    "write again and again": "{% for i in (1..400) %}{{ s }}{% endfor %}",
    "large exponent": "{{ '1e999999999' | plus: 1 | floor }}",
    "large length": "{{ s | truncate: 1e999999999 }}",
    "wide time": "{{ '2020-01-01' | date: '%999999999d' }}",
    "recursion": "{% include 'x' %}{% render 'x' %}",
    "table": "{% tablerow i in (1..1000000000) %}x{% endtablerow %}",
    "deep blocks": "{% if s %}" * 400,
    "deep paths": "{{ " + "a[" * 900 + "1" + "]" * 900 + " }}",
    "many conditions": "{% if " + " and ".join(["s"] * 600) + " %}x{% endif %}",
    "many filters": "{{ s" + " | upcase" * 400 + " | truncate: 9 }}",
    "longer and longer": "{{ s" + " | truncate: 59999, s" * 180 + " }}",
    "more and more words": "{{ w"
    + "".join(f" | truncatewords: {9 * n}000, w" for n in range(1, 130))
    + " }}",
    "case again and again": "{% case l %}" + "{% when l %}{{ s }}" * 200 + "{% endcase %}",
    "never closed": "{{" * 2000,
    "never closed tags": "{%" * 2000,
    "closed before": "}}" * 900 + "{{" * 900,
    "raw": "{% raw %}" * 400,
    "comments": "{% comment %}" * 300,
    "a megabyte": "{{ s }}" * 150_000,
}


def nested(levels: int) -> dict[str, Json]:
    """Return an object in an object, and so on, under the name `a`."""
    value: dict[str, Json] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def _chain(length: int, step: Json) -> Json:
    """Return a schema of *length* definitions, each of which refers to the next by *step*."""
    defs = {f"d{n}": step({"$ref": f"#/$defs/d{n + 1}"}) for n in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": {"type": "object"}}}


def _alternatives(count: int) -> Json:
    branch = [
        {"properties": {"a": {"$ref": "#/$defs/t"}}, "required": [f"r{n}"]} for n in range(count)
    ]
    return {"$ref": "#/$defs/t", "$defs": {"t": {"anyOf": branch}}}


SCHEMAS: Final[dict[str, tuple[Json, Json]]] = {
    "refers to itself": ({"$ref": "#"}, {}),
    "is part of itself": ({"allOf": [{"$ref": "#"}]}, {}),
    "doubling references": (_chain(60, lambda ref: {"allOf": [ref, ref]}), {}),
    "doubling members": (
        _chain(60, lambda ref: {"properties": {"a": ref}, "patternProperties": {"": ref}}),
        nested(60),
    ),
    "long chain": (_chain(2000, lambda ref: {"allOf": [ref]}), {}),
    "long way down": (_chain(1500, lambda ref: {"properties": {"a": ref}}), nested(150)),
    "alternatives of alternatives": (_alternatives(2), nested(60)),
    "many alternatives": (_alternatives(50), nested(12)),
    "nested unevaluated": (
        {
            "$ref": "#/$defs/t",
            "$defs": {
                "t": {
                    "anyOf": [{"properties": {"a": {"$ref": "#/$defs/t"}}}] * 5,
                    "unevaluatedProperties": {"$ref": "#/$defs/t"},
                }
            },
        },
        nested(40),
    ),
    "wide references": (
        {
            "allOf": [{"$ref": "#/$defs/many"}] * 90,
            "$defs": {
                "many": {"allOf": [{"$ref": "#/$defs/wide"}] * 100},
                "wide": {"properties": dict.fromkeys((f"p{n}" for n in range(5000)), True)},
            },
        },
        {},
    ),
    "remote": ({"$ref": "http://127.0.0.1:9/schema.json"}, {}),
    "file": ({"$ref": "file:///etc/hostname"}, {}),
    "unknown dialect": ({"$schema": "http://127.0.0.1:9/dialect", "type": "object"}, {}),
    "exponential pattern": (
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"a": "a" * 60_000 + "!"},
    ),
    "wide pattern": (
        {"properties": {"a": {"pattern": "(a|b)*a(a|b){200}!"}}},
        {"a": "ab" * 30_000},
    ),
    "repeated pattern": (
        {"properties": {"a": {"pattern": "^((a{1,99}){1,99}){1,99}$"}}},
        {"a": "a" * 60_000},
    ),
    "many patterns": (
        {"patternProperties": {f"(x+x+)+{n}y": {"pattern": "(x+x+)+y"} for n in range(30)}},
        {"x" * 2000: "x" * 60_000},
    ),
    "unique items": (
        {"properties": {"a": {"uniqueItems": True}}},
        {"a": [{"x": n} for n in range(100_000)]},
    ),
    "huge enum": ({"enum": [{"a": n} for n in range(9000)]}, {"a": [1] * 50_000}),
    "wide": (
        {"properties": {f"p{n}": {"type": "string"} for n in range(3000)}},
        {f"p{n}": "x" for n in range(3000)},
    ),
    "many errors": (
        {"additionalProperties": {"items": {"type": "string"}}},
        {"a": list(range(30_000))},
    ),
}


def main() -> None:
    """Try all of them."""
    Template("x").summary({}, 0, Budget())
    Checker({"type": "object"}).compare({}, "{}", Budget())
    texts = {name: json.dumps(payload) for name, (_, payload) in SCHEMAS.items()}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for source in TEMPLATES.values():
        Template(source).summary(BIG, BIG_CHARS, Budget())
    for name, (schema, payload) in SCHEMAS.items():
        checker = Checker(schema)
        checker.compare(payload, texts[name], Budget())
        checker.errors(payload, texts[name], Budget())
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(f"{grown_kib / 1024:.1f}\n")


if __name__ == "__main__":
    main()
