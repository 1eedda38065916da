"""`remit doctor` sees what is wrong with the URL, the token, and the way between."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from tests.doctored import BAD_TOKEN, EMPTY, PONG, TOKEN, api, doctor, found, wrong
from tests.loopback import serving, unused_port
from tests.served import collector
from tests.subtests import each


def claiming(expiry: object) -> str:
    """Return a JSON Web Token that says when it expires."""
    parts = [{"alg": "none"}, {"exp": expiry}]
    coded = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in parts]
    return ".".join([*(part.rstrip("=") for part in coded), "signature"])


@each(
    ("token", "code", "said"),
    [
        pytest.param(f'"{TOKEN}"', "malformed", 'begins or ends with "', id="quotes"),
        pytest.param(f"<{TOKEN}>", "malformed", "begins or ends with <", id="brackets"),
        pytest.param("$REMIT_TOKEN", "malformed", "begins or ends with $", id="variable"),
        pytest.param(f"Bearer {TOKEN}", "settings", "contains a space", id="with-its-word"),
        pytest.param(claiming(time.time() - 7200), "expired", "expired 2 h", id="old"),
        pytest.param(claiming(time.time() + 7200), "token", "bad_authtoken", id="not-yet-old"),
        pytest.param(claiming("soon"), "token", "bad_authtoken", id="unreadable-claim"),
        pytest.param("a.b.c", "token", "bad_authtoken", id="no-claims"),
    ],
)
def test_a_token_is_told_what_is_wrong_with_it(
    token: str, code: str, said: str, tmp_path: Path
) -> None:
    """Where it can be seen; and the token itself is not."""
    with serving(api({"/api/v1/ping": (401, BAD_TOKEN)})) as url:
        result = doctor(REMIT_API_URL=url, REMIT_API_TOKEN=token, REMIT_DATA_DIR=str(tmp_path))
    check = wrong(result)
    assert (check["code"], result.exit_code) == (code, 1)
    assert said in check["message"]
    assert (
        "REMIT_API_TOKEN" in check["message"] + check["advice"] or "api_token" in check["message"]
    )
    assert token not in result.output


@pytest.mark.parametrize("path", ["/console", "/console/api/v1/"])
def test_a_path_in_the_url_is_told_where_nothing_is_there(path: str, tmp_path: Path) -> None:
    """A server of one's own may be under a path; then it answers."""
    with serving(api({"/api/v1/ping": (200, PONG), "/console/": (404, EMPTY)})) as url:
        result = doctor(
            REMIT_API_URL=f"{url}{path}", REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path)
        )
    check = wrong(result)
    assert check["code"] == "path"
    assert "REMIT_API_URL ends in /console, which is not the path" in check["message"]
    assert "REMIT_API_URL" in check["advice"]


def test_a_collector_says_itself_where_nothing_is(tmp_path: Path) -> None:
    """Its 404 for a wrong path is worded as its 404 for an unknown id."""
    with collector(tmp_path) as served:
        variables = {"REMIT_API_TOKEN": served.token, "REMIT_DATA_DIR": str(tmp_path / "data")}
        astray = doctor(REMIT_API_URL=f"{served.url}/console", **variables)
        right = doctor(REMIT_API_URL=f"{served.url}/api/v1/", **variables)
    assert (wrong(astray)["code"], astray.exit_code) == ("path", 1)
    assert found(right)["server"]["message"] == f"{served.url} responds and accepts the token"
    assert right.exit_code == 0


@pytest.mark.parametrize("path", ["/", "/remit"])
def test_a_path_in_the_url_is_nothing_wrong_where_the_server_answers(
    path: str, tmp_path: Path
) -> None:
    """A slash at the end is as good as none."""
    prefix = path.rstrip("/")
    with serving(api({f"{prefix}/api/v1/ping": (200, PONG)})) as url:
        result = doctor(
            REMIT_API_URL=f"{url}{path}", REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path)
        )
    assert result.exit_code == 0
    assert found(result)["server"]["message"].startswith(f"{url}{prefix} responds")


def test_a_proxy_before_this_machine_is_told(tmp_path: Path) -> None:
    """What refuses is the proxy, and NO_PROXY is what helps."""
    with serving(api({"/api/v1/ping": (200, PONG)})) as url:
        variables = {
            "REMIT_API_URL": url, "REMIT_API_TOKEN": TOKEN, "REMIT_DATA_DIR": str(tmp_path),
            "HTTP_PROXY": f"http://me:hunter2@127.0.0.1:{unused_port()}",
        }  # fmt: skip
        result = doctor(**variables)
        assert found(result)["proxy"]["status"] == "note"
        assert "NO_PROXY to 127.0.0.1" in found(result)["proxy"]["advice"]
        assert wrong(result)["code"] == "no_proxy"
        assert "hunter2" not in result.output
        mended = doctor(**variables, NO_PROXY="127.0.0.1")
        assert mended.exit_code == 0
        assert "proxy" not in found(mended)


def test_a_proxy_before_another_machine_is_named(tmp_path: Path) -> None:
    """It may be intended; a proxy of an unusable kind is not reported as the server's fault."""
    result = doctor(
        REMIT_API_URL="http://api.example", REMIT_API_TOKEN=TOKEN, REMIT_DATA_DIR=str(tmp_path),
        ALL_PROXY="socks5://127.0.0.1:9",
    )  # fmt: skip
    assert found(result)["proxy"]["status"] == "ok"
    assert found(result)["url"]["status"] == "note"
    assert "unencrypted" in found(result)["url"]["message"]
    assert wrong(result)["code"] == "no_proxy"
    assert "ALL_PROXY" in wrong(result)["message"]


@pytest.mark.parametrize("given", [TOKEN, claiming(0)], ids=["opaque", "json-web-token"])
def test_a_token_that_was_given_as_the_url_is_not_shown(given: str, tmp_path: Path) -> None:
    """The two variables are next to each other, and mixed up."""
    result = doctor(
        REMIT_API_URL=given, REMIT_API_TOKEN="https://x.example", REMIT_DATA_DIR=str(tmp_path)
    )
    assert "REMIT_API_URL" in wrong(result)["message"]
    assert "nothing is recorded; the policy" in wrong(result)["advice"]
    assert given not in result.output


def test_a_rule_of_redaction_that_is_none_is_told(tmp_path: Path) -> None:
    """Programs record nothing with it."""
    result = doctor(REMIT_REDACT_OFF="nonsense", REMIT_DATA_DIR=str(tmp_path))
    assert "redact_off" in wrong(result)["message"]


def test_a_url_that_cannot_be_right_is_told_without_the_token(tmp_path: Path) -> None:
    """What is in the URL may be a secret as well."""
    result = doctor(
        REMIT_API_URL="https://me:hunter2@example.com",
        REMIT_API_TOKEN=TOKEN,
        REMIT_DATA_DIR=str(tmp_path),
    )
    assert "user or password" in wrong(result)["message"]
    assert TOKEN not in result.output
