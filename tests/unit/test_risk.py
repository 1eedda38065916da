"""Data risk in words, and every slip of the pen named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_type_hints

import pytest

from remit._declare.risk import Redacting, coerce, redacting, risk
from remit.errors import DeclarationError
from remit.models.agent_instance import ActionProfile, DataCategories, DataRisk
from remit.models.data_risk import Action, Category, Classification, Others
from tests.subtests import each

WHERE = "@remit.span_type on shop:refund (shop.py:7)"
ACTIONS = (
    "one of create_data, read_data, update_data, destroy_data, financial_transactions, "
    "external_communication"
)
PARTS = "one of action_profile, params_data_categories, result_data_categories"


def test_words_become_the_whole_declaration() -> None:
    """What no word speaks of stays unknown."""
    assert risk(
        allows=("read_data", "financial_transactions"),
        forbids="destroy_data",
        takes="personal_identifiers",
        gives=["financial_information"],
        excludes={"health_and_medical"},
        classification="internal",
    ) == DataRisk(
        action_profile=ActionProfile(
            read_data="allowed", financial_transactions="allowed", destroy_data="disallowed"
        ),
        params_data_categories=DataCategories(
            personal_identifiers="included",
            health_and_medical="excluded",
            classification="internal",
        ),
        result_data_categories=DataCategories(
            financial_information="included",
            health_and_medical="excluded",
            classification="internal",
        ),
    )


def test_no_words_leave_everything_unknown() -> None:
    """Said nothing is not the same as said no."""
    declared = risk()
    words = set(declared.action_profile.model_dump().values())
    words |= set(declared.params_data_categories.model_dump().values())
    assert words == {"unknown"}


@each(
    ("arguments", "message"),
    [
        pytest.param(
            {"allows": "reed_data"},
            "remit.risk(allows=...): 'reed_data' is unknown (did you mean 'read_data'?); "
            f"expected {ACTIONS}",
            id="a slip",
        ),
        pytest.param(
            {"forbids": ["read_data", 3]},
            f"remit.risk(forbids=...): 3 is unknown; expected {ACTIONS}, others",
            id="not a word",
        ),
        pytest.param(
            {"allows": 5},
            f"remit.risk(allows=...): saw 5; expected a word or several, each {ACTIONS}",
            id="not words",
        ),
        pytest.param(
            {"classification": "top secret"},
            "remit.risk(classification=...): 'top secret' is unknown (did you mean 'secret'?); "
            "expected one of unknown, public, internal, confidential, restricted, secret",
            id="classification",
        ),
        pytest.param(
            {"allows": "read_data", "forbids": ("create_data", "read_data")},
            "remit.risk(allows=..., forbids=...): 'read_data' is in both; keep it in one of them",
            id="allowed and forbidden",
        ),
        pytest.param(
            {"takes": "minors_data", "excludes": "minors_data"},
            "remit.risk(takes=..., excludes=...): 'minors_data' is in both; keep it in one of them",
            id="taken and excluded",
        ),
        pytest.param(
            {"gives": "minors_data", "excludes": "minors_data"},
            "remit.risk(gives=..., excludes=...): 'minors_data' is in both; keep it in one of them",
            id="given and excluded",
        ),
    ],
)
def test_a_wrong_word_is_an_error_that_names_it(arguments: Mapping[str, Any], message: str) -> None:
    """It says what was seen, what is allowed, and what may have been meant."""
    with pytest.raises(DeclarationError) as caught:
        risk(**arguments)
    assert str(caught.value) == message


def test_a_classification_is_no_category() -> None:
    """It has an argument of its own."""
    with pytest.raises(DeclarationError, match="'classification' is unknown"):
        risk(takes="classification")  # type: ignore[arg-type]


def test_what_is_a_declaration_already_passes() -> None:
    """None and `DataRisk` need no check."""
    declared = risk(allows="read_data")
    assert coerce(declared, WHERE) is declared
    assert coerce(None, WHERE) is None


def test_a_mapping_may_be_partial_and_carry_more() -> None:
    """What it leaves out is unknown; keys beside one of the parts are kept, as the API does."""
    declared = coerce(
        {
            "action_profile": {"read_data": "allowed"},
            "params_data_categories": DataCategories(minors_data="excluded"),
            "reviewed_by": "legal",
        },
        WHERE,
    )
    assert declared is not None
    assert declared.action_profile == ActionProfile(read_data="allowed")
    assert declared.params_data_categories.minors_data == "excluded"
    assert declared.result_data_categories == DataCategories()
    assert declared.model_extra == {"reviewed_by": "legal"}


@each(
    ("value", "message"),
    [
        pytest.param(
            ["read_data"],
            "data_risk is of type list; expected the result of remit.risk(...), a DataRisk, or a "
            f"mapping with {PARTS}",
            id="no mapping",
        ),
        pytest.param(
            {"action_profle": {}},
            "data_risk has the key 'action_profle' (did you mean 'action_profile'?); "
            f"expected {PARTS}",
            id="slip in a part",
        ),
        pytest.param({3: {}}, f"data_risk has the key 3; expected {PARTS}", id="key is no text"),
        pytest.param(
            {"forbids": "read_data", "action_profile": {}},
            "data_risk has the key 'forbids', which is an argument of remit.risk: "
            "write data_risk=remit.risk(forbids=...)",
            id="argument of risk",
        ),
        pytest.param(
            {"reviewed_by": "legal"},
            f"data_risk has the key 'reviewed_by'; expected {PARTS}",
            id="no part",
        ),
        pytest.param(
            {"read_data": "allowed"},
            "data_risk has the key 'read_data', which belongs in action_profile",
            id="action outside its part",
        ),
        pytest.param(
            {"classification": "secret"},
            "data_risk has the key 'classification', which belongs in params_data_categories "
            "or result_data_categories",
            id="category outside its part",
        ),
        pytest.param(
            {"action_profile": "allowed"},
            f"data_risk['action_profile'] is of type str; expected a mapping with {ACTIONS}",
            id="part is no mapping",
        ),
        pytest.param(
            {"action_profile": {"raed_data": "allowed"}},
            "data_risk['action_profile'] has the key 'raed_data' (did you mean 'read_data'?); "
            f"expected {ACTIONS}",
            id="slip in a member",
        ),
        pytest.param(
            {"action_profile": {"read_data": "yes"}},
            "data_risk['action_profile']['read_data'] is 'yes'; "
            "expected one of unknown, allowed, disallowed",
            id="wrong word",
        ),
        pytest.param(
            {"params_data_categories": {"minors_data": "exclude"}},
            "data_risk['params_data_categories']['minors_data'] is 'exclude' "
            "(did you mean 'excluded'?); expected one of unknown, included, excluded",
            id="slip in a word",
        ),
        pytest.param(
            {"reviewed_by": {"a set"}, "action_profile": {}},
            "data_risk['reviewed_by'] is of type set; expected a JSON value",
            id="extra is no JSON",
        ),
        pytest.param(
            risk().model_copy(update={"reviewed_by": object()}),
            "data_risk['reviewed_by'] is of type object; expected a JSON value",
            id="extra of a DataRisk is no JSON",
        ),
        pytest.param(
            {"result_data_categories": {"classification": ["secret"]}},
            "data_risk['result_data_categories']['classification'] is an object of type list "
            "(did you mean 'secret'?); expected one of unknown, public, internal, confidential, "
            "restricted, secret",
            id="word is a list",
        ),
    ],
)
def test_a_wrong_mapping_is_an_error_that_names_the_place(value: object, message: str) -> None:
    """The function, the key, what was seen and what is allowed."""
    with pytest.raises(DeclarationError) as caught:
        coerce(value, WHERE)
    assert str(caught.value) == f"{WHERE}: {message}"


def test_nothing_declared_redacts_nothing() -> None:
    """Silence is no rule."""
    assert redacting(None) == Redacting(None, None, frozenset(), frozenset())


def test_the_words_that_type_checkers_know_are_those_that_are_allowed() -> None:
    """Actions and categories are the fields of the models."""
    assert get_args(Action) == tuple(ActionProfile.model_fields)
    assert (*get_args(Category), "classification") == tuple(DataCategories.model_fields)
    hints = get_type_hints(risk)
    assert hints["allows"] == Action | Iterable[Action]
    assert hints["forbids"] == Action | Others | Iterable[Action | Others]
    assert hints["takes"] == hints["gives"] == Category | Iterable[Category]
    assert hints["excludes"] == Category | Others | Iterable[Category | Others]
    assert hints["classification"] == Classification | None


@each(
    ("word", "rule"),
    [
        ("unknown", None),
        ("public", None),
        ("internal", None),
        ("confidential", None),
        ("restricted", "classification:restricted"),
        ("secret", "classification:secret"),
    ],
)
def test_restricted_and_secret_data_are_redacted(word: Classification, rule: str | None) -> None:
    """From both sides, unless one side says otherwise."""
    rules = redacting(risk(classification=word, excludes="minors_data"))
    assert rules == Redacting(rule, rule, frozenset({"minors_data"}), frozenset({"minors_data"}))
    one_side = coerce({"params_data_categories": {"classification": word}}, WHERE)
    assert redacting(one_side) == Redacting(rule, None, frozenset(), frozenset())


def test_others_are_all_that_a_declaration_does_not_name() -> None:
    """Written out: actions by `forbids`, categories of each side by `excludes`."""
    written = risk(allows="read_data", takes="minors_data", forbids="others", excludes=["others"])
    actions = written.action_profile.model_dump()
    assert actions.pop("read_data") == "allowed"
    assert set(actions.values()) == {"disallowed"}
    params = written.params_data_categories.model_dump()
    result = written.result_data_categories.model_dump()
    assert (params.pop("minors_data"), params.pop("classification")) == ("included", "unknown")
    assert result.pop("classification") == "unknown"
    assert set(params.values()) | set(result.values()) == {"excluded"}
    assert risk(forbids=["read_data", "others"]) == risk(forbids="others")


@each("argument", ["allows", "takes", "gives"])
def test_others_cannot_be_allowed(argument: str) -> None:
    """Only what is ruled out can be said of everything else."""
    arguments: Any = {argument: "others"}
    with pytest.raises(DeclarationError, match="'others' is unknown"):
        risk(**arguments)
