"""The rules by shape: the form of a key, a token or a password in a text.

Credentials are recognised by their context (headers, URLs, commands), vendors' keys by their
prefix, and other secrets by the name next to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from remit._capture.rules.names import NAME_RULES, PAGING
from remit._capture.rules.vendors import ALNUM, VENDOR_KEYS, VendorKey


class PatternRule(Struct, frozen=True):
    """A rule by shape.

    Attributes:
        name: As in a marker and in the counts of `remit.status()`.
        anchor: The literal that every match holds.
        tail: Regular expression of the text after the anchor.
        heads: Texts, one of which is directly before what `tail` matches; each ends with the
            anchor. Without any, the match begins with the anchor.
        apart: Characters, as in a class of a regular expression, that are not before the head;
            empty if any may be.
        loose: Upper and lower case are the same in the heads.
        lower: It is applied to the text in lower case, and written in lower case.
    """

    name: str
    anchor: str
    tail: str
    heads: tuple[str, ...] = ()
    apart: str = ALNUM
    loose: bool = False
    lower: bool = False

    @property
    def endings(self) -> tuple[str, ...]:
        """The heads, or the anchor where there are none."""
        return self.heads or (self.anchor,)


# Credentials, by their context.

PRIVATE_KEY: Final = "pattern:private_key"
"""A list of lines is redacted if one of them begins a private key."""

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


# Vendors' keys and tokens.


def _vendor_rules(key: VendorKey) -> Iterator[PatternRule]:
    name = f"pattern:{key.rule}"
    if key.anchor:
        yield PatternRule(name, key.anchor, key.tail, heads=key.heads, apart=key.apart)
        return
    prefixes = tuple(key.prefixes.split())
    tail = _random_chars_pattern(key.random, key.chars) if key.random else key.tail
    if prefixes[0][-1].isalnum():
        # Each is rare enough to search for; a sign is searched for with its prefix.
        for prefix in prefixes:
            yield PatternRule(name, prefix, tail)
    else:
        yield PatternRule(name, prefixes[0][-1], tail, heads=prefixes)


def _random_chars_pattern(least: int, chars: str) -> str:
    r"""Return the expression of *least* or more of *chars*, a digit or a capital among them.

    It is among the first *least*, as in no name of words, or it follows small letters only.

    `\w-` are the characters of Base64 in addresses.
    """
    # A set of ASCII letters is faster than `\w`, which covers Unicode.
    chars = chars.replace(r"\w", "A-Za-z0-9_")
    return f"(?=(?:[a-z_=+/.-]{{0,{least - 1}}}+|[a-z]{{{least},64}}+)[0-9A-Z])[{chars}]{{{least}}}"


VENDOR_RULES: Final = tuple(rule for key in VENDOR_KEYS for rule in _vendor_rules(key))


# Secrets next to their names: in settings, queries, commands, headers, JSON and code. A rule begins
# with a word that names a secret (`password`, `token`) and not with the sign of an assignment, so
# that quotes, brackets and spaces may occur between name and value. The rules are applied to the
# text in lower case.

_REAL: Final = r"(?!your|xxx|example|changeme|redacted|none\b|null\b|true\b|false\b|string)"
"""Excludes placeholder words; the text of a template begins with a sign (`${...}`)."""

_ELSEWHERE: Final = (
    r"(?![\w.]*+[(\[])(?!(?:settings|config|conf|cfg|self|cls|os|env|args|opts?|options|app|request"
    r"|ctx|secrets|vault|process)\.\w)"
)
"""Excludes calls and lookups, which show where the secret comes from and not its value."""

_BARE: Final = (
    r"""(?=(?:[^\s&;,"')=0-9%]|%(?![0-9a-f]{2})){0,64}+[0-9])(?=[^\s&;,"'(){}\[\]<>$*%]{6})"""
    + _REAL
    + _ELSEWHERE
)
"""A value without quotes: six characters or more, one of them a digit, not of an escape (`%26`)."""
_QUOTE: Final = r"""(?:["'`]|u002[27]|&(?:quot|apos|#3[49]);|%2[27])"""
"""A quote: as it is, escaped in JSON after a backslash, in HTML or in an address."""
_QUOTED: Final = rf"""[bru]{{0,2}}+\\{{0,3}}+{_QUOTE}(?=[^\s"'\\<{{$*%&]{{4}})""" + _REAL
"""A value in quotes, of four characters or more."""
_LONG: Final = (
    r"""[bru]{0,2}+\\{0,3}+["'`]?+(?=[a-z_%+/.~-]{0,64}+[0-9])(?=[\w%+/.~-]{16})""" + _ELSEWHERE
)
"""A value of 16 characters or more, one of them a digit, with or without quotes."""
_WORD: Final = (
    r"(?=[a-z]{6})"
    + _REAL
    + r"(?!\w{0,40}(?:pass|pwd|secret|token|key))[a-z]{6,100}+(?![\w.(\[{<$%/:-])"
)
"""A secret of letters only, where only a value is possible: no name of a variable."""
_ANY: Final = r"""(?=[^\s&#;"'<{(\[$*%]{3})""" + _REAL
"""Any value of three characters or more, where only a secret is possible."""

_TYPE: Final = (
    r"(?:str|bytes|int|integer|number|bool|boolean|object|required|optional|hidden|missing|invalid"
    r"|incorrect|wrong|default|unset|expired|disabled|enabled|prompt|plain|varchar)"
)
"""Words that documentation uses to describe a password."""

_SUFFIX: Final = r"(?:[_-]?(?:value|hash|base|raw|env|header|string|[0-9]{1,2})\b){0,2}+"
"""Words that may follow the noun in a name, as in `password_hash`."""
_CLOSED: Final = rf"""\\{{0,3}}+{_QUOTE}?+\]?+"""
"""The end of a name that is in quotes or in brackets."""
_SIGN: Final = (
    r"""(?:(?:[ \t]{0,4}+(?::?=(?!=)>?+|%3[ad]|:(?=[\s"'\\`&]))|(?<=["'`\]]):)"""
    r"""|(?:\s{1,4}(?!value)[a-z-]{1,20}+=["'][^"'<>\n]{0,40}+["']){0,3}+"""
    r""",?+\s{1,20}+["'\\]{0,3}+value["'\\]{0,3}+[ \t]{0,3}+[=:]"""
    r"""|\n {2}[^\[\n]{0,300}+\[type=\w{1,40}, input_value=)"""
)
"""The signs between a name and its value.

`=`, `:=`, `=>` or `:`, also as in an address; a key or an attribute `value` after the name; the
error message of pydantic.
"""

_ASSIGNED: Final = f"{_SUFFIX}{_CLOSED}{_SIGN}"
_WEAK: Final = rf"{_CLOSED}{_SIGN}\s{{0,4}}+{_LONG}"
"""After a noun that often has a harmless value."""
_TAGGED: Final = r"[0-9]?>(?=[^\s<>{$*%][^<>]{2,200}+</)" + _REAL
"""The value in a tag of XML: `<password>...</password>`."""
_STRONG: Final = rf"(?:{_ASSIGNED}(?:\s{{0,4}}+{_QUOTED}|[ \t]{{0,4}}+{_BARE})|{_TAGGED})"
"""After a noun that always has a secret value."""
_GLUED: Final = rf"(?:{_STRONG}|:{_BARE})"
"""The same, and a value after a colon without a space, as in a header.

`secret` is not used with it, because addresses of secrets have colons.
"""


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


def _rule(name: str, anchor: str, tail: str, *, apart: str = "") -> PatternRule:
    return PatternRule(f"pattern:{name}", anchor, tail, apart=apart, lower=True)


ASSIGNMENT_RULES: Final = (
    # Cookies in headers that are long, have a digit, or are named like one of a session.
    _rule(
        "cookie",
        "cookie",
        r"""(?:["']?\]?\s?:|(?<=--cookie) )\s{0,2}["'\\]{0,2}"""
        # Skips the cookies before it, and stops at the next header.
        r"""(?:[\w.!-]{1,64}+=["']?[^\s;:"']{0,512}+(?::(?<!cookie:)[^\s;:"']{0,512}+){0,16}+"""
        r"""["']?;\s{0,2}){0,50}?"""
        r"(?:(?=[\w.!-]{0,64}?(?:sess|sid|auth|token|jwt))[\w.!-]{1,64}+"
        r"""=["'\\]{0,2}[^\s;="'\\<{$*]{4}"""
        r"|[\w.!-]{1,64}+"
        r"""=["'\\]{0,2}(?:(?=[^\s;"'0-9]{0,100}+[0-9])[^\s;="'\\]{6}|[^\s;="'\\]{20}))""",
    ),
    # Credentials of an Authorization header, whatever their scheme.
    _rule(
        "token_header",
        "auth",
        r"""orization["']?\]?\s{0,2}[:=]\s{0,4}["'\\]{0,2}"""
        r"(?:bearer|token|api-?key|key|ssws|oauth|negotiate|ntlm|hawk)"
        r"""\s{1,4}["'\\]{0,2}""" + _BARE,
    ),
    # The answer of HTTP digest authentication.
    _rule("token_header", "response=", r"""\\?["']?[0-9a-f]{32}(?![0-9a-f])""", apart=r"\w"),
    # A password with its name.
    _rule("assignment", "pass", rf"(?:{_WORDS}|{_PASS}){_GLUED}"),
    # A password of letters only on a line of YAML.
    _rule(
        "assignment",
        "pass",
        rf"(?=[a-z]{{2,7}}:[ \t]){_LINE}{_WORDS}"
        r""":[ \t]{1,4}["']?""" + rf"(?!{_TYPE}\b){_WORD}{_END_OF_LINE}",
    ),
    # Connection strings of libpq, with the password before the host and after it.
    _rule(
        "connection_string",
        "pass",
        rf"word={_ANY}[^\s=]{{0,200}}+{_PAIRS}?\s{{1,4}}(?:host|port|dbname|user|sslmode)=",
        apart=r"\w",
    ),
    _rule(
        "connection_string",
        "host=",
        rf"\S{{0,200}}+{_PAIRS}+\s{{1,4}}password={_ANY}",
        apart=r"\w=/;&?",
    ),
    # Connection strings of ODBC, as they are and in an address.
    *(
        PatternRule(
            "pattern:connection_string",
            anchor,
            f"{noun.removeprefix(anchor)}{sign}{_ANY}",
            heads=tuple(f"{mark}{anchor}" for mark in marks),
            apart="",
            lower=True,
        )
        for anchor, noun in (("pass", "password"), ("pwd", "pwd"))
        for sign, marks in (("=", (";", "; ")), ("%3d", ("%3b",)))
    ),
    # `pwd`, unless it is a folder.
    _rule(
        "assignment",
        "pwd",
        rf"{_ASSIGNED}(?:\s{{0,4}}+{_QUOTED}|[ \t]{{0,4}}+(?!/){_BARE})",
    ),
    _rule("assignment", "secret", rf"s?{_STRONG}"),
    _rule("assignment", "key", rf"{_KEY}s?{_GLUED}"),
    _rule("assignment", "token", _TOKEN + _GLUED),
    # The value of such a name, if it is long and has a digit.
    *(
        _rule("assignment", anchor, noun.removeprefix(anchor) + _WEAK, apart=r"\w-")
        for anchor, noun in (
            *(("token", "token"), ("auth", "auth"), ("credential", "credential")),
            *(("sig", "sig"), ("sig", "signature")),
        )
    ),
    _rule("assignment", "auth", f"orization{_STRONG}"),
    # Whatever a query of an address gives as a password, a key or a token.
    *(
        _rule(
            "assignment",
            mark,
            r"[\w.%-]{1,80}+(?==)"
            rf"(?:{_NOUN}|(?<=[?&]auth)|(?<=[?&]sig)|(?<=signature)|(?<=credential)"
            rf")={_ANY}",
        )
        for mark in "?&"
    ),
    # A field of a form, as a request has it in parts.
    _rule(
        "assignment",
        "form-data; name=",
        rf"""["'][\w.\[-]{{1,60}}+{_NOUN}\]?+["'](?:\r?\n[^\n]{{1,200}}+){{0,3}}?\r?\n\r?\n{_ANY}""",
    ),
    # A password, a key or a token in a command line.
    _rule(
        "flag",
        "--",
        rf"(?=[a-z])[a-z0-9_-]{{1,60}}+{_NOUN}(?:="
        rf"(?:{_QUOTED}|{_BARE})|\s{{1,4}}(?:{_QUOTED}|(?!-){_BARE}))",
        apart=r"\w-",
    ),
    # A password of letters only, after `=` or before another flag.
    _rule(
        "flag",
        "--",
        r"(?:[a-z0-9]{1,20}+-){0,4}(?:password|passwd|passphrase)"
        rf"(?:\s{{1,4}}{_WORD}\s{{1,4}}--?[a-z]|={_WORD})",
        apart=r"\w-",
    ),
    # User and password of curl.
    _rule(
        "flag",
        "curl ",
        r"(?:\s{0,4}(?!-u|--user|--proxy-user)\S++(?<!curl)\s){0,60}+\s{0,4}"
        r"""(?:-u|--(?:proxy-)?user)[ =]?["']?(?![<{])[^\s:"']{1,100}+:[^\s"'<{$*%]""",
        apart=ALNUM,
    ),
)

# A secret of letters only, in an environment or in properties.
ENVIRONMENT_RULES: Final = (
    PatternRule(
        "pattern:assignment",
        "=",
        # `_SHORTCUTS` requires that only letters follow this anchor.
        r"(?<!PAGE_TOKEN=)(?<!NEXT_TOKEN=)(?i:" + _REAL + ")"
        r"(?!(?i:\w{0,40}(?:pass|pwd|secret|token|key)))",
        heads=(
            *("PASSWORD=", "PASSWD=", "PASSPHRASE=", "_PASS=", "_PWD=", "_SECRET=", "_TOKEN="),
            *("_API_KEY=", "_SECRET_KEY=", "_ACCESS_KEY=", "_PRIVATE_KEY="),
            *("datasource.password=", "db.password=", "database.password=", "jdbc.password="),
            *("mail.password=", "redis.password=", "user.password=", "-store-password="),
        ),
        apart="",
    ),
)

PATTERN_RULES: Final = (
    *CREDENTIAL_RULES,
    *VENDOR_RULES,
    *ENVIRONMENT_RULES,
    *ASSIGNMENT_RULES,
)
