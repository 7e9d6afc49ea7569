"""What the gateway tells of itself is in its document, and what is in the document is told."""

import re
from pathlib import Path

import pytest

from spanwell import conventions as c
from spanwell_proxy.serving import app  # whatever it is made of has registered its metrics by now
from spanwell_proxy.telemetry import metrics

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "gateway-telemetry.md"
ELSEWHERE = ("spanwell.batch.", "spanwell.input", "spanwell.output", "spanwell.project", "spanwell.usage.basis")
BY_OTHERS = {c.DIALECT, c.DUPLICATE_OF, c.REPORTED_COST_USD}


@pytest.fixture
def document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def test_every_attribute_is_documented(document: str) -> None:
    named = {value for key, value in vars(c).items() if key.isupper() and isinstance(value, str)}

    own = {name for name in named - BY_OTHERS if name.startswith("spanwell.") and not name.startswith(ELSEWHERE)}

    assert sorted(name for name in own if f"`{name}`" not in document) == []


def test_every_metric_is_documented_and_none_else(document: str) -> None:
    assert app
    registered = {metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics.REGISTRY.collect()}
    derived = {"llm_cache_hit_rate", "llm_gpu_utilization", "llm_gpu_memory_bytes"}

    told = set(re.findall(r"`((?:llm|process|spanwell)_[a-z_]+)`", document))

    assert told == registered | derived
