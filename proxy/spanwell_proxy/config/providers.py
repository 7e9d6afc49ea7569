"""What the proxy knows of providers: which speak OpenAI's dialect, at which address, and their word on a span."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """`api_base` is where it is served unless the configuration says otherwise; empty means it must say."""

    name: str
    api_base: str = ""
    speaks: frozenset[str] = frozenset(("chat",))


# By LiteLLM's prefix. All of these take the hot lane: their wire format is OpenAI's own.
OPENAI_DIALECT = {
    "openai": Provider("openai", "https://api.openai.com/v1"),
    "hosted_vllm": Provider("vllm"),
    "openai_like": Provider("openai_like"),
    "lm_studio": Provider("lm_studio"),
    "llamafile": Provider("llamafile"),
    "together_ai": Provider("together_ai", "https://api.together.xyz/v1"),
    "groq": Provider("groq", "https://api.groq.com/openai/v1"),
    "deepinfra": Provider("deepinfra", "https://api.deepinfra.com/v1/openai"),
    "fireworks_ai": Provider("fireworks_ai", "https://api.fireworks.ai/inference/v1"),
    "deepseek": Provider("deepseek", "https://api.deepseek.com/v1"),
    "mistral": Provider("mistral_ai", "https://api.mistral.ai/v1"),
    "openrouter": Provider("openrouter", "https://openrouter.ai/api/v1"),
    "perplexity": Provider("perplexity", "https://api.perplexity.ai"),
    "xai": Provider("x_ai", "https://api.x.ai/v1"),
    "nvidia_nim": Provider("nvidia_nim", "https://integrate.api.nvidia.com/v1"),
    "cerebras": Provider("cerebras", "https://api.cerebras.ai/v1"),
    "sambanova": Provider("sambanova", "https://api.sambanova.ai/v1"),
    "novita": Provider("novita", "https://api.novita.ai/v3/openai"),
    "hyperbolic": Provider("hyperbolic", "https://api.hyperbolic.xyz/v1"),
}

# A model without a prefix is a provider's own name for it.
BARE_NAMES = {"gpt-": "openai", "chatgpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai"} | {
    "claude-": "anthropic",
    "gemini-": "gemini",
}


def split_model(model: str) -> tuple[str, str]:
    """`provider/model` as (provider, model); a bare name goes to the provider it is known from, or to ''."""
    provider, slash, name = model.partition("/")
    if slash:
        return provider, name
    return next((owner for start, owner in BARE_NAMES.items() if model.startswith(start)), ""), model
