"""A payload on a page: bounded, and markers told apart from values."""

from __future__ import annotations

from remit.errors import Violation
from tests.inside_collector import MOST_NODES, Node, tree_of


def _count(node: Node) -> int:
    return 1 + sum(_count(inner) for inner in node.nodes)


def test_values_are_shown_as_json_has_them() -> None:
    """Texts are told from numbers by what the page puts around them."""
    (text, number, nothing, empty) = tree_of({"a": "1", "b": 1, "c": None, "d": {}}).nodes
    assert (text.kind, text.text) == ("text", "1")
    assert (number.kind, number.text) == ("value", "1")
    assert nothing.text == "null"
    assert empty.text == "{}"


def test_a_marker_is_no_value() -> None:
    """A redacted value has its rule, a cut one how much there was."""
    (redacted, cut, gap, raw, array, thing) = tree_of(
        {
            "a": {"$remit": "redacted", "rule": "type:SecretStr"},
            "b": {"$remit": "cut", "of": 12000, "unit": "characters", "head": "x", "tail": "y"},
            "c": {"$remit": "cut", "of": 62, "unit": "items"},
            "d": {"$remit": "bytes", "length": 2048, "media_type": "image/png"},
            "e": {"$remit": "array", "type": "ndarray", "shape": [2, 3], "dtype": "int8"},
            "f": {"$remit": "opaque", "type": "shop.Basket"},
        }
    ).nodes
    assert (redacted.kind, redacted.text) == ("redacted", "type:SecretStr")
    assert (cut.text, "12,000 characters" in cut.note) == ("x … y", True)
    assert gap.text == "cut: 62 items in all"
    assert (raw.text, raw.note) == ("2.0 KiB", "image/png")
    assert array.text == "ndarray 2 by 3 int8"
    assert (thing.kind, thing.text) == ("opaque", "shop.Basket")


def test_a_name_of_the_program_is_shown_as_it_has_it() -> None:
    """It was escaped, because remit's own markers have that name."""
    (own, other) = tree_of({"$$remit": 1, "$x": 2}).nodes
    assert (own.key, other.key) == ("$remit", "$x")


def test_the_note_of_remit_is_told_apart() -> None:
    """It says how the step exceeds the remit of its agent."""
    tree = tree_of(
        {"a": 1, "$remit": {"violations": [{"sentence": "too much"}], "unregistered": True}}
    )
    assert [node.key for node in tree.nodes] == ["a"]
    assert (tree.violations, tree.unregistered) == ((Violation("too much"),), True)


def test_the_note_in_a_marker_is_shown() -> None:
    """Where the marker replaces the whole payload."""
    note = {"violations": [{"sentence": "too much"}], "unregistered": True}
    tree = tree_of({"$remit": "cut", "of": 90_000, "unit": "bytes", **note})
    assert [node.kind for node in tree.nodes] == ["cut"]
    assert (tree.violations, tree.unregistered) == ((Violation("too much"),), True)


def test_a_large_payload_is_bounded() -> None:
    """What is left out is counted, and the page offers the whole."""
    tree = tree_of({"rows": [{"n": n, "m": [n]} for n in range(5000)]})
    (rows,) = tree.nodes
    assert _count(rows) <= MOST_NODES + 3
    assert rows.nodes[-1].kind == "left"
    assert rows.nodes[-1].text.endswith("more items")
    assert tree.cut
    assert not rows.open


def test_a_long_text_and_a_deep_value_are_bounded() -> None:
    """Each says that there is more."""
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    tree = tree_of({"text": "x" * 5000, "deep": deep})
    (text, _) = tree.nodes
    assert text.note == "3,000 more of 5,000 characters"
    assert tree.cut


def test_a_payload_that_is_a_marker_is_one_value() -> None:
    """As one that was cut because the server refused its size."""
    (only,) = tree_of({"$remit": "cut", "of": 70000, "unit": "bytes"}).nodes
    assert (only.key, only.text) == (None, "cut: 70,000 bytes in all")
