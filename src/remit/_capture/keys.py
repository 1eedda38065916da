"""Keys of language models, clouds and code hosts: most begin with a prefix.

Each row names the rule, the provider, the prefixes, what follows them, and an example of that.
The part that follows is asked for a digit or a capital, which words seldom have and keys always.
"""

from __future__ import annotations

from typing import Final

from remit._capture.pattern import (
    DIGITS,
    LETTERS,
    LONG,
    UUID_LIKE,
    PatternRule,
    anchored,
    hexadecimal,
    prefixed,
    random,
)

_STANDARDS: Final = (
    PatternRule(
        name="pattern:jwt",
        withholds="JSON web tokens",
        anchor="eyJ",
        tail=r"[\w-]{5,}\.(?:[\w-]{8,}\.[\w-]*|\.[\w-]{8,})",
        apart=r"\w-",
        positives=(
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            "eyJhbGciOiJkaXIifQ..48V1_ALb6US04U3b.5eym8TW",
        ),
        negatives=("eyJhbGciOiJIUzI1NiJ9 alone", "greyJackets.are.warm.and.dry"),
    ),
    anchored(
        "private_key",
        "SSH and TLS, in PEM blocks in Base64",
        "LS0tLS1CRUdJTi",
        "(?:BQUklWQVRF|BSU0EgUFJJVkFUR|BFQyBQUklWQVRF|BPUEVOU1NI|BFTkNSWVBURUQg)",
        "BSU0EgUFJJVkFURSBLRVkt",
    ),
    *(
        PatternRule(
            name="pattern:password_hash",
            withholds="hashes of passwords",
            anchor="$",
            heads=(head,),
            tail=r"(?=[^\s$]{0,200}+\$)[\w./$=,+-]{40}",
            apart="",
            positives=(f"bob:{head}{salt}${LONG}",),
            negatives=(f"costs {head} or so, as the price list says",),
        )
        for head, salt in (
            ("$2a$", "12"),
            ("$2b$", "12"),
            ("$2y$", "10"),
            ("$5$", "salt"),
            ("$6$", "salt"),
            ("$y$", "j9T$salt"),
            ("$argon2id$", "v=19$m=65536,t=3,p=4$c2FsdA"),
            ("$scrypt$", "ln=16,r=8,p=1$c2FsdA"),
            ("$1$", "salt$salt"),
            ("pbkdf2_sha256$", "600000$salt"),
        )
    ),
)

_WERKZEUG: Final = tuple(
    PatternRule(
        name="pattern:password_hash",
        withholds="hashes of passwords of Werkzeug",
        anchor=":",
        heads=(head,),
        tail=tail + r"\$[\w./+-]{1,64}+\$[0-9a-f]{32}",
        positives=(f"{head}{example}$aB3dE5fG7hI9jK1l${DIGITS * 4}",),
        negatives=(f"{head} a function of 3 parameters",),
    )
    for head, tail, example in (
        ("scrypt:", "[0-9]{1,9}:[0-9]{1,9}:[0-9]{1,9}", "32768:8:1"),
        ("pbkdf2:", r"\w{1,20}(?::[0-9]{1,9})?", "sha256:600000"),
    )
)

_MODELS: Final = (
    PatternRule(
        name="pattern:llm_key",
        withholds="keys of language-model providers (OpenAI, Anthropic, OpenRouter, DeepSeek, "
        "Langfuse, xAI, Perplexity, Tavily, Cerebras, NVIDIA)",
        anchor="-",
        heads=("sk-", "xai-", "pplx-", "tvly-", "csk-", "nvapi-"),
        tail=r"(?=[a-z_-]{0,40}+[0-9A-Z])(?=[A-Za-z0-9_-]{16})"
        # Parts of the key up to a long one; a part that ends like a prefix begins another key.
        r"(?:[A-Za-z0-9]{0,11}+[_-](?<![slap][kixy]-)){0,12}?(?:[A-Za-z0-9]{12}|[0-9a-f]{4}-)",
        positives=(
            "sk-proj-9aB8cD7eF6gH5iJ4kL3m",
            "key: sk-ant-api03-abcdefghijklmnop",
            "sk-or-v1-0123456789abcdef0123456789abcdef",
            f"sk-lf-{UUID_LIKE}",
            "xai-1234567890abcdefghij",
            f"pplx-{LETTERS}",
            "tvly-dev-aB3dE5fG7hI9jK1lM2nO",
            f"csk-{LETTERS}",
            f"nvapi-{LETTERS}",
        ),
        negatives=(
            "task-force-of-2024-and-beyond-it",
            "sk-learn",
            "sk-learn-pipelines-v2-of-2024",
            "risk-adjusted-return-on-capital-9",
        ),
    ),
    prefixed("groq", "Groq", "gsk_", random(20), LETTERS),
    prefixed("replicate", "Replicate", "r8_", random(20), LETTERS),
    prefixed("hugging_face", "Hugging Face", "hf_ api_org_", random(20), LETTERS),
    prefixed("together", "Together", "tgp_v1_", random(20, r"\w-"), LETTERS),
    prefixed("fireworks", "Fireworks", "fw_", random(20), LETTERS),
    prefixed("eleven_labs", "ElevenLabs", "sk_", hexadecimal(48), DIGITS * 3),
    prefixed("pinecone", "Pinecone", "pcsk_", random(20, r"\w"), LETTERS),
    prefixed("jina", "Jina", "jina_", random(20, r"\w-"), LETTERS),
    prefixed("firecrawl", "Firecrawl", "fc-", hexadecimal(32), DIGITS * 2),
    prefixed("voyage", "Voyage", "pa-", random(40, r"\w-"), LONG),
    prefixed("langsmith", "LangSmith", "lsv2_pt_ lsv2_sk_", random(20, r"\w"), LETTERS),
    prefixed("wandb", "Weights & Biases", "wandb_v1_", random(20, r"\w"), LETTERS),
    prefixed("apify", "Apify", "apify_api_", random(20), LETTERS),
    prefixed("e2b", "E2B", "e2b_", hexadecimal(40), DIGITS * 2 + "01234567"),
    prefixed("browserbase", "Browserbase", "bb_live_ bb_test_", random(16, r"\w-"), LETTERS),
    prefixed("runpod", "RunPod", "rpa_", random(30), LONG),
)

_CLOUDS: Final = (
    *(
        anchored("aws", "Amazon Web Services", anchor, r"[0-9A-Z]{16}(?![0-9A-Za-z])", key)
        for anchor, key in (("AKIA", "IOSFODNN7EXAMPLE"), ("ASIA", "IOSFODNN7EXAMPLE"))
    ),
    anchored("aws", "Amazon Web Services", "ABSK", r"[A-Za-z0-9+/]{80,}={0,2}", LONG * 2),
    anchored("google", "Google", "AIza", r"[\w-]{30,}", "SyA1234567890abcdefghijklmnopqrstuv"),
    anchored("google", "Google", "1//0", random(38, r"\w-"), LONG),
    prefixed("google", "Google", "GOCSPX-", random(20, r"\w-"), LETTERS),
    prefixed("google", "Google", "ya29.", random(16, r"\w-"), "a0AfB_byC1234567890abc"),
    PatternRule(
        name="pattern:azure",
        withholds="keys and tokens of Azure",
        anchor="Q~",
        tail=r"(?<=(?<![\w.~-])[\w.~-]{3}[0-9]Q~)[\w.~-]{31,}",
        apart="",
        positives=(f"abc8Q~{LONG}",),
        negatives=("abc8Q~short_token_of_ours", f"abcdQ~{LONG}"),
    ),
    *(
        PatternRule(
            name="pattern:azure",
            withholds="keys and tokens of Azure",
            anchor=mark,
            tail=rf"(?<=[A-Za-z0-9+/]{{{before}}}{re_mark})[\w+/-]{{5,6}}[AQgw]?==?",
            apart="",
            positives=(f"{(LONG * 2)[:before]}{mark}aB3dEQ==",),
            negatives=(f"{mark} is a part of keys", f"{LETTERS}{mark}aB3dEQ=="),
        )
        for mark, re_mark, before in (
            ("+ASt", r"\+ASt", 76),
            ("ACDb", "ACDb", 76),
            ("+ASb", r"\+ASb", 33),
            ("+AEh", r"\+AEh", 33),
            ("AzFu", "AzFu", 44),
            ("AzSe", "AzSe", 42),
        )
    ),
    anchored("alibaba", "Alibaba Cloud", "LTAI", r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}", LETTERS),
    anchored("tencent", "Tencent Cloud", "AKID", r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32}", LONG),
    anchored("yandex", "Yandex Cloud", "AQVN", random(35, r"\w-"), LONG),
    prefixed("digital_ocean", "DigitalOcean", "dop_v1_ doo_v1_ dor_v1_", random(20), DIGITS * 4),
    prefixed("heroku", "Heroku", "HRKU-", random(20, r"\w-"), UUID_LIKE),
    prefixed("fly", "Fly.io", "fo1_ fm1r_ fm2_", random(20, r"\w+/-"), LONG),
    prefixed("netlify", "Netlify", "nfp_", random(20), LETTERS),
    prefixed("vercel", "Vercel", "vercel_blob_rw_", random(16, r"\w"), LETTERS),
    prefixed(
        "cloudflare",
        "Cloudflare",
        "v1.0-",
        r"[0-9a-f]{24}-[0-9a-f]{100,}",
        DIGITS + DIGITS[:8] + "-" + DIGITS * 8,
    ),
    prefixed("tailscale", "Tailscale", "tskey-", r"[a-z]{3,8}-[\w-]{12,}", f"auth-{LETTERS}"),
)

_CODE: Final = (
    prefixed(
        "github",
        "GitHub",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        random(20, r"\w"),
        "abcdefghij0klmnopqrstuvwxyz0123456789",
    ),
    prefixed(
        "gitlab",
        "GitLab",
        "glpat- gldt- glrt- glrtr- glcbt- glptt- glft- glffct- glimt- glsoat- glagent- gloas-",
        random(16, r"\w-"),
        "ABCdef1234567890xyzq",
    ),
    anchored("gitlab", "GitLab", "GR1348941", r"[\w-]{20,}", LETTERS),
    anchored("bitbucket", "Bitbucket", "ATBB", r"[A-Za-z0-9]{32,}", LONG),
    prefixed("npm", "npm", "npm_", random(30), LONG),
    prefixed("pypi", "PyPI", "pypi-", r"(?=\w*[0-9])\w[\w-]{23,}", "AgEIcHlwaS5vcmcCJDAwMDAwMDAw"),
    prefixed("rubygems", "RubyGems", "rubygems_", hexadecimal(48), DIGITS * 3),
    anchored("nuget", "NuGet", "oy2", "[a-z0-9]{43}(?![a-z0-9])", DIGITS * 2 + "abcdefghijk"),
    anchored("crates", "crates.io", "cio", r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32,}", LONG),
    prefixed("clojars", "Clojars", "CLOJARS_", "[0-9a-f]{60}", DIGITS * 4),
    prefixed("docker", "Docker", "dckr_pat_ dckr_oat_", random(20, r"\w-"), LETTERS),
    anchored("artifactory", "Artifactory", "AKCp", "[A-Za-z0-9]{60,}", LONG),
    prefixed("sonar", "SonarQube", "sqp_ squ_ sqa_", "[0-9a-f]{40}", DIGITS * 3),
    prefixed("buildkite", "Buildkite", "bkua_", "[0-9a-f]{40}", DIGITS * 3),
    prefixed("circleci", "CircleCI", "CCIPAT_ CCIPRJ_", random(20, r"\w"), LONG),
    prefixed("sourcegraph", "Sourcegraph", "sgp_", r"(?:\w{1,32}_)?[0-9a-f]{40}", DIGITS * 3),
    prefixed("prefect", "Prefect", "pnu_ pnb_", random(30), LONG),
    prefixed("logfire", "Logfire", "pylf_v1_ pylf_v2_", random(20, r"\w"), f"us_{LONG}"),
    prefixed("pulumi", "Pulumi", "pul-", "[0-9a-f]{40}", DIGITS * 3),
    PatternRule(
        name="pattern:terraform",
        withholds="keys and tokens of Terraform Cloud",
        anchor=".atlasv1.",
        tail=random(60, r"\w-"),
        apart="",
        positives=(f"aB3dE5fG7hI9jK.atlasv1.{LONG}",),
        negatives=("module.atlasv1.network",),
    ),
    prefixed("postman", "Postman", "PMAK-", random(24, r"\w-"), LETTERS),
    prefixed("remit", "remit's own collector", "remit_", random(40, r"\w-"), LONG),
)

KEY_RULES: Final = (*_STANDARDS, *_WERKZEUG, *_MODELS, *_CLOUDS, *_CODE)
