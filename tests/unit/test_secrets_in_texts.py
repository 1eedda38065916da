"""Secrets in texts, in each form that people and programs write, in each place of a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import pytest
from pydantic import BaseModel

import remit
from remit.testing import isolated
from tests.subtests import each

HEADERS: Final = """
Cookie: theme=dark; sid=31d4d96e40
Cookie: a=1; b=2; session="31d4d96e40"
COOKIE: theme=31d4d96e40
Set-Cookie: sid=31d4d96e40; Path=/; HttpOnly
{"cookie": "theme=dark; sid=31d4d96e40"}
curl -H 'Cookie: a=b; sid=31d4d96e40' https://x.io
curl --cookie "a=b; sid=31d4d96e40" https://x.io
Authorization: Bearer 31d4d96e40
Authorization: BEARER 31d4d96e4031d4d96e40
BEARER 31d4d96e4031d4d96e40
Proxy-Authorization: bearer 31d4d96e40
Authorization: Bearer "31d4d96e40"
{"Authorization": "Bearer 31d4d96e40"}
{'authorization': 'Basic Ym9iOjMxZDRk'}
Authorization: Basic YTpi
authorization: basic Ym9iOjMx
AUTHORIZATION: BASIC Ym9iOjMxZDRk
the header is Basic YTpi, as it happens
Authorization: Token 31d4d96e40
Authorization: 31d4d96e40
X-Api-Key: 31d4d96e40
X-Vault-Token: 31d4d96e40
x-auth-token: 31d4d96e40
PRIVATE-TOKEN: 31d4d96e40
"""

SETTINGS: Final = r"""
API_TOKEN=31d4d96e40
VAULT_TOKEN=31d4d96e40
VAULT_TOKEN=sesamestreet
export GITHUB_TOKEN="31d4d96e40"
DB_PASSWORD='sesame street'
DB_PASS=31d4d96e40
SECRET_KEY_BASE=31d4d96e40
STRIPE_KEY=31d4d96e40
env API_TOKEN=31d4d96e40 python main.py
api_token = "31d4d96e40"
token = "31d4d96e4031d4d96e40"
password = "sesame"
password = 'sesame street'
password = "correct horse battery staple"
db = { user = "app", password = "sesame" }
password=sesame4
client_secret: 31d4d96e40
api_token: 31d4d96e40
  vault_token: "31d4d96e40"
- password: 'sesame street'
db:\n  password: sesame\n  user: app
spring.datasource.password=sesame
{"api_token": "31d4d96e40"}
{"db": {"password": "sesame", "port": 1}}
{"api_token":"31d4d96e40"}
{"password": 12345678}
"{\"api_token\": \"31d4d96e40\"}"
{'vault_token': '31d4d96e40'}
Config(user='app', api_token='31d4d96e40')
Config(password=b'sesame')
os.environ["API_TOKEN"] = "31d4d96e40"
headers['X-Api-Key'] = '31d4d96e40'
'password' => 'sesame'
apiToken: "31d4d96e40"
accessToken=31d4d96e40
- name: API_TOKEN\n  value: 31d4d96e40
{"name": "Authorization", "value": "31d4d96e40"}
<add key="password" value="sesame"/>
<db><password>sesame</password></db>
"""

COMMANDS: Final = """
deploy --token=31d4d96e40
deploy --token 31d4d96e40
deploy --api-token=31d4d96e40 --dry-run
deploy --api-key 31d4d96e40
deploy --password 'sesame street' --dry-run
deploy --password "sesame" --dry-run
deploy --password=sesame --dry-run
deploy --client-secret sesame4
curl -u a:b https://x.io
curl -sS -u bob:sesame https://x.io
curl --user a:b https://x.io
curl --user=bob:sesame https://x.io
curl -ubob:sesame https://x.io
curl https://x.io -u 'bob:sesame'
curl --proxy-user bob:sesame https://x.io
sshpass -p sesame ssh bob@x.io
"""

ADDRESSES: Final = """
https://x.io/?api_token=31d4d96e40
https://x.io/?a=1&api_token=31d4d96e40&b=2
https://x.io/?access_token=sesame
https://x.io/?token=sesame
https://bob:sesame@x.io/
postgresql+psycopg2://app:sesame@db:5432/shop
postgresql+psycopg2://app:sesame@/shop?host=/cloudsql/project:region:db
mysql+pymysql://app:sesame@/shop?unix_socket=/cloudsql/project:region:db
mssql+pyodbc://sa:sesame@dsn
mssql+pyodbc:///?odbc_connect=UID%3Dsa%3BPWD%3Dsesame
amqp://guest:sesame@:5672/
redis://:sesame@cache:6379/0
sqlite+pysqlcipher://:sesame@/db.sqlite
jdbc:postgresql://db/shop?user=app&password=sesame
Server=db;User Id=sa;Password=sesame;
host=db user=app password=sesame
password=sesame host=db user=app
host=/cloudsql/project:region:db dbname=shop user=app password=sesame
"""

HASHES: Final = f"""
scrypt:32768:8:1$aB3dE5fG7hI9jK1l${"0123456789abcdef" * 8}
pbkdf2:sha256:600000$aB3dE5fG7hI9jK1l${"0123456789abcdef" * 4}
"""

SHAPES: Final = tuple(
    line.replace("\\n", "\n")
    for group in (HEADERS, SETTINGS, COMMANDS, ADDRESSES, HASHES)
    for line in group.strip().splitlines()
)

ORDINARY: Final = """
Cookie: none was sent by the client
Authorization: Bearer token is required
Authorization: Bearer <token>
Authorization: Bearer {token}
Authorization: Basic Auth is not supported
Basic Auth and Bearer Auth are two ways
Basic projects take 4 weeks
the bearer token expired 10 minutes ago
set API_TOKEN=<your token> first
set API_TOKEN=your_token_here
API_TOKEN=${{ secrets.API_TOKEN1 }}
token = tokens[10] + 1
token = self.tokenizer.decode(ids[:10])
api_key=settings.API_KEY_2
api_token = os.environ["API_TOKEN2"]
page_token=abcdefgh1234
next_token: abcdefgh1234
{"next_page_token": "abcdefgh1234"}
eos_token = "</s>"
{"max_tokens": 4096, "stop_token": "four"}
sort_key=created_at1
cache_key = "users:1234"
{"key": "value1234", "primary_key": "id12345"}
primary_key: customer1_id
arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbC123
password: str
password: required, at least 8 characters
password must be 12 characters: letters and digits
the secret: patience and 10 years of work
the key: 12 cups of flour
he forgot the password, and 3 hours passed
password policy: 90 days
--password-file /run/secret1
use --token to pass 1 token per request
deploy --password $DB_PASSWORD1 --dry-run
curl -u $USER:$PASSWORD https://x.io
curl -s https://x.io -o out:1
docker run -u root:root image
sort -u names:2.txt
https://x.io/?page=2&page_token=abcdefgh12
https://x.io:8080/a@b
https://x.io/?password=<yours>
postgresql://app:***@db/x
postgresql://app:${DB_PASSWORD}@/shop
scrypt: a function of 3 parameters
the author: 12345678
oauth: see RFC 6749 and RFC 8252
monkey=abcdef123456
keyboard: qwerty12345
compass=abcdef123456
bypass=abcdef123456
{"name": "city", "value": "Berlin 10115"}
"""

PROSE: Final = tuple(line.replace("\\n", "\n") for line in ORDINARY.strip().splitlines())


class Model(BaseModel):
    """A model with a free text."""

    note: str


@dataclass
class Data:
    """A dataclass with a free text."""

    note: str


class Row(NamedTuple):
    """A named tuple with a free text."""

    note: str
    number: int = 1


PLACES: Final[Mapping[str, Callable[[str], object]]] = {
    "text": str,
    "dict": lambda text: {"note": text},
    "list": lambda text: [text],
    "model": lambda text: Model(note=text),
    "dataclass": Data,
    "named tuple": Row,
}


class BrokenError(Exception):
    """What a step fails with."""


@remit.agent
def desk() -> None:
    """Stand for an agent."""


def take(value: object) -> object:
    """Return *value*."""
    return value


def fail(text: str) -> None:
    """Fail with *text*."""
    raise BrokenError(text)


def told_of(text: str) -> dict[str, object]:
    """Return what is recorded of *text* by place: of an argument, a result, an error."""
    with isolated() as recorder, desk.run():
        step, failing = remit.span_type("take_text")(take), remit.span_type("fail_text")(fail)
        for place in PLACES.values():
            step(place(text))
        with pytest.raises(BrokenError):
            failing(text)
    spans = [[span.payload, span.result] for span in recorder.spans()]
    return dict(zip((*PLACES, "error"), spans[-len(PLACES) - 1 :], strict=True))


@each("shape", SHAPES)
def test_a_text_with_a_secret_is_redacted_in_every_place(shape: str) -> None:
    """As an argument, in containers, in what is returned, in the message of an error."""
    told = told_of(shape)
    assert [place for place, each in told.items() if json.dumps(shape) in json.dumps(each)] == []
    assert '"redacted"' in json.dumps(told["text"])


@each("text", PROSE)
def test_a_text_that_only_looks_alike_is_recorded(text: str) -> None:
    """Prose, placeholders, names of settings, code that hands a secret on without showing it."""
    told = told_of(text)
    assert told["text"] == [{"value": text}, {"result": text}]
    assert '"redacted"' not in json.dumps(told)


@each(
    ("text", "why"),
    [
        ("token 31d4d9", "a text of fewer than 16 characters without an equals sign"),
        ("the password is sesame street", "a sentence"),
        ("mysql -pSesame1 -u root shop", "a flag of one letter"),
        ("password: |\n  sesame", "a block of YAML"),
        ("ghp_abcdefghijklmnopqrstuvwxyzabcdefghij", "a vendor's key of small letters only"),
        ("jdbc:oracle:thin:app/sesame@db:1521:shop", "an address without a scheme"),
    ],
)
def test_what_the_page_says_is_not_recognised_is_recorded(text: str, why: str) -> None:
    """The limits of rules by shape, as `docs/reference/redaction.md` names them."""
    assert told_of(text)["text"] == [{"value": text}, {"result": text}], why
