"""Rules for credentials by their context: PEM blocks, JWTs, headers, URLs, command lines."""

from __future__ import annotations

from typing import Final

from remit._capture.rules.search import PatternRule

PRIVATE_KEY: Final = "pattern:private_key"
"""Of a list of lines, one of which begins a private key, nothing is recorded."""

TEMPLATE: Final = (
    r"(?:\*+|<[^\s@>]{1,100}>|\{{1,2}[^@}\n]{0,100}\}{1,2}|\$\{[^\s@}]{1,100}\}|\$\([^\s@)]{1,100}\)"
    r"|\$[A-Z][A-Z0-9_]{0,100}|%s|%\(\w{1,100}\)s|%[A-Z][A-Z0-9_]{0,100}%)"
)
"""A placeholder for a password; a text that only begins like one is a password."""

_PAIR_IN_BASE64: Final = (
    r"(?=[a-z0-9+/]*+[A-Z0-9])"
    # The whole text, then the first group of four characters with a colon.
    r"(?=(?:[A-Za-z0-9+/]{4}){0,300}+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?+(?![\w.+/=-]))"
    r"(?:[A-Za-z0-9+/]{4}){0,300}?"
    r"(?:O[g-v][\w+/=]{2}|[A-Za-z0-9+/][DTjz][o-r][\w+/=]|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]6)"
)
"""A text in Base64 with a colon in it, as between a user and a password."""

_AFTER_SCHEME: Final = r"""\s{0,4}["'\\]{0,2}"""

_BEARER: Final = (
    _AFTER_SCHEME + r"(?!(?:[A-Z]?[a-z]+[0-9]{0,4}-){2,20}[A-Z]?[a-z]+[0-9]{0,4}(?![\w.~+/-]))"
    r"(?:(?=[A-Za-z_.~+/-]{0,64}+[0-9])[\w.~+/-]{16}|[\w.~+/-]{20})"
)

CREDENTIAL_RULES: Final = (
    # Private keys in PEM blocks, of SSH2, of PuTTY.
    PatternRule(PRIVATE_KEY, "-----", r"BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY", apart=""),
    PatternRule(PRIVATE_KEY, "---- BEGIN SSH2 ", "(?:ENCRYPTED )?PRIVATE", apart=""),
    PatternRule(PRIVATE_KEY, "PuTTY-User-Key-File-", "[0-9]:", apart=""),
    PatternRule("pattern:bearer", "earer ", _BEARER, heads=("Bearer ", "bearer ")),
    PatternRule("pattern:bearer", "EARER ", _BEARER, heads=("BEARER ",)),
    PatternRule(
        "pattern:basic", "asic ", _AFTER_SCHEME + _PAIR_IN_BASE64, heads=("Basic ", "basic ")
    ),
    PatternRule("pattern:basic", "ASIC ", _AFTER_SCHEME + _PAIR_IN_BASE64, heads=("BASIC ",)),
    PatternRule(
        "pattern:url_password",
        "://",
        r"""[^\s/:"']{0,200}+:(?!//)(?!""" + TEMPLATE + r"""@)(?![0-9]{1,5}(?:/|$))"""
        r"""(?=[^@])[^\s@:"]{0,200}+(?::(?!//)[^\s@:"]{0,200}+){0,8}+@(?=[\w\[/:.?]|$)""",
        apart="",
    ),
    PatternRule(
        "pattern:webhook",
        "://",
        r"(?:hooks\.slack\.com/(?:services|workflows|triggers)/\w"
        r"|discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/\d"
        r"|[\w.-]+\.webhook\.office\.com/webhookb2/\w|hooks\.zapier\.com/hooks/catch/\d)",
        apart="",
    ),
    PatternRule("pattern:flag", "sshpass -p", r"""\s*['"]?[^\s'"$<{*-][^\s'"]{3}"""),
    PatternRule(
        "pattern:sql_password",
        "'",
        r"(?![<{$*%])[^\s']{4,200}'",
        heads=(
            *("with password '", "encrypted password '", "login password '", "set password '"),
            *("set password = '", "identified by '", "identified by password '"),
        ),
        apart=r"\w",
        loose=True,
    ),
    # User and password in a command line.
    PatternRule(
        "pattern:flag",
        "-u ",
        r"""['"]?[^\s:'"]{1,100}+:(?![0-9]+\b)(?!""" + TEMPLATE + r"""(?:["'\s]|$))"""
        r"""(?!(?:root|users?|staff|www-data|nobody|nogroup|node|app|docker|daemon)(?![\w-]))"""
        r"""[^\s'"]{3,}""",
    ),
    PatternRule("pattern:netrc", "machine ", r"\S{1,200}\s+login\s+\S{1,200}\s+password\s+\S"),
)
