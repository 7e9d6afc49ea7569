"""One model's price as a row holds it, and by which names models and providers are priced."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from spanwell.pricing import Price
from spanwell.rates import KINDS, Card

ANY: Final = "*"  # a model by this name costs the same, whoever runs it
NOBODY: Final = ""  # spans that name no provider
LITELLM, USER = "litellm", "user"
GPU: Final = "gpu-"  # how the version of a price by the hour begins

# LiteLLM's names of providers, as OpenTelemetry's conventions spell them. The others are spelled alike.
PROVIDERS: Final = {
    "amazon_nova": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_text": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "bedrock_mantle": "aws.bedrock",
    "codestral": "mistral_ai",
    "cohere_chat": "cohere",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "text-completion-codestral": "mistral_ai",
    "text-completion-openai": "openai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
ALSO: Final = {"gcp.gen_ai": "gcp.gemini"}  # Google's SDK says so where it cannot tell which of its services answers
# Who makes models and sells them himself. A bare name that one of them alone uses is his.
MAKERS: Final = ("openai", "anthropic", "gcp.gemini", "mistral_ai", "deepseek", "x_ai", "cohere", "moonshot_ai")
CLOUDS: Final = ("gcp.vertex_ai", "aws.bedrock")  # a name that only one of them uses, and no maker, is its own
# They run on machines of yours: LiteLLM's nought is not what they cost.
SELF_HOSTED: Final = ("hosted_vllm", "lemonade", "llamafile", "lm_studio", "ollama", "ollama_chat", "vllm")


class Terms(NamedTuple):
    """What a model costs, by service tier and length of input."""

    cards: tuple[Card, ...]
    off_peak: tuple[int, ...] = ()
    mode: str = ""


class Key(NamedTuple):
    """Whose price it is."""

    provider: str
    model: str


def name_provider(litellm_name: str) -> str:
    """`bedrock_converse` is `aws.bedrock`."""
    if litellm_name.startswith("vertex_ai"):
        return "gcp.vertex_ai"
    name = litellm_name.removesuffix("-embedding-models").lower()
    return PROVIDERS.get(name, name)


def to_terms(price: Price, mode: str) -> Terms:
    return Terms(tuple(sorted((price.standard, *price.cards))), price.off_peak, mode)


def write_cards(cards: tuple[Card, ...]) -> list[tuple[str, int, dict[str, Decimal]]]:
    """As the column holds them: a kind that is free is left out."""
    return [
        (
            card.service_tier,
            card.from_tokens,
            {kind: rate for kind, rate in zip(KINDS, card.rates, strict=True) if rate},
        )
        for card in cards
    ]


def read_cards(rows: list[Mapping[str, Any]]) -> tuple[Card, ...]:
    """The inverse of `write_cards`, from a row of an answer."""
    return tuple(
        Card(row["service_tier"], row["from_tokens"], tuple(dict(row["rates"]).get(kind, Decimal(0)) for kind in KINDS))
        for row in rows
    )
