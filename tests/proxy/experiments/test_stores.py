"""What workers share of experiments: the same for SQLite and Redis."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from spanwell.health import free_port
from spanwell_proxy.experiments.redis import RedisTrials
from spanwell_proxy.experiments.sqlite import SqliteTrials
from spanwell_proxy.experiments.store import Observation, StoreAwayError, TrialStore
from spanwell_proxy.routing.evidence import Tally
from spanwell_proxy.routing.experiments import State
from tests.proxy.redis import running_redis

PROMOTED = State("promoted", "new", "abc", 1, "better", "operator", 1795207129.5)


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", "redis"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[TrialStore, TrialStore]]:
    """Those of two workers."""
    pair: tuple[TrialStore, TrialStore]
    if request.param == "sqlite":
        pair = SqliteTrials(tmp_path / "state.db"), SqliteTrials(tmp_path / "state.db")
    else:
        url = request.getfixturevalue("redis_url")
        with Redis.from_url(url) as client:
            client.flushdb()
        pair = RedisTrials(url), RedisTrials(url)
    yield pair
    for store in pair:
        await store.close()


async def test_what_two_workers_observe_adds_up(stores: tuple[TrialStore, TrialStore]) -> None:
    for store, value in zip(stores, (2.0, 3.0), strict=True):
        await store.sync([Observation("trial/abc/0", "new", 0, (("latency", value),))], [])

    shared = await stores[0].sync([], ["trial/abc/0", "trial/abc/1"])

    assert shared.counts == {"trial/abc/0": {("new", "latency"): Tally(2, 5.0, 13.0)}, "trial/abc/1": {}}


async def test_a_unit_counts_once_wherever_it_calls(stores: tuple[TrialStore, TrialStore]) -> None:
    for store in stores:
        await store.sync([Observation("trial/abc/0", "new", 7, (("errors", 1.0),))] * 2, [])

    shared = await stores[1].sync([], ["trial/abc/0"])

    assert shared.counts["trial/abc/0"] == {("new", "errors"): Tally(1, 1.0, 1.0)}


async def test_a_decision_is_seen_by_all(stores: tuple[TrialStore, TrialStore]) -> None:
    await stores[0].decide("trial", PROMOTED)

    assert (await stores[1].sync([], [])).states == {"trial": PROMOTED}


async def test_a_guardrail_does_not_undo_what_an_operator_decided(stores: tuple[TrialStore, TrialStore]) -> None:
    first = await stores[0].decide("trial", PROMOTED, only_if=State())
    late = await stores[1].decide("trial", State("rolled-back", "old", "abc"), only_if=State())
    next_ = await stores[1].decide("trial", State("rolled-back", "old", "abc"), only_if=PROMOTED)

    assert (first, late, next_) == (True, False, True)


async def test_tallies_from_elsewhere_take_the_place_of_older_ones(stores: tuple[TrialStore, TrialStore]) -> None:
    for tally in (Tally(1, 0.5, 0.25), Tally(3, 2.0, 1.5)):
        await stores[0].replace("trial/abc/0", {("new", "score:helpful"): tally})

    shared = await stores[1].sync([], ["trial/abc/0"])

    assert shared.counts["trial/abc/0"] == {("new", "score:helpful"): Tally(3, 2.0, 1.5)}


async def test_a_store_that_is_away_says_so() -> None:
    store = RedisTrials(f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(StoreAwayError, match="the experiments cannot be read now"):
        await store.sync([], [])
    await store.close()
