"""Values that a step excludes: exactly the texts that a plain search finds, and never another."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from tests.inside import Plan, Rules, capture_mapping, plan_of, redact_excluded

CONTACT: Final = "contact_information"
OTHER: Final = "minors_data"
PIECES: Final = (
    "ada",
    "12",
    "é",
    "王",
    " ",
    "-",
    "@",
    ".",
    "_",
    "\n",
    '"',
    "\\",
    "\u0301",
    "\u2028",
    "\x7f",
)
"""Few, so that texts and payloads often have the same ones side by side."""

texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], object]:
    """Return what was redacted, and a value that often has some of it in its texts."""
    redacted: list[str] = draw(st.lists(texts, min_size=1, max_size=5))
    quoting = st.lists(st.sampled_from([*PIECES, *redacted]), max_size=4).map("".join)
    values = st.recursive(
        quoting | st.sampled_from([12, 121212, -121212, 1212.12, None, True]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(quoting, inner, max_size=3),
        max_leaves=5,
    )
    return redacted, draw(values)


def closed(it: object) -> None:
    """The function of a plan."""
    del it


PLAN: Final[Plan] = plan_of(closed, params_excluded=frozenset((CONTACT,)))


def counts(text: str) -> bool:
    """Return whether a text is long enough to be searched for."""
    text = text.strip()
    return len(text) >= (12 if text.isalpha() else 6) and re.search(r"\w", text) is not None


def inside(value: object) -> Iterator[str]:
    """Yield the texts, keys and integers in a value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from inside(item)
    elif isinstance(value, list):
        for item in value:
            yield from inside(item)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield str(value)


def quoted(redacted: str, value: object) -> bool:
    """Return whether a plain search finds a text in a value."""
    pattern = re.compile(rf"(?<!\w){re.escape(redacted.strip())}(?!\w)")
    return any(pattern.search(text) for text in inside(value))


@given(cases(), texts)
@example((["121212"], 121212), "")
@example((["é12@éa"], "„é12@éa“"), "")
@example((["12.12.12"], {"12.12.12": []}), "")
@example((['ada"12\n12'], '\n"ada"12\n12'), "")
@example((["ada@12.12"], "\nada@12.12 éada@12.12"), "")
@example((["12@12.12"], "112@12.12 12@12.12é 12@12.12_"), "")
def test_a_search_finds_what_a_plain_one_finds(case: tuple[list[str], object], other: str) -> None:
    """And replaces it, among few texts and among many; those of another category are left."""
    for others in ([other], [other, *(f"other {number}" for number in range(20))]):
        check(*case, others)


def check(redacted: list[str], value: object, others: list[str]) -> None:
    """Search *value* for what was *redacted*, among texts of another category."""
    rules = Rules().in_run()
    assert rules.texts is not None
    for text in redacted:
        rules.texts.add(text, CONTACT)
    for text in others:
        rules.texts.add(text, OTHER)
    payload = PLAN.params((value,), {}, rules)
    recorded = json.loads(payload)
    searched, categories = redact_excluded(payload, PLAN, rules)
    found = [text for text in redacted if counts(text) and quoted(text, recorded["it"])]
    assert categories == ((CONTACT,) if found else ())
    if not found:
        assert searched == payload
    left = json.loads(searched)["it"]
    assert [text for text in found if quoted(text, left)] == []


WORDS: Final = (
    "order", "parcel", "the", "Monday", "street", "Analytical", "Road", "example.com", "Ada",
    "mail", "+49", "30", "road 7", "4711", "invoice", "2026", "Lovelace", "ada",
)  # fmt: skip
"""Among them parts of what is redacted."""


def generated(rng: random.Random, levels: int = 3) -> Any:
    """Return a value as steps take them."""
    kind = rng.randrange(7 if levels else 4)
    if kind < 3:
        return " ".join(rng.choices(WORDS, k=rng.randrange(1, 12)))
    if kind == 3:
        return rng.choice([rng.randrange(10**10), rng.random(), True, None])
    if kind < 5:
        return [generated(rng, levels - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(WORDS): generated(rng, levels - 1) for _ in range(rng.randrange(4))}


def test_10_000_payloads_without_the_texts_are_no_findings() -> None:
    """Though they have the words of which the texts are made."""
    rules, rng = Rules().in_run(), random.Random(31)
    for number in range(250):
        customer = {
            "full_name": f"Ada Q{number}. Lovelace",
            "email": f"ada.lovelace{number}@example.com",
            "street": f"{number}b Analytical Road",
            "phone": f"+49 30 {10**11 + number}",
        }
        everything = frozenset((CONTACT, "personal_identifiers"))
        plan_of(closed, params_excluded=everything).params((customer,), {}, rules)
    assert rules.texts is not None
    assert len(rules.texts.index().texts) == 1_000
    findings: list[bytes] = []
    for _ in range(10_000):
        payload = capture_mapping({"it": generated(rng)}, rules)
        if redact_excluded(payload, PLAN, rules) != (payload, ()):
            findings.append(payload)
    assert findings == []
    payload = capture_mapping({"it": "to ada.lovelace7@example.com"}, rules)
    assert redact_excluded(payload, PLAN, rules)[1] == (CONTACT,)
