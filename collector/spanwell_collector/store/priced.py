"""What a stored call costs by what the price table says now, as SQL over the columns of spanwell.spans."""

from typing import Final

# (US dollars, the same by kind, version), with the types of the views, so that both are one price to the last digit.
PRICED: Final = """
spanwell_cost(toString(provider), toString(model), toString(request_model), ts, toString(service_tier),
    mapConcat(CAST(usage AS Map(String, UInt64)), map(
        'input', toUInt64(input_tokens), 'output', toUInt64(output_tokens), 'cached', toUInt64(cached_tokens),
        'cache_write', toUInt64(cache_write_tokens), 'reasoning', toUInt64(reasoning_tokens))))"""
PRICEABLE: Final = "operation IN ('chat', 'text_completion', 'embeddings') AND input_tokens + output_tokens > 0"
