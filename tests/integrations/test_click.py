"""click: commands in both orders, with options and contexts."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

import remit
from remit.errors import DeclarationError
from remit.testing import RecordingSink, isolated


@click.group()
def shop() -> None:
    """Hold the commands."""


@shop.command()
@click.argument("order", type=int)
@remit.agent
def under(order: int) -> None:
    """Answer for a command."""
    click.echo(f"order {order}")


@remit.span_type
@shop.command()
@click.option("--size", default="none")
@click.pass_context
def above(context: click.Context, size: str) -> None:
    """Be recorded in the run of another."""
    click.echo(f"{context.info_name} {size}")


@remit.agent
def answering() -> None:
    """Hold a run."""


def invoke(*args: str) -> str:
    """Return what a command prints."""
    result = CliRunner().invoke(shop, args, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_an_agent_under_a_command_runs_with_the_command(recorder: RecordingSink) -> None:
    """The function that click keeps is the decorated one."""
    assert invoke("under", "3") == "order 3\n"
    (run,) = recorder.runs
    assert run.status == "complete"
    assert recorder.spans()[0].payload == {"order": 3}


def test_a_span_type_above_a_command_records_its_callback(recorder: RecordingSink) -> None:
    """The command stays the object that its group has, and click's context is not recorded."""
    assert isinstance(above, click.Command)
    assert shop.commands["above"] is above
    with answering.run():
        assert invoke("above", "--size", "plain") == "above plain\n"
    (span,) = recorder.spans()
    assert span.name.endswith(":above")
    assert span.status == "complete"
    assert span.payload == {"size": "plain"}


def test_an_agent_above_a_command_is_told_where_to_stand() -> None:
    """A command is no function: it is run by its own `main`."""
    with isolated(), pytest.raises(DeclarationError, match=r"put it below @click\.command"):
        remit.agent(above)


def test_a_group_without_a_function_cannot_be_decorated() -> None:
    """The error says so."""
    with isolated(), pytest.raises(DeclarationError, match="which has no function"):
        remit.span_type(click.Group("empty"))
