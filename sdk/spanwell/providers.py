"""How providers are spelled: LiteLLM's names as OpenTelemetry's conventions have them."""

from typing import Final

# All others are spelled alike.
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
    "hosted_vllm": "vllm",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "text-completion-codestral": "mistral_ai",
    "text-completion-openai": "openai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
# By LiteLLM's names. They run on machines of yours: the list's nought is not what they cost.
SELF_HOSTED: Final = ("hosted_vllm", "lemonade", "llamafile", "lm_studio", "ollama", "ollama_chat", "vllm")


def name_provider(litellm_name: str) -> str:
    """`bedrock_converse` is `aws.bedrock`."""
    if litellm_name.startswith("vertex_ai"):
        return "gcp.vertex_ai"
    name = litellm_name.removesuffix("-embedding-models").lower()
    return PROVIDERS.get(name, name)
