"""Secrets beside their names: in settings, queries, connection strings, JSON, YAML and code."""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import PatternRule
from remit._capture.rule import listed

_STRONG: Final = listed(
    "password, passwd, passphrase, pwd, secret, api_key, api-key, apikey, access_key, "
    "access-key, accesskey, secret_key, secret-key, secretkey, private_key, private-key, "
    "privatekey, account_key, accountkey, signing_key, encryption_key, auth_token, auth-token, "
    "authtoken, access_token, access-token, accesstoken, refresh_token, refresh-token, "
    "refreshtoken, session_token, session-token, sessiontoken, bearer_token, id_token, bot_token, "
    "private_token, private-token, deploy_token, security-token, authorization"
)
"""Names whose value is a secret, wherever they stand in a text."""

_WEAK: Final = listed(
    "token, auth, sig, signature, credential, x-amz-signature, x-goog-signature, client_assertion"
)
"""Names whose value is one if it looks like one."""

_REAL: Final = r"(?!(?i:your|xxx|example|changeme|redacted|none|null|true|false|string))"
"""Not a value that only stands for one."""

_ELSEWHERE: Final = (
    r"(?![\w.]*[(\[])(?!(?:settings|config|conf|cfg|self|cls|os|env|args|opts?|options|app|request"
    r"|ctx|secrets|vault|process)\.\w)"
)
"""Not a call or a lookup, which show where the secret comes from and not what it is."""

_BARE: Final = _REAL + _ELSEWHERE + r"""(?=[^\s&;,"')0-9]{0,64}+[0-9])[^\s&;,"'(){}\[\]<>$*]{6,}"""
_QUOTED: Final = r"""\\?["']""" + _REAL + r"""[^\s"'\\<{$*%]{4}"""
_WORD: Final = (
    _REAL
    + r"""(?!(?i:\w{0,40}(?:pass|pwd|secret|token|key)))[a-z][A-Za-z]{5,100}(?![\w.(\[{<$%/:-])"""
)
"""A secret of letters alone, where nothing but a value can stand: no name of a variable."""
_LONG: Final = r"""\\?["']?(?=[\w%+/.~-]*[0-9])[\w%+/.~-]{16,}"""


def _assigned(names: tuple[str, ...], *signs: str) -> tuple[str, ...]:
    return tuple(name + sign for sign in signs for name in names)


_IN_QUOTES: Final = ('":', "':", '\\":')


def _in_query(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{mark}{name}=" for mark in "?&" for name in names)


_SETTINGS: Final = (
    *("_PASSWORD=", "_PASSWD=", "_PASSPHRASE=", "--password=", "--passwd=", "--passphrase="),
    *("datasource.password=", "db.password=", "database.password=", "jdbc.password="),
    *("mail.password=", "redis.password=", "user.password=", "-store-password="),
)

ASSIGNMENT_RULES: Final = (
    PatternRule(
        name="pattern:assignment",
        withholds="a password, a key or a token with its name: in a setting, a query, a command",
        anchor="=",
        heads=_assigned(_STRONG, "="),
        tail=f"(?:{_QUOTED}|{_BARE})",
        apart="",
        loose=True,
        positives=(
            "DB_PASSWORD=hunter2x",
            "Server=db;User Id=sa;Password=Pa55word;",
            "https://x.io/v1?api_key=12345678&q=1",
            "login(user='bob', password='open sesame')",
            "--client-secret=abc123def",
            "pwd=hunter2",
            "secret=abc123x",
            "api_key=x9y8z7",
        ),
        negatives=(
            "api_key=settings.API_KEY2",
            "password=1",
            "connect(password=password)",
            "login(api_key=os.environ['K1'])",
            "PASSWORD=${DB_PASSWORD1}",
            "max_tokens=1024 top_p=1",
            "password=<your password 1>",
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a password or a key with its name in INI, TOML and code",
        anchor="=",
        heads=_assigned(_STRONG, " ="),
        tail=r"""[ \t]{1,4}["']?""" + _BARE,
        apart="",
        loose=True,
        positives=("password = hunter2x", "[db]\nsecret_key = 'hunter2x'"),
        negatives=(
            "api_key = settings.API_KEY2",
            "password = getpass('for 10 users')",
            "password = os.environ['K1']",
            "the password = what 10 people know",
            "secret = 'a secret'",
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a password of letters alone, in an environment, in properties, in a flag",
        anchor="=",
        heads=_SETTINGS,
        tail=_WORD,
        apart="",
        positives=(
            "DB_PASSWORD=swordfish",
            "spring.datasource.password=swordfish",
            "mysqldump --password=swordfish shop",
        ),
        negatives=(
            "DB_PASSWORD=changeme",
            "DB_PASSWORD=password_of_db",
            "DB_PASSWORD=vault.read_it",
            "self.password=something",
            "--password=PASSWORD",
            "--password=string",
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="whatever a query of an address gives as a password, a key or a token",
        anchor="=",
        heads=_in_query((*_STRONG, *_WEAK)),
        tail=_REAL + r"""[^\s&#"'<{(\[$*%]{3}""",
        apart="",
        loose=True,
        positives=("https://x.io/v1?q=1&password=sesame", "https://x.io/?token=sesame"),
        negatives=("https://x.io/?password=<yours>", "https://x.io/?page_token=sesame"),
    ),
    PatternRule(
        name="pattern:connection_string",
        withholds="passwords in connection strings",
        anchor="=",
        heads=tuple(f"{mark}{name}=" for mark in (";", "; ") for name in ("password", "pwd")),
        tail=_REAL + r"""[^\s;"'<{$*%]{3}""",
        apart="",
        loose=True,
        positives=("Server=db;User Id=sa;Password=sesame;", "Driver={X}; UID=sa; PWD=sesame"),
        negatives=("Server=db;User Id=sa;Password=***;", "Server=db;Password={PASSWORD}"),
    ),
    PatternRule(
        name="pattern:connection_string",
        withholds="the same as libpq writes them",
        anchor="host=",
        tail=r"\S{0,200}(?:\s+\w{1,40}=\S{0,200}){0,8}?\s+password="
        + _REAL
        + r"""[^\s"'<{$*%]{3}""",
        apart=r"\w",
        positives=("host=db user=app password=sesame", "host=db port=5432 password=sesame"),
        negatives=("host=db user=app password=*** dbname=x", "host=db, and the password=sesame"),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a token or a signature with its name",
        anchor="=",
        heads=_assigned(_WEAK, "="),
        tail=_LONG,
        apart=r"\w-",
        loose=True,
        positives=("https://x.io/?sig=a1b2c3d4e5f6a7b8c9d0", "token=abcdefgh12345678"),
        negatives=("page_token=abcdefgh12345678", "token=abcdefgh and so on"),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="the same in JSON, also inside JSON, and in the text of Python objects",
        anchor=":",
        heads=_assigned(_STRONG, *_IN_QUOTES),
        tail=r"\s{0,4}" + _QUOTED,
        apart="",
        loose=True,
        positives=(
            '{"password": "hunter2"}',
            "{'db_password': 'hunter2'}",
            '"{\\"api_key\\": \\"hunter2\\"}"',
        ),
        negatives=(
            '{"password": {"type": "string"}}',
            '{"password": "********"}',
            '{"secret_name": "prod"}',
            '{"max_tokens": "4096"}',
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a token with its name in JSON",
        anchor=":",
        heads=_assigned(_WEAK, *_IN_QUOTES),
        tail=r"\s{0,4}" + _LONG,
        apart=r"\w-",
        loose=True,
        positives=('{"token": "abcdefgh12345678"}',),
        negatives=('{"token": "Hello", "logprob": -0.1}',),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a password or a key with its name in YAML and in prose",
        anchor=":",
        heads=_assigned(_STRONG, ":"),
        tail=r"[ \t]{1,4}" + f"(?:{_QUOTED}|{_BARE})",
        apart="",
        loose=True,
        positives=("db:\n  password: hunter2", "Your password: Spring2024!"),
        negatives=("password: must be 12 characters", "the secret: patience and 10 years"),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a password or a key between tags",
        anchor=">",
        heads=tuple(f"<{name}>" for name in _STRONG),
        tail=_REAL + r"[^\s<{$*%][^<]{2,}</",
        apart="",
        loose=True,
        positives=("<db><password>sesame</password></db>",),
        negatives=("<password></password><user>bob</user>", "<password>****</password>"),
    ),
)
