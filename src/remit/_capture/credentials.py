"""Credentials by the text around them: PEM blocks, JWTs, headers, addresses, command lines."""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import DIGITS, LETTERS, PatternRule

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
        tail=r"\s*(?!(?:[A-Z]?[a-z]+[0-9]{0,4}-){2,20}[A-Z]?[a-z]+[0-9]{0,4}(?![\w.~+/-]))"
        r"(?:(?=[\w.~+/-]*[0-9])[\w.~+/-]{16,}|[\w.~+/-]{20,})",
        heads=("Bearer ", "bearer "),
        positives=(
            "Authorization: Bearer abc123def456ghi789",
            "bearer AbCdEfGhIjKlMnOpQrStUvWx",
            "Bearer 01234567-89ab-cdef-0123-456789abcdef",
        ),
        negatives=(
            "the bearer of good news arrived",
            "Bearer authentication is used",
            "Bearer Bonds2024-Treasury-Long-Series",
        ),
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
        tail=r"(?:(?:[Tt]oken|[Aa]pi[Kk]ey|SSWS|[Kk]ey)\s+(?=[\w+/.~=-]*[0-9])[\w+/.~=-]{16,}"
        r"""|Digest\s[^\n]{0,500}?response=\\?"?[0-9a-f]{16})""",
        apart="",
        positives=(
            f"Authorization: Token {LETTERS}",
            f"authorization: ApiKey {LETTERS}",
            f'Authorization: Digest username="bob", uri="/", response="{DIGITS * 2}"',
        ),
        negatives=(
            "Authorization: Token is expected",
            f"authorization: none, token {LETTERS}",
            'Authorization: Digest username="bob", response="..."',
        ),
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

_TEMPLATE: Final = (
    r"(?:\*+|<[^\s@>]{1,100}>|\{{1,2}[^@}\n]{0,100}\}{1,2}|\$\{[^\s@}]{1,100}\}|\$\([^\s@)]{1,100}\)"
    r"|\$[A-Z][A-Z0-9_]{0,100}|%s|%\(\w{1,100}\)s|%[A-Z][A-Z0-9_]{0,100}%)"
)
"""What stands for a password that is put in later; one that only begins so is a password."""

_ADDRESSES: Final = (
    PatternRule(
        name="pattern:url_password",
        withholds="addresses and connection strings with a password",
        anchor="://",
        tail=r"[^\s/:]{0,200}+:(?!" + _TEMPLATE + r"@)(?![0-9]{1,5}(?:/|$))[^\s@]{1,200}+@[\w\[]",
        apart="",
        positives=(
            "postgresql://app:hunter2@db:5432/x",
            "redis://:hunter2@cache:6379/0",
            "mongodb+srv://app:hunter2@cluster0.example.net/",
            "see https://bob:p%40ss/w0rd@example.com/a",
            "postgresql://app:%23Xy12@db/x",
            "postgresql://app:$ecretPw1@db/x",
            "postgresql://app:<Xy12@db/x",
            "smtp://bob@x.com:hunter2@smtp.x.com",
        ),
        negatives=(
            "https://example.com:8080/a@b",
            "https://bob@example.com/",
            "postgresql://app:${PASSWORD}@db/x",
            "postgresql://app:***@db:5432/x",
            "postgresql://app:$PASSWORD@db/x",
            "postgresql://app:%(password)s@db/x",
            "postgresql://app:%s@db/x",
            "postgresql://app:<password>@db/x",
            "postgresql://app:{{ password }}@db/x",
            "https://bob@example.com:8080/a@b",
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
        withholds="a password of letters alone, where another flag follows",
        anchor="--",
        tail=r"(?:password|passwd|passphrase)\s+(?=[a-zA-Z]{6})[a-zA-Z]{6,100}\s+--?[a-z]",
        positives=("deploy --password swordfish --dry-run", "x --passwd swordfish -v"),
        negatives=("the --password option prompts", "use --password string to log in"),
    ),
    PatternRule(
        name="pattern:flag",
        withholds="the password of sshpass",
        anchor="sshpass -p",
        tail=r"""\s*['"]?[^\s'"$<{*-][^\s'"]{3}""",
        positives=("sshpass -p hunter2 ssh bob@x.io", "sshpass -phunter2 ssh x"),
        negatives=("sshpass -p $PASSWORD ssh x", "sshpass -f secret.txt ssh x"),
    ),
    PatternRule(
        name="pattern:sql_password",
        withholds="passwords in statements of SQL",
        anchor="'",
        heads=(
            "with password '",
            "encrypted password '",
            "set password '",
            "set password = '",
            "identified by '",
            "identified by password '",
        ),
        tail=r"(?![<{$*%])[^\s']{4,200}'",
        apart=r"\w",
        loose=True,
        positives=(
            "CREATE USER x WITH PASSWORD 'hunter22'",
            "ALTER USER x IDENTIFIED BY 'swordfish'",
            "alter role x encrypted password 'hunter22'",
        ),
        negatives=(
            "CREATE USER x WITH PASSWORD '***'",
            "IDENTIFIED BY '{password}'",
            "we call the password 'open sesame'",
        ),
    ),
    PatternRule(
        name="pattern:flag",
        withholds="user and password in a command line",
        anchor="-u ",
        tail=r"""['"]?[^\s:'"]{1,100}:(?![0-9]+\b)"""
        r"""(?!(?:root|users?|staff|www-data|nobody|nogroup|node|app|docker|daemon)(?![\w-]))"""
        r"""[^\s'"]{3,}""",
        positives=("curl -u admin:hunter2 https://x.io", "curl -u root:root-42 https://x.io"),
        negatives=(
            "docker run -u 1000:1000 image",
            "docker run -u root:root image",
            "chroot -u www:www-data /srv",
            "sort -u names.txt",
        ),
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
