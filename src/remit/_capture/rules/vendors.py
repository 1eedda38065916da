"""Vendors' keys and tokens: one row for each form of key, for the rules by shape.

`pattern_rules` makes the rules of these rows. `docs/vendor_keys.json` has the examples of those
whose shape does not give one, for the reference and the tests.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

ALNUM: Final = "A-Za-z0-9"


class VendorKey(Struct, frozen=True):
    """One form of a key.

    Attributes:
        rule: Name of the rule, without `pattern:`.
        redacts: What the rule redacts, in words; by default the owner's "keys and tokens".
        prefixes: How a key begins, separated by spaces.
        random: How many characters follow at least, with a digit or a capital among the first.
        chars: Which characters these are, as in a class of a regular expression.
        tail: Instead: regular expression of what follows.
        anchor: For a key that has no prefix: as in `PatternRule`; so are the next two.
        heads: See `anchor`.
        apart: See `anchor`.
    """

    rule: str
    owner: str = ""
    redacts: str = ""
    prefixes: str = ""
    random: int = 0
    chars: str = ALNUM
    tail: str = ""
    anchor: str = ""
    heads: tuple[str, ...] = ()
    apart: str = ALNUM


VENDOR_KEYS: Final = (
    VendorKey(
        rule="jwt",
        redacts="JSON web tokens",
        anchor="eyJ",
        apart=r"\w-",
        tail=r"[\w-]{5,}\.(?:[\w-]{8,}\.[\w-]*|\.[\w-]{8,})",
    ),
    VendorKey(
        rule="private_key",
        redacts="SSH and TLS private keys in PEM blocks, encoded in Base64",
        prefixes="LS0tLS1CRUdJTi",
        tail="(?:BQUklWQVRF|BSU0EgUFJJVkFUR|BFQyBQUklWQVRF|BPUEVOU1NI|BFTkNSWVBURUQg)",
    ),
    VendorKey(
        rule="password_hash",
        redacts="password hashes",
        anchor="$",
        heads=(
            "$2a$",
            "$2b$",
            "$2y$",
            "$5$",
            "$6$",
            "$y$",
            "$argon2id$",
            "$scrypt$",
            "$1$",
            "pbkdf2_sha256$",
        ),
        apart="",
        tail=r"(?=[^\s$]{0,200}+\$)[\w./$=,+-]{40}",
    ),
    VendorKey(
        rule="password_hash",
        redacts="Werkzeug password hashes",
        anchor=":",
        heads=("scrypt:",),
        tail=r"[0-9]{1,9}:[0-9]{1,9}:[0-9]{1,9}\$[\w./+-]{1,64}+\$[0-9a-f]{32}",
    ),
    VendorKey(
        rule="password_hash",
        redacts="Werkzeug password hashes",
        anchor=":",
        heads=("pbkdf2:",),
        tail=r"\w{1,20}(?::[0-9]{1,9})?\$[\w./+-]{1,64}+\$[0-9a-f]{32}",
    ),
    VendorKey(
        rule="llm_key",
        redacts="API keys for language models (OpenAI, Anthropic, OpenRouter, DeepSeek, "
        "Langfuse, xAI, Perplexity, Tavily, Cerebras, NVIDIA)",
        anchor="-",
        heads=(
            "sk-",
            "xai-",
            "pplx-",
            "tvly-",
            "csk-",
            "nvapi-",
        ),
        tail="(?=[a-z_-]{0,40}+[0-9A-Z])(?=[A-Za-z0-9_-]{16})(?:[A-Za-z0-9]{0,11}+[_-](?<![slap][kixy]-)){0,12}?(?:[A-Za-z0-9]{12}|[0-9a-f]{4}-)",
    ),
    VendorKey(rule="groq", owner="Groq", prefixes="gsk_", random=20),
    VendorKey(rule="replicate", owner="Replicate", prefixes="r8_", random=20),
    VendorKey(rule="hugging_face", owner="Hugging Face", prefixes="hf_ api_org_", random=20),
    VendorKey(rule="together", owner="Together", prefixes="tgp_v1_", random=20, chars=r"\w-"),
    VendorKey(rule="fireworks", owner="Fireworks", prefixes="fw_", random=20),
    VendorKey(
        rule="eleven_labs",
        owner="ElevenLabs",
        prefixes="sk_",
        tail="[0-9a-f]{48}(?![0-9a-f])",
    ),
    VendorKey(rule="pinecone", owner="Pinecone", prefixes="pcsk_", random=20, chars=r"\w"),
    VendorKey(rule="jina", owner="Jina", prefixes="jina_", random=20, chars=r"\w-"),
    VendorKey(
        rule="firecrawl",
        owner="Firecrawl",
        prefixes="fc-",
        tail="[0-9a-f]{32}(?![0-9a-f])",
    ),
    VendorKey(rule="voyage", owner="Voyage", prefixes="pa-", random=40, chars=r"\w-"),
    VendorKey(
        rule="langsmith", owner="LangSmith", prefixes="lsv2_pt_ lsv2_sk_", random=20, chars=r"\w"
    ),
    VendorKey(rule="wandb", owner="Weights & Biases", prefixes="wandb_v1_", random=20, chars=r"\w"),
    VendorKey(rule="apify", owner="Apify", prefixes="apify_api_", random=20),
    VendorKey(
        rule="e2b",
        owner="E2B",
        prefixes="e2b_",
        tail="[0-9a-f]{40}(?![0-9a-f])",
    ),
    VendorKey(
        rule="browserbase",
        owner="Browserbase",
        prefixes="bb_live_ bb_test_",
        random=16,
        chars=r"\w-",
    ),
    VendorKey(rule="runpod", owner="RunPod", prefixes="rpa_", random=30),
    VendorKey(
        rule="aws",
        owner="Amazon Web Services",
        prefixes="AKIA ASIA",
        tail="[0-9A-Z]{16}(?![0-9A-Za-z])",
    ),
    VendorKey(
        rule="aws",
        owner="Amazon Web Services",
        prefixes="ABSK",
        tail="[A-Za-z0-9+/]{80,}={0,2}",
    ),
    VendorKey(
        rule="google",
        owner="Google",
        prefixes="AIza",
        tail=r"[\w-]{30,}",
    ),
    VendorKey(rule="google", owner="Google", prefixes="1//0", random=38, chars=r"\w-"),
    VendorKey(rule="google", owner="Google", prefixes="GOCSPX-", random=20, chars=r"\w-"),
    VendorKey(
        rule="google",
        owner="Google",
        prefixes="ya29.",
        random=16,
        chars=r"\w-",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="Q~",
        apart="",
        tail=r"(?<=(?<![\w.~-])[\w.~-]{3}[0-9]Q~)[\w.~-]{31,}",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="+ASt",
        apart="",
        tail=r"(?<=[A-Za-z0-9+/]{76}\+ASt)[\w+/-]{5,6}[AQgw]?==?",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="ACDb",
        apart="",
        tail=r"(?<=[A-Za-z0-9+/]{76}ACDb)[\w+/-]{5,6}[AQgw]?==?",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="+ASb",
        apart="",
        tail=r"(?<=[A-Za-z0-9+/]{33}\+ASb)[\w+/-]{5,6}[AQgw]?==?",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="+AEh",
        apart="",
        tail=r"(?<=[A-Za-z0-9+/]{33}\+AEh)[\w+/-]{5,6}[AQgw]?==?",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="AzFu",
        apart="",
        tail=r"(?<=[A-Za-z0-9+/]{44}AzFu)[\w+/-]{5,6}[AQgw]?==?",
    ),
    VendorKey(
        rule="azure",
        owner="Azure",
        anchor="AzSe",
        apart="",
        tail=r"(?<=[A-Za-z0-9+/]{42}AzSe)[\w+/-]{5,6}[AQgw]?==?",
    ),
    VendorKey(
        rule="alibaba",
        owner="Alibaba Cloud",
        prefixes="LTAI",
        tail="(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}",
    ),
    VendorKey(
        rule="tencent",
        owner="Tencent Cloud",
        prefixes="AKID",
        tail="(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32}",
    ),
    VendorKey(rule="yandex", owner="Yandex Cloud", prefixes="AQVN", random=35, chars=r"\w-"),
    VendorKey(
        rule="digital_ocean",
        owner="DigitalOcean",
        prefixes="dop_v1_ doo_v1_ dor_v1_",
        random=20,
    ),
    VendorKey(
        rule="heroku",
        owner="Heroku",
        prefixes="HRKU-",
        random=20,
        chars=r"\w-",
    ),
    VendorKey(rule="fly", owner="Fly.io", prefixes="fo1_ fm1r_ fm2_", random=20, chars=r"\w+/-"),
    VendorKey(rule="netlify", owner="Netlify", prefixes="nfp_", random=20),
    VendorKey(rule="vercel", owner="Vercel", prefixes="vercel_blob_rw_", random=16, chars=r"\w"),
    VendorKey(rule="vercel", owner="Vercel", prefixes="vck_", random=20),
    VendorKey(
        rule="convex",
        owner="Convex",
        prefixes="prod: dev: preview: project:",
        tail=r"[a-z0-9:-]{3,80}+\|(?=[\w+/-]{0,40}[A-Z0-9])[\w+/=-]{20}",
    ),
    VendorKey(
        rule="cloudflare",
        owner="Cloudflare",
        prefixes="v1.0-",
        tail="[0-9a-f]{24}-[0-9a-f]{100,}",
    ),
    VendorKey(
        rule="cloudflare", owner="Cloudflare", prefixes="cfut_ cfat_ cfk_", random=40, chars=r"\w-"
    ),
    VendorKey(
        rule="tailscale",
        owner="Tailscale",
        prefixes="tskey-",
        tail=r"[a-z]{3,8}-[\w-]{12,}",
    ),
    VendorKey(
        rule="github",
        owner="GitHub",
        prefixes="ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        random=20,
        chars=r"\w",
    ),
    VendorKey(
        rule="gitlab",
        owner="GitLab",
        prefixes="glpat- gldt- glrt- glrtr- glcbt- glptt- glft- glffct- glimt- glsoat- glagent- "
        "gloas-",
        random=16,
        chars=r"\w-",
    ),
    VendorKey(rule="gitlab", owner="GitLab", prefixes="GR1348941", tail=r"[\w-]{20,}"),
    VendorKey(rule="bitbucket", owner="Bitbucket", prefixes="ATBB", tail="[A-Za-z0-9]{32,}"),
    VendorKey(rule="npm", owner="npm", prefixes="npm_", random=30),
    VendorKey(
        rule="pypi",
        owner="PyPI",
        prefixes="pypi-",
        tail=r"(?=\w*[0-9])\w[\w-]{23,}",
    ),
    VendorKey(
        rule="rubygems",
        owner="RubyGems",
        prefixes="rubygems_",
        tail="[0-9a-f]{48}(?![0-9a-f])",
    ),
    VendorKey(
        rule="nuget",
        owner="NuGet",
        prefixes="oy2",
        tail="[a-z0-9]{43}(?![a-z0-9])",
    ),
    VendorKey(
        rule="crates", owner="crates.io", prefixes="cio", tail="(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32,}"
    ),
    VendorKey(
        rule="clojars",
        owner="Clojars",
        prefixes="CLOJARS_",
        tail="[0-9a-f]{60}",
    ),
    VendorKey(
        rule="docker", owner="Docker", prefixes="dckr_pat_ dckr_oat_", random=20, chars=r"\w-"
    ),
    VendorKey(rule="artifactory", owner="Artifactory", prefixes="AKCp", tail="[A-Za-z0-9]{60,}"),
    VendorKey(
        rule="sonar",
        owner="SonarQube",
        prefixes="sqp_ squ_ sqa_",
        tail="[0-9a-f]{40}",
    ),
    VendorKey(
        rule="buildkite",
        owner="Buildkite",
        prefixes="bkua_",
        tail="[0-9a-f]{40}",
    ),
    VendorKey(
        rule="circleci", owner="CircleCI", prefixes="CCIPAT_ CCIPRJ_", random=20, chars=r"\w"
    ),
    VendorKey(
        rule="sourcegraph",
        owner="Sourcegraph",
        prefixes="sgp_",
        tail=r"(?:\w{1,32}_)?[0-9a-f]{40}",
    ),
    VendorKey(rule="prefect", owner="Prefect", prefixes="pnu_ pnb_", random=30),
    VendorKey(
        rule="logfire",
        owner="Logfire",
        prefixes="pylf_v1_ pylf_v2_",
        random=20,
        chars=r"\w",
    ),
    VendorKey(
        rule="pulumi",
        owner="Pulumi",
        prefixes="pul-",
        tail="[0-9a-f]{40}",
    ),
    VendorKey(
        rule="terraform",
        owner="Terraform Cloud",
        anchor=".atlasv1.",
        apart="",
        tail="(?=[a-z_=+/.-]{0,59}+[0-9A-Z])[A-Za-z0-9_-]{60}",
    ),
    VendorKey(rule="postman", owner="Postman", prefixes="PMAK-", random=24, chars=r"\w-"),
    VendorKey(
        rule="remit",
        redacts="API tokens of remit's collector",
        prefixes="remit_",
        random=40,
        chars=r"\w-",
    ),
    VendorKey(
        rule="slack",
        owner="Slack",
        prefixes="xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- xoxc- xoxd- xapp- xwfp-",
        random=12,
        chars=r"\w-",
    ),
    VendorKey(
        rule="discord",
        owner="Discord",
        anchor=".",
        apart="",
        tail=r"(?:(?<=(?<![\w-])[MNO][\w-]{23}\.[\w-]{6}\.)|(?<=(?<![\w-])[MNO][\w-]{25}\.[\w-]{6}\.))[\w-]{27,}",
    ),
    VendorKey(rule="discord", owner="Discord", prefixes="mfa.", random=60, chars=r"\w-"),
    VendorKey(
        rule="telegram",
        owner="Telegram",
        anchor=":AA",
        apart="",
        tail=r"(?<=[0-9]:AA)[\w-]{30,}",
    ),
    VendorKey(
        rule="telegram",
        owner="Telegram",
        anchor="/bot",
        apart="",
        tail=r"[0-9]{6,}:[\w-]{30,}",
    ),
    VendorKey(
        rule="twilio",
        owner="Twilio",
        prefixes="SK",
        tail="[0-9a-f]{32}(?![0-9a-f])",
    ),
    VendorKey(
        rule="sendgrid",
        owner="SendGrid",
        prefixes="SG.",
        random=16,
        chars=r"\w-",
    ),
    VendorKey(
        rule="mailgun",
        owner="Mailgun",
        prefixes="key-",
        tail="[0-9a-f]{32}(?![0-9a-f])",
    ),
    VendorKey(
        rule="mailchimp",
        owner="Mailchimp",
        anchor="-us",
        apart="",
        tail="(?<=[0-9a-f]{32}-us)[0-9]{1,2}(?![0-9A-Za-z])",
    ),
    VendorKey(
        rule="mandrill",
        owner="Mandrill",
        prefixes="md-",
        tail=r"(?=[A-Za-z]*[0-9])[A-Za-z0-9_-]{22}(?!\w)",
    ),
    VendorKey(
        rule="brevo",
        owner="Brevo",
        prefixes="xkeysib- xsmtpsib-",
        tail="[0-9a-f]{64}",
    ),
    VendorKey(
        rule="resend",
        owner="Resend",
        prefixes="re_",
        tail="[A-Za-z0-9]{8,9}_[A-Za-z0-9]{20,}",
    ),
    VendorKey(
        rule="stripe",
        owner="Stripe",
        prefixes="sk_live_ sk_test_ rk_live_ rk_test_ sk_org_ whsec_",
        random=10,
        chars=r"\w",
    ),
    VendorKey(rule="square", owner="Square", prefixes="sq0atp- sq0csp-", random=20, chars=r"\w-"),
    VendorKey(
        rule="plaid",
        owner="Plaid",
        prefixes="access-sandbox- access-production- access-development-",
        tail="[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    ),
    VendorKey(
        rule="paypal",
        owner="PayPal",
        prefixes="access_token$",
        tail=r"(?:production|sandbox)\$\w{1,40}\$[0-9a-f]{16,}",
    ),
    VendorKey(
        rule="flutterwave",
        owner="Flutterwave",
        prefixes="FLWSECK- FLWSECK_TEST-",
        random=12,
        chars=r"\w-",
    ),
    VendorKey(
        rule="shippo",
        owner="Shippo",
        prefixes="shippo_live_ shippo_test_",
        tail="[0-9a-f]{40}",
    ),
    VendorKey(
        rule="shopify",
        owner="Shopify",
        prefixes="shpat_ shpss_ shpca_ shppa_",
        tail="[0-9a-fA-F]{32}",
    ),
    VendorKey(
        rule="atlassian", owner="Atlassian", prefixes="ATATT3 ATCTT3", random=40, chars=r"\w=-"
    ),
    VendorKey(
        rule="airtable",
        owner="Airtable",
        anchor=".",
        apart="",
        tail=r"(?<=(?<!\w)pat[A-Za-z0-9]{14}\.)[0-9a-f]{64}",
    ),
    VendorKey(
        rule="asana",
        owner="Asana",
        anchor=":",
        apart="",
        tail="(?=[0-9a-f]{32}(?![0-9a-zA-Z]))(?:"
        + "|".join(f"(?<=[0-9]/[0-9]{{{digits}}}:)" for digits in range(10, 20))
        + ")",
    ),
    VendorKey(rule="linear", owner="Linear", prefixes="lin_api_ lin_oauth_", random=20),
    VendorKey(rule="notion", owner="Notion", prefixes="ntn_", random=20),
    VendorKey(rule="notion", owner="Notion", prefixes="secret_", tail="[A-Za-z0-9]{43}"),
    VendorKey(rule="figma", owner="Figma", prefixes="figd_ figo_ figu_", random=20, chars=r"\w-"),
    VendorKey(rule="typeform", owner="Typeform", prefixes="tfp_", random=20, chars=r"\w-"),
    VendorKey(rule="contentful", owner="Contentful", prefixes="CFPAT-", random=20, chars=r"\w-"),
    VendorKey(
        rule="hubspot",
        owner="HubSpot",
        prefixes="pat-na1- pat-na2- pat-eu1- pat-ap1-",
        tail="[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    ),
    VendorKey(rule="frame_io", owner="Frame.io", prefixes="fio-u-", random=40, chars=r"\w-"),
    VendorKey(
        rule="readme",
        owner="ReadMe",
        prefixes="rdme_",
        tail="[a-z0-9]{60,}",
    ),
    VendorKey(rule="dropbox", owner="Dropbox", prefixes="sl. sl.u.", random=60, chars=r"\w-"),
    VendorKey(
        rule="mapbox",
        owner="Mapbox",
        prefixes="sk.",
        tail=r"eyJ[\w-]{20,}\.[\w-]{10,}",
    ),
    VendorKey(
        rule="facebook", owner="Facebook and Square", prefixes="EAA", random=57, chars=r"\w-"
    ),
    VendorKey(
        rule="databricks",
        owner="Databricks",
        prefixes="dapi",
        tail="[0-9a-f]{32}(?![0-9a-f])",
    ),
    VendorKey(rule="grafana", owner="Grafana", prefixes="glsa_ glc_", random=20, chars=r"\w"),
    VendorKey(rule="sentry", owner="Sentry", prefixes="sntrys_ sntryu_", random=20, chars=r"\w=+/"),
    VendorKey(
        rule="new_relic", owner="New Relic", prefixes="NRAK- NRII- NRJS-", random=15, chars=r"\w-"
    ),
    VendorKey(
        rule="dynatrace",
        owner="Dynatrace",
        prefixes="dt0c01. dt0s01. dt0s08. dt0s16.",
        tail=r"[A-Z0-9]{24}\.[A-Z0-9]{60,}",
    ),
    VendorKey(
        rule="honeycomb",
        owner="Honeycomb",
        prefixes="hcaik_ hcbik_ hcxik_ hcxmk_",
        random=20,
        chars=r"\w",
    ),
    VendorKey(
        rule="axiom",
        owner="Axiom",
        prefixes="xaat- xapt-",
        tail="[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}",
    ),
    VendorKey(rule="posthog", owner="PostHog", prefixes="phx_ phs_", random=20),
    VendorKey(
        rule="planet_scale",
        owner="PlanetScale",
        prefixes="pscale_tkn_ pscale_pw_ pscale_oauth_",
        random=20,
        chars=r"\w-",
    ),
    VendorKey(
        rule="supabase",
        owner="Supabase",
        prefixes="sbp_ sb_secret_",
        random=20,
        chars=r"\w-",
    ),
    VendorKey(rule="mem0", owner="Mem0", prefixes="m0-", random=20),
    VendorKey(
        rule="modal",
        owner="Modal",
        prefixes="ak- as-",
        tail=r"[A-Za-z0-9]{22}(?![\w-])",
    ),
    VendorKey(
        rule="helicone",
        owner="Helicone",
        # A key may have no digit, which the rule for `sk-` demands.
        anchor="sk-helicone-",
        tail="(?:[a-z]{2}-)?(?:[a-z0-9]{7}-){3}[a-z0-9]{7}",
    ),
    VendorKey(rule="neon", owner="Neon", prefixes="napi_", random=30),
    VendorKey(
        rule="mongodb", owner="MongoDB Atlas", prefixes="mdb_sa_sk_", random=20, chars=r"\w-"
    ),
    VendorKey(
        rule="doppler",
        owner="Doppler",
        prefixes="dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. dp.st.dev. dp.st.stg. dp.st.prd.",
        random=40,
    ),
    VendorKey(rule="vault", owner="Vault", prefixes="hvs. hvb. hvr.", random=16, chars=r"\w-"),
    VendorKey(
        rule="one_password",
        owner="1Password",
        prefixes="ops_",
        tail=r"eyJ[\w-]{40,}",
    ),
    VendorKey(
        rule="age",
        owner="age",
        prefixes="AGE-SECRET-KEY-",
        tail="1[0-9A-Z]{50,}",
    ),
)
