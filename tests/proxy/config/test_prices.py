"""What the gateway charges: each kind of token, the tier it was served in, and the user's own prices by their date."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanwell import conventions as c
from spanwell.config import Config
from spanwell.pricing import PriceTable, Usage
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.chat_stream import ChatReader
from spanwell_proxy.apis.usage import read_service_tier, read_usage
from spanwell_proxy.call import Call, Message, begin_call
from spanwell_proxy.config.reading import read_routes
from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.telemetry.spans import Batch
from spanwell_proxy.upstream.accounting import account

LISTED = {
    "litellm_provider": "openai",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 8e-06,
    "input_cost_per_token_priority": 4e-06,
    "output_cost_per_token_priority": 16e-06,
    "input_cost_per_audio_token": 4e-05,
    "output_cost_per_audio_token": 8e-05,
}
OWN = {"model": "gpt-x", "provider": "openai", "input_usd_per_million": 1, "output_usd_per_million": 1}
NOON = datetime(2026, 11, 4, 12, tzinfo=UTC)


async def receive() -> Message:
    return {}


async def send(message: Message) -> None:
    pass


def deploy(*prices: dict[str, Any], **params: Any) -> Deployment:
    item = {"model_name": "chat", "litellm_params": {"model": "openai/gpt-x", **params}}
    routes = read_routes(Config(model_list=[item], prices=list(prices)), PriceTable("list", {"gpt-x": LISTED}))
    return routes.deployments["chat"][0]


def charge(deployment: Deployment, *, at: datetime = NOON, tier: str | None = None, **usage: Any) -> Call:
    call = begin_call(CHAT, {}, receive, send)
    call.started_ns, call.deployment = int(at.timestamp()) * 10**9, deployment
    used = {"prompt_tokens": 1000, "completion_tokens": 100, **usage}
    call.document = {"model": "gpt-x-2026-01-31", "choices": [], "usage": used, "service_tier": tier}
    account(call, deployment)
    return call


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        # OpenAI's
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 500,
                "prompt_tokens_details": {"cached_tokens": 200, "audio_tokens": 300, "image_tokens": 50},
                "completion_tokens_details": {"reasoning_tokens": 40, "audio_tokens": 60, "image_tokens": 70},
            },
            Usage(1000, 500, 200, 0, 40, 0, 300, 60, 50, 70),
        ),
        # Anthropic's, as LiteLLM tells it: the prompt includes what was read from and written to the cache
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 10,
                "cache_creation_input_tokens": 400,
                "cache_read_input_tokens": 500,
                "prompt_tokens_details": {
                    "cached_tokens": 500,
                    "cache_creation_tokens": 400,
                    "cache_creation_token_details": {
                        "ephemeral_5m_input_tokens": 100,
                        "ephemeral_1h_input_tokens": 300,
                    },
                },
            },
            Usage(input=1000, output=10, cached=500, cache_write=400, cache_write_1h=300),
        ),
        # Nonsense
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"audio_tokens": 99, "cache_creation_token_details": [1]}},
            Usage(input=10, audio_input=10),
        ),
    ],
)
def test_every_kind_of_token_is_read(reported: dict[str, Any], expected: Usage) -> None:
    assert read_usage(reported) == expected


@pytest.mark.parametrize(
    ("answered", "asked", "expected"),
    [
        ("default", "priority", ""),  # it was asked for and not given
        ("priority", "auto", "priority"),
        (None, "flex", "flex"),
        ("unheard-of", None, ""),
        ([7], None, ""),
    ],
)
def test_the_tier_is_the_one_a_call_was_served_in(answered: Any, asked: Any, expected: str) -> None:
    assert read_service_tier(answered, asked) == expected


def test_a_tier_is_charged_by_its_own_rates() -> None:
    # 1000 x 2 + 100 x 8, and twice that, a million
    assert [charge(deploy(), tier=tier).cost_usd for tier in ("default", "priority")] == [
        Decimal("0.0028"),
        Decimal("0.0056"),
    ]


def test_audio_is_charged_as_audio() -> None:
    call = charge(deploy(), prompt_tokens_details={"audio_tokens": 400})

    assert call.cost_usd == Decimal("0.018")  # 600 x 2 + 400 x 40 + 100 x 8 = 1200 + 16000 + 800


def test_a_stream_names_its_tier() -> None:
    reader = ChatReader(hide_usage=False)

    reader.feed(b'data: {"choices": [], "service_tier": "priority"}\n\ndata: {"choices": []}\n\n')

    assert reader.service_tier == "priority"


def test_the_users_word_holds_from_its_date_on() -> None:
    deployment = deploy(OWN | {"from": date(2026, 11, 4)}, OWN | {"input_usd_per_million": 5})
    eve = datetime(2026, 11, 3, 23, 59, 59, tzinfo=UTC)

    costs = [charge(deployment, at=at).cost_usd for at in (eve, NOON)]

    assert costs == [Decimal("0.0051"), Decimal("0.0011")]  # 1000 x 5 + 100 x 1, then 1000 x 1 + 100 x 1


@pytest.mark.parametrize("model", ["gpt-x", "gpt-x-2026-01-31", "chat"])
@pytest.mark.parametrize("provider", ["openai", ""])
def test_the_users_word_may_name_what_was_asked_for_or_what_answered(model: str, provider: str) -> None:
    call = charge(deploy(OWN | {"model": model, "provider": provider}, input_cost_per_token=3e-06))

    assert call.cost_usd == Decimal("0.0011")


def test_another_providers_price_is_not_this_ones() -> None:
    assert charge(deploy(OWN | {"provider": "azure"})).cost_usd == Decimal("0.0028")


def test_a_deployments_own_price_may_have_every_rate() -> None:
    own = {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "input_cost_per_token_priority": 9e-06}

    call = charge(deploy(**own), tier="priority")

    assert call.cost_usd == Decimal("0.0091")  # 1000 x 9 + 100 x 1, a million
    assert call.deployment
    assert "input_cost_per_token_priority" not in call.deployment.params


def test_a_span_tells_what_it_was_charged_by() -> None:
    call = charge(deploy(OWN), tier="priority", prompt_tokens_details={"audio_tokens": 400})
    batch = Batch()
    batch.add(call, keep_text=None)

    request = ExportTraceServiceRequest.FromString(batch.encode({}))
    (span,) = request.resource_spans[0].scope_spans[0].spans
    told = {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}

    assert (told[c.SERVICE_TIER], told[c.AUDIO_INPUT_TOKENS]) == ("priority", 400)
    assert call.price
    assert told[c.PRICE_VERSION] == call.price.version
    assert call.price.version.startswith("config-")
