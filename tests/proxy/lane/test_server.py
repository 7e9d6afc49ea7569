from typing import Any

from spanwell_proxy.lane.server import MOST_CALLS, Lane


async def ask(lane: Lane, method: str = "POST") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    await lane.app({"type": "http", "method": method, "path": "/chat/completions", "headers": []}, receive, send)
    return sent


async def test_calls_beyond_the_bound_are_told_to_come_back() -> None:
    lane = Lane(most_calls=1, most_bytes=10**12)
    lane.running = MOST_CALLS

    head, body = await ask(lane)

    assert head["status"] == 503
    assert (b"retry-after", b"1") in head["headers"]
    assert b"lane_busy" in body["body"]
    assert (lane.running, lane.served) == (MOST_CALLS, 0)


async def test_it_is_worn_by_calls_or_by_memory() -> None:
    lane = Lane(most_calls=2, most_bytes=10**12)

    before, lane.served = lane.is_worn(), 2

    assert (before, lane.is_worn(), Lane(most_calls=2, most_bytes=1).is_worn()) == (False, True, True)
