"""Fills a store with ten million spans over thirty days, and a million texts, by the engine's own hand.

Eight projects, twelve models, two thousand users. Of ten spans seven are calls alone, three are a trace of an agent
with two calls. Every fiftieth call has a score or two, every tenth has texts; one in a hundred thousand of those holds
`RARE_WORD`, one `RARE_PHRASE`.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from spanwell_collector.dialects.compile import render_mapping
from spanwell_collector.dialects.mapping import load_mapping
from spanwell_collector.rollups.builder import Builder
from spanwell_collector.store.client import Store
from spanwell_collector.store.migrate import load_migrations, migrate
from spanwell_collector.store.pipeline.install import install_pipeline, render_pipeline

DAYS: Final = 30
PROJECTS: Final = 8
RARE_WORD: Final = "quokka"
RARE_PHRASE: Final = "払い戻しの期限"
TEXT_EVERY: Final = 10
WORDS: Final = 200  # of a prompt: about 1.4 kB

SPANS: Final = """
INSERT INTO spanwell.spans
    (project, ts, received, trace_id, span_id, parent_span_id, name, operation, kind, status, error_type, http_status,
     service, app, environment, release, provider, model, request_model, response_id, deployment, user_id, session_id,
     key_id, team, input_tokens, output_tokens, cached_tokens, cost_usd, cost_source, price_version, ttft_ms,
     duration_ms, stream, cache, attempts, finish_reason, scope, dialect, attributes, resource)
WITH
    number + {first:UInt64} AS n,
    intDiv(n, 10) AS ten, n % 10 AS place, place < 8 AS is_alone,
    cityHash64(n) AS dice,
    if(place < 7, n, ten * 10 + 7) AS trace,
    place = 7 AS is_agent,
    ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'o4-mini', 'claude-sonnet-4-5', 'claude-haiku-4-5', 'gemini-2.5-pro',
     'gemini-2.5-flash', 'mistral-large', 'Qwen/Qwen3-8B', 'llama-3.3-70b', 'deepseek-chat'][dice % 12 + 1] AS model_,
    NOT is_agent AND dice % 100 = 7 AS is_error
SELECT
    concat('project-', toString(ten % 8)),
    fromUnixTimestamp64Micro(toInt64({start_us:UInt64} + {step_us:UInt64} * number), 'UTC') AS ts,
    ts + INTERVAL 1 SECOND,
    lower(hex(sipHash128(trace))),
    lower(hex(sipHash64(n))),
    if(place > 7, lower(hex(sipHash64(ten * 10 + 7))), ''),
    if(is_agent, 'invoke_agent planner', concat('chat ', model_)),
    if(is_agent, 'invoke_agent', 'chat'),
    if(is_agent, 'internal', 'client'),
    if(is_error, 'error', 'ok'),
    if(is_error, 'RateLimitError', ''),
    if(is_agent, 0, if(is_error, 429, 200)),
    concat('service-', toString(dice % 5)),
    concat('app-', toString(dice % 6)),
    if(dice % 10 = 0, 'staging', 'production'),
    concat('1.', toString(intDiv(n, 1000000))),
    if(is_agent, '', ['openai', 'anthropic', 'gcp.gemini'][dice % 3 + 1]),
    if(is_agent, '', model_),
    if(is_agent, '', model_),
    if(is_agent, '', lower(hex(sipHash64(n, 1)))),
    if(is_agent, '', concat(model_, '-0')),
    concat('user-', toString(dice % 2000)),
    concat('session-', toString(intDiv(n, 40) * 2000 + dice % 2000)),
    concat('key-', toString(dice % 40)),
    concat('team-', toString(dice % 10)),
    if(is_agent, 0, 200 + dice % 4000),
    if(is_agent, 0, 20 + dice % 700),
    if(is_agent, 0, dice % 200),
    if(is_agent, NULL, toDecimal64((200 + dice % 4000) / 1e6, 12)),
    if(is_agent, '', 'reported'),
    if(is_agent, '', 'litellm-0123456789ab'),
    if(is_agent OR dice % 3 = 0, NULL, 80 + dice % 900),
    200 + dice % 6000,
    NOT is_agent AND dice % 3 != 0,
    if(is_agent, '', if(dice % 9 = 0, 'hit', 'miss')),
    if(is_agent, 0, 1),
    if(is_agent, '', 'stop'),
    if(is_agent, 'spanwell', 'spanwell.proxy'),
    'spanwell',
    map('spanwell.request_id', lower(hex(sipHash64(n, 2))), 'gen_ai.request.temperature', '0.7',
        'server.address', '127.0.0.1', 'tier', ['free', 'pro', 'enterprise'][dice % 3 + 1]),
    map('service.name', concat('service-', toString(dice % 5)), 'telemetry.sdk.language', 'python')
FROM numbers({count:UInt64})
SETTINGS max_insert_block_size = 262144, min_insert_block_size_rows = 262144, max_threads = 2
"""
INDEX: Final = """
INSERT INTO spanwell.trace_index (trace_id, first_ts, last_ts)
SELECT trace_id, min(ts), max(ts) FROM spanwell.spans
WHERE ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC') AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
GROUP BY trace_id
"""
TEXTS: Final = """
INSERT INTO spanwell.texts (project, ts, trace_id, span_id, input, output)
WITH cityHash64(span_id) AS dice
SELECT project, ts, trace_id, span_id,
    concat('[{"role":"user","parts":[{"type":"text","content":"',
        arrayStringConcat(arrayMap(
            place -> concat('w', toString(intDiv(30000, 1 + cityHash64(dice, place) % 3000))),
            range({words:UInt32})), ' '),
        if(dice % 100000 = 1, ' {RARE_WORD}', ''),
        if(dice % 100000 = 2, '{RARE_PHRASE}を教えてください', ''), '"}]}]'),
    concat('[{"role":"assistant","finish_reason":"stop",',
        '"parts":[{"type":"text","content":"You can return it within thirty days."}]}]')
FROM spanwell.spans
WHERE ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC') AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND operation = 'chat' AND cityHash64(trace_id, span_id) % {every:UInt32} = 0
SETTINGS max_insert_block_size = 65536, max_threads = 2
"""


# Every fiftieth call is judged a minute later, every hundredth by its user too.
SCORES: Final = """
INSERT INTO spanwell.scores
    (project, ts, trace_id, span_id, name, source, author, value, label, comment, rubric, sample_share, version)
SELECT project, ts + INTERVAL 1 MINUTE, trace_id, span_id, given.1, given.2, given.3,
    cityHash64(span_id, given.1) % 100 / 99, '', '', '', 0.02, toUnixTimestamp64Nano(now64(9))
FROM spanwell.spans
ARRAY JOIN if(cityHash64(span_id) % 100 = 0,
    [('helpful', 'judge', 'judge-1'), ('thumb', 'user', user_id)], [('helpful', 'judge', 'judge-1')]) AS given
WHERE ts >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC') AND ts < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND operation = 'chat' AND cityHash64(span_id) % 50 = 0
"""


def fill(path: Path, spans: int, *, now: datetime | None = None) -> float:
    """Make the store at `path` and its sums; the seconds that summing took."""
    end = (now or datetime.now(UTC)) - timedelta(minutes=1)
    store = Store(path=path)
    try:
        migrate(store, load_migrations())
        install_pipeline(store, render_pipeline(render_mapping(load_mapping())))
        for day in range(DAYS):
            _fill_day(store, end - timedelta(days=DAYS - day), day, spans // DAYS)
        for table in ("spans", "texts"):  # as merges would have left them over thirty days
            store.command(f"OPTIMIZE TABLE spanwell.{table} FINAL")
        begun = time.monotonic()
        builder = Builder(store)
        builder.look()
        while builder.build_next():
            pass
        return time.monotonic() - begun
    finally:
        store.close()


def _fill_day(store: Store, start: datetime, day: int, count: int) -> None:
    start_us = int(start.timestamp() * 1e6)
    window = {"start_us": start_us, "end_us": start_us + 86_400_000_000}
    step_us = 86_400_000_000 // count
    store.command(SPANS, {"first": day * count, "count": count, "start_us": start_us, "step_us": step_us})
    store.command(INDEX, window)
    store.command(SCORES, window)
    texts = TEXTS.replace("{RARE_WORD}", RARE_WORD).replace("{RARE_PHRASE}", RARE_PHRASE)
    store.command(texts, {**window, "words": WORDS, "every": TEXT_EVERY})
