"""Tokens of the services that programs talk to: chat, mail, money, work, monitoring.

The part after the prefix is asked for a digit or a capital, as in `remit._capture.keys`.
"""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import (
    DIGITS,
    LETTERS,
    LONG,
    UUID,
    UUID_LIKE,
    PatternRule,
    anchored,
    hexadecimal,
    prefixed,
    random,
)

_CHAT: Final = (
    prefixed(
        "slack",
        "Slack",
        "xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- xoxc- xoxd- xapp- xwfp-",
        random(12, r"\w-"),
        "123456789012-abcdefghijkl",
    ),
    PatternRule(
        name="pattern:discord",
        withholds="keys and tokens of Discord",
        anchor=".",
        tail=r"(?:(?<=(?<![\w-])[MNO][\w-]{23}\.[\w-]{6}\.)|(?<=(?<![\w-])[MNO][\w-]{25}\.[\w-]{6}\.))"
        r"[\w-]{27,}",
        apart="",
        positives=(
            f"MTIzNDU2Nzg5MDEyMzQ1Njc4.GaBcDe.{LETTERS}abcde",
            f"MTIzNDU2Nzg5MDEyMzQ1Njc4OQ.GaBcDe.{LETTERS}abcde",
        ),
        negatives=("MTIzNDU2Nzg5.GaBcDe.short", f"module_of_the_program.config.{LETTERS}abcde"),
    ),
    prefixed("discord", "Discord", "mfa.", random(60, r"\w-"), LONG),
    PatternRule(
        name="pattern:telegram",
        withholds="keys and tokens of Telegram",
        anchor=":AA",
        tail=r"(?<=[0-9]:AA)[\w-]{30,}",
        apart="",
        positives=("123456789:AAabcdefghijklmnopqrstuvwxyz0123456",),
        negatives=("12:AA is a time of day, somewhere", "x:AAabcdefghijklmnopqrstuvwxyz0123456"),
    ),
    PatternRule(
        name="pattern:telegram",
        withholds="keys and tokens of Telegram",
        anchor="/bot",
        tail=r"[0-9]{6,}:[\w-]{30,}",
        apart="",
        positives=(f"https://api.telegram.org/bot123456789:{LONG}/getMe",),
        negatives=("https://example.com/bot/123456789/status",),
    ),
    anchored("twilio", "Twilio", "SK", hexadecimal(32), DIGITS * 2),
)

_MAIL: Final = (
    prefixed("sendgrid", "SendGrid", "SG.", random(16, r"\w-"), "aBcDeFgHiJkLmNoPqRsTuV.wXyZ"),
    prefixed("mailgun", "Mailgun", "key-", hexadecimal(32), DIGITS * 2),
    PatternRule(
        name="pattern:mailchimp",
        withholds="keys and tokens of Mailchimp",
        anchor="-us",
        tail=r"(?<=[0-9a-f]{32}-us)[0-9]{1,2}(?![0-9A-Za-z])",
        apart="",
        positives=(f"{DIGITS * 2}-us12",),
        negatives=("0123abcd-us12 is a host", f"{DIGITS * 2}-usual"),
    ),
    prefixed(
        "mandrill", "Mandrill", "md-", r"(?=[A-Za-z]*[0-9])[A-Za-z0-9_-]{22}(?!\w)", LETTERS[2:]
    ),
    prefixed("brevo", "Brevo", "xkeysib- xsmtpsib-", "[0-9a-f]{64}", DIGITS * 4 + "-aBcDeFgH"),
    prefixed("resend", "Resend", "re_", "[A-Za-z0-9]{8,9}_[A-Za-z0-9]{20,}", "aB3dE5fG_" + LETTERS),
)

_MONEY: Final = (
    prefixed(
        "stripe",
        "Stripe",
        "sk_live_ sk_test_ rk_live_ rk_test_ sk_org_ whsec_",
        random(10, r"\w"),
        "51HabcdefghijKLM",
    ),
    prefixed("square", "Square", "sq0atp- sq0csp-", random(20, r"\w-"), LETTERS),
    prefixed(
        "plaid", "Plaid", "access-sandbox- access-production- access-development-", UUID, UUID_LIKE
    ),
    prefixed(
        "paypal",
        "PayPal",
        "access_token$",
        r"(?:production|sandbox)\$\w{1,40}\$[0-9a-f]{16,}",
        f"production$a1b2c3d4e5f6g7h8${DIGITS * 2}",
    ),
    prefixed("flutterwave", "Flutterwave", "FLWSECK- FLWSECK_TEST-", random(12, r"\w-"), LETTERS),
    prefixed("shippo", "Shippo", "shippo_live_ shippo_test_", "[0-9a-f]{40}", DIGITS * 3),
    prefixed("shopify", "Shopify", "shpat_ shpss_ shpca_ shppa_", "[0-9a-fA-F]{32}", DIGITS * 2),
)

_WORK: Final = (
    *(
        anchored("atlassian", "Atlassian", anchor, random(40, r"\w=-"), LONG)
        for anchor in ("ATATT3", "ATCTT3")
    ),
    PatternRule(
        name="pattern:airtable",
        withholds="keys and tokens of Airtable",
        anchor=".",
        tail=r"(?<=(?<!\w)pat[A-Za-z0-9]{14}\.)[0-9a-f]{64}",
        apart="",
        positives=(f"patAb1Cd2Ef3Gh4Ij.{DIGITS * 4}",),
        negatives=(f"patch.{DIGITS * 4}",),
    ),
    prefixed("linear", "Linear", "lin_api_ lin_oauth_", random(20), LETTERS),
    prefixed("notion", "Notion", "ntn_", random(20), LETTERS),
    prefixed("notion", "Notion", "secret_", "[A-Za-z0-9]{43}", LONG),
    prefixed("figma", "Figma", "figd_ figo_ figu_", random(20, r"\w-"), LETTERS),
    prefixed("typeform", "Typeform", "tfp_", random(20, r"\w-"), LETTERS),
    prefixed("contentful", "Contentful", "CFPAT-", random(20, r"\w-"), LETTERS),
    prefixed("hubspot", "HubSpot", "pat-na1- pat-na2- pat-eu1- pat-ap1-", UUID, UUID_LIKE),
    prefixed("frame_io", "Frame.io", "fio-u-", random(40, r"\w-"), LONG),
    prefixed("readme", "ReadMe", "rdme_", "[a-z0-9]{60,}", DIGITS * 5),
    prefixed("dropbox", "Dropbox", "sl.", random(60, r"\w-"), LONG),
    prefixed("mapbox", "Mapbox", "sk.", r"eyJ[\w-]{20,}\.[\w-]{10,}", f"eyJ{LETTERS}.{LETTERS}"),
    anchored("facebook", "Facebook and Square", "EAA", random(57, r"\w-"), LONG),
)

_RUNNING: Final = (
    anchored("databricks", "Databricks", "dapi", r"[0-9a-f]{32}(?![0-9a-f])", DIGITS * 2 + "-2"),
    prefixed("grafana", "Grafana", "glsa_ glc_", random(20, r"\w"), LETTERS),
    prefixed("sentry", "Sentry", "sntrys_ sntryu_", random(20, r"\w=+/"), LETTERS),
    prefixed("new_relic", "New Relic", "NRAK- NRII- NRJS-", random(15, r"\w-"), LETTERS),
    prefixed(
        "dynatrace",
        "Dynatrace",
        "dt0c01. dt0s01. dt0s08. dt0s16.",
        r"[A-Z0-9]{24}\.[A-Z0-9]{60,}",
        f"{LETTERS.upper()}.{LONG.upper()}",
    ),
    prefixed("honeycomb", "Honeycomb", "hcaik_ hcbik_ hcxik_ hcxmk_", random(20, r"\w"), LETTERS),
    prefixed("axiom", "Axiom", "xaat- xapt-", UUID, UUID_LIKE),
    prefixed("posthog", "PostHog", "phx_ phs_", random(20), LETTERS),
    prefixed(
        "planet_scale",
        "PlanetScale",
        "pscale_tkn_ pscale_pw_ pscale_oauth_",
        random(20, r"\w-"),
        LETTERS,
    ),
    prefixed("supabase", "Supabase", "sbp_ sb_secret_", random(20, r"\w-"), DIGITS * 3),
    prefixed("neon", "Neon", "napi_", random(30), LONG),
    prefixed("mongodb", "MongoDB Atlas", "mdb_sa_sk_", random(20, r"\w-"), LETTERS),
    prefixed(
        "doppler",
        "Doppler",
        "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. dp.st.dev. dp.st.stg. dp.st.prd.",
        random(40),
        LONG,
    ),
    prefixed("vault", "Vault", "hvs. hvb. hvr.", random(16, r"\w-"), LETTERS),
    prefixed("one_password", "1Password", "ops_", r"eyJ[\w-]{40,}", f"eyJ{LONG}"),
    prefixed("age", "age", "AGE-SECRET-KEY-", "1[0-9A-Z]{50,}", f"1{LONG.upper()}"),
)

TOKEN_RULES: Final = (*_CHAT, *_MAIL, *_MONEY, *_WORK, *_RUNNING)
