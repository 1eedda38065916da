"""Secrets beside their names: in settings, queries, commands, headers, JSON, YAML, TOML and code.

A rule begins with a word that names a secret (`password`, `token`) and not with the sign of an
assignment, so that quotes, brackets and spaces may occur between name and value. The rules are
applied to the text in lower case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from remit._capture.names import NAME_RULES, PAGING
from remit._capture.pattern import DIGITS, LETTERS, PatternRule

_REAL: Final = r"(?!your|xxx|example|changeme|redacted|none\b|null\b|true\b|false\b|string)"
"""Excludes placeholder words; the text of a template begins with a sign (`${...}`)."""

_ELSEWHERE: Final = (
    r"(?![\w.]*+[(\[])(?!(?:settings|config|conf|cfg|self|cls|os|env|args|opts?|options|app|request"
    r"|ctx|secrets|vault|process)\.\w)"
)
"""Excludes calls and lookups, which show where the secret comes from and not its value."""

_BARE: Final = (
    r"""(?=[^\s&;,"')=0-9]{0,64}+[0-9])(?=[^\s&;,"'(){}\[\]<>$*%]{6})""" + _REAL + _ELSEWHERE
)
_QUOTED: Final = r"""[bru]{0,2}+\\{0,3}+["'`](?=[^\s"'\\<{$*%]{4})""" + _REAL
_LONG: Final = (
    r"""[bru]{0,2}+\\{0,3}+["'`]?+(?=[a-z_%+/.~-]{0,64}+[0-9])(?=[\w%+/.~-]{16})""" + _ELSEWHERE
)
_WORD: Final = (
    r"(?=[a-z]{6})"
    + _REAL
    + r"(?!\w{0,40}(?:pass|pwd|secret|token|key))[a-z]{6,100}+(?![\w.(\[{<$%/:-])"
)
"""A secret of letters only, where only a value is possible: no name of a variable."""
_ANY: Final = r"""(?=[^\s&#;"'<{(\[$*%]{3})""" + _REAL

_TYPE: Final = (
    r"(?:str|bytes|int|integer|number|bool|boolean|object|required|optional|hidden|missing|invalid"
    r"|incorrect|wrong|default|unset|expired|disabled|enabled|prompt|plain|varchar)"
)
"""Words that documentation uses to describe a password."""

_SUFFIX: Final = r"(?:[_-]?(?:value|hash|base|raw|env|header|string|[0-9]{1,2})\b){0,2}+"
_CLOSED: Final = r"""\\{0,3}+["'`]?+\]?+"""
_SIGN: Final = (
    r"""(?:(?:[ \t]{0,4}+(?::?=(?!=)>?+|:(?=[\s"'\\`]))|(?<=["'`\]]):)"""
    r"""|,?+\s{1,20}+["'\\]{0,3}+value["'\\]{0,3}+[ \t]{0,3}+[=:]"""
    r"""|\n {2}[^\[\n]{0,300}+\[type=\w{1,40}, input_value=)"""
)
"""What separates a name and its value.

`=`, `:=`, `=>` or `:`; a key `value` after the name; the error message of pydantic.
"""

_ASSIGNED: Final = f"{_SUFFIX}{_CLOSED}{_SIGN}"
_WEAK: Final = rf"{_CLOSED}{_SIGN}\s{{0,4}}+{_LONG}"
_TAGGED: Final = r"[0-9]?>(?=[^\s<>{$*%][^<>]{2,200}+</)" + _REAL
_STRONG: Final = rf"(?:{_ASSIGNED}(?:\s{{0,4}}+{_QUOTED}|[ \t]{{0,4}}+{_BARE})|{_TAGGED})"
_GLUED: Final = rf"(?:{_STRONG}|:{_BARE})"
"""A colon without a space as well, as in a header. A secret excepted: its address has colons."""


def _terms(rule: str, noun: str) -> tuple[str, ...]:
    """Return the words before *noun* in the terms of a rule by name: the `api` of `api key`."""
    terms = next(each.terms for each in NAME_RULES if each.name == rule)
    return tuple(each.removesuffix(f" {noun}") for each in terms if each.endswith(f" {noun}"))


def _before(words: Iterable[str], noun: str, *, joint: str, unlike: bool = False) -> str:
    """Return look-behinds for *noun* after one of *words*, one for each length."""
    by_length: dict[int, list[str]] = defaultdict(list)
    for word in words:
        by_length[len(word)].append(word)
    ways = (f"(?:{'|'.join(same)}){joint}{noun})" for same in by_length.values())
    return "".join(f"(?<!{way}" for way in ways) if unlike else "|".join(f"(?<={w}" for w in ways)


_KEY: Final = (
    "(?:"
    + _before(_terms("name:api_key", "key"), "key", joint="[ _-]")
    + "|"
    + _before(
        ("api", "access", "private", "secret", "auth", "priv", "ssh", "account"), "key", joint=""
    )
    + ")"
)
_PASS: Final = f"(?:{_before(_terms('name:password', 'pass'), 'pass', joint='[_-]')})"
_NO_PAGE: Final = _before(PAGING, "token", joint="[_-]", unlike=True) + _before(
    PAGING, "token", joint="", unlike=True
)
_TOKEN: Final = r"(?:(?<=[a-z0-9][_-]token)|(?<=[a-z0-9]{2}token))" + _NO_PAGE
"""A token with a word before it, except those of paging and of language models."""

_NOUN: Final = (
    r"(?:(?<=password)|(?<=passwd)|(?<=passphrase)|(?<=pwd)|(?<=secret)|(?<=authorization)"
    rf"|(?<=token){_NO_PAGE}|(?<=key){_KEY}|(?<=pass){_PASS})"
)
"""The end of a name whose value is a secret."""

_WORDS: Final = r"(?:words?|wd|phrases?|codes?|wort)"
_LINE: Final = (
    r"(?:"
    + "|".join(f"(?<={start}pass)" for start in (r"\n", r"\n {2}", r"\n {4}", r"\n {6}", r"\n- "))
    + r"|(?<=[a-z]_pass)|(?<![\s\S]pass))"
)
_END_OF_LINE: Final = r"""["']?[ \t]{0,8}(?:\n|\Z)"""

_PAIRS: Final = r"(?:\s{1,4}(?!password=|host=)\w{1,40}+=\S{0,200}+){0,8}"

ASSIGNMENT_RULES: Final = (
    PatternRule(
        name="pattern:cookie",
        withholds="cookies in headers that are long, have a digit, or are named as of a session",
        anchor="cookie",
        tail=r"""(?:["']?\]?\s?:|(?<=--cookie) )\s{0,2}["'\\]{0,2}"""
        # Skips the cookies before it, and stops at the next header.
        r"""(?:[\w.!-]{1,64}+=["']?[^\s;:"']{0,512}+(?::(?<!cookie:)[^\s;:"']{0,512}+){0,16}+"""
        r"""["']?;\s{0,2}){0,50}?"""
        r"(?:(?=[\w.!-]{0,64}?(?:sess|sid|auth|token|jwt))[\w.!-]{1,64}+"
        r"""=["'\\]{0,2}[^\s;="'\\<{$*]{4}"""
        r"|[\w.!-]{1,64}+"
        r"""=["'\\]{0,2}(?:(?=[^\s;"'0-9]{0,100}+[0-9])[^\s;="'\\]{6}|[^\s;="'\\]{20}))""",
        apart="",
        lower=True,
        positives=(
            "Cookie: sid=31d4d96e407aad42",
            "Set-Cookie: id=a3fWa9zz; Path=/",
            "Cookie: theme=dark; sid=31d4d96e40",
            'COOKIE: a=1; session="sesame"',
        ),
        negatives=("Cookie: none was sent", "cookie: a=1", "Set-Cookie: fig=newton; Path=/"),
    ),
    PatternRule(
        name="pattern:token_header",
        withholds="credentials of an Authorization header, whatever their scheme",
        anchor="auth",
        tail=r"""orization["']?\]?\s{0,2}[:=]\s{0,4}["'\\]{0,2}"""
        r"(?:bearer|token|api-?key|key|ssws|oauth|negotiate|ntlm|hawk)"
        r"""\s{1,4}["'\\]{0,2}""" + _BARE,
        apart="",
        lower=True,
        positives=(
            f"Authorization: Token {LETTERS}",
            f"authorization: ApiKey {LETTERS}",
            "AUTHORIZATION: BEARER 31d4d96e40",
        ),
        negatives=(
            "Authorization: Token is expected",
            f"authorization: none, token {LETTERS}",
            "Authorization: Bearer <token>",
        ),
    ),
    PatternRule(
        name="pattern:token_header",
        withholds="the answer of HTTP digest authentication",
        anchor="response=",
        tail=r"""\\?["']?[0-9a-f]{32}(?![0-9a-f])""",
        apart=r"\w",
        lower=True,
        positives=(f'Authorization: Digest username="bob", uri="/", response="{DIGITS * 2}"',),
        negatives=('Authorization: Digest username="bob", response="..."',),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a password with its name: in a setting, a query, a command, a header, JSON, "
        "YAML, TOML, code, or as name and value",
        anchor="pass",
        tail=rf"(?:{_WORDS}|{_PASS}){_GLUED}",
        apart="",
        lower=True,
        positives=(
            "DB_PASSWORD=hunter2x",
            "Server=db;User Id=sa;Password=Pa55word;",
            "login(user='bob', password='open sesame')",
            "password = hunter2x",
            'password = "sesame"',
            "db:\n  password: hunter2",
            "Your password: Spring2024!",
            '{"password": "hunter2"}',
            "{'db_password': 'hunter2'}",
            '{"password": 12345678}',
            '{"name": "DB_PASSWORD", "value": "sesame"}',
            "<db><password>sesame</password></db>",
            "DB_PASS=hunter2x",
            "user:bob password:hunter2x",
        ),
        negatives=(
            "password=1",
            "connect(password=password)",
            "PASSWORD=${DB_PASSWORD1}",
            "password=<your password 1>",
            "password = getpass('for 10 users')",
            "password = os.environ['K1']",
            "the password = what 10 people know",
            "password: must be 12 characters",
            '{"password": {"type": "string"}}',
            '{"password": "********"}',
            "bypass=abc123def",
            "<password></password><user>bob</user>",
            "<password>****</password>",
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a password of letters only on a line of YAML",
        anchor="pass",
        tail=r"(?=[a-z]{2,7}:[ \t])"
        + _LINE
        + _WORDS
        + r""":[ \t]{1,4}["']?(?!"""
        + _TYPE
        + r"\b)"
        + _WORD
        + _END_OF_LINE,
        apart="",
        lower=True,
        positives=("\ndb:\n  password: sesame\n  user: app\n",),
        negatives=("password: required\n", "Your password: sesame\n", "password: str\n"),
    ),
    PatternRule(
        name="pattern:connection_string",
        withholds="passwords in connection strings of libpq",
        anchor="pass",
        tail=rf"word={_ANY}[^\s=]{{0,200}}+{_PAIRS}?\s{{1,4}}(?:host|port|dbname|user|sslmode)=",
        apart=r"\w",
        lower=True,
        positives=("password=sesame host=db user=app", "password=sesame dbname=x"),
        negatives=("password=*** host=db user=app", "password=sesame and more"),
    ),
    PatternRule(
        name="pattern:connection_string",
        withholds="the same after the host",
        anchor="host=",
        tail=rf"\S{{0,200}}+{_PAIRS}+\s{{1,4}}password={_ANY}",
        apart=r"\w=/;&?",
        lower=True,
        positives=("host=db user=app password=sesame", "host=db port=5432 password=sesame"),
        negatives=("host=db user=app password=*** dbname=x", "host=db, and the password=sesame"),
    ),
    *(
        PatternRule(
            name="pattern:connection_string",
            withholds=f"passwords in connection strings of ODBC{where}",
            anchor=anchor,
            tail=rf"{noun.removeprefix(anchor)}{sign}{_ANY}",
            heads=tuple(f"{mark}{anchor}" for mark in marks),
            apart="",
            lower=True,
            positives=(f"uid=sa{marks[0]}{noun}{sign}sesame{marks[0]}",),
            negatives=(f"uid=sa{marks[0]}{noun}{sign}***{marks[0]}",),
        )
        for anchor, noun in (("pass", "password"), ("pwd", "pwd"))
        for where, sign, marks in (("", "=", (";", "; ")), (" in an address", "%3d", ("%3b",)))
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="the same under `pwd`, unless it is a folder",
        anchor="pwd",
        tail=rf"{_ASSIGNED}(?:\s{{0,4}}+{_QUOTED}|[ \t]{{0,4}}+(?!/){_BARE})",
        apart="",
        lower=True,
        positives=("pwd=hunter2", 'db_pwd: "hunter2"', "DB_PWD = hunter2x"),
        negatives=("PWD=/home/ada1/project", "working_pwd = '/a'", "pwd=$PASSWORD1"),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a secret with its name",
        anchor="secret",
        tail=rf"s?{_STRONG}",
        apart="",
        lower=True,
        positives=(
            "--client-secret=abc123def",
            "secret=abc123x",
            '"{\\"client_secret\\": \\"hunter2\\"}"',
            "client_secret: abc123def",
        ),
        negatives=(
            "secret = 'a secret'",
            "the secret: patience and 10 years",
            '{"secret_name": "prod"}',
            "arn:aws:secretsmanager:eu-west-1:1:secret:prod/db-AbC123",
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a key that grants access, signs or decrypts, with its name",
        anchor="key",
        tail=rf"{_KEY}s?{_GLUED}",
        apart="",
        lower=True,
        positives=(
            "api_key=x9y8z7",
            "[db]\nsecret_key = 'hunter2x'",
            '"{\\"api_key\\": \\"hunter2\\"}"',
            "X-Api-Key: abc123def",
            "http x.io X-Api-Key:abc123def",
            "AccountName=shop;AccountKey=abc123def;",
            "STRIPE_KEY=abc123def",
            "my API key: abc123def",
        ),
        negatives=(
            "api_key=settings.API_KEY2",
            "login(api_key=os.environ['K1'])",
            "sort_key=created_at1",
            '{"key": "value1234"}',
            "monkey=abc123def",
        ),
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="a token with its name, if a word is before `token`",
        anchor="token",
        tail=_TOKEN + _GLUED,
        apart="",
        lower=True,
        positives=(
            "API_TOKEN=abc123def",
            '{"api_token": "abc123def"}',
            "vault_token: abc123def",
            "X-Vault-Token: abc123def",
            "X-Vault-Token:abc123def",
            "accessToken = 'abc123def'",
            'os.environ["API_TOKEN"] = "abc123def"',
        ),
        negatives=(
            "page_token=abcdefgh12345678",
            '{"nextPageToken": "abc123def"}',
            "max_tokens=1024 top_p=1",
            '{"max_tokens": "4096"}',
            'eos_token = "</s>"',
        ),
    ),
    *(
        PatternRule(
            name="pattern:assignment",
            withholds=f"the value of `{noun}`, if it is long and has a digit",
            anchor=anchor,
            tail=noun.removeprefix(anchor) + _WEAK,
            apart=r"\w-",
            lower=True,
            positives=(f"{noun}=abcdefgh12345678", f'{{"{noun}": "abcdefgh12345678"}}'),
            negatives=(f"{noun}=abcdefgh and so on", f'{{"{noun}": "Hello", "logprob": -0.1}}'),
        )
        for anchor, noun in (
            *(("token", "token"), ("auth", "auth"), ("credential", "credential")),
            *(("sig", "sig"), ("sig", "signature")),
        )
    ),
    PatternRule(
        name="pattern:assignment",
        withholds="what an Authorization header or setting holds",
        anchor="auth",
        tail=f"orization{_STRONG}",
        apart="",
        lower=True,
        positives=("Authorization: abc123def", '{"authorization": "Bearer sesame"}'),
        negatives=("authorization: required in version 2", "Authorization: <your key 1>"),
    ),
    *(
        PatternRule(
            name="pattern:assignment",
            withholds="whatever a query of an address gives as a password, a key or a token",
            anchor=mark,
            tail=r"[\w.%-]{1,80}+(?==)"
            rf"(?:{_NOUN}|(?<=[?&]auth)|(?<=[?&]sig)|(?<=signature)|(?<=credential)"
            rf")={_ANY}",
            apart="",
            lower=True,
            positives=(
                f"https://x.io/v1{mark}password=sesame",
                f"https://x.io/{mark}token=sesame",
                f"https://x.io/{mark}api_token=sesame&q=1",
            ),
            negatives=(
                f"https://x.io/{mark}password=<yours>",
                f"https://x.io/{mark}page_token=sesame",
            ),
        )
        for mark in "?&"
    ),
    PatternRule(
        name="pattern:flag",
        withholds="a password, a key or a token in a command line",
        anchor="--",
        tail=rf"(?=[a-z])[a-z0-9_-]{{1,60}}+{_NOUN}(?:="
        rf"(?:{_QUOTED}|{_BARE})|\s{{1,4}}(?:{_QUOTED}|(?!-){_BARE}))",
        apart=r"\w-",
        lower=True,
        positives=(
            "deploy --password hunter2x --dry-run",
            "x --auth-token abc123def",
            "x --token=abc123def",
            "x --api-key 'sesame street'",
        ),
        negatives=("the --password flag is required", "--password-file /run/secret1"),
    ),
    PatternRule(
        name="pattern:flag",
        withholds="a password of letters only, after `=` or before another flag",
        anchor="--",
        tail=r"(?:[a-z0-9]{1,20}+-){0,4}(?:password|passwd|passphrase)"
        rf"(?:\s{{1,4}}{_WORD}\s{{1,4}}--?[a-z]|={_WORD})",
        apart=r"\w-",
        lower=True,
        positives=(
            "deploy --password swordfish --dry-run",
            "x --passwd swordfish -v",
            "mysqldump --password=swordfish shop",
        ),
        negatives=(
            "the --password option prompts",
            "use --password string to log in",
            "--password=PASSWORD",
            "--password=string",
        ),
    ),
    PatternRule(
        name="pattern:flag",
        withholds="user and password of curl",
        anchor="curl ",
        tail=r"(?:\s{0,4}(?!-u|--user|--proxy-user)\S++(?<!curl)\s){0,60}+\s{0,4}"
        r"""(?:-u|--(?:proxy-)?user)[ =]?["']?(?![<{])[^\s:"']{1,100}+:[^\s"'<{$*%]""",
        lower=True,
        positives=(
            "curl -u a:b https://x.io",
            "curl -sS https://x.io --user=bob:open",
            "curl -ubob:open https://x.io",
        ),
        negatives=("curl -u $USER:$PASSWORD https://x.io", "curl -s https://x.io -o out:1"),
    ),
)

ENVIRONMENT_RULES: Final = (
    PatternRule(
        name="pattern:assignment",
        withholds="a secret of letters only, in an environment or in properties",
        anchor="=",
        heads=(
            *("PASSWORD=", "PASSWD=", "PASSPHRASE=", "_PASS=", "_PWD=", "_SECRET=", "_TOKEN="),
            *("_API_KEY=", "_SECRET_KEY=", "_ACCESS_KEY=", "_PRIVATE_KEY="),
            *("datasource.password=", "db.password=", "database.password=", "jdbc.password="),
            *("mail.password=", "redis.password=", "user.password=", "-store-password="),
        ),
        # `_SHORTCUTS` requires that only letters follow this anchor.
        tail=r"(?<!PAGE_TOKEN=)(?<!NEXT_TOKEN=)(?i:" + _REAL + ")"
        r"(?!(?i:\w{0,40}(?:pass|pwd|secret|token|key)))",
        apart="",
        positives=(
            "DB_PASSWORD=swordfish",
            "PGPASSWORD=swordfish",
            "VAULT_TOKEN=sesame",
            "spring.datasource.password=swordfish",
        ),
        negatives=(
            "DB_PASSWORD=changeme",
            "DB_PASSWORD=password_of_db",
            "DB_PASSWORD=vault.read_it",
            "self.password=something",
            "PAGE_TOKEN=something",
        ),
    ),
)
