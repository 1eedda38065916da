"""What the tests of capture share: a value, a call or a result as it would be sent."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import EmailStr, SecretStr

from remit import Sensitive
from tests.inside import Plan, Rules, Walk
from tests.inside import plan_of as plan_of


def redacted(rule: str) -> dict[str, object]:
    """Return the marker of a value that *rule* redacts."""
    return {"$remit": "redacted", "rule": rule}


def opaque(type_name: str) -> dict[str, object]:
    """Return the marker of an object that is not looked into."""
    return {"$remit": "opaque", "type": type_name}


def copy_of(value: object, rules: Rules | None = None, *, excluded: str = "") -> Any:
    """Return what is recorded of *value*, under an ordinary name."""
    categories = frozenset(excluded.split())

    def build(walk: Walk) -> object:
        walk.exclude(categories)
        return walk.value({"it": value}, 0)

    return json.loads((rules or Rules()).encode_payload(build))["it"]


def params_of(plan: Plan, *args: object, **kwargs: object) -> Any:
    """Return the payload of a call; the same whether it enters the walk or not."""
    plain = plan.params(args, kwargs, Rules())
    assert plain == plan.params(args, kwargs, Rules(hook=lambda payload: payload))
    return json.loads(plain)


def result_of(plan: Plan, value: object, rules: Rules | None = None) -> Any:
    """Return the result of a call; the same whether it enters the walk or not."""
    plain = plan.result(value, rules or Rules())
    assert plain == plan.result(value, Rules(hook=lambda payload: payload))
    return json.loads(plain)


def ordinary(order_id: str, /, limit: int = 10, *, fast: bool = False) -> None:
    """Stand for an ordinary step."""
    del order_id, limit, fast


def marked(
    note: Annotated[str, Sensitive("health_and_medical")],
    token_type: SecretStr,
    mail: EmailStr,
    phone: str,
) -> None:
    """Stand for a step whose types say what they hold."""
    del note, token_type, mail, phone
