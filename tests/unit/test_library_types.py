"""The classes of numpy, pandas and phonenumbers: declared, recorded and inferred.

They come with the extra `test-gate`; the corpus of `make test` does without them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped] # pandas has no types
from jsonschema import Draft202012Validator
from pydantic_extra_types.phone_numbers import PhoneNumber, PhoneNumberValidator

from tests.data.corpus import golden_text
from tests.data.redaction import redact
from tests.data.signatures_of_arrays import CASES, FOLDER
from tests.inside import (
    MISSING,
    CallKind,
    CallPlan,
    Parameter,
    Rules,
    SignatureInfo,
    SpanType,
    inferred,
    params_schema,
    result_schema,
)
from tests.subtests import each

RULES = Rules(1 << 20)
VALUES: tuple[tuple[Any, object], ...] = (
    (np.int64, np.int64(-4)),
    (np.float32, np.float32(0.1)),
    (np.bool_, np.bool_(True)),  # noqa: FBT003 - numpy's own argument
    (np.ndarray, np.zeros((2, 3))),
    (list[np.ndarray] | None, [np.zeros(1)]),
    (pd.DataFrame, pd.DataFrame({"a": [1]})),
    (pd.Timestamp, pd.Timestamp(0)),
)


@each("case", CASES)
def test_a_signature_of_arrays_has_its_golden_schemas(case: Callable[..., object]) -> None:
    """A changed schema is a new version of people's agents."""
    assert golden_text(case) == (FOLDER / f"{case.__name__}.json").read_text()


@each("annotation, value", VALUES)
def test_a_value_matches_its_schemas(annotation: object, value: object) -> None:
    """As an argument and as a result."""
    parameter = Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation, MISSING)
    reading = SignatureInfo(("x",), (parameter,), frozenset(), annotation)
    params = json.loads(CallPlan(reading).params((value,), {}, RULES))
    Draft202012Validator(params_schema(reading, redact=redact)).validate(params)
    result = json.loads(CallPlan(reading).result(value, RULES))
    schema = result_schema(reading, CallKind.FUNCTION, redact=redact)
    Draft202012Validator(schema).validate(result)


@each(
    "annotation, shown_by",
    [
        (PhoneNumber, "PhoneNumber"),
        (Annotated[str, PhoneNumberValidator()], "PhoneNumberValidator"),
    ],
)
def test_a_phone_number_shows_that_it_is_one(annotation: object, shown_by: str) -> None:
    """As a type, and as the validator of a text."""

    def step(value: object) -> None: ...

    step.__annotations__ = {"value": annotation}
    (found,) = inferred(SpanType(step, kind=CallKind.FUNCTION, skip_first=False))
    assert (found.category, found.path, found.type) == (
        "contact_information",
        "value",
        shown_by,
    )
