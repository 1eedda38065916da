"""Rules by name: of a parameter, a key, a field, a header, a flag of a command.

A name is split into words (`snake_case`, `camelCase`, `kebab-case`) and judged by its last ones,
because in English the last word says what the thing is: a `user_password` is a password, a
`password_policy_url` is an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from msgspec import Struct

MAX_NAMES: Final = 4096
"""Most names with a cached result."""

MAX_JUDGED_CHARS: Final = 128
"""Only the end of a longer name is checked: the noun is there."""


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part.strip() for part in text.split(","))


class NameRule(Struct, frozen=True, kw_only=True):
    """A rule by name.

    Attributes:
        name: As in a marker and in the counts of `remit.status()`.
        terms: Names, or the ends of names, as words separated by spaces.
        joined: Ends of a single word, for names written without any separator.
        alone: Words that count only when they are the whole name.
    """

    name: str
    terms: tuple[str, ...]
    joined: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()


NAME_RULES: Final = (
    NameRule(
        name="name:password",
        terms=split_list(
            "password, passwd, passphrase, pass phrase, pass word, pwd, pw, passcode, passwort, "
            "kennwort, contraseña, contrasena, mot de passe, senha, db pass, database pass, "
            "user pass, admin pass, root pass, login pass, smtp pass, imap pass, mail pass, "
            "email pass, ftp pass, sftp pass, ssh pass, mysql pass, postgres pass, pg pass, "
            "redis pass, mongo pass, ldap pass, wifi pass, keystore pass"
        ),
        joined=split_list(
            "password, passwd, passphrase, pgpass, dbpass, userpass, smtppass, ftppass, sshpass"
        ),
    ),
    NameRule(
        name="name:secret",
        terms=split_list("secret, client secret, seed phrase, recovery phrase, mnemonic"),
        joined=split_list("secret"),
    ),
    NameRule(
        name="name:token",
        terms=split_list(
            "token, jwt, bearer, csrf, xsrf, otp, totp, auth code, auth tokens, access tokens, "
            "refresh tokens, api tokens, bearer tokens, session tokens, bot tokens, one time "
            "code, verification code, mfa code, authorization code, backup code, recovery "
            "code, login code, otp code, totp code, sms code, two factor code, github pat, "
            "gitlab pat, gh pat, azure pat, devops pat"
        ),
        joined=split_list(
            "accesstoken, authtoken, apitoken, refreshtoken, sessiontoken, bearertoken, "
            "idtoken, csrftoken, middlewaretoken, usertoken, bottoken"
        ),
    ),
    NameRule(
        name="name:api_key",
        terms=split_list(
            "api key, apikey, access key, private key, secret key, encryption key, decryption "
            "key, signing key, master key, ssh key, shared key, account key, subscription key, "
            "service key, hmac key, app key, sdk key, client key, storage key, auth key, priv "
            "key, psk, sa key, aes key, rsa key, tls key, ssl key, gpg key, jwt key, deploy key, "
            "consumer key, webhook key, openai key, anthropic key, gemini key, mistral key, "
            "cohere key, groq key, stripe key, aws key, gcp key, azure key, google key, github "
            "key, twilio key, sendgrid key, pinecone key"
        ),
        joined=split_list("apikey, accesskey, privatekey, secretkey, authkey, privkey, sshkey"),
    ),
    NameRule(
        name="name:authorization",
        terms=split_list("authorization, authorisation, auth"),
    ),
    NameRule(
        name="name:cookie",
        terms=split_list("cookie, cookie jar, net session id, connect sid"),
        joined=split_list("cookie, cookies, cookiejar, sessid"),
        # As frameworks name their cookies; `session_id` is a name in many programs.
        alone=split_list("sessionid, jsessionid"),
    ),
    NameRule(
        name="name:credentials",
        terms=split_list("credential, creds, cred"),
        joined=split_list("credentials"),
    ),
    NameRule(
        name="name:card_code",
        terms=split_list(
            "cvv, cvc, csc, security code, card verification value, card pin, user pin, bank "
            "pin, account pin, pin number"
        ),
        alone=split_list("pin"),
    ),
    NameRule(
        name="name:ssn",
        terms=split_list("ssn, social security number, social security no, social security"),
    ),
)

_WORDS_AFTER_NOUN: Final = frozenset(
    split_list(
        "value, plain, plaintext, raw, hash, hashed, digest, b, base, hex, encoded, header, "
        "new, old, current, previous, confirm, confirmation, again, repeat, env, var, binary, "
        "string, json, pem, der"
    )
)
"""Words after the noun that do not change the result: `password_confirmation`."""

PAGING: Final = split_list(
    "page, next, prev, previous, continuation, continue, pagination, cursor, sync, resume, stop, "
    "eos, bos, pad, unk, sep, cls, mask, special, start, end, first, last, image, audio, text, "
    "per, input, output, prompt, completion, word"
)
"""Words before `token` for tokens of paging or of language models."""

_HARMLESS_BEFORE: Final[Mapping[tuple[str, ...], frozenset[str]]] = {
    ("bearer",): frozenset(split_list("standard, flag, torch, cup, ring, pall")),
    ("pwd",): frozenset({"working"}),
    ("token",): frozenset(PAGING),
}
"""Words before a term that make it harmless."""

_NUMBERED: Final = re.compile(r"token_?[0-9]+", re.IGNORECASE)
"""Names of tokens of a sentence or of an exchange, which grant no access."""

_STEMS: Final = re.compile(
    "pass|pw|kennwort|contrase|senha|secret|phrase|mnemonic|token|jwt|bearer|srf|otp|code|key"
    "|auth|cookie|cred|cvv|cvc|csc|pin|ssn|verif|social|security|psk|pat|sessi|t.sid"
)
"""Every name that a rule redacts matches this: a quick test before the split into words."""

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN: Final = re.compile(r"[\W_]+")

_BY_TERM: Final[Mapping[tuple[str, ...], str]] = {
    tuple(term.split()): rule.name for rule in NAME_RULES for term in rule.terms
}
_JOINED: Final = tuple((end, rule.name) for rule in NAME_RULES for end in rule.joined)
_ALONE: Final[Mapping[str, str]] = {each: rule.name for rule in NAME_RULES for each in rule.alone}
MAX_TERM_WORDS: Final = 4
"""No term of a rule has more words."""

KEY_RULES: Final[dict[str, str | None]] = {}
"""The rule of each key of a dict that is recorded unchanged, None without one; a cache."""

PLAIN_NAMES: Final[set[str]] = set()
"""Those of these keys whose values are recorded whatever the other keys are.

`value` is not one of them, because a `name` in the same object may redact it.
"""


def cache_key(name: str, rule: str | None) -> None:
    """Add *name* to the cache."""
    if len(KEY_RULES) >= MAX_NAMES:
        KEY_RULES.clear()
        PLAIN_NAMES.clear()
    KEY_RULES[name] = rule
    if rule is None and name not in {"value", "Value"}:
        PLAIN_NAMES.add(name)


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of *name* in lower case, digits at their ends left off."""
    parts = _BETWEEN.split(_HUMP.sub(" ", name[-MAX_JUDGED_CHARS:]))
    return tuple(part.rstrip("0123456789") or part for part in map(str.lower, parts) if part)


def in_plain_letters(name: str) -> str:
    """Return *name* with full-width letters and other compatibility forms as plain ones."""
    return name if name.isascii() else normalize("NFKC", name)


def name_endings(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the last words of a name, the most words first, in the plural and in the singular.

    `tokens` has no singular, because models count them.
    """
    for start in range(max(0, len(words) - MAX_TERM_WORDS), len(words)):
        ending = words[start:]
        yield ending
        if ending[-1].endswith("s") and ending[-1] != "tokens":
            yield (*ending[:-1], ending[-1][:-1])


def name_rule(name: str) -> str | None:
    """Return the rule that redacts values under *name*, or `None`."""
    end = name[-MAX_JUDGED_CHARS:]
    if end[-1:].isdigit():
        # The number at the end does not change the rule: `row_1` to `row_999` are looked up once.
        end = f"{end.rstrip('0123456789')}0"
    return _rule_of_end(end)


@lru_cache(maxsize=MAX_NAMES)
def _rule_of_end(name: str) -> str | None:
    name = in_plain_letters(name)
    if _STEMS.search(name.lower()) is None or _NUMBERED.fullmatch(name):
        return None
    words = words_of(name)
    while words and (words[-1] in _WORDS_AFTER_NOUN or words[-1].isdigit()):
        words = words[:-1]
    if not words:
        return None
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]]
    for term in name_endings(words):
        rule = _BY_TERM.get(term)
        if rule is not None:
            before = words[: -len(term)]
            if not before or before[-1] not in _HARMLESS_BEFORE.get(term, ()):
                return rule
    return next((rule for end, rule in _JOINED if words[-1].endswith(end)), None)


def flag_rule(argument: str) -> str | None:
    """Return the rule that redacts what follows *argument*, a flag such as `--password`."""
    long = len(argument) > MAX_JUDGED_CHARS
    return None if long or "=" in argument or " " in argument else name_rule(argument)
