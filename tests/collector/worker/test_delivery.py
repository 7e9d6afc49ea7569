import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.responses import RedirectResponse, Response, StreamingResponse

from spanwell_collector.worker import delivery, outbox
from spanwell_collector.worker.alerts import State, Transition
from spanwell_collector.worker.client import CollectorClient
from spanwell_collector.worker.delivery import Post, report_events, send_due, webhook_client
from spanwell_collector.worker.schedule import utc_now
from spanwell_collector.worker.sections import Receiver, Rule
from spanwell_collector.worker.webhook import RETRY_SECONDS, body_of, event_of
from tests.collector.worker.fakes import FakeCollector, FakeReceiver, served

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RULE = Rule(name="slow", metric="p95_ms", op=">", threshold=2000, receiver="oncall")


def fire(database: sqlite3.Connection, model: str = "llama") -> None:
    now = utc_now()
    event = event_of(Transition("firing", now, now, 2500), RULE, {"alertname": "slow", "model": model})
    outbox.save_transition(database, State("firing", now), event, body_of(event, ""))


def deliveries(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT delivery FROM outbox ORDER BY seq")]


def _same(moment: datetime) -> datetime:
    return moment


@asynccontextmanager
async def post_to(
    url: str, database: sqlite3.Connection, *, allow_private: bool = True, clock: Callable[[], datetime] = utc_now
) -> AsyncIterator[Post]:
    receiver = Receiver.model_construct(
        name="oncall", url=SecretStr(url), secret=SecretStr(SECRET), allow_private=allow_private
    )
    async with webhook_client() as http:
        yield Post(http, {"oncall": receiver}, database, clock)


async def test_a_receiver_gets_a_signed_alert(database: sqlite3.Connection) -> None:
    receiver = FakeReceiver()
    fire(database)

    with served(receiver.app()) as url:
        async with post_to(f"{url}/hook", database) as post:
            await send_due(post)
            await send_due(post)

    (body,), (headers,) = receiver.bodies, receiver.headers
    assert Webhook(SECRET).verify(body, headers)["status"] == "firing"
    assert headers["host"] == url.removeprefix("http://")
    assert deliveries(database) == ["delivered"]


async def test_a_retry_sends_the_same_bytes_under_the_same_id(database: sqlite3.Connection) -> None:
    receiver = FakeReceiver(lambda number: Response(status_code=503 if number == 1 else 200))
    later = utc_now() + timedelta(seconds=2 * RETRY_SECONDS[0])
    fire(database)

    with served(receiver.app()) as url:
        async with post_to(url, database) as post:
            await send_due(post)
            await send_due(post)
            assert len(receiver.bodies) == 1
        async with post_to(url, database, clock=lambda: later) as post:
            await send_due(post)

    assert receiver.bodies[0] == receiver.bodies[1]
    assert receiver.headers[0]["webhook-id"] == receiver.headers[1]["webhook-id"]
    assert receiver.headers[0]["webhook-timestamp"] != receiver.headers[1]["webhook-timestamp"]
    assert deliveries(database) == ["delivered"]


async def test_retry_after_is_honoured(database: sqlite3.Connection) -> None:
    receiver = FakeReceiver(lambda _: Response(status_code=429, headers={"retry-after": "1000"}))
    fire(database)

    with served(receiver.app()) as url:
        async with post_to(url, database) as post:
            await send_due(post)

    assert outbox.due(database, utc_now() + timedelta(seconds=900)) == []
    assert len(outbox.due(database, utc_now() + timedelta(seconds=1001))) == 1


async def test_after_the_last_try_it_is_given_up(
    database: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    clock = utc_now()
    fire(database)

    for _ in range(len(RETRY_SECONDS) + 1):
        clock += timedelta(days=1)
        async with post_to("http://127.0.0.1:9/secret-path", database, clock=partial(_same, clock)) as post:
            await send_due(post)

    assert deliveries(database) == ["failed"]
    assert "gave up" in caplog.text
    assert "secret-path" not in caplog.text


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_refusal_is_final(database: sqlite3.Connection, status: int) -> None:
    receiver = FakeReceiver(lambda _: Response(status_code=status))
    fire(database)

    with served(receiver.app()) as url:
        async with post_to(url, database) as post:
            await send_due(post)

    assert deliveries(database) == ["failed"]


async def test_a_redirect_is_not_followed(database: sqlite3.Connection) -> None:
    receiver = FakeReceiver(lambda _: RedirectResponse("/inside", status_code=307))
    fire(database)

    with served(receiver.app()) as url:
        async with post_to(url, database) as post:
            await send_due(post)

    assert len(receiver.bodies) == 1
    assert deliveries(database) == ["failed"]


async def test_gone_ends_the_receiver_for_good(database: sqlite3.Connection) -> None:
    receiver = FakeReceiver(lambda _: Response(status_code=410))

    with served(receiver.app()) as url:
        async with post_to(url, database) as post:
            fire(database)
            await send_due(post)
            fire(database, "another")
            await send_due(post)

    assert len(receiver.bodies) == 1
    assert deliveries(database) == ["failed", "failed"]


async def test_an_address_inside_is_never_dialled(database: sqlite3.Connection) -> None:
    receiver = FakeReceiver()
    fire(database)

    with served(receiver.app()) as url:
        async with post_to(url, database, allow_private=False) as post:
            await send_due(post)

    assert receiver.bodies == []
    assert deliveries(database) == ["failed"]


async def test_an_endless_answer_is_cut(database: sqlite3.Connection) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 8192
            await asyncio.sleep(0)

    fire(database)

    with served(FakeReceiver(lambda _: StreamingResponse(endless())).app()) as url:
        async with post_to(url, database) as post:
            await send_due(post)

    assert deliveries(database) == ["delivered"]


async def test_a_receiver_that_hangs_is_tried_again(
    database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.05)

    monkeypatch.setattr(delivery, "SEND_SECONDS", 0.3)
    fire(database)

    with served(FakeReceiver(lambda _: StreamingResponse(dripping())).app()) as url:
        async with post_to(url, database) as post:
            await send_due(post)

    assert deliveries(database) == ["pending"]


async def test_events_are_reported_with_their_delivery(database: sqlite3.Connection) -> None:
    collector = FakeCollector()
    fire(database)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(collector.app()), base_url="http://collector") as http:
        client = CollectorClient(http, "default")
        await report_events(client, database, utc_now)
        outbox.settle(database, outbox.due(database, utc_now())[0].message_id, "delivered")
        await report_events(client, database, utc_now)
        await report_events(client, database, utc_now)

    events = collector.posted["alerts/events"]
    assert [event["delivery"] for event in events] == ["pending", "delivered"]
    assert (
        events[0]["fingerprint"]
        == json.loads(database.execute("SELECT body FROM outbox").fetchone()[0])["alerts"][0]["fingerprint"]
    )


async def test_an_event_that_is_never_taken_does_not_hold_up_the_rest(database: sqlite3.Connection) -> None:
    collector = FakeCollector(status=400)
    fire(database)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(collector.app()), base_url="http://collector") as http:
        await report_events(CollectorClient(http, "default"), database, utc_now)

    assert outbox.unreported(database) == []
