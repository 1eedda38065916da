"""Credentials by the text around them: PEM blocks, JWTs, headers, addresses, command lines."""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import PatternRule

PRIVATE_KEY: Final = "pattern:private_key"
"""Of a list of lines, one of which begins a private key, nothing is recorded."""

TEMPLATE: Final = (
    r"(?:\*+|<[^\s@>]{1,100}>|\{{1,2}[^@}\n]{0,100}\}{1,2}|\$\{[^\s@}]{1,100}\}|\$\([^\s@)]{1,100}\)"
    r"|\$[A-Z][A-Z0-9_]{0,100}|%s|%\(\w{1,100}\)s|%[A-Z][A-Z0-9_]{0,100}%)"
)
"""A placeholder for a password; a text that only begins like one is a password."""

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

_PAIR_IN_BASE64: Final = (
    r"(?=[a-z0-9+/]*+[A-Z0-9])"
    # The whole text, then the first group of four characters with a colon.
    r"(?=(?:[A-Za-z0-9+/]{4}){0,300}+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?+(?![\w.+/=-]))"
    r"(?:[A-Za-z0-9+/]{4}){0,300}?"
    r"(?:O[g-v][\w+/=]{2}|[A-Za-z0-9+/][DTjz][o-r][\w+/=]|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]6)"
)
"""A text in Base64 with a colon in it, as between a user and a password."""

_HEADERS: Final = (
    *(
        PatternRule(
            name="pattern:bearer",
            withholds=f"credentials of an Authorization header, after `{scheme}`",
            anchor=f"{scheme} "[1:],
            tail=r"""\s{0,4}["'\\]{0,2}"""
            r"(?!(?:[A-Z]?[a-z]+[0-9]{0,4}-){2,20}[A-Z]?[a-z]+[0-9]{0,4}(?![\w.~+/-]))"
            r"(?:(?=[A-Za-z_.~+/-]{0,64}+[0-9])[\w.~+/-]{16}|[\w.~+/-]{20})",
            heads=heads,
            positives=(
                f"Authorization: {scheme} abc123def456ghi789",
                f"{scheme} AbCdEfGhIjKlMnOpQrStUvWx",
                f"{scheme} 01234567-89ab-cdef-0123-456789abcdef",
            ),
            negatives=(
                f"the {scheme} of good news arrived",
                f"{scheme} authentication is used",
                f"{scheme} Bonds2024-Treasury-Long-Series",
            ),
        )
        for scheme, heads in (("bearer", ("Bearer ", "bearer ")), ("BEARER", ("BEARER ",)))
    ),
    *(
        PatternRule(
            name="pattern:basic",
            withholds=f"user and password in Base64 after `{scheme}`",
            anchor=f"{scheme} "[1:],
            tail=r"""\s{0,4}["'\\]{0,2}""" + _PAIR_IN_BASE64,
            heads=heads,
            positives=(
                f"{scheme} dXNlcjpwYXNzd29yZA==",
                f"authorization: {scheme} dXNlcjpwYXNz",
                f"with {scheme} YTpi as header",
            ),
            negatives=(
                f"{scheme} authentication is on",
                f"{scheme} 1234567890123",
                f"{scheme} Instinct (1992)",
                f"the {scheme} MIMEApplication class",
                f"{scheme} Auth is not enough",
            ),
        )
        for scheme, heads in (("basic", ("Basic ", "basic ")), ("BASIC", ("BASIC ",)))
    ),
)

_ADDRESSES: Final = (
    PatternRule(
        name="pattern:url_password",
        withholds="addresses and connection strings with a password",
        anchor="://",
        tail=r"""[^\s/:"']{0,200}+:(?!//)(?!""" + TEMPLATE + r"""@)(?![0-9]{1,5}(?:/|$))"""
        r"""(?=[^@])[^\s@:"]{0,200}+(?::(?!//)[^\s@:"]{0,200}+){0,8}+@(?=[\w\[/:.?]|$)""",
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
            "mysql+pymysql://app:hunter2@/shop?unix_socket=/cloudsql/project:region:db",
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
            '{"url":"https://example.com","mail":"bob@example.com"}',
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
            "login password '",
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
            "CREATE ROLE x LOGIN PASSWORD 'hunter22'",
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
        tail=r"""['"]?[^\s:'"]{1,100}+:(?![0-9]+\b)(?!""" + TEMPLATE + r"""(?:["'\s]|$))"""
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
