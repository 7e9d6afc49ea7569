"""The keys of an entry of `model_list`."""

from typing import Final

from spanwell_proxy.config.known.reasons import (
    ACCOUNTS,
    CALLBACKS,
    CLIENTS,
    FILES,
    HEALTH,
    LIMITS,
    PROVIDER,
    ROUTERS,
    VECTORS,
    Keys,
)

# Whatever stands in litellm_params and in neither list is for the model: `temperature: 0.2`, for who asks for none.
LITELLM_PARAMS: Final = Keys(
    frozenset(
        (
            *("model", "custom_llm_provider", "api_base", "api_key", "api_version", "litellm_credential_name"),
            *("organization", "headers", "extra_headers", "extra_body", "weight", "order", "tags"),
            *("rpm", "tpm", "max_parallel_requests", "timeout", "stream_timeout", "max_retries", "num_retries"),
            *("cooldown_time", "max_input_tokens", "mode", "mock_response", "additional_drop_params", "drop_params"),
        )
    ),
    {
        "base_url": "write api_base",
        "model_info": "write it beside litellm_params",
        "itpm": "write tpm: tokens of input and output count together",
        "otpm": "write tpm: tokens of input and output count together",
        "timeout_by_service_tier": "write timeout",
        "stream_timeout_by_service_tier": "write stream_timeout",
        "configurable_clientside_auth_params": CLIENTS,
        "allow_client_keepalive_override": CLIENTS,
        "use_in_pass_through": "any other /v1 path goes on to the model's deployment",
        "provider_affinity_header": ROUTERS,
        "tag_regex": ROUTERS,
        "auto_router_*": ROUTERS,
        "complexity_router_*": ROUTERS,
        "adaptive_router_*": ROUTERS,
        "quality_router_*": ROUTERS,
        "max_budget": LIMITS,
        "budget_duration": LIMITS,
        "default_api_key_*": LIMITS,
        "max_file_size_mb": FILES,
        "keepalive_seconds": "a backend's pings are passed on",
        "litellm_trace_id": CLIENTS,
        "use_litellm_proxy": "write the other gateway's address in api_base",
        "use_chat_completions_api": "a request goes to the API it was made for",
        "merge_reasoning_content_in_choices": "answers are passed on as they come",
        "*callback*": CALLBACKS,
        "vector_store_id": VECTORS,
        "milvus_*": VECTORS,
        "valkey_*": VECTORS,
        "aws_*": PROVIDER,
        "s3_*": PROVIDER,
        "gcs_*": PROVIDER,
        "bucket_name": PROVIDER,
        "bedrock_*": PROVIDER,
        "vertex_*": PROVIDER,
        "azure_*": PROVIDER,
        "tenant_id": PROVIDER,
        "client_id": PROVIDER,
        "client_secret": PROVIDER,
        "region_name": PROVIDER,
        "watsonx_*": PROVIDER,
        "anthropic_*": PROVIDER,
        "openai_*": PROVIDER,
        "use_xai_oauth": PROVIDER,
        "fireworks_*": PROVIDER,
        "index_name": VECTORS,
        "vector_*": VECTORS,
        "embedding_model": VECTORS,
        "output_vector_size": VECTORS,
        "cost_*": "it is no rate that a call is charged by; the section `prices` shows those",
        "*_cost*": "it is no rate that a call is charged by; the section `prices` shows those",
        "tiered_pricing": "write rates such as input_cost_per_token_above_200k_tokens",
        "*_uplift_multiplier*": "it is no rate that a call is charged by; the section `prices` shows those",
        "off_peak_pricing": "it is no rate that a call is charged by; the section `prices` shows those",
        "search_context_cost_per_query": "it is no rate that a call is charged by; the section `prices` shows those",
        "prompt_cache_min_tokens": "the backend says what it read from its cache",
    },
)

MODEL_INFO: Final = Keys(
    frozenset(
        (
            "id",
            "simulated",
            "batch_api",
            "base_model",
            "mode",
            "access_groups",
            "max_input_tokens",
            "max_tokens",
            "max_output_tokens",
        )
    ),
    {
        "*health_check*": HEALTH,
        "supports_*": "the backend says itself what it cannot do",
        "team_*": ACCOUNTS,
        "access_windows": ACCOUNTS,
        "*": "nothing here reads it",
    },
)
