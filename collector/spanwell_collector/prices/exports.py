"""Reads what providers export of usage and cost: OpenAI's and Anthropic's reports, as JSON or CSV, and a plain CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, NamedTuple

from spanwell.errors import ConfigError

CENTS: Final = 100
# Of each provider's names of tokens, the kind it is billed as.
ANTHROPIC_TOKENS: Final = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cached",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
    "output_tokens": "output",
}
ANTHROPIC_COLUMNS: Final = {
    "usage_input_tokens_no_cache": "input",
    "usage_input_tokens_cache_read": "cached",
    "usage_input_tokens_cache_write_5m": "cache_write",
    "usage_input_tokens_cache_write_1h": "cache_write_1h",
    "usage_output_tokens": "output",
}
OPENAI_LINES: Final = {
    "input": "input",
    "cached input": "cached",
    "output": "output",
    "audio input": "audio_input",
    "audio output": "audio_output",
}
SHAPES: Final = (
    "OpenAI's usage or costs and Anthropic's usage or cost report, as JSON or CSV,"
    " or a CSV with day, model, kind, tokens, usd and perhaps key, calls"
)


class Line(NamedTuple):
    """What a provider says of one kind of token on one day. None: it says nothing of that."""

    day: date
    model: str
    key: str
    kind: str
    tokens: int | None = None
    usd: Decimal | None = None
    calls: int | None = None


def read_export(path: Path) -> list[Line]:
    """Raises ConfigError for what cannot be read, naming the place, and what can be."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        lines = list(_read_json(json.loads(text)) if text.lstrip()[:1] in ("{", "[") else _read_csv(text))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise ConfigError(f"{path}: not understood ({error!r}); it may be {SHAPES}") from error
    if not lines:
        raise ConfigError(f"{path}: holds no usage and no cost; it may be {SHAPES}")
    return lines


def _read_json(document: Any) -> Iterator[Line]:
    """A page of buckets, or a list of pages."""
    for page in document if isinstance(document, list) else [document]:
        for bucket in page["data"]:
            day = _read_day(bucket.get("start_time") or bucket.get("starting_at"))
            for result in bucket["results"]:
                yield from _choose_reader(result)(day, result)


def _choose_reader(result: Mapping[str, Any]) -> Callable[[date, Mapping[str, Any]], Iterator[Line]]:
    if result.get("object") == "organization.costs.result":
        return _read_openai_cost
    if "uncached_input_tokens" in result:
        return _read_anthropic_usage
    return _read_anthropic_cost if "currency" in result else _read_openai_usage


def _read_openai_usage(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    """`input_tokens` includes the cached ones, and counts text and audio together."""
    tokens = {name: int(result.get(name) or 0) for name in ("input_cached_tokens", "input_audio_tokens")}
    heard = int(result.get("output_audio_tokens") or 0)
    kinds = {
        "input": int(result["input_tokens"]) - sum(tokens.values()),
        "cached": tokens["input_cached_tokens"],
        "audio_input": tokens["input_audio_tokens"],
        "output": int(result.get("output_tokens") or 0) - heard,
        "audio_output": heard,
    }
    calls = result.get("num_model_requests")
    key = str(result.get("api_key_id") or "")
    yield from _spread(day, str(result.get("model") or ""), key, kinds, None if calls is None else int(calls))


def _read_openai_cost(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    """A line item is `gpt-4o-mini-2024-07-18, cached input`."""
    item = str(result.get("line_item") or "")
    model, _, kind = item.partition(", ")
    usd = Decimal(str(result["amount"]["value"]))
    yield Line(day, model, str(result.get("api_key_id") or ""), OPENAI_LINES.get(kind, "other"), usd=usd)


def _read_anthropic_usage(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    written = {f"cache_creation.{name}": count for name, count in (result.get("cache_creation") or {}).items()}
    counts = {**result, **written}
    kinds = {kind: int(counts.get(name) or 0) for name, kind in ANTHROPIC_TOKENS.items()}
    yield from _spread(day, str(result.get("model") or ""), str(result.get("api_key_id") or ""), kinds, None)


def _read_anthropic_cost(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    """Amounts are cents."""
    kind = ANTHROPIC_TOKENS.get(str(result.get("token_type")), "other")
    yield Line(day, str(result.get("model") or ""), "", kind, usd=Decimal(str(result["amount"])) / CENTS)


def _read_csv(text: str) -> Iterator[Line]:
    rows = csv.DictReader(io.StringIO(text))
    columns = set(rows.fieldnames or ())
    for row in rows:
        if "usage_date_utc" in columns and "usage_output_tokens" in columns:
            kinds = {kind: int(row.get(name) or 0) for name, kind in ANTHROPIC_COLUMNS.items()}
            yield from _spread(
                _read_day(row["usage_date_utc"]), row["model_version"], row.get("api_key") or "", kinds, None
            )
        elif "amount_value" in columns:
            cost = {**row, "amount": {"value": row["amount_value"]}}
            yield from _read_openai_cost(_read_day(row.get("start_time_iso") or row["start_time"]), cost)
        elif "num_model_requests" in columns:
            yield from _read_openai_usage(_read_day(row.get("start_time_iso") or row["start_time"]), row)
        else:
            yield _read_plain(row)


def _read_plain(row: Mapping[str, str]) -> Line:
    return Line(
        _read_day(row["day"]),
        row["model"],
        row.get("key") or "",
        row["kind"],
        int(row["tokens"]) if row.get("tokens") else None,
        Decimal(row["usd"]) if row.get("usd") else None,
        int(row["calls"]) if row.get("calls") else None,
    )


def _spread(day: date, model: str, key: str, kinds: Mapping[str, int], calls: int | None) -> Iterator[Line]:
    """One line a kind that has tokens; the calls stand on a line of their own."""
    yield from (Line(day, model, key, kind, tokens) for kind, tokens in kinds.items() if tokens)
    if calls is not None:
        yield Line(day, model, key, "request", calls=calls)


def _read_day(value: Any) -> date:
    """Seconds since 1970, or the beginning of an ISO moment; days are UTC's."""
    text = str(value)
    if text.isdigit():
        return datetime.fromtimestamp(int(text), UTC).date()
    return date.fromisoformat(text[:10])
