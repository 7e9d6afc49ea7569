"""The demo's applications, with the stock openai client straight at the simulator."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import httpx
import openai
import pytest

from spanwell.demo.apps import run_session
from spanwell.demo.profiles import FLAKY, QWEN, STEADY
from spanwell.demo.sessions import APPS, Dealer, Session
from spanwell.demo.simulator import Simulator
from spanwell.demo.tools import track_parcel
from spanwell.demo.traffic import wait_until_healthy

MODELS = (
    replace(STEADY, name="support-chat"),
    replace(STEADY, name="llama-8b"),
    replace(QWEN, name="code-assist"),
    replace(QWEN, name="qwen-32b"),
    replace(FLAKY, name="summarizer", error_rate=0.0),
)


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.ASGITransport(app=Simulator(MODELS, time_scale=0))
    http = httpx.AsyncClient(transport=transport)
    async with openai.AsyncOpenAI(
        base_url="http://simulated/v1", api_key="none", max_retries=0, http_client=http
    ) as client:
        yield client


def sessions(app_name: str) -> list[Session]:
    dealer = Dealer(Random(1), "t")
    app = next(app for app in APPS if app.name == app_name)
    return [dealer.deal_session(app, shifted=True) for _ in range(6)]


@pytest.mark.parametrize("app", ["support", "ide", "help-center", "digest"])
async def test_every_app_gets_answers(client: openai.AsyncOpenAI, app: str) -> None:
    for session in sessions(app):
        answer = await run_session(client, session, Random(1), pace=0)

        assert answer is not None
        assert answer.draft.text


async def test_a_document_over_the_context_window_is_refused(client: openai.AsyncOpenAI) -> None:
    session = Dealer(Random(1), "t").deal_oversized()

    with pytest.raises(openai.BadRequestError, match="maximum context length is 2048 tokens"):
        await run_session(client, session, Random(1))


@pytest.mark.parametrize("arguments", ['{"order_', "[]", ""])
def test_a_tool_tells_a_model_that_wrote_no_object(arguments: str) -> None:
    assert "not a JSON object" in track_parcel(arguments)


def test_a_deck_of_apps_deals_each_its_share() -> None:
    dealer = Dealer(Random(1), "t")

    dealt = [dealer.deal_app().name for _ in range(100)]

    assert {app.name: dealt.count(app.name) for app in APPS} == {app.name: round(app.share * 100) for app in APPS}


async def test_waiting_for_a_process_ends_when_it_answers() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        await asyncio.wait_for(wait_until_healthy(f"http://127.0.0.1:{port}/health", "test"), 5)
