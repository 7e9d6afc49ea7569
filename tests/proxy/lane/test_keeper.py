import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanwell_proxy.lane import keeper
from spanwell_proxy.lane.keeper import Wear
from tests.proxy.anthropic_backend import WORDS, running_anthropic
from tests.proxy.backend import WORDS as SHAPED_WORDS
from tests.proxy.backend import running_backend, until
from tests.proxy.gateway import config, deployment, running_proxy
from tests.proxy.lane.lanes import Lane, lane_pids, running_lane
from tests.proxy.sink import running_sink

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Do foxes sleep?"}], "max_tokens": 64}


async def ask(lane: Lane, url: str) -> str:
    answer = await lane.post("/chat/completions", ASK, {"model": "anthropic/claude-fable", "api_base": url})
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


async def test_the_first_call_starts_it_and_is_answered(tmp_path: Path) -> None:
    async with running_anthropic() as backend, running_lane(tmp_path, at_once=False) as lane:
        await asyncio.sleep(0.1)
        before = lane_pids()

        answer = await ask(lane, backend.url)

        health = await lane.health()
        assert before == []
        assert len(lane_pids()) == 1
        assert "".join(WORDS) == answer
        assert health["calls"] + health["served"] == 1  # it counts when all is said
        assert 0 < health["rss_bytes"] < 600e6
    assert lane_pids() == []


async def test_a_call_of_another_worker_starts_it_as_well(tmp_path: Path) -> None:
    said = {"model": "fox", "max_tokens": 64, "messages": ASK["messages"]}
    async with running_sink() as sink, running_backend() as backend:
        document = config(deployment(backend.url, model="openai/tiny"))
        async with (
            running_proxy(tmp_path, document, sink.port),
            running_proxy(tmp_path, document, sink.port, worker=1) as second,
        ):
            before = lane_pids()

            answer = await second.post(said, "/v1/messages")

            assert before == []
            assert len(lane_pids()) == 1
            assert answer.json()["content"][0]["text"] == "".join(SHAPED_WORDS)
    assert lane_pids() == []


async def test_a_worn_process_is_replaced_without_a_failed_call_or_a_broken_stream(tmp_path: Path) -> None:
    seen, answers = set[int](), list[str]()
    async with running_anthropic() as backend, running_lane(tmp_path, wear=Wear(calls=40)) as lane:
        await ask(lane, backend.url)

        async def go_on() -> None:
            while len(seen) < 2:
                answers.append(await ask(lane, backend.url))
                seen.update(lane_pids())

        async with asyncio.timeout(60):
            backend.pause_s = 0.8  # nine events: longer than a process takes to start
            params = {"model": "anthropic/claude-fable", "api_base": backend.url}
            streaming = asyncio.create_task(lane.post("/chat/completions", ASK | {"stream": True}, params))
            await until(lambda: len(backend.requests) == 2)
            backend.pause_s = 0.0
            await asyncio.gather(*(go_on() for _ in range(4)))

    assert {"".join(WORDS)} == set(answers)
    assert (await streaming).text.endswith("data: [DONE]\n\n")
    assert lane_pids() == []


async def test_its_death_is_one_failed_call_and_its_silence_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SILENCE_S", 3.0)
    async with running_anthropic() as backend, running_lane(tmp_path) as lane:
        await ask(lane, backend.url)
        backend.moods.append("hang")
        hanging = asyncio.create_task(ask(lane, backend.url))
        await until(lambda: len(backend.requests) == 2)

        os.kill(lane_pids()[0], signal.SIGKILL)

        with pytest.raises(httpx.TransportError):
            await hanging
        assert "".join(WORDS) == await ask(lane, backend.url)

        (second,) = lane_pids()
        os.kill(second, signal.SIGSTOP)

        assert "".join(WORDS) == await ask(lane, backend.url)
        assert second not in lane_pids()


async def test_callers_do_not_wait_for_one_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))

    async with running_lane(tmp_path, at_once=False) as lane:
        with pytest.raises(httpx.TransportError):
            await lane.health()


async def test_one_that_cannot_even_be_made_does_not_end_the_keeping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    async with running_lane(tmp_path, at_once=False) as lane:
        with pytest.raises(httpx.TransportError):
            await lane.health()
        monkeypatch.undo()

        assert (await lane.health())["calls"] == 0


async def test_only_its_owner_can_reach_it(tmp_path: Path) -> None:
    async with running_lane(tmp_path, at_once=False) as lane:
        assert lane.socket.stat().st_mode & 0o777 == 0o600
        assert lane.socket.parent.stat().st_mode & 0o777 == 0o700


async def test_its_log_says_nothing_of_what_was_asked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = {"query": "q", "documents": [["my secret"]]}
    async with running_lane(tmp_path) as lane:
        answer = await lane.post("/rerank", wrong, {"model": "cohere/rerank-v3.5", "api_base": "http://127.0.0.1:1"})

    assert answer.status_code == 400
    assert "my secret" not in answer.text + capfd.readouterr().err
