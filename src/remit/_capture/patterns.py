"""Rules by shape: texts in which a key, a token or a password shows. A match withholds the text."""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import Family, PatternRule, families
from remit._capture.rule import listed

SHORTEST: Final = 16
"""No key-shaped text is shorter, in characters; shorter texts are not looked at."""

_MIXED: Final = r"(?=[\w-]*[0-9A-Z])"
"""A digit or a capital: what words joined by hyphens seldom have, and keys always."""

_OFF: Final = "a text of this shape is never recorded; keep it out of the arguments"


PRIVATE_KEY: Final = "pattern:private_key"
"""Of a list of lines, one of which begins a private key, nothing is recorded."""


def _prefixed(name: str, what: str, heads: str, *, tail: str, **examples: str) -> PatternRule:
    """Return the rule of keys that begin with one of *heads*, parted by spaces."""
    each = tuple(heads.split())
    return PatternRule(
        name=f"pattern:{name}",
        withholds=what,
        anchor=each[0][-1],
        heads=each,
        tail=tail,
        positives=tuple(examples["yes"].split(" | ")),
        negatives=tuple(examples["no"].split(" | ")),
        off=_OFF,
    )


_PREFIXED: Final = (
    _prefixed(
        "private_key",
        "private keys in PEM blocks",
        "-----",
        tail=r"BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY",
        yes="-----BEGIN RSA PRIVATE KEY-----\nMIIE | x -----BEGIN OPENSSH PRIVATE KEY-----",
        no="-----BEGIN CERTIFICATE-----\nMIIE | ----- BEGIN of the private key -----",
    ),
    _prefixed(
        "llm_key",
        "keys of language-model providers (OpenAI, Anthropic, xAI, Perplexity, Tavily)",
        "sk- xai- pplx- tvly-",
        tail=_MIXED + r"[\w-]{16,}",
        yes="sk-proj-9aB8cD7eF6gH5iJ4kL3m | key: sk-ant-api03-abcdefghijklmnop"
        " | xai-1234567890abcdefghij",
        no="task-force-of-2024-and-beyond-it | sk-learn | risk-adjusted-return-on-capital-9",
    ),
    _prefixed(
        "gitlab",
        "tokens of GitLab",
        "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glagent-",
        tail=r"[\w-]{16,}",
        yes="glpat-ABCdef1234567890xyzq",
        no="glpat-short | a glpat- token of twenty characters",
    ),
    _prefixed(
        "slack",
        "tokens of Slack",
        "xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- xoxc- xoxd- xapp-",
        tail=r"[\w-]{10,}",
        yes="xoxb-123456789012-abcdefghijkl | xapp-1-A0123456789-abc",
        no="xoxo-hugs-and-kisses-all | xoxb-token",
    ),
    _prefixed(
        "service_key",
        "keys of other services (Google OAuth, PyPI, New Relic, Postman, Mailgun, age)",
        "GOCSPX- pypi- NRAK- PMAK- AGE-SECRET-KEY- key-",
        tail=r"(?=\w*[0-9])(?=\w{2,}|[\w-]{20})[\w-]{24,}",
        yes="GOCSPX-abcdefghijk1mnopqrstuvwx | pypi-AgEIcHlwaS5vcmcCJDAwMDAwMDAw"
        " | key-0123456789abcdef0123456789abcdef",
        no="pypi-package | turn-key-solutions-for-the-enterprise-of-2030 | key-value-store",
    ),
    _prefixed(
        "stripe",
        "secret keys of Stripe",
        "sk_live_ sk_test_ rk_live_ rk_test_ whsec_",
        tail=r"\w{10,}",
        yes="sk_live_51HabcdefghijKLM | whsec_abcdefghij0123456789",
        no="pk_live_51HabcdefghijKLM | task_live_stream_of_events | sk_live_x",
    ),
    _prefixed(
        "github",
        "tokens of GitHub",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        tail=r"\w{20,}",
        yes="ghp_abcdefghijklmnopqrstuvwxyz0123456789 | github_pat_11ABCDEFG0abcdefghijkl",
        no="ghp_short_name_one | highp_abcdefghijklmnopqrstuvwxyz",
    ),
    _prefixed(
        "vendor_token",
        "tokens of other services (npm, Hugging Face, Groq, Replicate, Shopify, DigitalOcean, "
        "Linear, Grafana, Sentry, PlanetScale, Supabase, Docker, LangSmith, Figma, Notion, Resend)",
        "npm_ hf_ gsk_ r8_ shpat_ shpss_ shpca_ shppa_ dop_v1_ doo_v1_ dor_v1_ lin_api_ glsa_ glc_ "
        "sntrys_ sntryu_ pscale_tkn_ pscale_pw_ sbp_ dckr_pat_ lsv2_pt_ lsv2_sk_ figd_ ntn_ re_ "
        "rubygems_ secret_",
        tail=r"(?=\w*[0-9])(?=\w*[A-Za-z])[A-Za-z0-9]+\w{15,}",
        yes="npm_abcdefghijklmnopqrstuvwxyz0123456789 | hf_AbCdEfGhIjKlMnOpQrStUvWx1"
        " | dop_v1_0123456789abcdef0123456789abcdef",
        no="npm_config_registry_url_of_the_team | shelf_AbCdEfGhIjKlMnOpQrSt1 | re_compile_2",
    ),
    _prefixed(
        "dotted_token",
        "tokens of SendGrid, Google OAuth and Vault",
        "SG. ya29. hvs. hvb. hvr.",
        tail=_MIXED + r"[\w-]{16,}",
        yes="SG.aBcDeFgHiJkLmNoPqRsTuV.wXyZ | ya29.a0AfB_byC1234567890abc",
        no="MSG.aBcDeFgHiJkLmNoPqRsTuV | hvs.io | SG.short",
    ),
)

_LITERAL: Final = (
    PatternRule(
        name="pattern:jwt",
        withholds="JSON web tokens",
        anchor="eyJ",
        tail=r"[\w-]{5,}\.[\w-]{8,}\.[\w-]*",
        positives=("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",),
        negatives=("eyJhbGciOiJIUzI1NiJ9 alone", "greyJackets.are.warm.and.dry"),
        off=_OFF,
    ),
    *(
        PatternRule(
            name="pattern:aws",
            withholds="access keys of Amazon Web Services",
            anchor=anchor,
            tail=r"[0-9A-Z]{16}(?![0-9A-Za-z])",
            positives=(f"{anchor}IOSFODNN7EXAMPLE", f"id={anchor}IOSFODNN7EXAMPLE;"),
            negatives=(f"{anchor} is a prefix of keys", f"SL{anchor}IOSFODNN7EXAMPLE"),
            off=_OFF,
        )
        for anchor in ("AKIA", "ASIA")
    ),
    PatternRule(
        name="pattern:google",
        withholds="API keys of Google",
        anchor="AIza",
        tail=r"[\w-]{30,}",
        positives=("AIzaSyA1234567890abcdefghijklmnopqrstuv",),
        negatives=("AIzaSyTooShort", "MAIzaSyA1234567890abcdefghijklmnopqrstuv"),
        off=_OFF,
    ),
    PatternRule(
        name="pattern:bearer",
        withholds="credentials of an Authorization header",
        anchor="earer ",
        heads=("Bearer ", "bearer "),
        tail=r"\s*(?:(?=[\w.~+/-]*[0-9])[\w.~+/-]{16,}|[\w.~+/-]{20,})",
        positives=("Authorization: Bearer abc123def456ghi789", "bearer AbCdEfGhIjKlMnOpQrStUvWx"),
        negatives=("the bearer of good news arrived", "Bearer authentication is used"),
        off=_OFF,
    ),
    PatternRule(
        name="pattern:basic",
        withholds="credentials of HTTP basic authentication",
        anchor="asic ",
        heads=("Basic ", "basic "),
        tail=r"\s*(?=(?:[a-z0-9+/]*[A-Z]){3})[A-Za-z0-9+/]{10,}={0,2}(?![\w.-])",
        positives=("Basic dXNlcjpwYXNzd29yZA==", "authorization: basic dXNlcjpwYXNz"),
        negatives=("Basic authentication is on", "basic 1234567890123", "Basic Instinct (1992)"),
        off=_OFF,
    ),
)

_STRONG: Final = listed(
    "password, passwd, passphrase, pwd, secret, api_key, api-key, apikey, access_key, "
    "access-key, accesskey, secret_key, secret-key, secretkey, private_key, private-key, "
    "privatekey, account_key, accountkey, signing_key, encryption_key, auth_token, auth-token, "
    "authtoken, access_token, access-token, accesstoken, refresh_token, refresh-token, "
    "refreshtoken, session_token, bearer_token, authorization"
)
"""Names whose value is a secret, wherever they stand in a text."""

_WEAK: Final = ("token", "auth", "sig", "signature", "credential", "x-amz-signature")
"""Names whose value is one if it looks like one."""

_REAL: Final = r"(?!(?i:your|xxx|example|changeme|redacted|none|null|true|false|string))"
"""Not a value that only stands for one."""

_BARE: Final = _REAL + r"""(?![\w.]*[(\[])(?=[^\s&;,"')]*[0-9])[^\s&;,"'(){}\[\]<>$*]{6,}"""
_QUOTED: Final = r"""\\?["']""" + _REAL + r"""[^\s"'\\<{$*%]{4}"""
_LONG: Final = r"""\\?["']?(?=[\w%+/.~-]*[0-9])[\w%+/.~-]{16,}"""


def _assigned(names: tuple[str, ...], *signs: str) -> tuple[str, ...]:
    return tuple(name + sign for sign in signs for name in names)


_IN_QUOTES: Final = ('":', "':", '\\":')

_ASSIGNED: Final = (
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
        ),
        negatives=(
            "connect(password=password)",
            "login(api_key=os.environ['K1'])",
            "PASSWORD=${DB_PASSWORD1}",
            "max_tokens=1024 top_p=1",
            "password=<your password 1>",
        ),
        off=_OFF,
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
        off=_OFF,
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
        off=_OFF,
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
        off=_OFF,
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
        off=_OFF,
    ),
    PatternRule(
        name="pattern:flag",
        withholds="a password, a key or a token in a command line",
        anchor="--",
        heads=("--",),
        tail=r"(?:[\w-]*-)?(?:password|passwd|passphrase|secret|token|api-key|access-key)"
        r"\s+(?=[^\s]*[0-9])[^\s-]\S{5,}",
        positives=("deploy --password hunter2x --dry-run", "x --auth-token abc123def"),
        negatives=("the --password flag is required", "--password-file /run/secret1"),
        off=_OFF,
    ),
    PatternRule(
        name="pattern:flag",
        withholds="user and password in a command line",
        anchor="-u ",
        heads=("-u ",),
        tail=r"""['"]?[^\s:'"]+:(?![0-9]+\b)[^\s'"]{3,}""",
        positives=("curl -u admin:hunter2 https://x.io",),
        negatives=("docker run -u 1000:1000 image", "sort -u names.txt"),
        off=_OFF,
    ),
    PatternRule(
        name="pattern:url_password",
        withholds="addresses and connection strings with a password",
        anchor="://",
        tail=r"[^\s/:@]*:(?!(?:\*+|[<{$%][^\s@]*)@)(?![0-9]{1,5}(?:/|$))[^\s@]+@[\w\[]",
        apart="",
        positives=(
            "postgresql://app:hunter2@db:5432/x",
            "redis://:hunter2@cache:6379/0",
            "see https://bob:p%40ss/w0rd@example.com/a",
        ),
        negatives=(
            "https://example.com:8080/a@b",
            "https://bob@example.com/",
            "postgresql://app:${PASSWORD}@db/x",
            "postgresql://app:***@db:5432/x",
        ),
        off=_OFF,
    ),
    PatternRule(
        name="pattern:webhook",
        withholds="addresses that grant access by themselves (webhooks of Slack and Discord)",
        anchor="://",
        tail=r"(?:hooks\.slack\.com/(?:services|workflows)/\w|discord(?:app)?\.com/api/webhooks/\d)",
        apart="",
        positives=(
            "https://hooks.slack.com/services/T000/B000/XXXX",
            "https://discord.com/api/webhooks/123456/abc",
        ),
        negatives=("https://api.slack.com/messaging/webhooks", "https://discord.com/channels/1"),
        off=_OFF,
    ),
    PatternRule(
        name="pattern:telegram",
        withholds="tokens of Telegram bots",
        anchor=":AA",
        tail=r"(?<=[0-9]:AA)[\w-]{30,}",
        apart="",
        positives=("123456789:AAabcdefghijklmnopqrstuvwxyz0123456",),
        negatives=("12:AA is a time of day, somewhere", "x:AAabcdefghijklmnopqrstuvwxyz0123456"),
        off=_OFF,
    ),
)

PATTERN_RULES: Final = (*_PREFIXED, *_LITERAL, *_ASSIGNED)

_LONG_TEXT_CHARS: Final = 1000
"""In longer texts the search looks for its literal faster than `in` does."""

_FAMILIES: Final[tuple[Family, ...]] = families(PATTERN_RULES)


def key_shaped(text: str) -> str | None:
    """Return the rule of the first key, token or password that shows in *text*, or `None`."""
    long = len(text) > _LONG_TEXT_CHARS
    for family in _FAMILIES:
        if (long or family.anchor in text) and (found := family.search(text)) is not None:
            return family.rule_of(found)
    return None
