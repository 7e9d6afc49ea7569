from datetime import UTC, datetime

import pytest

from spanwell.config import Config
from spanwell.pricing import PriceTable
from spanwell_proxy.config.routes import Deployment, read_routes
from spanwell_proxy.routing.picking import Health, backoff_s, pick
from spanwell_proxy.upstream.client import read_retry_after

Group = tuple[tuple[Deployment, Health], ...]


def group(*weights: float) -> Group:
    params = {"model": "hosted_vllm/tiny", "api_base": "http://gpu/v1"}
    models = [{"model_name": "fox", "litellm_params": params | {"weight": weight}} for weight in weights]
    deployments = read_routes(Config(model_list=models), PriceTable()).deployments["fox"]
    return tuple((deployment, Health()) for deployment in deployments)


@pytest.mark.parametrize(("roll", "chosen"), [(0.0, "fox-0"), (0.74, "fox-0"), (0.76, "fox-1"), (0.999, "fox-1")])
def test_weights_share_the_traffic(roll: float, chosen: str) -> None:
    assert pick(group(3, 1), (), 0.0, roll).id == chosen


def test_what_was_tried_comes_last() -> None:
    assert pick(group(1000, 1), ("fox-0",), 0.0, 0.0).id == "fox-1"


def test_three_failures_in_a_row_cool_a_deployment() -> None:
    members = group(1000, 1)
    for _ in range(3):
        members[0][1].fail(100.0, None)

    chosen = [pick(members, (), now, 0.0).id for now in (104.9, 105.1)]

    assert chosen == ["fox-1", "fox-0"]


def test_a_backend_that_names_a_time_is_left_alone_for_it() -> None:
    health = Health()

    health.fail(100.0, 20.0)

    assert health.cool_until == 120.0


def test_the_last_one_standing_answers_even_when_it_cools() -> None:
    members = group(1, 1)
    members[0][1].fail(100.0, 30.0)
    members[1][1].fail(100.0, 20.0)

    assert pick(members, (), 101.0, 0.0).id == "fox-1"


def test_waits_double_up_to_a_bound() -> None:
    waits = [backoff_s(retry, None, 1.0) for retry in range(7)]

    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(("asked", "wait"), [(3.0, 3.0), (31.0, None)])
def test_what_the_backend_asks_for_is_honoured_within_reason(asked: float, wait: float | None) -> None:
    assert backoff_s(0, asked, 0.5) == wait


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("Sat, 21 Nov 2026 08:00:05 GMT", 5.0), ("soon", None), ("-1", 0.0)]
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert read_retry_after(value, datetime(2026, 11, 21, 8, tzinfo=UTC)) == seconds
