"""`remit config show`, and what a shell completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from remit.cli import main
from remit.config import Settings, variables
from tests.doctored import KINDS

SECRET = "remit_0123456789abcdefghijklmnopqrstuvwxyz"


def show(*options: str, **env: str) -> Result:
    """Run the command with these variables alone."""
    cleared = {name: None for name in os.environ if name.upper().startswith(KINDS)}
    return CliRunner().invoke(main, ["config", "show", *options], env={**cleared, **env})


def test_each_setting_is_shown_with_its_source(tmp_path: Path) -> None:
    """The variable that it comes from, also that of another name."""
    env = {
        "REMIT_DATA_DIR": str(tmp_path),
        "PREFACTOR_AGENT_ID": "desk",
        "REMIT_REDACT_OFF": "name:token,key:aws",
        "REMIT_CONTROL_FLOW": "builtins:StopIteration",
    }
    found = json.loads(show("--json", **env).stdout)
    assert found.keys() == {name for name in Settings.model_fields if variables(name)}
    assert found["data_dir"] == {"value": str(tmp_path), "source": "REMIT_DATA_DIR"}
    assert found["agent_id"] == {"value": "desk", "source": "PREFACTOR_AGENT_ID"}
    assert found["redact_off"]["value"] == ["name:token", "key:aws"]
    assert found["control_flow"]["value"] == ["builtins:StopIteration"]
    assert found["purpose"] == {"value": "live", "source": "default"}

    lines = show(**env, COLUMNS="120").stdout.splitlines()
    assert len(lines) == len(found)
    (line,) = [line for line in lines if line.startswith("redact_off")]
    assert line.split(maxsplit=1)[1].split("  ")[0] == "name:token, key:aws"
    assert line.endswith("REMIT_REDACT_OFF")


@pytest.mark.parametrize(("secret", "shown"), [(SECRET, "remit_0123..."), ("hunter2", "(hidden)")])
def test_a_secret_is_not_shown(secret: str, shown: str) -> None:
    """Its beginning tells tokens apart; a short one has none to spare."""
    url = "https://ada:lovelace@remit.example.com"
    for options in ((), ("--json",)):
        done = show(*options, REMIT_API_TOKEN=secret, REMIT_API_URL=url)
        assert shown in done.output
        assert secret not in done.output
        assert "lovelace" not in done.output
        assert "remit.example.com" in done.output


def test_a_wrong_setting_is_a_sentence_below_the_others() -> None:
    """The value that holds is shown: in the policy it is the strictest one."""
    done = show(REMIT_ON_VIOLATION="dney", COLUMNS="120")
    assert done.exit_code == 1
    assert "setting on_violation from REMIT_ON_VIOLATION: saw 'dney'" in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("on_violation")]
    assert line.split()[1] == "deny"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("remit runs list --st", {"--status"}),
        ("remit stats --by ", {"type", "category", "agent"}),
    ],
)
def test_a_shell_completes_commands_options_and_words(words: str, completed: set[str]) -> None:
    """As click's functions for a shell ask for them."""
    env = {
        **os.environ,
        "_REMIT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    program = "from remit.cli import main; main(prog_name='remit')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == completed
