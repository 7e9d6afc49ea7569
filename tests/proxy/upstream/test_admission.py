import asyncio
import time

import pytest

from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.admission import Admission, find_room
from spanwell_proxy.upstream.settings import KNOBS
from tests.proxy.routing.candidates import weighted


class Place:
    """Takes one at a time."""

    def __init__(self) -> None:
        self.admission = Admission()
        self.order: list[int] = []

    def has_room(self) -> bool:
        return self.admission.count("fox") < 1

    async def enter(self, number: int) -> None:
        await self.admission.wait("fox", KNOBS, self.has_room, 0.0)
        self.admission.begin("fox")
        self.order.append(number)

    def leave(self) -> None:
        self.admission.end("fox")
        self.admission.wake()


async def test_the_first_that_came_goes_first() -> None:
    place = Place()
    await place.enter(0)
    waiting = [asyncio.create_task(place.enter(number)) for number in (1, 2, 3)]
    await asyncio.sleep(0)

    seen = []
    for _ in range(3):
        place.leave()
        await asyncio.sleep(0.01)
        seen.append(list(place.order))

    assert seen == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]
    await asyncio.gather(*waiting)
    assert place.admission.waiting == 0


async def test_who_comes_later_does_not_overtake() -> None:
    place = Place()
    await place.enter(0)
    waiting = asyncio.create_task(place.enter(1))
    await asyncio.sleep(0)

    place.leave()
    late = asyncio.create_task(place.enter(2))
    await waiting

    assert place.order == [0, 1]
    place.leave()
    await late


async def test_who_gives_up_leaves_no_hole() -> None:
    place = Place()
    await place.enter(0)
    first, second = (asyncio.create_task(place.enter(number)) for number in (1, 2))
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    place.leave()
    await asyncio.wait_for(second, 1.0)

    assert place.order == [0, 2]


async def test_room_that_only_time_makes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanwell_proxy.upstream.admission.LOOK_AGAIN_S", 0.02)
    ready_at = time.monotonic() + 0.1

    async with asyncio.timeout(2.0):
        await Admission().wait("fox", KNOBS, lambda: time.monotonic() >= ready_at, 0.0)

    assert time.monotonic() >= ready_at


async def test_no_line_is_made_for_who_may_not_wait() -> None:
    admission = Admission()

    with pytest.raises(ApiError, match="busy"):
        await admission.wait("fox", KNOBS._replace(max_waiting=0), lambda: False, 7.0)

    assert admission.waiting == 0
    admission.wake()


def test_room_is_looked_for_among_those_that_are_ready() -> None:
    members = weighted(1, 1, 1)
    members[0].facts.in_flight = 2
    members[1].facts.breaker.fail(100.0, 30.0)

    found = find_room(members, [2, None, 2], 101.0)

    assert [one.deployment.id for one in found] == ["fox-2"]


def test_where_none_is_ready_all_count() -> None:
    members = weighted(1, 1)
    for member in members:
        member.facts.breaker.fail(100.0, 30.0)

    assert len(find_room(members, [None, 1], 101.0)) == 2
