import asyncio
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from spanwell import conventions as c
from spanwell.pricing import Price
from spanwell.transactions import transaction
from spanwell_proxy.caller import Budget
from spanwell_proxy.failures import ApiError
from spanwell_proxy.limits.budgets import estimate_pusd, reserve, settle, window_of
from spanwell_proxy.state import open_state
from tests.proxy.access.test_keys import make
from tests.proxy.backend import Backend, until
from tests.proxy.gateway import ASK, COST_USD, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
HOURLY = (Budget("hour", 100),)
CALL_PUSD = int(Decimal(COST_USD) * 10**12)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    state = open_state(tmp_path / "state.db")
    yield state
    state.close()


def hold(state: sqlite3.Connection, key_id: str, amount_pusd: int, now: datetime = NOW) -> str:
    """Reserve, and return the reservation."""
    reservation = secrets.token_hex(4)
    reserve(state, reservation, key_id, HOURLY, amount_pusd, now)
    return reservation


def test_a_call_that_fits_is_admitted_and_one_more_is_not(state: sqlite3.Connection) -> None:
    hold(state, "k", 60)

    with pytest.raises(ApiError, match="hourly budget") as refused:
        hold(state, "k", 60)

    assert (refused.value.status, refused.value.kind, refused.value.retry_after_s) == (429, "budget_exceeded", 1.0)


def test_settling_frees_what_was_reserved_and_books_what_it_cost(state: sqlite3.Connection) -> None:
    settle(state, "k", HOURLY, hold(state, "k", 90), 30, NOW)

    hold(state, "k", 70)

    with pytest.raises(ApiError):
        hold(state, "k", 1)


def test_the_refusal_says_when_the_budget_resets(state: sqlite3.Connection) -> None:
    settle(state, "k", HOURLY, hold(state, "k", 100), 100, NOW)

    with pytest.raises(ApiError, match="resets at 2026-11-21T09:00:00Z") as refused:
        hold(state, "k", 1)

    assert refused.value.retry_after_s == 1800


def test_a_new_hour_starts_anew(state: sqlite3.Connection) -> None:
    settle(state, "k", HOURLY, hold(state, "k", 100), 100, NOW)

    assert hold(state, "k", 100, NOW + timedelta(hours=1))


def test_what_a_dead_worker_reserved_expires(state: sqlite3.Connection) -> None:
    hold(state, "k", 100)

    assert hold(state, "k", 100, NOW + timedelta(minutes=31))


def test_keys_do_not_share_budgets(state: sqlite3.Connection) -> None:
    hold(state, "k", 100)

    assert hold(state, "other", 100)


@pytest.mark.parametrize(
    ("period", "began", "ends"),
    [
        ("hour", datetime(2026, 11, 21, 8, tzinfo=UTC), datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("day", datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC)),
        ("month", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("total", datetime(1970, 1, 1, tzinfo=UTC), None),
    ],
)
def test_windows_begin_with_the_clock(period: str, began: datetime, ends: datetime | None) -> None:
    assert (began, ends) == window_of(period, NOW)


def test_the_estimate_is_the_dearest_deployments() -> None:
    cheap = Price(Decimal("1e-6"), Decimal("2e-6"), "v")
    dear = Price(Decimal("1e-6"), Decimal("4e-6"), "v")

    assert estimate_pusd({"max_tokens": 10, "n": 2}, 100, [cheap, dear]) == 51 * 10**6 + 2 * 10 * 4 * 10**6


async def test_many_calls_at_once_on_two_workers_never_overspend(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url))
    backend.pause_s = 0.02
    async with (
        running_proxy(tmp_path, document, sink.port) as one,
        running_proxy(tmp_path, document, sink.port, worker=1) as other,
    ):
        made = await make(one, budgets=[{"usd": "0.001", "period": "total"}])
        replies = [
            reply.status_code
            for _ in range(2)
            for reply in await asyncio.gather(
                *(
                    proxy.post(ASK | {"max_tokens": 30}, authorization=f"Bearer {made['key']}")
                    for proxy in (one, other)
                    for _ in range(50)
                )
            )
        ]

    await sink.wait(200, 20)
    spent = sqlite3.connect(tmp_path / "proxy" / "state.db").execute("SELECT spent_pusd FROM spending").fetchone()[0]
    assert {200, 429} == set(replies)
    assert replies.count(200) * CALL_PUSD == spent <= 10**9


async def test_a_call_that_is_cancelled_while_it_reserves_leaves_nothing_reserved(
    proxy: Proxy, sink: Sink, tmp_path: Path
) -> None:
    made = await make(proxy, budgets=[{"usd": "1", "period": "total"}])
    state = open_state(tmp_path / "proxy" / "state.db")
    with transaction(state):  # the proxy has to wait for it
        with pytest.raises(httpx.ReadTimeout):
            await proxy.post(authorization=f"Bearer {made['key']}", timeout_s=0.6)
        await asyncio.sleep(0.5)

    (span,) = await sink.wait(1)
    await until(lambda: state.execute("SELECT sum(spent_pusd) FROM spending").fetchone() == (0,))
    assert span.attributes[c.ERROR_TYPE] == "client_disconnect"
    assert state.execute("SELECT count(*) FROM reservations").fetchone() == (0,)
    state.close()


async def test_a_used_up_budget_is_told_in_openais_shape(proxy: Proxy) -> None:
    made = await make(proxy, budgets=[{"usd": "0.0001", "period": "hour"}])

    reply = await proxy.post(ASK | {"max_tokens": 1000}, authorization=f"Bearer {made['key']}")

    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "budget_exceeded")
    assert "it resets at" in reply.json()["error"]["message"]
    assert 0 < int(reply.headers["retry-after"]) <= 3600
