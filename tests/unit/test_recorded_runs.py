"""What the recording of a test shows of itself: a failing assertion prints it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from click.testing import CliRunner

import remit
from remit.cli import main
from remit.config import Settings
from remit.testing import RecordingSink, isolated
from tests.inside import setup


@remit.span_type
def weigh(grams: int, token: str) -> float:
    """Return a weight in kilograms."""
    del token
    return 1000 / grams


@remit.span_type
def look_up(order: int) -> None:
    """Find nothing."""
    try:
        raise KeyError(order)  # noqa: TRY301 - a step that fails
    except KeyError as error:
        raise LookupError("nothing there") from error


@remit.agent("Scales")
def scales(grams: int) -> None:
    """Weigh, and look something up."""
    weigh(grams, "secret")
    with remit.span("note", {"words": ["a", "b"]}):
        look_up(7)


def play() -> None:
    """Run the agent once, to its failure."""
    with suppress(LookupError):
        scales(500)


def shown_by_the_command(folder: Path) -> list[str]:
    """Return the tree that `runs show` prints of the same run."""
    with setup.isolated(Settings(mode="local", data_dir=folder)) as runtime:
        play()
        assert runtime.flush(60)
    words = ["runs", "show", "--db", str(folder / "remit.db")]
    shown = CliRunner().invoke(main, words, env={"COLUMNS": "100"}).stdout
    return shown.partition("\n\n")[2].partition("\n\n")[0].splitlines()


def timeless(lines: list[str]) -> list[str]:
    """Return lines without times."""
    return [re.sub(r" +\+?\d+\.\d+ m?s", "", line) for line in lines]


def test_a_recorded_run_is_shown_as_the_command_shows_it(
    recorder: RecordingSink, tmp_path: Path
) -> None:
    """Statuses, arguments, results, errors with place and causes."""
    play()
    head, _, *tree = repr(recorder.runs[0]).splitlines()
    assert head.endswith(":scales  failed  LookupError")
    assert timeless(tree) == timeless(shown_by_the_command(tmp_path))
    assert any("✗ LookupError: nothing there" in line for line in tree)
    assert any("caused by KeyError: 7" in line for line in tree)
    assert any("grams=500 token=<redacted: name:token>" in line for line in tree)


def test_a_run_without_steps_is_one_line() -> None:
    """As long as it runs, and after it."""
    with isolated() as recorder:
        with scales.run():
            assert repr(recorder.runs[0]).endswith(":scales  active")
        assert repr(recorder.runs[0]).endswith(":scales  complete")
        with scales.run() as run:
            run.cancel()
        assert repr(recorder.runs[1]).endswith(":scales  cancelled")
