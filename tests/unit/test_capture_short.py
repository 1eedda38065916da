"""Payloads in short: what a line of `remit runs show` says of them."""

from __future__ import annotations

import pytest

from remit._capture.short import error_of, members, short
from remit.cli._terminal import cut, printable, width
from tests.subtests import each


@each(
    ("value", "shown"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true", id="boolean"),
        pytest.param(2.5, "2.5", id="number"),
        pytest.param("it's “here”", '"it\'s “here”"', id="text"),
        pytest.param([1, "a", None], '[1, "a", null]', id="list"),
        pytest.param({"a": {"b": 1}}, "{a: {b: 1}}", id="object"),
        pytest.param({"$remit": "redacted", "rule": "name:password"}, "<redacted: name:password>"),
        pytest.param({"$remit": "opaque", "type": "app.Session"}, "<app.Session>", id="opaque"),
        pytest.param({"$remit": "bytes", "length": 3}, "<3 bytes>", id="bytes"),
        pytest.param(
            {"$remit": "array", "type": "numpy.ndarray", "shape": [2, 3], "dtype": "float64"},
            "<numpy.ndarray 2x3 float64>",
            id="array",
        ),
        pytest.param(
            {"$remit": "cut", "of": 900, "unit": "chars", "head": "Once"},
            '"Once" <cut, 900 chars>',
            id="cut",
        ),
        pytest.param(
            {"$remit": "cut", "of": 900, "unit": "chars", "head": "Once", "tail": "end."},
            '"Once" … 892 more characters … "end."',
            id="cut with its end",
        ),
        pytest.param(
            [1, {"$remit": "cut", "of": 45, "unit": "items"}, 44],
            "[1, … 43 more items …, 44]",
            id="a list without its middle",
        ),
        pytest.param(
            [*range(30), {"$remit": "cut", "of": 100, "unit": "items"}, *range(70, 100)],
            f"[{', '.join(map(str, range(10)))}, … 80 more items …, "
            f"{', '.join(map(str, range(90, 100)))}]",
            id="the same, too long for a line",
        ),
        pytest.param(
            [1, {"$remit": "cut", "of": 9, "unit": "items"}],
            "[1, … 8 more items …]",
            id="the beginning of a list",
        ),
        pytest.param(
            {"$remit": "bytes", "length": 3, "media_type": "image/png"},
            "<3 bytes of image/png>",
            id="an image",
        ),
        pytest.param(
            {"$remit": "cut", "of": 9, "unit": "levels"}, "<cut, 9 levels>", id="cut-without-head"
        ),
        pytest.param({"$remit": "newer"}, "<newer>", id="a-mark-of-a-later-version"),
        pytest.param({"$$remit": 1}, "{$remit: 1}", id="a-key-of-the-users"),
        pytest.param({"$remit": 1}, "{$remit: 1}", id="no-mark"),
    ],
)
def test_a_value_is_shown_as_what_it_is(value: object, shown: str) -> None:
    """Markers are words, everything else looks like what was passed."""
    assert short(value) == shown


def test_only_the_beginning_of_a_large_value_is_looked_at() -> None:
    """A payload may have 64 KB; a line has eighty columns."""
    assert len(short("x" * 100_000)) < 500
    assert short(list(range(100_000))).endswith("19, …]")
    assert short({str(n): n for n in range(100_000)}).endswith("19: 19, …}")


def test_a_payload_is_shown_by_its_parameters() -> None:
    """One after the other, in their order; a payload redacted as a whole is one word."""
    assert members({"question": "Where?", "most": 1}) == 'question="Where?" most=1'
    assert members({"$remit": "redacted", "rule": "hook"}) == "<redacted: hook>"


def test_nothing_in_a_payload_can_steer_the_terminal() -> None:
    """Escapes, line ends, and marks that turn the direction of writing are spelled out."""
    hostile = "a\x1b[2Jb\x07\r\n\x9bc\u202ed"
    shown = members({f"k{hostile}": hostile})
    assert shown.isprintable()
    assert printable(hostile) == r"a\x1b[2Jb\x07\r\n\x9bc\u202ed"


@each(
    ("result", "error"),
    [
        pytest.param({"error": {"type": "KeyError", "message": "'a'"}}, "KeyError: 'a'", id="both"),
        pytest.param({"error": {"type": "KeyError", "message": ""}}, "KeyError", id="no-message"),
        pytest.param({"error": {"type": "a.b.E", "message": "no"}}, "E: no", id="with-module"),
        pytest.param(
            {"error": {"type": "E", "message": {"$remit": "redacted", "rule": "hook"}}},
            "E: <redacted: hook>",
            id="redacted",
        ),
        pytest.param({"error": "boom"}, None, id="of-another-client"),
        pytest.param({"result": 1}, None, id="none"),
        pytest.param(None, None, id="no-result"),
    ],
)
def test_an_error_is_shown_by_type_and_message(
    result: dict[str, object] | None, error: str | None
) -> None:
    """As the last line of a traceback has them."""
    assert error_of(result) == error


@each(
    ("text", "most", "shown"),
    [
        pytest.param("short", 5, "short", id="fits"),
        pytest.param("shorter", 5, "shor…", id="too-long"),
        pytest.param("two words", 5, "two…", id="no-space-before-the-mark"),
        pytest.param("日本語です", 6, "日本…", id="wide"),
        pytest.param("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301", id="combining"),
    ],
)
def test_a_text_is_cut_to_the_columns_that_there_are(text: str, most: int, shown: str) -> None:
    """Counted as a terminal counts: East Asian characters take two, accents none."""
    assert cut(text, most) == shown
    assert width(shown) <= most
