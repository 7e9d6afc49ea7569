"""Names of span and resource attributes: the contract between proxy, SDK, collector and dashboard.

`gen_ai.*` follows OpenTelemetry's GenAI conventions; `spanwell.*` is ours. A name is written here and nowhere else.
"""

from typing import Final, Literal

Operation = Literal[
    "chat",
    "text_completion",
    "embeddings",
    "rerank",
    "moderation",
    "image_generation",
    "speech",
    "transcription",
    "retrieval",
    "execute_tool",
    "create_agent",
    "invoke_agent",
    "invoke_workflow",
    "",
]
"""The words of `gen_ai.operation.name` that Spanwell writes; the empty word is a plain span."""

CALLS: Final[tuple[Operation, ...]] = (
    *("chat", "text_completion", "embeddings"),
    *("rerank", "moderation", "image_generation", "speech", "transcription"),
)
"""Those of them that are a call of a model."""

CacheVerdict = Literal["hit", "miss", ""]
"""`hit`: answered from the cache. `miss`: looked up, not found. Empty: never looked up."""

# --- OpenTelemetry -------------------------------------------------------------------------------------------------
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK_S: Final = "gen_ai.response.time_to_first_chunk"  # seconds, as the convention says
STREAM: Final = "gen_ai.request.stream"
TEMPERATURE: Final = "gen_ai.request.temperature"
TOP_P: Final = "gen_ai.request.top_p"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"  # includes cached tokens
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"  # includes reasoning tokens
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"  # JSON text
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"  # JSON text
CONVERSATION_ID: Final = "gen_ai.conversation.id"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"  # joins a tool's span with the message that asked for it
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"  # JSON text
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
IMAGE_INPUT_TOKENS: Final = "gen_ai.usage.image.input_tokens"
IMAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.image.output_tokens"
AGENT_NAME: Final = "gen_ai.agent.name"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"
ERROR_TYPE: Final = "error.type"
HTTP_STATUS: Final = "http.response.status_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
ENVIRONMENT: Final = "deployment.environment.name"

# --- Spanwell ------------------------------------------------------------------------------------------------------
PROJECT: Final = "spanwell.project"
APP: Final = "spanwell.app"  # the application that called; falls back to service.name
COST_USD: Final = "spanwell.cost_usd"  # decimal text: a double would lose digits
PRICE_VERSION: Final = "spanwell.price_version"
CACHE: Final = "spanwell.cache"  # CacheVerdict
SAVED_USD: Final = "spanwell.saved_usd"  # decimal text: what a cache hit would have cost
DEPLOYMENT: Final = "spanwell.deployment"  # which configured deployment answered
ATTEMPTS: Final = "spanwell.attempts"  # upstream calls made for this one call
FALLBACK_FROM: Final = "spanwell.fallback_from"  # the model name that was asked for, when another one answered
KEY_ID: Final = "spanwell.key.id"
TEAM: Final = "spanwell.team"
REQUEST_ID: Final = "spanwell.request_id"
OVERHEAD_MS: Final = "spanwell.overhead_ms"
STREAM_END: Final = "spanwell.stream_end"  # done | upstream_error | client_disconnect
USAGE_ESTIMATED: Final = "spanwell.usage.estimated"  # the backend sent no usage
USAGE_BASIS: Final = "spanwell.usage.basis"  # how the emitter counted: "" = cached tokens are part of the input
CACHE_WRITE_1H_TOKENS: Final = "spanwell.usage.cache_write_1h.input_tokens"  # part of the cache-write tokens
SERVICE_TIER: Final = "spanwell.service_tier"  # batch | priority | flex; "" is the standard one
REPORTED_COST_USD: Final = "spanwell.reported_cost_usd"  # what a foreign emitter says it cost
RELEASE: Final = "spanwell.release"
TAGS: Final = "spanwell.tags"  # JSON list of texts
TIER: Final = "spanwell.tier"  # of the user, as the application names it
DIALECT: Final = "spanwell.dialect"  # set by the collector: whose attribute names a span came with
DUPLICATE_OF: Final = "spanwell.duplicate_of"  # set by the collector: the span that counts for this call
PURPOSE: Final = "spanwell.purpose"  # judge: Spanwell's own call, neither judged nor billed to a user
SIMULATED: Final = "spanwell.simulated"  # true: made by the demo, not by a model
INPUT: Final = "spanwell.input"  # JSON text: arguments of a traced function
OUTPUT: Final = "spanwell.output"  # JSON text: its result

# --- what the gateway did with a call --------------------------------------------------------------------------------
QUEUE_WAIT_MS: Final = "spanwell.queue_wait_ms"  # before an attempt was let through
GUARD_MS: Final = "spanwell.guard_ms"
UPSTREAM_MS: Final = "spanwell.upstream_ms"  # waiting for backends, pauses between attempts included
CACHE_TYPE: Final = "spanwell.cache.type"  # exact | semantic: which one answered
CACHE_SIMILARITY: Final = "spanwell.cache.similarity"
CACHE_MATCHED: Final = "spanwell.cache.matched"  # trace id of the call whose answer it was
SAVED_MS: Final = "spanwell.saved_ms"  # what that call took
ROUTE_STRATEGY: Final = "spanwell.route.strategy"
ROUTE_POLICY: Final = "spanwell.route.policy"
ROUTE_PROBABILITY: Final = "spanwell.route.probability"  # that this deployment was chosen, given all that was known
EXPERIMENT: Final = "spanwell.experiment"
EXPERIMENT_ARM: Final = "spanwell.experiment.arm"
SHADOW_OF: Final = "spanwell.shadow_of"  # span id of the call that this one copies, off the path
BUDGET_STATE: Final = "spanwell.budget.state"  # ok | soft | hard
BUDGET_LEFT_USD: Final = "spanwell.budget.left_usd"  # decimal text: of the tightest budget, before this call
GUARDS: Final = "spanwell.guards"  # JSON list of {guard, action, where, found}: never what was found
CONTEXT_CUT_TOKENS: Final = "spanwell.context.cut_tokens"
CONTINUED: Final = "spanwell.continued"  # a stream that broke was continued by another attempt
BACKEND_WAITING: Final = "spanwell.backend.waiting"  # requests in vLLM's queue at that moment
BACKEND_RUNNING: Final = "spanwell.backend.running"
BACKEND_CACHE_USE: Final = "spanwell.backend.cache_use"  # 0 to 1, of its KV cache

# --- an attempt at one backend: a child span of its call, whose own span carries tokens and cost ---------------------
ATTEMPT_NUMBER: Final = "spanwell.attempt.number"  # from 1
ATTEMPT_WHY: Final = "spanwell.attempt.why"  # first | retry | fallback | hedge | continuation
ATTEMPT_DEPLOYMENT: Final = "spanwell.attempt.deployment"
ATTEMPT_STATUS: Final = "spanwell.attempt.status"  # of the backend's answer
ATTEMPT_INPUT_TOKENS: Final = "spanwell.attempt.input_tokens"
ATTEMPT_OUTPUT_TOKENS: Final = "spanwell.attempt.output_tokens"
ATTEMPT_COST_USD: Final = "spanwell.attempt.cost_usd"

# --- the ledger: resource attributes set at export, one set a batch ------------------------------------------------
BATCH_FIRST: Final = "spanwell.batch.first"  # number of the batch's first span, counted from 0 by its producer
BATCH_SPANS: Final = "spanwell.batch.spans"
BATCH_DROPPED: Final = "spanwell.batch.dropped"  # spans this producer has dropped since it started
BATCH_REJECTED: Final = "spanwell.batch.rejected"  # set by the collector: spans of the batch it did not take

# --- request headers the proxy understands -------------------------------------------------------------------------
HEADER_APP: Final = "x-spanwell-app"
HEADER_USER: Final = "x-spanwell-user"
HEADER_SESSION: Final = "x-spanwell-session"
HEADER_PURPOSE: Final = "x-spanwell-purpose"
HEADER_CACHE: Final = "x-spanwell-cache"  # no-store, no-cache, only-if-cached; in an answer: hit or miss
HEADER_CACHE_TTL: Final = "x-spanwell-cache-ttl"  # seconds that this answer is kept
HEADER_TAGS: Final = "x-spanwell-tags"  # comma-separated
HEADER_TIER: Final = "x-spanwell-tier"  # of the user, for routing
HEADER_RELEASE: Final = "x-spanwell-release"
HEADER_PROMPT_NAME: Final = "x-spanwell-prompt-name"
HEADER_PROMPT_VERSION: Final = "x-spanwell-prompt-version"
HEADER_REQUEST_ID: Final = "x-request-id"
