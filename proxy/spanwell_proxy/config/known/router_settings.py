"""LiteLLM's `router_settings`."""

from typing import Final

from spanwell_proxy.config.known.reasons import (
    ALERTS,
    CACHE,
    GUARDS,
    HEALTH,
    INTERNAL,
    LIMITS,
    MCP,
    ROUTERS,
    SERVING,
    Keys,
)

ROUTER_SETTINGS: Final = Keys(
    frozenset(
        (
            *("num_retries", "retry_policy", "model_group_retry_policy", "max_retries", "retry_after"),
            *("timeout", "stream_timeout", "default_max_parallel_requests", "default_litellm_params"),
            *("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"),
            *("max_fallbacks", "model_group_alias", "enable_pre_call_checks", "enable_tag_filtering"),
            *("tag_filtering_match_any", "routing_strategy", "routing_groups"),
            *("allowed_fails", "allowed_fails_policy", "cooldown_time", "disable_cooldowns"),
            *("redis_url", "redis_host", "redis_port", "redis_password", "redis_db", "ignore_invalid_deployments"),
            "enable_weighted_failover",
        )
    ),
    {
        "routing_strategy_args": "the strategies here have none to set; the section `routing` shows what there is",
        "model_list": "write it at the top of the file",
        "cache_responses": CACHE,
        "cache_kwargs": CACHE,
        "caching_groups": "an answer is cached for the name that was asked",
        "client_ttl": INTERNAL,
        "polling_interval": INTERNAL,
        "default_priority": "calls wait in the order they came; batches stand behind them",
        "set_verbose": SERVING,
        "debug_level": SERVING,
        "assistants_config": "the assistants API has gone; use responses",
        "search_tools": MCP,
        "guardrail_list": GUARDS,
        "plugins": ROUTERS,
        "tag_routing_prefix": ROUTERS,
        "weights": ROUTERS,
        "optional_pre_call_checks": "prefix affinity and limits stand in `routing` and `limits`",
        "provider_budget_config": LIMITS,
        "alerting_config": ALERTS,
        "router_general_settings": INTERNAL,
        "deployment_affinity_ttl_seconds": "affinity is by hash and needs no time to live",
        "model_group_affinity_config": ROUTERS,
        "*health_check*": HEALTH,
        "fallback_access_check": INTERNAL,
        "fallback_budget_check": INTERNAL,
        "auto_router_capability_limit": ROUTERS,
    },
)
