"""What is summed: the keys and sums of each rollup, as the one text that both the builder and the readers use."""

from typing import Final, NamedTuple

from spanwell_collector.registry import REQUESTS


class Rollup(NamedTuple):
    """Calls grouped by a period of `seconds`, which `column` names and `period` makes of `ts`, and by `keys`.

    `sums` maps a column to its aggregate over spanwell.spans. `condition` says which spans are summed.
    """

    table: str
    column: str
    period: str
    seconds: int
    keys: tuple[str, ...]
    sums: dict[str, str]
    condition: str = REQUESTS

    def columns(self) -> tuple[str, ...]:
        """What a row holds beside project and version, in the order of `aggregation`."""
        return (self.column, *self.keys, *self.sums)

    def aggregation(self) -> str:
        """The select list; it stands before FROM and is grouped by `group`."""
        return ", ".join(
            [f"{self.period} AS {self.column}", *self.keys, *(f"{sql} AS {name}" for name, sql in self.sums.items())]
        )

    def group(self) -> str:
        return ", ".join((self.column, *self.keys))


# An aggregate must not be called like a column that another one reads: the engine would put the one into the other.
_COMMON: Final = {
    "requests": "count()",
    "errors": "countIf(spans.status = 'error')",
    "input_tokens": "sum(spans.input_tokens)",
    "output_tokens": "sum(spans.output_tokens)",
    "cost_usd": "toDecimal128(ifNull(sum(spans.cost_usd), 0), 12)",
    "saved_usd": "toDecimal128(ifNull(sum(spans.saved_usd), 0), 12)",
}
HOURLY: Final = Rollup(
    table="usage_hourly",
    column="hour",
    period="toStartOfHour(toDateTime(ts, 'UTC'))",
    seconds=3600,
    keys=(
        "app",
        "environment",
        "release",
        "provider",
        "model",
        "request_model",
        "operation",
        "status",
        "cache",
        "deployment",
        "key_id",
        "team",
    ),
    sums={
        **_COMMON,
        "unpriced": "countIf(spans.cost_usd IS NULL AND spans.status != 'error' AND spans.cache != 'hit')",
        "cache_hits": "countIf(spans.cache = 'hit')",
        "cached_tokens": "sum(spans.cached_tokens)",
        "cache_write_tokens": "sum(spans.cache_write_tokens)",
        "reasoning_tokens": "sum(spans.reasoning_tokens)",
        "costs": "sumMap(spans.costs)",
        "generated_tokens": "sumIf(spans.output_tokens, spans.cache != 'hit')",
        "generation_ms": "sumIf(spans.duration_ms - ifNull(spans.ttft_ms, 0),"
        " spans.cache != 'hit' AND spans.output_tokens > 0)",
        "duration": "quantileTDigestState(spans.duration_ms)",
        "ttft": "quantileTDigestStateIf(ifNull(spans.ttft_ms, 0), isNotNull(spans.ttft_ms))",
        "users": "uniqCombinedStateIf(14)(spans.user_id, spans.user_id != '')",
        "sessions": "uniqCombinedStateIf(14)(spans.session_id, spans.session_id != '')",
    },
)
DAILY_USERS: Final = Rollup(
    table="usage_daily_users",
    column="day",
    period="toStartOfDay(toDateTime(ts, 'UTC'))",
    seconds=86_400,
    keys=("user_id", "app", "model"),
    sums={**_COMMON, "last_ts": "max(spans.ts)"},
    condition=f"{REQUESTS} AND user_id != ''",
)
ROLLUPS: Final = (HOURLY, DAILY_USERS)
