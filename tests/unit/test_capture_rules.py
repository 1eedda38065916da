"""The table of rules: each of its examples, and where in a payload the rules are asked."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from functools import partial
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

import pytest
from pydantic import Secret, SecretBytes, SecretStr
from pydantic.v1 import SecretStr as OldSecretStr

from docs.redaction import RULES, Rule
from remit._capture.encode import Rules
from remit._capture.rules.categories import category_of_name
from remit._capture.rules.names import KEY_RULES, MAX_NAMES, PLAIN_NAMES, name_rule
from remit._capture.rules.pattern_rules import PATTERN_RULES
from remit._capture.rules.patterns import SHORTEST, SIGN, key_shaped
from remit._capture.rules.switches import FIXED, SWITCHES
from remit._capture.rules.vendors import VENDOR_KEYS, VendorKey
from tests.captured import copy_of, redacted
from tests.subtests import each
from tests.untraced import least_cpu_s

LLM_KEY = "sk-proj-9aB8cD7eF6gH5iJ4kL3m"


def rules_of(kind: str) -> list[Rule]:
    """Return the rows of the table whose rules are of one kind: `name`, `pattern`, `category`."""
    return [rule for rule in RULES if rule.name.startswith(f"{kind}:")]


def examples(kind: str, column: str) -> list[Any]:
    """Return (rule, example) of one column of the table, with readable ids."""
    return [
        pytest.param(rule.name, each, id=f"{number}-{rule.name}-{each[:40]}")
        for number, rule in enumerate(rules_of(kind))
        for each in getattr(rule, column)
    ]


@each(("rule", "name"), examples("name", "redacted"))
def test_a_value_under_a_secret_name_is_redacted(rule: str, name: str) -> None:
    """Each name of the table, as a key, whatever the value."""
    assert copy_of({name: "canary"}) == {name: redacted(rule)}


@each(("rule", "name"), examples("name", "recorded"))
def test_a_value_under_an_ordinary_name_is_recorded(rule: str, name: str) -> None:
    """Names that look alike: eating them would make users turn redaction off."""
    assert copy_of({name: "x"}) == {name: "x"}, f"{rule} eats it"


@each(("rule", "text"), examples("pattern", "redacted"))
def test_a_text_in_which_a_key_shows_is_redacted(rule: str, text: str) -> None:
    """Each shape of the table, alone and inside other text."""
    assert copy_of(text) == redacted(rule)
    assert copy_of(f"before that: {text} and after") == redacted(rule)


@each(("rule", "text"), examples("pattern", "recorded"))
def test_a_text_that_looks_alike_is_recorded(rule: str, text: str) -> None:
    """Ordinary words, placeholders, code that hands a secret on without showing it."""
    assert copy_of(text) == text, f"{rule} eats it"


RANDOM_KEYS = 200
"""Keys that are tried for each vendor and alphabet."""

SIGNS = {r"\w": "_", r"\w-": "_-", r"\w+/-": "_+/-", r"\w=-": "_-", r"\w=+/": "_+/"}
"""The signs among the characters of a key, besides letters and digits."""


def heads_of(key: VendorKey) -> list[str]:
    """Return how keys of a vendor begin, if what follows is random."""
    more = ["sk-proj-", "sk-ant-api03-"] if key.rule == "llm_key" else []
    return [*key.heads, *more] if more else key.prefixes.split() if key.random else []


@each("key", [pytest.param(key, id=key.rule) for key in VENDOR_KEYS if heads_of(key)])
def test_a_random_key_of_a_vendor_is_redacted(key: VendorKey) -> None:
    """However many small letters come before its first digit."""
    rng = random.Random(f"{key.rule} {key.random}")
    small, size = ascii_lowercase + digits, max(36, key.random)
    bodies = [
        "".join(rng.choices(alphabet, k=size))
        for alphabet in (small, small + ascii_uppercase + SIGNS.get(key.chars, ""))
        for _ in range(RANDOM_KEYS)
    ]
    for letters in range(size - 1):
        word = "".join(rng.choices(ascii_lowercase, k=letters))
        bodies.append(word + "7" + "".join(rng.choices(small, k=size - letters)))
    texts = [f"it is {head}{body} now" for head in heads_of(key) for body in bodies]
    assert [text for text in texts if key_shaped(text) is None] == []


@each(("rule", "name"), examples("category", "redacted"))
def test_an_excluded_category_is_redacted_by_name(rule: str, name: str) -> None:
    """A declaration that excludes a category makes its names count."""
    category = rule.partition(":")[2]
    assert copy_of({name: "x"}, excluded=category) == {name: redacted(rule)}
    assert copy_of({name: "x"}) == {name: "x"}


@each(("rule", "name"), examples("category", "recorded"))
def test_a_name_of_no_excluded_category_is_recorded(rule: str, name: str) -> None:
    """Names that look alike stay, also where the category is excluded."""
    assert copy_of({name: "x"}, excluded=rule.partition(":")[2]) == {name: "x"}


def test_every_rule_of_the_table_tells_what_it_redacts_with_examples() -> None:
    """The documentation prints the table; a row without examples says nothing."""
    assert {rule.name for rule in RULES} == SWITCHES | FIXED
    for rule in RULES:
        assert rule.redacts, rule.name
        assert rule.redacted, rule.name
        assert rule.recorded, rule.name


def test_shapes_of_keys_are_never_shorter_than_what_is_looked_at() -> None:
    """Shorter texts skip the search altogether, but for those with the sign of a setting."""
    texts = [text for rule in rules_of("pattern") for text in rule.redacted if SIGN not in text]
    assert min(map(len, texts)) >= SHORTEST


@each("value", [None, True, False], ids=repr)
def test_nothing_is_given_away_by_none_and_booleans(value: object) -> None:
    """That there is no password is worth knowing; `requires_auth` is no secret."""
    assert copy_of({"password": value, "requires_auth": value}) == {
        "password": value,
        "requires_auth": value,
    }


@each("value", ["x", 5, 1.5, ["x"], {"a": "x"}, b"x", object()], ids=type)
def test_whatever_stands_under_a_secret_name_is_redacted_whole(value: object) -> None:
    """Containers are not looked into."""
    assert copy_of({"password": value}) == {"password": redacted("name:password")}


@each(
    "value",
    [SecretStr("x"), SecretBytes(b"x"), Secret[int](5), OldSecretStr("x")],
    ids=["SecretStr", "SecretBytes", "Secret", "SecretStr of pydantic 1"],
)
def test_values_of_secret_types_are_redacted(value: object) -> None:
    """Wherever they stand."""
    rule = redacted("type:SecretStr")
    assert copy_of(value) == rule
    assert copy_of([value, {"a": value}]) == [rule, {"a": rule}]


def test_a_secret_that_is_a_key_is_redacted() -> None:
    """A key of a dict is a value too."""
    assert copy_of({SecretStr("x"): 1}) == {"<type:SecretStr 1>": 1}


@each(
    ("value", "written"),
    [
        pytest.param(
            [("Authorization", "canary"), ("Accept", "x")],
            [["Authorization", redacted("name:authorization")], ["Accept", "x"]],
            id="pairs of headers",
        ),
        pytest.param(
            [["X-Api-Key", "canary"]],
            [["X-Api-Key", redacted("name:api_key")]],
            id="pairs as JSON has them",
        ),
        pytest.param(
            ("password", "canary"), ["password", redacted("name:password")], id="a lone pair"
        ),
        pytest.param(["password", "email"], ["password", "email"], id="a list of two names"),
        pytest.param(
            [{"name": "Cookie", "value": "canary"}, {"key": "a", "value": "x"}],
            [{"name": "Cookie", "value": redacted("name:cookie")}, {"key": "a", "value": "x"}],
            id="labelled values",
        ),
        pytest.param(
            {"name": "password", "value": None},
            {"name": "password", "value": None},
            id="a labelled None",
        ),
        pytest.param(
            {"name": 5, "value": "x"}, {"name": 5, "value": "x"}, id="a label that is no text"
        ),
        pytest.param(
            {"name": "password", "value": LLM_KEY},
            {"name": "password", "value": redacted("pattern:llm_key")},
            id="a labelled key is redacted once",
        ),
        pytest.param({"value": "x"}, {"value": "x"}, id="a value without a label"),
        pytest.param(
            ["mysql", "--password", "canary", "-v", "x"],
            ["mysql", "--password", redacted("name:password"), "-v", "x"],
            id="a flag and its value",
        ),
        pytest.param(
            ["--password", 5, "x"], ["--password", 5, redacted("name:password")], id="a late value"
        ),
        pytest.param(
            ["--a=b", "x", "-" * 200, "y", "-a b", "z"],
            ["--a=b", "x", "-" * 200, "y", "-a b", "z"],
            id="what is no flag",
        ),
        pytest.param(
            ["-----BEGIN PRIVATE KEY-----", "MIIE", "canary"],
            redacted("pattern:private_key"),
            id="the lines of a private key",
        ),
        pytest.param(
            {"-----BEGIN PRIVATE KEY-----", "canary"},
            redacted("pattern:private_key"),
            id="a set with the lines of a private key",
        ),
        pytest.param(
            [{frozenset({"-----BEGIN PRIVATE KEY-----", "canary"})}],
            [[redacted("pattern:private_key")]],
            id="a set of sets with the lines of a private key",
        ),
    ],
)
def test_a_name_beside_the_value_counts_too(value: object, written: object) -> None:
    """Headers, environment entries and command lines carry the name in another place."""
    assert copy_of(value) == written


def test_redacted_values_are_counted_by_rule() -> None:
    """`remit.status()` shows how many, never what."""
    rules = Rules()
    copy_of({"password": "x", "a": [SecretStr("y"), SecretStr("z")], "b": LLM_KEY}, rules)
    assert rules.redacted == Counter(
        {"type:SecretStr": 2, "name:password": 1, "pattern:llm_key": 1}
    )


def test_a_key_that_begins_at_the_end_of_the_kept_part_is_found() -> None:
    """Half a key is enough to start guessing."""
    text = "x" * 32_750 + " " + LLM_KEY + " " + "x" * 50_000
    assert copy_of(text) == redacted("pattern:llm_key")


def test_a_key_in_a_long_text_is_found() -> None:
    """Long texts are searched in another way than short ones."""
    assert copy_of("word " * 1000 + LLM_KEY) == redacted("pattern:llm_key")


def test_a_very_long_key_costs_no_more_than_what_is_written_of_it() -> None:
    """Its beginning is searched, and its end is judged."""
    key = "a-" * 5_000_000
    assert copy_of({key: 1}) == {f"{key[:256]}...": 1}
    assert least_cpu_s(lambda: copy_of({key: 1})) < 0.03
    assert copy_of({f"{LLM_KEY} {key}": 1}) == {"<pattern:llm_key 1>": 1}


def test_a_very_long_name_is_judged_by_its_end() -> None:
    """That is where the noun stands."""
    assert name_rule("x_" * 500 + "password") == "name:password"


FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
"""The full-width form of each sign of ASCII."""


def test_a_name_in_other_letters_of_the_same_meaning_is_the_same_name() -> None:
    """Full-width letters, mathematical ones, and an accent of its own: `NFKC` of Unicode."""
    names = [name.translate(FULL_WIDTH) for name in ("password", "API_KEY", "userPassword2")]
    names += ["\U0001d429assword", "contrasen\u0303a"]
    for name in names:
        payload = copy_of({name: "hunter2", "x": {name: "hunter2"}})
        assert "hunter2" not in str(payload), name
    assert category_of_name("email".translate(FULL_WIDTH)) == category_of_name("email")
    ordinary = {"Größe": 1, "question".translate(FULL_WIDTH): "why", "名前": "x"}
    assert copy_of(ordinary) == ordinary


def test_a_name_of_carriers_alone_is_ordinary() -> None:
    """There is no noun left to judge."""
    assert name_rule("encoded_value_2") is None


def test_the_memory_of_names_is_bounded() -> None:
    """A program that uses data as keys must not make it grow."""
    KEY_RULES.clear()
    for number in range(MAX_NAMES + 10):
        copy_of({f"name {number}": 1})
    assert len(PLAIN_NAMES) <= len(KEY_RULES) <= MAX_NAMES


def test_a_key_without_a_word_shows_no_category() -> None:
    """A dict may have any keys where the declaration excludes a category."""
    value = {"": 1, "*": 2, "--": 3}
    assert copy_of(value, excluded="contact_information") == value


def test_the_category_of_an_ordinary_name_is_none() -> None:
    """Most names show nothing."""
    assert category_of_name("order") is None
    assert key_shaped("an ordinary sentence") is None


ENDLESS = (
    *("-", "_", "a_", "aB3-", "sk-", "eyJ-", "$2b$a", "--a-", "-u a", "<password>", "Cookie: a"),
    *("AccountKey=", "with password '", "Authorization: Digest ", "Bearer A-", "://a@b:"),
    *(" =", "=a", "host= a=", "token=", "password=", "--password ", "machine x login "),
    *("://", "://a:", "host=a b=", "host=", " host=a", "--1", "-----A", '"password": "', "r8_--"),
    *("sk-or-v1-", "PASSWORD=aaaaaaP", "?a=", "&a", "cookie: a=1; ", "curl a ", "curl -u a"),
    *("secret\n  a", "api key ", "<token>", "token\n  [type=", "x password value ", "Basic aaaa"),
    *("Basic " + "YTpi" * 290 + "_ ", "a=cookie:b=c;", 'a=cookie":b=c;', "; --cookie a=b"),
    *(" a=-host=b", "password=a b=c ", "://a:b:c:", "-----BEGIN A ", "Bearer a1-b-"),
)
"""Beginnings of what a rule looks for; a text of nothing else is the worst that it can meet."""


TEXT_CHARS = 65_536
MAX_SEARCH_S = 0.1
"""Few take more than a hundredth of it; a search that goes back over the text takes seconds."""


def worst_of(rule: Any) -> set[str]:
    """Return what repeats into texts that nearly match *rule*: its heads."""
    return {head + more for head in rule.endings[:2] for more in ("", "a1", "A-", "=")}


def halves_of(rule: Rule) -> set[str]:
    """Return what repeats into texts that nearly match a rule: the halves of its examples."""
    return {example[:size] for example in rule.redacted[:1] for size in (-1, len(example) // 2)}


def seconds_to_capture(piece: str) -> float:
    """Return the processor time of the capture of a text of *piece*, the best of several."""
    best = math.inf
    for number in range(3):
        # Each differs from the others, for verdicts on long texts are kept.
        text = (f"{number} " + piece * (TEXT_CHARS // len(piece)))[:TEXT_CHARS]
        best = min(best, least_cpu_s(partial(copy_of, text), tries=1))
        if best < MAX_SEARCH_S:
            break
    return best


@each(
    "pieces",
    [
        pytest.param(set(ENDLESS), id="beginnings"),
        *(
            pytest.param(worst_of(rule), id=f"{number}-{rule.name}")
            for number, rule in enumerate(PATTERN_RULES)
        ),
        *(
            pytest.param(halves_of(rule), id=f"examples-{number}-{rule.name}")
            for number, rule in enumerate(rules_of("pattern"))
        ),
    ],
)
def test_no_text_takes_long_to_search(pieces: set[str]) -> None:
    """In proportion to its length: beginnings of keys without end would take seconds else."""
    slow = {piece: took for piece in pieces if (took := seconds_to_capture(piece)) > MAX_SEARCH_S}
    assert slow == {}


def test_a_long_text_is_judged_once() -> None:
    """When a call begins, when it fails, when it is told again by the span around."""
    # Another test may have had the text without the number.
    text = "doo_v1_--" * (TEXT_CHARS // 9 - 3) + str(time.time_ns())
    first_s = least_cpu_s(lambda: copy_of(text), tries=1)
    assert least_cpu_s(lambda: copy_of(text), tries=5) < first_s / 4
