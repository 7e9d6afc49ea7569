"""Reads the tokens and the tier a backend reports. They come from outside: anything that is no count is nought."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from spanwell.pricing import Usage
from spanwell.rates import SERVICE_TIERS

CACHE_WRITES = ("cache_write_tokens", "cache_creation_tokens", "created_cache_tokens")  # OpenAI, LiteLLM, vLLM
RARE = frozenset((*CACHE_WRITES, "cache_creation_input_tokens", "audio_tokens", "image_tokens"))
TIERS = frozenset(SERVICE_TIERS.values())


def read_usage(reported: Mapping[str, Any]) -> Usage:
    """OpenAI's `usage` object of any of its APIs: input includes the cached tokens, output includes reasoning."""
    counts = read_counts(reported)
    details = reported.get("prompt_tokens_details") or reported.get("input_tokens_details")
    prompt = read_counts(details)
    completion = read_counts(reported.get("completion_tokens_details") or reported.get("output_tokens_details"))
    sent = counts.get("prompt_tokens") or counts.get("input_tokens", 0)
    received = counts.get("completion_tokens") or counts.get("output_tokens", 0)
    cached = min(prompt.get("cached_tokens", 0), sent)
    usage = Usage(sent, received, cached, reasoning=min(completion.get("reasoning_tokens", 0), received))
    if RARE.isdisjoint(counts) and RARE.isdisjoint(prompt) and RARE.isdisjoint(completion):
        return usage  # as nearly all are
    written = max(counts.get("cache_creation_input_tokens", 0), *(prompt.get(key, 0) for key in CACHE_WRITES))
    kept = details.get("cache_creation_token_details") if isinstance(details, dict) else None  # LiteLLM, of Anthropic's
    return replace(
        usage,
        cache_write=min(written, sent - cached),
        cache_write_1h=min(read_detail(kept, "ephemeral_1h_input_tokens"), written, sent - cached),
        audio_input=min(prompt.get("audio_tokens", 0), sent),
        audio_output=min(completion.get("audio_tokens", 0), received),
        image_input=min(prompt.get("image_tokens", 0), sent),
        image_output=min(completion.get("image_tokens", 0), received),
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


def read_counts(reported: Any) -> dict[str, int]:
    """Of an object, its members that are counts."""
    if not isinstance(reported, dict) or not reported:
        return {}
    return {key: value for key, value in reported.items() if isinstance(value, int) and 0 < value < 2**53}


def read_count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**53 else 0
