"""What the proxy knows of providers: which APIs each speaks by itself, at which address, and how it takes a key.

What a provider does not speak is translated for it by the LiteLLM lane.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from spanwell.errors import ConfigError

TEXT = frozenset(("chat", "completions", "embeddings"))
VLLM = TEXT | {"responses", "messages", "count_tokens", "rerank", "score", "transcriptions", "translations"}
AUDIO = frozenset(("speech", "transcriptions", "translations"))
IMAGES = frozenset(("image_generations", "image_edits", "image_variations"))
OPENAI = TEXT | AUDIO | IMAGES | {"responses", "compact", "input_tokens", "moderations"}


@dataclass(frozen=True)
class Provider:
    """`api_base` is where it is served unless the configuration says otherwise; empty means it must say.

    `key_header` bears the key: `authorization` as a bearer token, any other one as it is.
    """

    name: str
    api_base: str = ""
    speaks: frozenset[str] = TEXT
    key_header: str = "authorization"
    headers: Mapping[str, str] | None = None  # that go with every request


# By LiteLLM's prefix. What stands in `speaks` takes the hot lane: its bytes go on as they came.
PROVIDERS = {
    "openai": Provider("openai", "https://api.openai.com/v1", OPENAI),
    "anthropic": Provider(
        "anthropic",
        "https://api.anthropic.com/v1",
        frozenset(("messages", "count_tokens")),
        "x-api-key",
        {"anthropic-version": "2023-06-01"},
    ),
    "azure": Provider("azure.ai.openai", "", TEXT | AUDIO | {"image_generations", "image_edits"}, "api-key"),
    "hosted_vllm": Provider("vllm", "", VLLM, headers={"endpoint-load-metrics-format": "json"}),  # routing listens
    "openai_like": Provider("openai_like"),
    "lm_studio": Provider("lm_studio", "", TEXT | {"responses"}),
    "llamafile": Provider("llamafile"),
    "together_ai": Provider("together_ai", "https://api.together.xyz/v1"),
    "groq": Provider("groq", "https://api.groq.com/openai/v1", frozenset(("chat", *AUDIO))),
    "deepinfra": Provider("deepinfra", "https://api.deepinfra.com/v1/openai"),
    "fireworks_ai": Provider("fireworks_ai", "https://api.fireworks.ai/inference/v1"),
    "deepseek": Provider("deepseek", "https://api.deepseek.com/v1", frozenset(("chat",))),
    "mistral": Provider("mistral_ai", "https://api.mistral.ai/v1", frozenset(("chat", "embeddings", "moderations"))),
    "openrouter": Provider("openrouter", "https://openrouter.ai/api/v1"),
    "perplexity": Provider("perplexity", "https://api.perplexity.ai", frozenset(("chat",))),
    "xai": Provider("x_ai", "https://api.x.ai/v1", frozenset(("chat", "completions", "responses"))),
    "nvidia_nim": Provider("nvidia_nim", "https://integrate.api.nvidia.com/v1"),
    "cerebras": Provider("cerebras", "https://api.cerebras.ai/v1", frozenset(("chat", "completions"))),
    "sambanova": Provider("sambanova", "https://api.sambanova.ai/v1", frozenset(("chat", "embeddings"))),
    "novita": Provider("novita", "https://api.novita.ai/v3/openai"),
    "hyperbolic": Provider("hyperbolic", "https://api.hyperbolic.xyz/v1", frozenset(("chat", "completions"))),
}

# A model without a prefix is a provider's own name for it.
BARE_NAMES = {"gpt-": "openai", "chatgpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai"} | {
    "claude-": "anthropic",
    "gemini-": "gemini",
}

AZURE_VERSION = "2025-02-01-preview"  # LiteLLM's, where the file names none
AZURE_V1 = ("v1", "preview", "latest")  # these name the API whose paths are OpenAI's own
AZURE_IDENTITY = ("azure_ad_token", "tenant_id", "client_id", "azure_username")  # LiteLLM gets a token for these
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What frames a message, or says whose it is, is not the file's to write.
# fmt: off
OUR_HEADERS = frozenset((
    "connection", "content-length", "content-type", "expect", "host", "te", "traceparent", "tracestate", "trailer",
    "transfer-encoding", "upgrade", "x-request-id",
))
# fmt: on


def split_model(model: str) -> tuple[str, str]:
    """`provider/model` as (provider, model); a bare name goes to the provider it is known from, or to ''."""
    provider, slash, name = model.partition("/")
    if slash:
        return provider, name
    return next((owner for start, owner in BARE_NAMES.items() if model.startswith(start)), ""), model


def find_provider(prefix: str, params: Mapping[str, Any]) -> Provider | None:
    """None where every request has to be translated: `params` are a deployment's `litellm_params`."""
    provider = PROVIDERS.get(prefix)
    if provider is None or prefix != "azure":
        return provider
    if not params.get("api_base") or any(params.get(key) for key in AZURE_IDENTITY):
        return None
    if str(params.get("api_version", "")) in AZURE_V1:
        return replace(provider, speaks=provider.speaks | {"responses"})
    return provider


def locate(prefix: str, base: str, model: str, params: Mapping[str, Any]) -> tuple[str, str]:
    """The address before an API's own path, and the query behind it."""
    base = base.rstrip("/")
    if prefix == "anthropic":  # LiteLLM's files name the host alone, or the whole path
        return base.removesuffix("/messages").removesuffix("/v1") + "/v1", ""
    if prefix != "azure":
        return base, ""
    base = base.removesuffix("/openai/v1").removesuffix("/openai")
    version = str(params.get("api_version") or AZURE_VERSION)
    if version in AZURE_V1:
        return base + "/openai/v1", "" if version == "v1" else f"?api-version={version}"
    if "/openai/deployments/" not in base:
        base += f"/openai/deployments/{quote(model, safe='')}"
    return base, f"?api-version={quote(version)}"


def fixed_headers(provider: Provider | None, api_key: str, params: Mapping[str, Any], where: str) -> dict[str, str]:
    """What goes to a deployment with every request: its key, and what the file adds. Raises ConfigError."""
    if provider is None:
        return {}
    headers = dict(provider.headers or {})
    if api_key:
        headers[provider.key_header] = "Bearer " + api_key if provider.key_header == "authorization" else api_key
    if isinstance(organization := params.get("organization"), str):
        headers["openai-organization"] = organization
    for given in (params.get("headers"), params.get("extra_headers")):
        if given is not None and not isinstance(given, dict):
            raise ConfigError(f"{where}.litellm_params.extra_headers: write a mapping of names to values")
        headers.update(_read_header(name, value, where) for name, value in (given or {}).items())
    return headers


def _read_header(name: Any, value: Any, where: str) -> tuple[str, str]:
    at = f"{where}.litellm_params.extra_headers"
    if not isinstance(name, str) or not HEADER_NAME.fullmatch(name) or name.lower() in OUR_HEADERS:
        raise ConfigError(f"{at}: {name!r} is no header that can be set here")
    if not isinstance(value, str | int) or not str(value).isascii() or not str(value).isprintable():
        raise ConfigError(f"{at}.{name}: write printable ASCII")
    return name.lower(), str(value)
