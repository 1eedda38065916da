"""The words of a data risk in a lock say all that was declared."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

import remit
from remit.models.data_risk import Classification
from tests.inside import CATEGORIES, risk_words

ACTIONS = tuple(remit.ActionProfile.model_fields)
CLASSES = ("unknown", "public", "internal", "confidential", "restricted", "secret")


def words_of(model: type[Any]) -> st.SearchStrategy[dict[str, str]]:
    """Return words for all members of a part: mixed ones, or few of one kind beside another."""
    fields = {name: get_args(field.annotation) for name, field in model.model_fields.items()}
    mixed = st.fixed_dictionaries({name: st.sampled_from(words) for name, words in fields.items()})
    rest = {
        name: words[-1] if name == "classification" else words[2] for name, words in fields.items()
    }
    return mixed | mixed.flatmap(
        lambda words: st.frozensets(st.sampled_from(sorted(fields)), max_size=3).map(
            lambda kept: rest | {name: words[name] for name in kept}
        )
    )


RISKS = st.fixed_dictionaries(
    {
        "action_profile": words_of(remit.ActionProfile),
        "params_data_categories": words_of(remit.DataCategories),
        "result_data_categories": words_of(remit.DataCategories),
    },
    optional={"reviewed": st.text()},
)


def declared(words: dict[str, Any]) -> dict[str, Any]:
    """Return the data risk that has the words of a lock."""

    def part(names: tuple[str, ...], **lists: list[str]) -> dict[str, str]:
        said = dict.fromkeys(names, "unknown")
        for word, listed in reversed(lists.items()):
            said |= dict.fromkeys(names if listed == ["others"] else listed, word)
        return said

    def side(includes: str, name: str) -> dict[str, str]:
        excluded = words.get("excludes", []) + words.get(f"excludes_{name}", [])
        said = part(CATEGORIES, included=words.get(includes, []), excluded=excluded)
        key = f"classification_{name}"
        return said | {"classification": words.get(key, words.get("classification", "unknown"))}

    return {
        "action_profile": part(
            ACTIONS, allowed=words.get("allows", []), disallowed=words.get("forbids", [])
        ),
        "params_data_categories": side("takes", "params"),
        "result_data_categories": side("gives", "result"),
        **words.get("extra", {}),
    }


@given(RISKS)
def test_the_words_of_a_lock_lose_nothing(risk: dict[str, Any]) -> None:
    """Whatever is declared, on one side or both."""
    words = risk_words(remit.DataRisk.model_validate(risk))
    assert declared(json.loads(json.dumps(words))) == risk


@given(
    st.sets(st.sampled_from(ACTIONS)),
    st.sets(st.sampled_from(CATEGORIES)),
    st.sets(st.sampled_from(CATEGORIES)),
    st.sampled_from(CLASSES[1:]),
)
def test_what_is_closed_with_others_has_that_word_in_a_lock(
    allows: set[Any], takes: set[Any], gives: set[Any], classification: Classification
) -> None:
    """And no other: an edit of one word is an edit of one line."""
    risk = remit.risk(
        allows=allows,
        forbids="others",
        takes=takes,
        gives=gives,
        excludes="others",
        classification=classification,
    )
    words = risk_words(risk)
    assert {key: set(value) for key, value in words.items() if key != "classification"} == {
        key: value
        for key, value in {
            "allows": allows,
            "forbids": {"others"} if len(allows) < len(ACTIONS) else None,
            "takes": takes,
            "gives": gives,
            "excludes": {"others"} if takes & gives != set(CATEGORIES) else None,
        }.items()
        if value
    }
    assert words["classification"] == classification
