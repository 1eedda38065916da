"""The registry: one name never means two things, and each agent has its span types."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import pytest

from remit._declare.registry import AgentType, Registry
from remit._declare.risk import risk
from remit.errors import DeclarationError
from tests.declaring import SOURCE, agent, define, step
from tests.subtests import each

pytestmark = pytest.mark.python


def names_of(registry: Registry, owner: AgentType) -> list[str]:
    """Return the names of the declared span types of an agent."""
    return [each.name for each in registry.span_types_of(owner)]


def test_a_reload_replaces_the_declaration() -> None:
    """Same file and line, or the same function moved by an edit."""
    registry = Registry()
    registry.add_span_type(step(define()["tool"], "search"))
    registry.add_span_type(again := step(define()["tool"], "search"))
    assert registry.span_types() == (again,)
    registry.add_span_type(moved := step(define(source="\n\n" + SOURCE)["tool"], "search"))
    assert registry.span_types() == (moved,)


def test_a_factorys_functions_share_one_declaration() -> None:
    """Each call of the factory declares the same line again."""
    registry = Registry()
    make = define()["make"]
    registry.add_span_type(step(make(), "local"))
    registry.add_span_type(step(make(), "local"))
    assert len(registry.span_types()) == 1


def test_what_is_declared_again_and_again_is_no_news() -> None:
    """A function decorated in another's body must not make each run register anew."""
    registry = Registry()
    make = define()["make"]

    def declare(**more: Any) -> int:
        own = step(make(), data_risk=risk(allows=more.pop("allows", ())))
        registry.add_agent(AgentType(own, **more))
        return registry.version

    first = declare()
    assert declare() == first
    changes: list[dict[str, Any]] = [
        {"allows": "read_data"},
        {"version": "2"},
        {"quality": {"a": {}}},
    ]
    versions = [declare(**change) for change in changes]
    assert [first, *versions] == sorted({first, *versions})


def test_the_last_definition_of_a_default_name_wins() -> None:
    """As in Python itself."""
    registry = Registry()
    names = define(source=SOURCE + "\nfirst = tool\ndef tool(): ...\n")
    registry.add_span_type(step(names["first"]))
    registry.add_span_type(last := step(names["tool"]))
    assert registry.span_types() == (last,)


def test_two_functions_of_one_explicit_name_are_an_error_that_shows_both() -> None:
    """Whichever came second would silently speak for the first."""
    registry = Registry()
    registry.add_span_type(step(define()["tool"], "search"))
    other = define(module="shop.other", file="/src/shop/other.py")["tool"]
    with pytest.raises(DeclarationError) as caught:
        registry.add_span_type(step(other, "search"))
    assert str(caught.value) == (
        "two functions have the name 'search': tool (/src/shop/tools.py:2) and tool "
        "(/src/shop/other.py:2); give each its own name"
    )


def test_an_explicit_name_may_not_be_anothers_default() -> None:
    """One name, one thing."""
    registry = Registry()
    registry.add_span_type(step(define()["tool"]))
    with pytest.raises(DeclarationError, match=r"two functions have the name 'shop.tools:tool'"):
        registry.add_span_type(step(define()["make"], "shop.tools:tool"))


@pytest.mark.parametrize("main", ["__main__", "__mp_main__"])
def test_in_a_notebook_the_last_one_wins(main: str) -> None:
    """Cells are run again, from another line."""
    registry = Registry()
    registry.add_span_type(step(define(module=main, file="<cell 1>")["tool"], "search"))
    last = step(define(module=main, file="<cell 2>")["make"], "search")
    registry.add_span_type(last)
    assert registry.span_types() == (last,)


@pytest.mark.parametrize("name", ["remit:run", "remit:loss"])
def test_remits_own_names_are_taken(name: str) -> None:
    """Every registration holds them."""
    with pytest.raises(DeclarationError, match=f"has the name '{name}', which is remit's own"):
        Registry().add_span_type(step(define()["tool"], name))


@pytest.fixture
def shop() -> tuple[Registry, Callable[..., AgentType]]:
    """Declare tools in two packages, and agents in the first on demand."""
    registry = Registry()
    tools = define(module="shop.tools")
    others = define(module="bank.deep.tools", file="/src/bank/tools.py")
    for namespace in (tools, others):
        registry.add_span_type(step(namespace["tool"]))
        registry.add_span_type(step(namespace["Store"].find))

    def declare(**more: Any) -> AgentType:
        declared = agent(define(module="shop.desk")["tool"], **more)
        registry.add_agent(declared)
        return declared

    return registry, declare


Shop = tuple[Registry, Callable[..., AgentType]]
BANK = ["bank.deep.tools:Store.find", "bank.deep.tools:tool"]
OWN = ["shop.desk:tool", "shop.tools:Store.find", "shop.tools:tool"]


def test_an_agent_has_the_span_types_of_its_package(shop: Shop) -> None:
    """Sorted by name, its own call among them, those of other packages not."""
    registry, declare = shop
    assert names_of(registry, declare()) == OWN


@each(
    ("selector", "more"),
    [
        pytest.param("bank.deep", BANK, id="prefix"),
        pytest.param("bank.deep.tools:t", ["bank.deep.tools:tool"], id="prefix of a name"),
        pytest.param(ModuleType("bank"), BANK, id="package"),
        pytest.param(ModuleType("bank.deep.tools"), BANK, id="module"),
        pytest.param(ModuleType("ban"), [], id="another module"),
    ],
)
def test_an_agent_may_name_more(shop: Shop, selector: object, more: list[str]) -> None:
    """Modules with what is beneath them, and prefixes of names."""
    registry, declare = shop
    assert names_of(registry, declare(span_types=(selector,))) == more + OWN


def test_an_agent_may_name_functions(shop: Shop) -> None:
    """As decorators and binding left them."""
    registry, declare = shop
    declared = next(e for e in registry.span_types() if e.name == "bank.deep.tools:Store.find")
    function = declared.function
    assert isinstance(function, FunctionType)

    @functools.wraps(function)
    def decorated(*args: object) -> object:
        return function(*args)

    class Holder:
        """Binds it."""

        method = decorated

    for selector in (function, decorated, Holder().method):
        found = names_of(registry, declare(span_types=(selector,)))
        assert found == ["bank.deep.tools:Store.find", *OWN]


@each(
    ("selector", "message"),
    [
        pytest.param(Registry, "span_types holds <class", id="class"),
        pytest.param(7, "span_types holds 7; expected functions, modules or prefixes", id="number"),
        pytest.param(print, "the function print, which is not a span type; decorate it", id="bare"),
    ],
)
def test_a_wrong_selector_is_an_error(shop: Shop, selector: object, message: str) -> None:
    """At the declaration, where the mistake stands."""
    _, declare = shop
    with pytest.raises(DeclarationError, match=message) as caught:
        declare(span_types=(selector,))
    assert "shop.desk:tool (/src/shop/tools.py:2)" in str(caught.value)


def test_a_step_of_an_adapter_belongs_to_every_agent(shop: Shop) -> None:
    """It is in none of the program's modules."""
    registry, declare = shop
    registry.add_span_type(step(define(module="adapter")["tool"], "fake:model", of_adapter="step"))
    assert names_of(registry, declare()) == ["fake:model", *OWN]
    assert names_of(registry, declare(span_types=("bank.",))) == [*BANK, "fake:model", *OWN]


@each(
    ("module", "name", "prefix"),
    [
        pytest.param("tools", None, "tools:", id="module"),
        pytest.param("bank.deep.tools", None, "bank.", id="package"),
        pytest.param("tools", "pay", "pay", id="chosen name"),
    ],
)
def test_a_prefix_selects_a_step_of_elsewhere(
    shop: Shop, module: str, name: str | None, prefix: str
) -> None:
    """It is the line that is logged."""
    registry, declare = shop
    other = step(define(module=module)["tool"], name)
    registry.add_span_type(other)
    assert other.prefix == prefix
    assert other.name not in names_of(registry, declare())
    assert other.name in names_of(registry, declare(span_types=(prefix,)))


def test_an_agent_is_described_by_its_function() -> None:
    """Unless its author says more."""
    declared = agent(define()["make"]())
    assert declared.external_identifier == "shop.tools:make.<locals>.local"
    assert (declared.name, declared.description) == ("Local", "A local function.")
    named = AgentType(
        step(define()["tool"], description="Mine."), explicit_name="Desk", version="1.2"
    )
    assert (named.name, named.description, named.version) == ("Desk", "Mine.", "1.2")


def test_an_agent_declared_again_replaces_the_earlier() -> None:
    """As its function does."""
    registry = Registry()
    registry.add_agent(agent(define()["tool"]))
    registry.add_agent(again := agent(define()["tool"]))
    assert registry.agents() == (again,)
    assert registry.span_types() == (again.span_type,)


def test_an_unregistered_agent_still_has_its_own_span_type() -> None:
    """A registry that was swapped under it must not lose the agent's calls."""
    assert names_of(Registry(), agent(define()["tool"])) == ["shop.tools:tool"]


def test_a_copy_changes_apart() -> None:
    """Tests declare into theirs."""
    registry = Registry()
    declared = agent(define()["tool"])
    registry.add_agent(declared)
    other = registry.copy()
    assert other.version == registry.version
    other.add_span_type(step(define()["make"]))
    assert names_of(registry, declared) == ["shop.tools:tool"]
    assert names_of(other, declared) == ["shop.tools:make", "shop.tools:tool"]


def test_threads_may_declare_at_once() -> None:
    """Modules are imported on many threads."""
    registry = Registry()
    functions = [define(module=f"shop.m{number}")["tool"] for number in range(200)]

    def declare(part: list[FunctionType]) -> None:
        for function in part:
            registry.add_span_type(step(function))

    threads = [threading.Thread(target=declare, args=(functions[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.span_types()) == 200
    assert registry.version == 200
