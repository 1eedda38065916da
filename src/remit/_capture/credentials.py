"""Credentials by the text around them: PEM blocks, JWTs, headers, addresses, command lines."""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import LETTERS, PatternRule

PRIVATE_KEY: Final = "pattern:private_key"
"""Of a list of lines, one of which begins a private key, nothing is recorded."""


_KEY_FILES: Final = (
    PatternRule(
        name="pattern:private_key",
        withholds="private keys in PEM blocks",
        anchor="-----",
        apart="",
        tail=r"BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY",
        positives=(
            "-----BEGIN PRIVATE KEY-----\nMIIE",
            "-----BEGIN RSA PRIVATE KEY-----\\nMIIE",
            "x -----BEGIN OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        ),
        negatives=(
            "-----BEGIN CERTIFICATE-----\nMIIE",
            "-----BEGIN PUBLIC KEY-----\nMIIB",
            "----- BEGIN of the private key -----",
        ),
    ),
    *(
        PatternRule(
            name="pattern:private_key",
            withholds=f"private keys {where}",
            anchor=anchor,
            tail=tail,
            apart="",
            positives=(anchor + example,),
            negatives=(anchor + other,),
        )
        for where, anchor, tail, example, other in (
            ("of SSH2", "---- BEGIN SSH2 ", "(?:ENCRYPTED )?PRIVATE", "PRIVATE KEY ", "PUBLIC KEY"),
            ("of PuTTY", "PuTTY-User-Key-File-", "[0-9]:", "2: ssh-rsa", "format"),
        )
    ),
)

_HEADERS: Final = (
    PatternRule(
        name="pattern:bearer",
        withholds="credentials of an Authorization header",
        anchor="earer ",
        tail=r"\s*(?:(?=[\w.~+/-]*[0-9])[\w.~+/-]{16,}|[\w.~+/-]{20,})",
        heads=("Bearer ", "bearer "),
        positives=("Authorization: Bearer abc123def456ghi789", "bearer AbCdEfGhIjKlMnOpQrStUvWx"),
        negatives=("the bearer of good news arrived", "Bearer authentication is used"),
    ),
    PatternRule(
        name="pattern:basic",
        withholds="credentials of HTTP basic authentication",
        anchor="asic ",
        tail=(
            r"\s*(?=(?:[a-z0-9+/]*[A-Z]){3})(?:[A-Za-z0-9+/]{4}){2,}"
            r"(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})(?![\w.+/=-])"
        ),
        heads=("Basic ", "basic "),
        positives=("Basic dXNlcjpwYXNzd29yZA==", "authorization: basic dXNlcjpwYXNz"),
        negatives=(
            "Basic authentication is on",
            "basic 1234567890123",
            "Basic Instinct (1992)",
            "the basic MIMEApplication class",
        ),
    ),
    PatternRule(
        name="pattern:token_header",
        withholds="credentials of other Authorization headers",
        anchor=": ",
        heads=("Authorization: ", "authorization: "),
        tail=r"(?:[Tt]oken|[Aa]pi[Kk]ey|SSWS|[Kk]ey)\s+(?=[\w+/.~=-]*[0-9])[\w+/.~=-]{16,}",
        apart="",
        positives=(f"Authorization: Token {LETTERS}", f"authorization: ApiKey {LETTERS}"),
        negatives=("Authorization: Token is expected", f"authorization: none, token {LETTERS}"),
    ),
    PatternRule(
        name="pattern:cookie",
        withholds="cookies in headers",
        anchor=": ",
        tail=r"""[\w.!-]+=(?=[^\s;]{0,100}[0-9])[^\s;="'\\]{8,}""",
        heads=("Cookie: ", "cookie: "),
        positives=("Cookie: sid=31d4d96e407aad42", "Set-Cookie: id=a3fWa9zz; Path=/"),
        negatives=("Cookie: none was sent", "cookie: a=1"),
    ),
)

_ADDRESSES: Final = (
    PatternRule(
        name="pattern:url_password",
        withholds="addresses and connection strings with a password",
        anchor="://",
        tail=r"[^\s/:@]{0,200}:(?!(?:\*+|[<{$%][^\s@]{0,100})@)(?![0-9]{1,5}(?:/|$))[^\s@]{1,500}@[\w\[]",
        apart="",
        positives=(
            "postgresql://app:hunter2@db:5432/x",
            "redis://:hunter2@cache:6379/0",
            "mongodb+srv://app:hunter2@cluster0.example.net/",
            "see https://bob:p%40ss/w0rd@example.com/a",
        ),
        negatives=(
            "https://example.com:8080/a@b",
            "https://bob@example.com/",
            "postgresql://app:${PASSWORD}@db/x",
            "postgresql://app:***@db:5432/x",
        ),
    ),
    PatternRule(
        name="pattern:webhook",
        withholds="addresses that grant access by themselves: webhooks of Slack, Discord, Teams "
        "and Zapier",
        anchor="://",
        tail=(
            r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/\w"
            r"|discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/\d"
            r"|[\w.-]+\.webhook\.office\.com/webhookb2/\w|hooks\.zapier\.com/hooks/catch/\d)"
        ),
        apart="",
        positives=(
            "https://hooks.slack.com/services/T000/B000/XXXX",
            "https://discord.com/api/webhooks/123456/abc",
            "https://acme.webhook.office.com/webhookb2/0123@4567/IncomingWebhook/89ab",
            "https://hooks.zapier.com/hooks/catch/123456/abcdef/",
        ),
        negatives=("https://api.slack.com/messaging/webhooks", "https://discord.com/channels/1"),
    ),
)

_COMMANDS: Final = (
    PatternRule(
        name="pattern:flag",
        withholds="a password, a key or a token in a command line",
        anchor="--",
        tail=(
            r"(?!-)(?:[\w-]{0,40}?-)?(?:password|passwd|passphrase|secret|token|api-key|access-key)"
            r"\s+(?=\S{0,200}[0-9])[^\s-]\S{5,}"
        ),
        positives=("deploy --password hunter2x --dry-run", "x --auth-token abc123def"),
        negatives=("the --password flag is required", "--password-file /run/secret1"),
    ),
    PatternRule(
        name="pattern:flag",
        withholds="user and password in a command line",
        anchor="-u ",
        tail=r"""['"]?[^\s:'"]{1,100}:(?![0-9]+\b)[^\s'"]{3,}""",
        positives=("curl -u admin:hunter2 https://x.io",),
        negatives=("docker run -u 1000:1000 image", "sort -u names.txt"),
    ),
    PatternRule(
        name="pattern:netrc",
        withholds="passwords in a netrc file",
        anchor="machine ",
        tail=r"\S{1,200}\s+login\s+\S{1,200}\s+password\s+\S",
        positives=("machine example.com login bob password open",),
        negatives=("machine learning needs a login and a password",),
    ),
)

CREDENTIAL_RULES: Final = (*_KEY_FILES, *_HEADERS, *_ADDRESSES, *_COMMANDS)
