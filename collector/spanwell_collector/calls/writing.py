"""Writes corrections over the rows of spans, in place, and gives spans the texts of their duplicates."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, Final

from spanwell_collector.calls.facts import Correction, SpanFacts
from spanwell_collector.store.client import Store
from spanwell_collector.store.priced import PRICEABLE, PRICED

MOST_ROWS: Final = 500  # a statement: their values travel in it
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# What a call used and cost, as text of each column. Decimals stand in JSON as texts: its numbers would round them.
USAGE: Final = {
    "input_tokens": "toString(input_tokens)",
    "output_tokens": "toString(output_tokens)",
    "cached_tokens": "toString(cached_tokens)",
    "cache_write_tokens": "toString(cache_write_tokens)",
    "reasoning_tokens": "toString(reasoning_tokens)",
    "usage": "toJSONString(usage)",
    "usage_basis": "usage_basis",
    "service_tier": "service_tier",
    "cost_usd": "ifNull(toString(cost_usd), '')",
    "costs": "toJSONString(mapApply((kind, usd) -> (kind, toString(usd)), costs))",
    "cost_source": "cost_source",
    "price_version": "price_version",
}
AS_TEXT: Final = {**USAGE, "tags": "toJSONString(tags)"}
FROM_TEXT: Final = {
    **dict.fromkeys((name for name in USAGE if name.endswith("_tokens")), "toUInt32OrZero({})"),
    "usage": "JSONExtract({}, 'Map(LowCardinality(String), UInt64)')",
    "cost_usd": "toDecimal64OrNull({}, 12)",
    "costs": "JSONExtract({}, 'Map(LowCardinality(String), Decimal(18, 12))')",
    "tags": "JSONExtract({}, 'Array(LowCardinality(String))')",
}
THEIRS: Final = """
project = {project:String}
  AND ts >= fromUnixTimestamp64Micro({first_us:Int64}, 'UTC')
  AND ts <= fromUnixTimestamp64Micro({last_us:Int64}, 'UTC')
  AND trace_id IN {traces:Array(String)}
  AND concat(trace_id, span_id) IN {keys:Array(String)}
"""
VALUE: Final = (
    "transform(concat(trace_id, span_id), {{keys_{name}:Array(String)}}, {{values_{name}:Array(String)}}, {own})"
)
READ_USAGE: Final = "SELECT concat(trace_id, span_id) AS key, {columns} FROM spanwell.spans WHERE {theirs}"
UPDATE: Final = "UPDATE spanwell.spans SET {assignments} WHERE {theirs}"
# Who told the usage may not have known the model, or only a part of the usage.
PRICE: Final = (
    """
UPDATE spanwell.spans
SET cost_usd = <priced>.1, costs = <priced>.2, price_version = <priced>.3, cost_source = 'priced'
WHERE <theirs> AND <priceable> AND cache != 'hit' AND cost_source IN ('', 'priced')
  AND NOT startsWith(price_version, 'gpu-') AND isNotNull(<priced>.1) AND NOT (<priced>.1 <=> cost_usd)
""".replace("<priced>", PRICED)
    .replace("<priceable>", PRICEABLE)
    .replace("<theirs>", THEIRS)
)
COPY_TEXTS: Final = """
INSERT INTO spanwell.texts (project, ts, trace_id, span_id, source, input, output)
WITH concat(trace_id, span_id) AS key, transform(key, {keys:Array(String)}, {to:Array(String)}, '') AS target
SELECT
    project,
    fromUnixTimestamp64Micro(transform(key, {keys:Array(String)}, {at_us:Array(Int64)}, 0), 'UTC'),
    substring(target, 1, 32),
    substring(target, 33),
    'duplicate',
    if(key IN {with_input:Array(String)}, input, '') AS text_in,
    if(key IN {with_output:Array(String)}, output, '') AS text_out
FROM spanwell.texts
WHERE (text_in != '' OR text_out != '')
"""


def apply_corrections(store: Store, corrections: Sequence[Correction]) -> None:
    """Write `corrections` over their spans. Doing it again changes nothing more, except that texts are copied again."""
    by_project: dict[str, list[Correction]] = defaultdict(list)
    for correction in corrections:
        by_project[correction.span.project].append(correction)
    for project, its in by_project.items():
        for first in range(0, len(its), MOST_ROWS):
            some = its[first : first + MOST_ROWS]
            _copy_texts(store, project, some)
            _update(store, project, some)


def list_hours(corrections: Iterable[Correction]) -> dict[str, list[datetime]]:
    """When the corrected spans of each project began."""
    hours: dict[str, list[datetime]] = defaultdict(list)
    for correction in corrections:
        hours[correction.span.project].append(EPOCH + timedelta(microseconds=correction.span.ts_us))
    return hours


def _update(store: Store, project: str, corrections: Sequence[Correction]) -> None:
    used = _read_usage(store, project, [one.usage_from for one in corrections if one.usage_from])
    changes: dict[str, dict[str, str]] = defaultdict(dict)  # column, then key
    for correction in corrections:
        key = _key(correction.span)
        source = used.get(_key(correction.usage_from), {}) if correction.usage_from else {}
        output = {"output_tokens": str(correction.output_tokens)} if correction.more_output else {}
        for name, value in chain(correction.columns.items(), source.items(), output.items()):
            changes[name][key] = value if isinstance(value, str) else json.dumps(value)
    if not changes:
        return
    assignments = [f"{name} = {_render_value(name)}" for name in sorted(changes)]
    values = {f"keys_{name}": list(by_key) for name, by_key in changes.items()}
    values |= {f"values_{name}": list(by_key.values()) for name, by_key in changes.items()}
    where = _where(project, [one.span for one in corrections])
    store.command(UPDATE.format(assignments=", ".join(assignments), theirs=THEIRS), {**where, **values})
    used_anew = [one.span for one in corrections if one.usage_from or one.more_output]
    if used_anew:
        store.command(PRICE, _where(project, used_anew))


def _render_value(name: str) -> str:
    text = VALUE.format(name=name, own=AS_TEXT.get(name, name))
    return FROM_TEXT.get(name, "{}").format(text)


def _read_usage(store: Store, project: str, spans: Sequence[SpanFacts]) -> dict[str, Mapping[str, str]]:
    if not spans:
        return {}
    columns = ", ".join(f"{text} AS {name}_text" for name, text in USAGE.items())
    rows = store.query(READ_USAGE.format(columns=columns, theirs=THEIRS), _where(project, spans)).to_pylist()
    return {row["key"]: {name: row[f"{name}_text"] for name in USAGE} for row in rows}


def _copy_texts(store: Store, project: str, corrections: Sequence[Correction]) -> None:
    taken = [
        (source, one.span, source is one.input_from, source is one.output_from)
        for one in corrections
        for source in dict.fromkeys((one.input_from, one.output_from))
        if source
    ]
    if taken:
        sources = [source for source, _, _, _ in taken]
        asked = {
            **_where(project, sources),
            "keys": [_key(source) for source in sources],
            "to": [_key(span) for _, span, _, _ in taken],
            "at_us": [span.ts_us for _, span, _, _ in taken],
            "with_input": [_key(source) for source, _, takes_input, _ in taken if takes_input],
            "with_output": [_key(source) for source, _, _, takes_output in taken if takes_output],
        }
        store.command(COPY_TEXTS + "AND" + THEIRS, asked)


def _where(project: str, spans: Sequence[SpanFacts]) -> dict[str, Any]:
    return {
        "project": project,
        "first_us": min(span.ts_us for span in spans),
        "last_us": max(span.ts_us for span in spans),
        "traces": sorted({span.trace_id for span in spans}),
        "keys": [_key(span) for span in spans],
    }


def _key(span: SpanFacts) -> str:
    return span.trace_id + span.span_id
