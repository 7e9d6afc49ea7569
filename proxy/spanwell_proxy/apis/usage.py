"""Reads the tokens and the tier a backend reports. They come from outside: anything that is no count is nought."""

from collections.abc import Mapping
from typing import Any

from spanwell.pricing import Usage
from spanwell.rates import SERVICE_TIERS

CACHE_WRITES = ("cache_write_tokens", "cache_creation_tokens", "created_cache_tokens")  # OpenAI, LiteLLM, vLLM
TIERS = frozenset(SERVICE_TIERS.values())


def read_usage(reported: Mapping[str, Any]) -> Usage:
    """OpenAI's `usage` object of any of its APIs: input includes the cached tokens, output includes reasoning."""
    prompt = reported.get("prompt_tokens_details") or reported.get("input_tokens_details") or {}
    completion = reported.get("completion_tokens_details") or reported.get("output_tokens_details") or {}
    sent = read_count(reported.get("prompt_tokens")) or read_count(reported.get("input_tokens"))
    received = read_count(reported.get("completion_tokens")) or read_count(reported.get("output_tokens"))
    cached = min(read_detail(prompt, "cached_tokens"), sent)
    kept = prompt.get("cache_creation_token_details") if isinstance(prompt, dict) else None  # LiteLLM, of Anthropic's
    written = max(
        read_count(reported.get("cache_creation_input_tokens")), *(read_detail(prompt, key) for key in CACHE_WRITES)
    )
    return Usage(
        input=sent,
        output=received,
        cached=cached,
        cache_write=min(written, sent - cached),
        reasoning=min(read_detail(completion, "reasoning_tokens"), received),
        cache_write_1h=min(read_detail(kept, "ephemeral_1h_input_tokens"), written, sent - cached),
        audio_input=min(read_detail(prompt, "audio_tokens"), sent),
        audio_output=min(read_detail(completion, "audio_tokens"), received),
        image_input=min(read_detail(prompt, "image_tokens"), sent),
        image_output=min(read_detail(completion, "image_tokens"), received),
    )


def find_tier(answer: Mapping[str, Any]) -> Any:
    """The tier as a whole answer names it: OpenAI beside the usage, Anthropic inside."""
    reported = answer.get("usage")
    return answer.get("service_tier") or (reported.get("service_tier") if isinstance(reported, dict) else None)


def read_service_tier(answered: Any, asked: Any) -> str:
    """The tier a call was served in, as the backend says, else as it was asked for; "" is the standard one."""
    named = str(answered or asked or "")
    return named if named in TIERS else ""


def estimate_usage(sent_bytes: int, chunks: int, received_bytes: int) -> Usage:
    """A guess for a backend that reports nothing: four bytes a token, or one chunk a token where it streamed."""
    return Usage(input=max(1, sent_bytes // 4), output=chunks or received_bytes // 4)


def read_detail(details: Any, key: str) -> int:
    return read_count(details.get(key)) if isinstance(details, dict) else 0


def read_count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**53 else 0
