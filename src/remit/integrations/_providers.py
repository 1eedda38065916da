"""Names of providers, as `gen_ai.provider.name` of OpenTelemetry has them.

Source: the registry of the GenAI semantic conventions. A provider that the registry lacks has the
name that its framework gives it; a server that remit does not know has its host name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

AZURE_OPENAI: Final = "azure.ai.openai"
BEDROCK: Final = "aws.bedrock"
VERTEX: Final = "gcp.vertex_ai"

NAMES: Final[Mapping[str, str]] = {
    "amazon_bedrock": BEDROCK,
    "anthropic_bedrock": BEDROCK,
    "azure": AZURE_OPENAI,
    "azure_ai": "azure.ai.inference",
    "azure_openai": AZURE_OPENAI,
    "bedrock": BEDROCK,
    "bedrock_converse": BEDROCK,
    "bedrock_mantle": BEDROCK,
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_cloud": VERTEX,
    "google_genai": "gcp.gemini",
    "google_gla": "gcp.gemini",
    "google_vertex": VERTEX,
    "google_vertexai": VERTEX,
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "openai_chat": "openai",
    "openai_responses": "openai",
    "vertex_ai": VERTEX,
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""Names in LangChain, Pydantic AI and LiteLLM that the registry spells in another way."""

HOSTS: Final[Mapping[str, str]] = {
    "openai.com": "openai",
    "openai.azure.com": AZURE_OPENAI,
    "cognitiveservices.azure.com": AZURE_OPENAI,
    "services.ai.azure.com": "azure.ai.inference",
    "models.ai.azure.com": "azure.ai.inference",
    "anthropic.com": "anthropic",
    "amazonaws.com": BEDROCK,
    "aiplatform.googleapis.com": VERTEX,
    "generativelanguage.googleapis.com": "gcp.gemini",
    "cohere.ai": "cohere",
    "cohere.com": "cohere",
    "deepseek.com": "deepseek",
    "groq.com": "groq",
    "ml.cloud.ibm.com": "ibm.watsonx.ai",
    "mistral.ai": "mistral_ai",
    "openrouter.ai": "openrouter",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
}
"""Providers by the end of the host name of their server."""


def provider_named(name: str) -> str:
    """Return the registry's name of a provider that a framework calls *name*."""
    return NAMES.get(name.lower().replace("-", "_"), name)


def provider_at(url: object) -> str | None:
    """Return the provider at a base URL: its name, or the host; None if the URL has no host."""
    try:
        host = urlsplit(str(url)).hostname
    except ValueError:
        return None
    if not host:
        return None
    labels = host.split(".")
    ends = (".".join(labels[index:]) for index in range(len(labels)))
    if host.endswith("-aiplatform.googleapis.com"):
        return VERTEX
    return next((HOSTS[end] for end in ends if end in HOSTS), host)
