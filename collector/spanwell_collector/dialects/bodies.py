"""Facts in the bodies of requests and responses that an emitter sent along but did not send as attributes."""

from collections.abc import Mapping
from typing import Any, Final

from spanwell import conventions as c
from spanwell_collector.dialects.mapping import Mappings, look_up
from spanwell_collector.dialects.values import Attributes

REQUEST: Final = (
    (c.REQUEST_MODEL, ("model",)),
    (c.STREAM, ("stream",)),
    (c.TEMPERATURE, ("temperature",)),
    (c.TOP_P, ("top_p",)),
    (c.MAX_TOKENS, ("max_tokens",)),
    (c.MAX_TOKENS, ("max_completion_tokens",)),
)
RESPONSE: Final = (
    (c.RESPONSE_MODEL, ("model",)),
    (c.RESPONSE_ID, ("id",)),
    (c.SERVICE_TIER, ("service_tier",)),
)
USAGE: Final = (
    (c.INPUT_TOKENS, ("usage", "prompt_tokens")),
    (c.OUTPUT_TOKENS, ("usage", "completion_tokens")),
    (c.CACHE_READ_TOKENS, ("usage", "prompt_tokens_details", "cached_tokens")),
    (c.REASONING_TOKENS, ("usage", "completion_tokens_details", "reasoning_tokens")),
)
"""OpenAI's words alone: they include what was cached. Anthropic's `input_tokens` do not, and are left alone."""


def read_bodies(attributes: Attributes, mapping: Mappings, request: Any, response: Any) -> None:
    """Add what the bodies say and no attribute does."""
    if isinstance(request, Mapping):
        _fill(attributes, mapping, request, REQUEST)
    if isinstance(response, Mapping):
        _fill(attributes, mapping, response, RESPONSE + USAGE)


def _fill(attributes: Attributes, mapping: Mappings, body: Mapping[str, Any], facts: tuple[Any, ...]) -> None:
    for name, path in facts:
        value: Any = body
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, str | int | float) and look_up(mapping[name], attributes) is None:
            attributes[name] = value
