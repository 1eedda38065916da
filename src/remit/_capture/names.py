"""Rules by name: of a parameter, a key, a field, a header, a flag of a command.

A name is parted into words (`snake_case`, `camelCase`, `kebab-case`) and judged by its last ones,
for in English the last word says what the thing is: a `user_password` is a password, a
`password_policy_url` is an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from remit._capture.rule import Rule, listed

MAX_KNOWN: Final = 4096
"""Names whose verdict is kept; beyond, all are forgotten and learned again."""

MAX_JUDGED_CHARS: Final = 128
"""Of a longer name only the end is judged: that is where the noun stands."""


class NameRule(Rule, frozen=True, kw_only=True):
    """A rule by name.

    Attributes:
        terms: Names, or the ends of names, as words parted by spaces.
        joined: Ends of a single word, for names written without any separator.
        alone: Words that count only when they are the whole name.
    """

    terms: tuple[str, ...]
    joined: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()


NAME_RULES: Final = (
    NameRule(
        name="name:password",
        withholds="passwords and passphrases",
        terms=listed(
            "password, passwd, passphrase, pass phrase, pass word, pwd, pw, passcode, passwort, "
            "kennwort, contraseña, contrasena, mot de passe, senha, db pass, database pass, "
            "user pass, admin pass, root pass, login pass, smtp pass, imap pass, mail pass, "
            "email pass, ftp pass, sftp pass, ssh pass, mysql pass, postgres pass, pg pass, "
            "redis pass, mongo pass, ldap pass, wifi pass, keystore pass"
        ),
        joined=listed(
            "password, passwd, passphrase, pgpass, dbpass, userpass, smtppass, ftppass, sshpass"
        ),
        positives=listed(
            "password, db_password, userPassword, PGPASSWORD, password_hash, new-password, "
            "password2, passwords, contraseña, db_pass, DB_PASS, SMTP_PASS, ftp_pass, user_pass, "
            "userPass, PGPASS, pw, db_pw, MAIL_PW, passWord, pass_word, pwd"
        ),
        negatives=listed(
            "password_policy_url, password_length, passport, passenger, compass, "
            "password_reset_at, bypass, pass, boarding_pass, first_pass, low_pass, proxy_pass, "
            "day_pass, working_pwd, httpwhen"
        ),
    ),
    NameRule(
        name="name:secret",
        withholds="secrets, and the phrases that restore a wallet",
        terms=listed("secret, client secret, seed phrase, recovery phrase, mnemonic"),
        joined=listed("secret"),
        positives=listed(
            "secret, client_secret, clientSecret, SecretString, webhookSecret, secrets, seed_phrase"
        ),
        negatives=listed("secretary, secret_name, secret_santa, secretion, secret_version"),
    ),
    NameRule(
        name="name:token",
        withholds="tokens that grant access, and one-time codes",
        terms=listed(
            "token, jwt, bearer, csrf, xsrf, otp, totp, auth code, auth tokens, access tokens, "
            "refresh tokens, api tokens, bearer tokens, session tokens, bot tokens, one time "
            "code, verification code, mfa code, authorization code, backup code, recovery "
            "code, login code, otp code, totp code, sms code, two factor code, github pat, "
            "gitlab pat, gh pat, azure pat, devops pat"
        ),
        joined=listed(
            "accesstoken, authtoken, apitoken, refreshtoken, sessiontoken, bearertoken, "
            "idtoken, csrftoken, middlewaretoken, usertoken, bottoken"
        ),
        positives=listed(
            "token, access_token, idToken, X-Auth-Token, csrfmiddlewaretoken, refresh_tokens, "
            "GITHUB_TOKEN, token_hash, otp, verification_code, otp_code, sms_code, github_pat, "
            "access_token_2"
        ),
        negatives=listed(
            "tokens, max_tokens, token_count, tokenizer, page_token, token_type, "
            "nextPageToken, eos_token, tokens_used, cost_per_token, code, status_code, token0, "
            "token1, token_2, standard_bearer, pat, pattern, zip_code, path"
        ),
    ),
    NameRule(
        name="name:api_key",
        withholds="keys that grant access, sign or decrypt",
        terms=listed(
            "api key, apikey, access key, private key, secret key, encryption key, decryption "
            "key, signing key, master key, ssh key, shared key, account key, subscription key, "
            "service key, hmac key, app key, sdk key, client key, storage key, auth key, priv "
            "key, psk, sa key, aes key, rsa key, tls key, ssl key, gpg key, jwt key, deploy key, "
            "consumer key, webhook key, openai key, anthropic key, gemini key, mistral key, "
            "cohere key, groq key, stripe key, aws key, gcp key, azure key, google key, github "
            "key, twilio key, sendgrid key, pinecone key"
        ),
        joined=listed("apikey, accesskey, privatekey, secretkey, authkey, privkey, sshkey"),
        positives=listed(
            "api_key, apiKey, x-api-key, OPENAI_API_KEY, AWS_SECRET_ACCESS_KEY, private_key, "
            "openaiapikey, api_keys, signingKey, SECRET_KEY_BASE, openai_key, OPENAI_KEY, "
            "anthropic_key, stripe_key, aws_key, auth_key, privkey, psk, wpa_psk, gcp_sa_key"
        ),
        negatives=listed(
            "key, keys, keyboard, monkey, key_id, public_key, primary_key, sort_key, "
            "foreign_key, api_key_id, keyword, cache_key, idempotency_key, partition_key, "
            "translation_key, row_key, routing_key, groupkey, upskill, group_by_key"
        ),
    ),
    NameRule(
        name="name:authorization",
        withholds="headers and pairs that authenticate a request",
        terms=listed("authorization, authorisation, auth"),
        positives=listed("Authorization, Proxy-Authorization, auth, basic_auth, auth_header"),
        negatives=listed(
            "author, authors, authority, auth_method, authorization_url, authenticated, coauthor"
        ),
    ),
    NameRule(
        name="name:cookie",
        withholds="cookies",
        terms=listed("cookie, cookie jar"),
        joined=listed("cookie, cookies, cookiejar"),
        positives=listed("cookie, Set-Cookie, cookies, session_cookie, cookieJar"),
        negatives=listed("cookie_policy, cookie_count, cookieless, session, session_id"),
    ),
    NameRule(
        name="name:credentials",
        withholds="credentials",
        terms=listed("credential, creds, cred"),
        joined=listed("credentials"),
        positives=listed("credentials, aws_credentials, creds, userCredential, credentials_json"),
        negatives=listed("credit, credits, credential_type, incredible"),
    ),
    NameRule(
        name="name:card_code",
        withholds="the security codes of payment cards, and PINs",
        terms=listed(
            "cvv, cvc, csc, security code, card verification value, card pin, user pin, bank "
            "pin, account pin, pin number"
        ),
        alone=listed("pin"),
        positives=listed("cvv, cvv2, card_cvc, cardSecurityCode, pin, card_pin"),
        negatives=listed("pin_id, pinned, ping, spin, opinion, gpio_pin, pin_count, csv"),
    ),
    NameRule(
        name="name:ssn",
        withholds="social security numbers",
        terms=listed("ssn, social security number, social security no, social security"),
        positives=listed("ssn, customer_ssn, socialSecurityNumber"),
        negatives=listed("ssn_last4, session, assn, social_security_office"),
    ),
)

_CARRIERS: Final = frozenset(
    listed(
        "value, plain, plaintext, raw, hash, hashed, digest, b, base, hex, encoded, header, "
        "new, old, current, previous, confirm, confirmation, again, repeat, env, var, binary, "
        "string, json"
    )
)
"""Words after the noun that do not make it another thing: `password_confirmation`."""

PAGING: Final = listed(
    "page, next, prev, previous, continuation, continue, pagination, cursor, sync, resume, stop, "
    "eos, bos, pad, unk, sep, cls, mask, special, start, end, first, last, image, audio, text, "
    "per, input, output, prompt, completion, word"
)
"""Words before `token` for tokens of paging or of language models."""

_OTHERS: Final[Mapping[tuple[str, ...], frozenset[str]]] = {
    ("bearer",): frozenset(listed("standard, flag, torch, cup, ring, pall")),
    ("pwd",): frozenset({"working"}),
    ("token",): frozenset(PAGING),
}
"""Words before a term that make it harmless."""

_NUMBERED: Final = re.compile(r"token_?[0-9]+", re.IGNORECASE)
"""The tokens of a sentence, or of an exchange: one that grants access is not numbered so."""

_STEMS: Final = re.compile(
    "pass|pw|kennwort|contrase|senha|secret|phrase|mnemonic|token|jwt|bearer|srf|otp|code|key"
    "|auth|cookie|cred|cvv|cvc|csc|pin|ssn|verif|social|security|psk|pat"
)
"""What every name that a rule withholds has in it: one search instead of the whole reading."""

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN: Final = re.compile(r"[\W_]+")

_BY_TERM: Final[Mapping[tuple[str, ...], str]] = {
    tuple(term.split()): rule.name for rule in NAME_RULES for term in rule.terms
}
_JOINED: Final = tuple((end, rule.name) for rule in NAME_RULES for end in rule.joined)
_ALONE: Final[Mapping[str, str]] = {each: rule.name for rule in NAME_RULES for each in rule.alone}
_LONGEST: Final = max(map(len, _BY_TERM))

KNOWN: Final[dict[str, str | None]] = {}
"""Names that were judged before and the rule that withholds them; read on the hot path.

Only names that are recorded as they stand are in it (`walk.Walk` sees to that).
"""


ORDINARY: Final[set[str]] = set()
"""Those of them that neither withhold what stands under them nor may be named by another key.

Beside a `value` a name may stand that withholds it.
"""


def remember(name: str, rule: str | None) -> None:
    """Keep the verdict on *name*, in a memory that is bounded."""
    if len(KNOWN) >= MAX_KNOWN:
        KNOWN.clear()
        ORDINARY.clear()
    KNOWN[name] = rule
    if rule is None and name != "value":
        ORDINARY.add(name)


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of *name* in lower case, digits at their ends left off."""
    parts = _BETWEEN.split(_HUMP.sub(" ", name[-MAX_JUDGED_CHARS:]))
    return tuple(part.rstrip("0123456789") or part for part in map(str.lower, parts) if part)


@lru_cache(maxsize=MAX_KNOWN)
def name_rule(name: str) -> str | None:
    """Return the rule that withholds values under *name*, or `None`."""
    if _STEMS.search(name[-MAX_JUDGED_CHARS:].lower()) is None or _NUMBERED.fullmatch(name):
        return None
    words = words_of(name)
    while words and (words[-1] in _CARRIERS or words[-1].isdigit()):
        words = words[:-1]
    if not words:
        return None
    if len(words) == 1 and words[0] in _ALONE:
        return _ALONE[words[0]]
    return _by_ending(words) or _by_joined(words[-1])


def flag_rule(argument: str) -> str | None:
    """Return the rule that withholds what follows *argument*, a flag such as `--password`."""
    long = len(argument) > MAX_JUDGED_CHARS
    return None if long or "=" in argument or " " in argument else name_rule(argument)


def _by_ending(words: tuple[str, ...]) -> str | None:
    for size in range(min(_LONGEST, len(words)), 0, -1):
        ending = words[-size:]
        found = _BY_TERM.get(ending) or _BY_TERM.get(_singular(ending))
        if found is not None and not _harmless(words, ending):
            return found
    return None


def _singular(ending: tuple[str, ...]) -> tuple[str, ...]:
    """Return *ending* without a plural's `s`; `tokens` stay, they are what models count."""
    last = ending[-1]
    if last == "tokens":
        return ending
    return (*ending[:-1], last.removesuffix("s"))


def _harmless(words: tuple[str, ...], ending: tuple[str, ...]) -> bool:
    before = words[: -len(ending)]
    return bool(before) and before[-1] in _OTHERS.get(ending, ())


def _by_joined(word: str) -> str | None:
    return next((rule for end, rule in _JOINED if word.endswith(end)), None)


def ends_in_term(words: tuple[str, ...], terms: Iterable[tuple[str, ...]]) -> bool:
    """Return whether *words* end in one of *terms*, in the singular or the plural."""
    singular = _singular(words)
    return any(term in {words[-len(term) :], singular[-len(term) :]} for term in terms)
