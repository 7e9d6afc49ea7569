"""What a call costs whose usage another span tells."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from spanwell.config import Config
from spanwell.pricing import PriceTable, Usage
from spanwell_collector.calls.stitcher import Stitcher
from spanwell_collector.prices.table import bring_up_to_date
from spanwell_collector.store.client import Store
from tests.collector.batches import SpanIn, Value, make_batch
from tests.collector.prices.calls import call, read
from tests.collector.prices.conftest import SEEDED

FLAT = [{"model": "our-model", "input_usd_per_million": 1, "output_usd_per_million": 2}]


@pytest.fixture(scope="module", autouse=True)
def _flat_rate(store: Store) -> Iterator[None]:
    bring_up_to_date(store, PriceTable(), Config(prices=FLAT), SEEDED)
    yield
    bring_up_to_date(store, PriceTable(), Config(), SEEDED)


def stitch(store: Store, project: str, *spans: SpanIn) -> list[Decimal | None]:
    body = make_batch(spans, {"spanwell.project": project})
    body.resource_spans[0].scope_spans[0].scope.name = "somebody"
    store.insert_otlp([body.SerializeToString()], project=project, token=project, dialects=True)
    Stitcher(store, settle_ms=0).run_pass()
    return [row["cost_usd"] for row in read(store, project)]


def served(**usage: int) -> dict[str, Value]:
    """As vLLM tells of a call: with its tokens and without its model."""
    return call("vllm", "", Usage(**usage), spanwell__dialect="vllm", gen_ai__response__id="chatcmpl-0123456789")


def test_a_stream_whose_server_tells_the_tokens_has_the_price_of_its_model(store: Store, project: str) -> None:
    asked = call("vllm", "our-model", Usage(), spanwell__dialect="openllmetry")

    costs = stitch(
        store,
        project,
        SpanIn(span=1, attributes=asked),
        SpanIn(span=2, parent=1, attributes=served(input=100, output=10)),
    )

    assert costs == [Decimal("0.00012"), None]  # 100 x 1 + 10 x 2, a million
