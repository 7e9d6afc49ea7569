"""Filters: their grammar, and what the engine makes of them."""

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from spanwell_collector.api.filters import read_filters
from spanwell_collector.queries.metrics import get_totals
from spanwell_collector.queries.selection import Filter, Selection
from spanwell_collector.queries.sources import read_spans
from spanwell_collector.registry import DIMENSIONS, FIELDS, MAP_FIELDS, find_field
from spanwell_collector.store.client import Store
from tests.collector.queries.conftest import AddSpans

SPANS: list[dict[str, Any]] = [
    {"model": "gpt-4o", "duration_ms": 100.0, "attributes": {"tenant": "acme", "score": "7"}, "tags": ["beta", "eu"]},
    {"model": "GPT-4o-mini", "duration_ms": 250.0, "ttft_ms": 40.0, "attributes": {"tenant": "Zürich"}, "stream": True},
    {"model": "claude_%", "duration_ms": 1000.0, "cost_usd": "0.5", "attributes": {"score": "9.5", "k'\\": "x"}},
]
HOSTILE = ["') OR 1=1 --", "\\", "'", "{is_0:String}", "small\x00", "%", "\n"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"model": "gpt-4o"}, [0]),
        ({"model": ["gpt-4o", "claude_%"]}, [0, 2]),
        ({"model!": "gpt-4o"}, [1, 2]),
        ({"model!": ["gpt-4o", "claude_%"]}, [1]),
        ({"model~": "gpt"}, [0, 1]),
        ({"model~": "_%"}, [2]),
        ({"model~": ["mini", "CLAUDE"]}, [1, 2]),
        ({"duration_ms>": "250"}, [1, 2]),
        ({"duration_ms<": "250"}, [0, 1]),
        ({"duration_ms>": "101", "duration_ms<": "999"}, [1]),
        ({"ttft_ms>": "0"}, [1]),
        ({"ttft_ms!": "40"}, [0, 2]),
        ({"cost_usd": "0.5"}, [2]),
        ({"stream": "true"}, [1]),
        ({"stream!": "true"}, [0, 2]),
        ({"tag": "beta"}, [0]),
        ({"tag!": "beta"}, [1, 2]),
        ({"tag~": "BET"}, [0]),
        ({"attribute.tenant": "acme"}, [0]),
        ({"attribute.tenant!": "acme"}, [1, 2]),
        ({"attribute.tenant": ""}, [2]),
        ({"attribute.tenant~": "ZÜR"}, [1]),
        ({"attribute.score>": "8"}, [2]),
        ({"attribute.score<": "8"}, [0]),
        ({"attribute.k'\\": "x"}, [2]),
        ({"model~": "gpt", "duration_ms>": "200", "attribute.tenant~": "z"}, [1]),
    ],
)
def test_a_filter_finds_what_it_says(
    store: Store, add_spans: AddSpans, selection: Selection, given: dict[str, Any], found: list[int]
) -> None:
    add_spans([{**span, "input_tokens": 1 << index} for index, span in enumerate(SPANS)])

    chosen = Selection(selection.project, selection.start, selection.end, read_filters(given))
    sums = get_totals(store, read_spans(chosen), ["input_tokens"]).to_pylist()

    assert sums == [{"input_tokens": sum(1 << index for index in found)}]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["model", "model~", "tag", "tag~", "attribute.tenant", "attribute.tenant~"])
def test_a_value_is_never_sql(store: Store, selection: Selection, name: str, value: str) -> None:
    chosen = Selection(selection.project, selection.start, selection.end, read_filters({name: value}))

    assert get_totals(store, read_spans(chosen), ["requests"]).to_pylist() == [{"requests": 0}]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_is_never_sql(store: Store, add_spans: AddSpans, selection: Selection, key: str) -> None:
    add_spans([{"attributes": {key: "here"}}, {"attributes": {"other": "here"}}])

    chosen = Selection(selection.project, selection.start, selection.end, read_filters({f"attribute.{key}": "here"}))

    assert get_totals(store, read_spans(chosen), ["requests"]).to_pylist() == [{"requests": 1}]


@pytest.mark.parametrize("name", [*FIELDS, *(f"{name}.some key" for name in MAP_FIELDS)])
def test_every_field_can_be_asked_for(store: Store, selection: Selection, name: str) -> None:
    field = find_field(name)
    assert field is not None
    value = {"number": "1", "flag": "true"}.get(field.kind, "x")

    chosen = Selection(selection.project, selection.start, selection.end, (Filter(field, "=", (value,)),))

    assert get_totals(store, read_spans(chosen), ["requests"]).to_pylist() == [{"requests": 0}]


@pytest.mark.parametrize(
    ("given", "field", "allowed"),
    [
        ({"colour": "red"}, "colour", "model"),
        ({"attribute.": "x"}, "attribute.", "attribute.KEY"),
        ({"model>": "5"}, "model>", "~="),
        ({"duration_ms": "long"}, "duration_ms", None),
        ({"duration_ms>": "nan"}, "duration_ms", None),
        ({"duration_ms>": ["1", "2"]}, "duration_ms", None),
        ({"stream": "yes"}, "stream", "true"),
        ({"model~": ""}, "model", None),
        ({"model": ["x"] * 101}, "model", None),
        ({"model": "x" * 2001}, "model", None),
        ({"{model}": "x"}, "{model}", "model"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], field: str, allowed: str | None) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        read_filters(given)

    context = caught.value.context or {}
    assert context["field"] == field
    assert allowed is None or allowed in context["allowed"]
    assert caught.value.message()


def test_what_can_be_grouped_by_can_be_filtered_by() -> None:
    assert DIMENSIONS.keys() <= FIELDS.keys()
