"""Steady live traffic through the proxy: sessions of all apps, bursts of oversized documents, interns over budget."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Final

import httpx
import openai

import spanwell
from spanwell.demo.answers import is_weak
from spanwell.demo.apps import Answer, ask, run_session
from spanwell.demo.config import DEMO_KEY, DEMO_TEAM, INTERNS_BUDGET_USD, INTERNS_KEY, INTERNS_TEAM
from spanwell.demo.planted import BURST_EVERY, BURST_FIRST_AFTER, BURST_LASTS, SHIFTED_APP
from spanwell.demo.sessions import APPS, CALLS_A_SESSION, Dealer, Session, conversation
from spanwell.health import get_status
from spanwell.settings import Settings

CALLS_PER_SECOND: Final = 1.2  # where the history ends, so that no chart has a step there
MOST_SESSIONS: Final = 60
OVERSIZED_EVERY_S: Final = 1.5
FEEDBACK_SHARE: Final = 0.15
BROKE_PAUSE_S: Final = 60.0

BACKEND_TROUBLE = (openai.OpenAIError, httpx.HTTPError)

logger = logging.getLogger(__name__)


class Traffic:
    """Runs until cancelled. While the proxy is away it waits, and says so once."""

    def __init__(self, settings: Settings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._dealer = Dealer(random, f"l{int(time.time()) % 1_000_000:06d}-")
        self._client = _client(settings, DEMO_KEY)
        self._interns = _client(settings, INTERNS_KEY)
        self._outage = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST_SESSIONS)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_bursts())
                group.create_task(self._run_interns())
                await self._begin_sessions(group)
        finally:
            await self._client.close()
            await self._interns.close()

    async def _begin_sessions(self, group: asyncio.TaskGroup) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(CALLS_PER_SECOND / CALLS_A_SESSION))
            await self._room.acquire()
            session = self._dealer.deal_session(self._dealer.deal_app(), shifted=True)
            group.create_task(self._run_session(session))

    async def _run_session(self, session: Session) -> None:
        try:
            answer = await self._try(partial(run_session, self._client, session, self._random))
            if answer is not None and session.app.name == SHIFTED_APP and self._random.random() < FEEDBACK_SHARE:
                self._rate(answer)
        finally:
            self._room.release()

    def _rate(self, answer: Answer) -> None:
        pleased = self._random.random() < (0.2 if is_weak(answer.draft.text) else 0.92)
        spanwell.score(
            "user-feedback",
            1.0 if pleased else 0.0,
            trace_id=answer.trace_id,
            span_id=answer.span_id,
            source="user",
        )

    async def _send_bursts(self) -> None:
        """Documents over the context window, in bursts: each is refused with status 400."""
        await asyncio.sleep(BURST_FIRST_AFTER.total_seconds())
        while True:
            for _ in range(int(BURST_LASTS.total_seconds() / OVERSIZED_EVERY_S)):
                session = self._dealer.deal_oversized()
                await self._try(partial(run_session, self._client, session, self._random))
                await asyncio.sleep(OVERSIZED_EVERY_S)
            await asyncio.sleep((BURST_EVERY - BURST_LASTS).total_seconds())

    async def _run_interns(self) -> None:
        """A team that uses up its hourly budget, and asks again a minute later."""
        app = next(app for app in APPS if app.name == "ide")
        while True:
            session = self._dealer.deal_session(app, shifted=True)
            messages = next(conversation(session))
            answer = await self._try(partial(ask, self._interns, session, messages, self._random))
            await asyncio.sleep(BROKE_PAUSE_S if answer is None else 2.0)

    async def _try(self, call: Callable[[], Awaitable[Answer | None]]) -> Answer | None:
        """None when the proxy or a backend would not answer: errors are part of the demo, and stand on the spans."""
        try:
            return await call()
        except openai.APIConnectionError:
            async with self._outage:  # one asks and says so, the others wait for it
                await wait_until_healthy(f"{self._settings.proxy_url}/health", "proxy")
        except BACKEND_TROUBLE as error:
            logger.debug("a call failed: %s", error)
        return None


async def wait_until_healthy(url: str, name: str) -> None:
    """Return once `url` answers 200; log if that takes more than a moment."""
    started_s, told = time.monotonic(), False
    while await get_status(url) != 200:
        if not told and time.monotonic() - started_s > 1:
            logger.info("waiting for the %s", name)
            told = True
        await asyncio.sleep(0.25)


async def import_keys(settings: Settings, master_key: str) -> None:
    """Make the demo's two keys known to the proxy; a key that is known already stays as it is."""
    budget = {"usd": INTERNS_BUDGET_USD, "period": "hour"}
    wanted = (
        {"key": DEMO_KEY, "name": "demo", "team": DEMO_TEAM},
        {"key": INTERNS_KEY, "name": "interns", "team": INTERNS_TEAM, "budgets": [budget]},
    )
    headers = {"authorization": f"Bearer {master_key}"}
    async with httpx.AsyncClient(base_url=settings.proxy_url, headers=headers, timeout=10, trust_env=False) as http:
        for key in wanted:
            response = await http.post("/admin/keys", json=key)
            if response.status_code not in (200, 201, 409):
                logger.warning("key %s: the proxy answered %s", key["name"], response.status_code)


def _client(settings: Settings, key: str) -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(trust_env=False, timeout=60)
    return openai.AsyncOpenAI(base_url=f"{settings.proxy_url}/v1", api_key=key, max_retries=0, http_client=http)
