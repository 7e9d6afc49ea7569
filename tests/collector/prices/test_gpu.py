"""Processors by the hour: each hour's cost, to the last digit, is either somebody's or idle."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.pricing import Usage
from spanwell_collector.prices.gpu import Hour, divide, list_hours, spread_hour
from spanwell_collector.prices.pools import Pool, read_pools
from spanwell_collector.prices.reprice import Reprice, reprice
from spanwell_collector.prices.spreading import spread_due, spread_window
from spanwell_collector.store.client import Store
from tests.collector.prices.calls import call, insert, read

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
AGO_S = (datetime.now(UTC) - HOUR).total_seconds() - 1800  # the middle of it
ITEM: dict[str, Any] = {"model": "llm", "usd_per_hour": "2.50", "gpus": 4}


def make_pool(project: str, **more: Any) -> Pool:
    (pool,) = read_pools(Config(gpu_hours=[ITEM | more]), project)
    return pool


def measure(store: Store, project: str, *running: float, instance: str = "gpu-0") -> None:
    rows = [
        (project, HOUR + timedelta(minutes=index), "vllm:num_requests_running", instance, {"model_name": "llm"}, value)
        for index, value in enumerate(running)
    ]
    store.insert("metrics", rows, ("project", "ts", "name", "instance", "labels", "value"))


@given(st.decimals(0, 10**5, places=12), st.lists(st.integers(0, 2**33), max_size=50))
def test_the_parts_are_the_whole(usd: Decimal, weights: list[int]) -> None:
    parts = divide(usd, weights)

    assert sum(parts) == (usd if sum(weights) else 0)
    assert all(part >= 0 for part in parts)


def test_an_hour_is_spread_by_tokens_and_the_rest_is_idle(store: Store, project: str) -> None:
    measure(store, project, 0, 3, 0, 1)
    calls = [Usage(input=100, output=100), Usage(input=500, output=100), Usage(input=199, output=0)]
    insert(store, project, *(call("vllm", "llm", usage) for usage in calls), ago_s=AGO_S)

    hour = spread_hour(store, make_pool(project), HOUR)
    rows = read(store, project)

    # 4 x 2.50 an hour, busy in 2 of 4 scrapes: 5 USD over 999 tokens.
    assert hour == Hour(Decimal(10), 0.5, 4, busy_usd=Decimal(5), idle_usd=Decimal(5), calls=3, tokens=999)
    assert [round(row["cost_usd"], 6) for row in rows] == [
        Decimal("1.001001"),  # 5 x 200 / 999
        Decimal("3.003003"),  # 5 x 600 / 999
        Decimal("0.995996"),  # 5 x 199 / 999
    ]
    assert sum(row["cost_usd"] for row in rows) == 5
    assert [row["costs"] == {"gpu": row["cost_usd"]} for row in rows] == [True] * 3
    assert {(row["cost_source"], row["first_cost_usd"]) for row in rows} == {("priced", None)}


def test_a_late_call_shares_the_hour_anew(store: Store, project: str) -> None:
    measure(store, project, 1)
    insert(store, project, call("vllm", "llm", Usage(input=100)), ago_s=AGO_S)
    spread_hour(store, make_pool(project), HOUR)
    insert(store, project, call("vllm", "llm", Usage(input=100)), ago_s=AGO_S - 60)

    spread_hour(store, make_pool(project), HOUR)

    assert [row["cost_usd"] for row in read(store, project)] == [5, 5]
    stored = store.query("SELECT calls FROM spanwell.gpu_hours FINAL WHERE project = {p:String}", {"p": project})
    assert stored.column("calls").to_pylist() == [2]


def test_without_calls_or_measurements_it_is_all_idle(store: Store, project: str) -> None:
    insert(store, project, call("vllm", "llm", Usage(input=100)), ago_s=AGO_S)
    unmeasured = spread_hour(store, make_pool(project), HOUR)
    measure(store, f"{project}-2", 5)

    unused = spread_hour(store, make_pool(f"{project}-2"), HOUR)

    assert unmeasured == Hour(Decimal(10), 0, 0, busy_usd=Decimal(0), idle_usd=Decimal(10), calls=1, tokens=100)
    assert unused == Hour(Decimal(10), 1, 1, busy_usd=Decimal(0), idle_usd=Decimal(10), calls=0, tokens=0)


def test_capacity_deployment_and_instance_say_whose_hour_it_is(store: Store, project: str) -> None:
    measure(store, project, 8, 8)
    measure(store, project, 1, 1, instance="other")
    served = call("vllm", "llm", Usage(input=100), spanwell__deployment="large-0")
    insert(store, project, served, call("vllm", "llm", Usage(input=100)), ago_s=AGO_S)

    hour = spread_hour(store, make_pool(project, capacity=16, deployment="large-0", instance="gpu-0"), HOUR)

    assert hour == Hour(Decimal(10), 0.5, 2, busy_usd=Decimal(5), idle_usd=Decimal(5), calls=1, tokens=100)
    assert [row["cost_usd"] for row in read(store, project)] == [5, None]


def test_a_backend_with_a_price_is_a_pool_of_all_it_serves(store: Store, project: str) -> None:
    backend = {"name": "gpu-0", "url": "http://gpu:8000", "usd_per_gpu_hour": 2.5, "gpus": 4}
    (pool,) = read_pools(Config(backends=[backend, {"url": "http://free:8000"}]), project)
    measure(store, project, 1, 1, instance="gpu:8000")
    ids = ("gpu-0/llm", "gpu-0/lora", "gpu-01/llm")
    calls = [call("vllm", "any", Usage(input=100), spanwell__deployment=name) for name in ids]
    insert(store, project, *calls, ago_s=AGO_S)

    hour = spread_hour(store, pool, HOUR)

    assert (pool.metrics_url, pool.instance) == ("http://gpu:8000/metrics", "gpu:8000")
    assert hour == Hour(Decimal(10), 1, 2, busy_usd=Decimal(10), idle_usd=Decimal(0), calls=2, tokens=200)
    assert [row["cost_usd"] for row in read(store, project)] == [5, 5, None]


def test_what_is_due_is_spread_once(store: Store, project: str) -> None:
    pools = [make_pool(project)]
    now = HOUR + timedelta(hours=1, minutes=6)

    assert spread_due(store, pools, now) == 25
    assert spread_due(store, pools, now + timedelta(minutes=50)) == 0
    assert spread_due(store, pools, now + timedelta(hours=1)) == 1


def test_of_a_window_only_known_hours_are_spread_anew(store: Store, project: str) -> None:
    pools = [make_pool(project)]
    measure(store, project, 1)
    window = (HOUR - timedelta(days=30), HOUR + timedelta(hours=1))

    assert spread_window(store, pools, *window) == 1
    assert spread_window(store, pools, HOUR + timedelta(minutes=1), window[1]) == 0  # half an hour is none
    spread_hour(store, pools[0], HOUR - timedelta(days=2))
    assert spread_window(store, pools, *window) == 2


def test_pricing_anew_leaves_the_share_of_an_hour_alone(store: Store, project: str) -> None:
    measure(store, project, 1)
    insert(store, project, call("openai", "gpt-4o-mini", Usage(input=100)), ago_s=AGO_S)
    spread_hour(store, make_pool(project, model="gpt-4o-mini"), HOUR)
    store.command(
        "INSERT INTO spanwell.metrics SELECT * REPLACE (map('model_name', 'gpt-4o-mini') AS labels)"
        " FROM spanwell.metrics WHERE project = {p:String}",
        {"p": project},
    )
    spread_hour(store, make_pool(project, model="gpt-4o-mini"), HOUR)

    outcome = reprice(store, Reprice(project, HOUR - timedelta(days=1), HOUR + timedelta(days=1)))

    assert outcome.calls == 0
    assert read(store, project)[0]["cost_usd"] == 10


def test_whole_hours_lie_between_two_moments() -> None:
    start = datetime(2026, 11, 1, 10, 30, tzinfo=UTC)

    assert [hour.hour for hour in list_hours(start, start + timedelta(hours=3))] == [11, 12]
    assert [hour.hour for hour in list_hours(start.replace(minute=0), start)] == []


def test_hours_are_utcs_wherever_the_moments_were_read() -> None:
    start = datetime(2026, 11, 1, 10, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))  # 04:30 UTC

    assert [f"{hour:%H:%M%z}" for hour in list_hours(start, start + timedelta(hours=2))] == ["05:00+0000"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"usd_per_hour": 1}, r"gpu_hours\[0\].model: write the name"),
        ({"model": "m"}, r"gpu_hours\[0\].usd_per_hour: write a number above 0"),
        ({"model": "m", "usd_per_hour": -1}, r"usd_per_hour: write a number above 0"),
        ({"model": "m", "usd_per_hour": 1, "gpus": "many"}, r"gpus: write a number above 0"),
        ({"model": "m", "usd_per_hour": 1, "gpu": 1}, r"gpu: not known; allowed are model, deployment"),
        ({"model": "m", "usd_per_hour": 10**6}, r"usd_per_hour: 1000000 an hour; write at most"),
        ({**ITEM, "metrics_url": 8000}, r"gpu_hours\[0\].metrics_url: write text, on one line"),
        ({**ITEM, "metrics_url": "gpu:8000/metrics"}, r"gpu_hours\[0\].metrics_url: write http://host:port/metrics"),
        ({**ITEM, "metrics_url": "file:///etc/passwd"}, "metrics_url: write http://host:port/metrics"),
        ({**ITEM, "metrics_url": "http://root:secret@gpu/metrics"}, "metrics_url: .* no user name in it"),
        ({**ITEM, "metrics_url": "http://gpu:65536/metrics"}, "metrics_url: write http://host:port/metrics"),
        ({**ITEM, "metrics_url": "http://gpu:8000/met rics"}, "metrics_url: write http://host:port/metrics"),
        ({**ITEM, "metrics_url": f"http://{'a' * 64}/metrics"}, "metrics_url: write http://host:port/metrics"),
    ],
)
def test_what_is_wrong_is_named(item: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_pools(Config(gpu_hours=[item]), "default")


@pytest.mark.parametrize(
    ("url", "instance"),
    [
        ("http://127.0.0.1:8000/metrics", "127.0.0.1:8000"),
        ("http://[::1]:8000/metrics", "[::1]:8000"),
        ("http://vllm_0.internal/metrics", "vllm_0.internal:80"),
        ("https://gpu-0.example.com/metrics?all=1", "gpu-0.example.com:443"),
    ],
)
def test_what_is_scraped_is_measured_by_its_address(url: str, instance: str) -> None:
    assert make_pool("p", metrics_url=url).instance == instance
    assert make_pool("p", metrics_url=url, instance="gpu-0").instance == "gpu-0"


def test_a_model_may_stand_once_a_deployment() -> None:
    with pytest.raises(ConfigError, match=r"gpu_hours\[1\]: the same model"):
        read_pools(Config(gpu_hours=[ITEM, ITEM]), "default")
