"""What both stores must do alike."""

from collections.abc import Sequence

import pytest

from spanwell_proxy.limits.redis import RedisLimits
from spanwell_proxy.limits.store import ALIVE_S, Bound, Grant, Order, Spend, Store, StoreAwayError

NOW = 1_763_713_800.0
DAY = 1_763_683_200
TOTAL = (Bound("total", 0, 100),)


async def tell(store: Store, worker: str, order: Order, *, number: int = 1, now: float = NOW) -> Grant:
    answer = await store.sync(worker, number, [order], now)
    return answer.grants[0]


def want(need: int, *, bounds: Sequence[Bound] = TOTAL, **more: int | float | tuple[Spend, ...]) -> Order:
    given = {"spends": (), "reserved": 0, "free": 0} | more
    return Order("usd:key:k", bounds=tuple(bounds), need=need, first=need, **given)  # type: ignore[arg-type]


async def test_what_is_needed_is_granted_while_there_is_room(store: Store) -> None:
    granted = [(await tell(store, worker, want(60))).held for worker in ("a", "b", "c")]

    assert granted == [60, 40, 0]


async def test_what_was_spent_counts_for_everybody(store: Store) -> None:
    await tell(store, "a", want(0, spends=(Spend("total", 0, 70),)))

    grant = await tell(store, "b", want(60))

    assert (grant.held, grant.used) == (30, (70,))


async def test_the_same_number_is_booked_once(store: Store) -> None:
    told = want(0, spends=(Spend("total", 0, 70),))
    for _ in range(2):
        grant = await tell(store, "a", told, number=7)

    assert grant.used == (70,)
    assert [Spend("total", 0, 70)] == await store.read_spent("usd:key:k")


async def test_a_worker_that_fell_silent_holds_nothing(store: Store) -> None:
    await tell(store, "a", want(100))

    early = await tell(store, "b", want(50), now=NOW + ALIVE_S - 1)
    late = await tell(store, "b", want(50), now=NOW + ALIVE_S + 1)

    assert (early.held, late.held) == (0, 50)


async def test_a_worker_that_leaves_holds_nothing(store: Store) -> None:
    await tell(store, "a", want(100))
    await store.leave("a")

    assert (await tell(store, "b", want(100))).held == 100


async def test_the_tightest_limit_decides(store: Store) -> None:
    bounds = (Bound("total", 0, 100), Bound("day", DAY, 30))

    grant = await tell(store, "a", want(50, bounds=bounds, spends=(Spend("day", DAY, 10), Spend("total", 0, 10))))

    assert (grant.held, grant.used) == (20, (10, 10))


async def test_what_was_used_yesterday_does_not_count_today(store: Store) -> None:
    await tell(store, "a", want(0, spends=(Spend("day", DAY - 86400, 100),)))

    assert (await tell(store, "a", want(50, bounds=[Bound("day", DAY, 100)]))).held == 50


async def test_a_minute_slides(store: Store) -> None:
    second = int(NOW)
    await tell(store, "a", want(0, spends=(Spend("minute", second - 40, 60), Spend("minute", second - 10, 30))))

    now = await tell(store, "a", want(50, bounds=[Bound("minute", second - 60, 100)]))
    soon = await tell(store, "a", want(40, free=10, bounds=[Bound("minute", second - 39, 100)]))

    assert (now.held, now.used, now.recent) == (10, (90,), ((second - 40, 60), (second - 10, 30)))
    assert (soon.held, soon.recent) == (50, ())


async def test_a_worker_that_needs_what_another_has_free_has_it_recalled(store: Store) -> None:
    await store.sync("a", 0, [want(100)], NOW)
    short = await tell(store, "b", want(30, since=NOW))

    idle = await store.sync("a", 0, [], NOW)
    back = await tell(store, "a", want(0))
    granted = await tell(store, "b", want(30, since=NOW))

    assert (short.held, idle.recalled, back.others_wait, granted.held) == (0, ("usd:key:k",), True, 30)


async def test_who_waits_longest_comes_first(store: Store) -> None:
    await tell(store, "a", want(0, reserved=80))
    older = await tell(store, "b", want(40, since=NOW - 2))

    younger = await tell(store, "c", want(30, since=NOW - 1))

    assert (older.held, younger.held) == (20, 0)


async def test_more_than_needed_is_granted_far_from_the_edge_alone(store: Store) -> None:
    far = await tell(store, "a", want(10, extra=40))
    near = await tell(store, "b", want(40, extra=40))

    assert (far.held, near.held) == (50, 42)


async def test_what_running_calls_reserved_is_never_taken_back(store: Store) -> None:
    grant = await tell(store, "a", want(20, reserved=90, spends=(Spend("total", 0, 50),)))

    assert grant.held == 90


async def test_large_sums_are_exact(store: Store) -> None:
    much = 999_999_123_456_789_012  # picodollars of a million dollars
    await tell(store, "a", want(0, spends=(Spend("total", 0, much),)))
    await tell(store, "a", want(0, spends=(Spend("total", 0, 1),)), number=2)

    assert [Spend("total", 0, much + 1)] == await store.read_spent("usd:key:k")


async def test_a_store_that_is_away_says_so() -> None:
    away = RedisLimits("redis://127.0.0.1:1/0")

    with pytest.raises(StoreAwayError, match="Redis is away"):
        await away.sync("a", 1, [], NOW)

    await away.close()
