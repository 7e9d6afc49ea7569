"""Reads what providers export of usage and cost: OpenAI's and Anthropic's reports, as JSON or CSV, and a plain CSV."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO, TypeVar

from spanwell.errors import ConfigError
from spanwell.rates import KINDS

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
OTHER: Final = "other"  # what is no token's: searches, tools, credits
SHAPES: Final = (
    "OpenAI's usage or costs and Anthropic's usage or cost report, as JSON or CSV,"
    " or a CSV with day, model, kind, tokens, usd and perhaps key, calls, provider"
)
# What reading somebody else's file may end in.
UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    OSError,
    RecursionError,
    csv.Error,
)
Number = TypeVar("Number", int, Decimal)


class Line(NamedTuple):
    """What a provider says of one kind of token on one day. None: it says nothing of that.

    A day on which it billed nothing is one of no model and no calls. An empty `provider` is whoever's bill it is.
    """

    day: date
    model: str
    key: str
    kind: str
    tokens: int | None = None
    usd: Decimal | None = None
    calls: int | None = None
    provider: str = ""

    @property
    def is_empty(self) -> bool:
        return self.tokens is None and self.usd is None

    def plus(self, other: "Line") -> "Line":
        return self._replace(
            tokens=_add(self.tokens, other.tokens), usd=_add(self.usd, other.usd), calls=_add(self.calls, other.calls)
        )


def read_export(path: Path) -> list[Line]:
    """The sums of a file, which may be large. Raises ConfigError for what cannot be read, saying what can be."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = _sum(_read(file))
    except UNREADABLE as error:
        raise ConfigError(f"{path}: not understood ({error!r}); it may be {SHAPES}") from error
    told = [line for line in lines if not line.is_empty]
    if not told:
        raise ConfigError(f"{path}: holds no usage and no cost; it may be {SHAPES}")
    if not any(line.model for line in told):
        raise ConfigError(f"{path}: names no model: have it grouped by model, or costs by line item or description")
    return lines


def _read(file: TextIO) -> Iterator[Line]:
    start = file.read(1)
    while start.isspace():
        start = file.read(1)
    file.seek(0)
    return _read_json(json.load(file)) if start in ("{", "[") else _read_csv(file)


def _sum(lines: Iterable[Line]) -> list[Line]:
    sums: dict[tuple[Any, ...], Line] = {}
    for line in lines:
        place = (*line[:4], line.provider)
        sums[place] = sums[place].plus(line) if place in sums else line
    return list(sums.values())


def _add(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else one + other


def _read_json(document: Any) -> Iterator[Line]:
    """A page of buckets, or a list of pages."""
    for page in document if isinstance(document, list) else [document]:
        for bucket in page["data"]:
            day = _read_day(bucket.get("start_time") or bucket.get("starting_at"))
            for result in bucket["results"]:
                yield from _choose_reader(result)(day, result)
            if not bucket["results"]:
                yield Line(day, "", "", "request", calls=0)


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
    place = Line(day, str(result.get("model") or ""), key, "", provider="openai")
    yield from _spread(place, kinds, None if calls is None else int(calls))


def _read_openai_cost(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    """A line item is `gpt-4o-mini-2024-07-18, cached input`."""
    item = str(result.get("line_item") or "")
    model, _, kind = item.partition(", ")
    usd, key = _read_usd(result["amount"]["value"]), str(result.get("api_key_id") or "")
    yield Line(day, model, key, OPENAI_LINES.get(kind, OTHER), usd=usd, provider="openai")


def _read_anthropic_usage(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    written = {f"cache_creation.{name}": count for name, count in (result.get("cache_creation") or {}).items()}
    counts = {**result, **written}
    kinds = {kind: int(counts.get(name) or 0) for name, kind in ANTHROPIC_TOKENS.items()}
    key = str(result.get("api_key_id") or "")
    yield from _spread(Line(day, str(result.get("model") or ""), key, "", provider="anthropic"), kinds, None)


def _read_anthropic_cost(day: date, result: Mapping[str, Any]) -> Iterator[Line]:
    """Amounts are cents."""
    kind, usd = ANTHROPIC_TOKENS.get(str(result.get("token_type")), OTHER), _read_usd(result["amount"]) / CENTS
    yield Line(day, str(result.get("model") or ""), "", kind, usd=usd, provider="anthropic")


def _read_csv(file: TextIO) -> Iterator[Line]:
    rows = csv.DictReader(file)
    read = _choose_row_reader(set(rows.fieldnames or ()))
    for row in rows:
        try:
            yield from read(row)
        except UNREADABLE as error:
            raise ValueError(f"line {rows.line_num}: {error!r}") from error


def _choose_row_reader(columns: set[str]) -> Callable[[Mapping[str, Any]], Iterator[Line]]:
    if {"usage_date_utc", "usage_output_tokens"} <= columns:
        return _read_anthropic_row
    if "amount_value" in columns:
        return _read_openai_cost_row
    return _read_openai_usage_row if "num_model_requests" in columns else _read_plain


def _read_anthropic_row(row: Mapping[str, Any]) -> Iterator[Line]:
    kinds = {kind: int(row.get(name) or 0) for name, kind in ANTHROPIC_COLUMNS.items()}
    day, model, key = _read_day(row["usage_date_utc"]), str(row["model_version"] or ""), str(row.get("api_key") or "")
    return _spread(Line(day, model, key, "", provider="anthropic"), kinds, None)


def _read_openai_cost_row(row: Mapping[str, Any]) -> Iterator[Line]:
    cost = {**row, "amount": {"value": row["amount_value"]}}
    return _read_openai_cost(_read_day(row.get("start_time_iso") or row["start_time"]), cost)


def _read_openai_usage_row(row: Mapping[str, Any]) -> Iterator[Line]:
    return _read_openai_usage(_read_day(row.get("start_time_iso") or row["start_time"]), row)


def _read_plain(row: Mapping[str, Any]) -> Iterator[Line]:
    if row["kind"] not in (*KINDS, OTHER) or not row["model"]:
        raise ValueError(f"write a model, and one of the kinds {', '.join(KINDS)}, {OTHER}")
    yield Line(
        _read_day(row["day"]),
        row["model"],
        row.get("key") or "",
        row["kind"],
        int(row["tokens"]) if row.get("tokens") else None,
        _read_usd(row["usd"]) if row.get("usd") else None,
        int(row["calls"]) if row.get("calls") else None,
        row.get("provider") or "",
    )


def _spread(place: Line, kinds: Mapping[str, int], calls: int | None) -> Iterator[Line]:
    """One line a kind that has tokens; the calls stand on a line of their own."""
    yield from (place._replace(kind=kind, tokens=tokens) for kind, tokens in kinds.items() if tokens)
    if calls is not None:
        yield place._replace(kind="request", calls=calls)


def _read_usd(value: Any) -> Decimal:
    usd = Decimal(str(value))
    if not usd.is_finite():
        raise ValueError(f"{value!r} is no sum of money")
    return usd


def _read_day(value: Any) -> date:
    """Seconds since 1970, a date, or an ISO moment; days are UTC's."""
    text = str(value)
    if text.isdigit() and len(text) > len("20261104"):
        return datetime.fromtimestamp(int(text), UTC).date()
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
