"""`spanwell routes` and `spanwell experiments` against a running gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from spanwell.cli.main import main
from tests.proxy.backend import Backend
from tests.proxy.gateway import config, deployment, running_proxy
from tests.proxy.sink import Sink

Run = Callable[..., Awaitable[str]]
LEVELS = [{"up_to": 0.2, "models": ["fox"]}, {"models": ["owl"]}]
ROUTING = {
    "routes": {"smart": {"models": ["fox", "owl"], "complexity": {"levels": LEVELS}}},
    "experiments": {
        "trial": {"model": "fox", "control": "old", "arms": {"old": {}, "new": {}}, "guardrails": ["errors"]}
    },
}


@pytest.fixture
async def spanwell(
    backend: Backend,
    sink: Sink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Run]:
    """Runs a command; gives what it printed."""
    document = config(deployment(backend.url), deployment(backend.url, "owl"), routing=ROUTING)
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        await proxy.post(x_spanwell_user="mia")
        await asyncio.sleep(0.5)
        monkeypatch.setenv("SPANWELL_PROXY_PORT", proxy.url.rpartition(":")[2])
        monkeypatch.setenv("SPANWELL_CONFIG", str(tmp_path / "spanwell.yaml"))

        async def run(*words: str) -> str:
            await asyncio.to_thread(main, words)
            captured = capsys.readouterr()
            return captured.out + captured.err

        yield run


async def test_routes_are_listed(spanwell: Run) -> None:
    lines = (await spanwell("routes", "list")).splitlines()

    assert [line.split()[:3] for line in lines[1:]] == [
        ["fox", "weighted", "fox-0"],
        ["owl", "weighted", "owl-0"],
        ["smart", "weighted", "fox-0"],
        ["smart", "weighted", "owl-0"],
    ]


async def test_a_question_is_explained(spanwell: Run) -> None:
    told = await spanwell("routes", "explain", "smart", "Prove why, step by step.")

    assert "complexity 0.401, so owl" in told
    assert "reasoning  1" in told
    assert "owl-0       owl    100.0%" in told


async def test_an_experiment_is_shown_and_decided(spanwell: Run) -> None:
    shown = await spanwell("experiments", "show", "trial")
    promoted = await spanwell("experiments", "promote", "trial", "--reason", "as good")
    listed = await spanwell("experiments", "list")
    refused = await spanwell("experiments", "pin", "trial", "other")

    assert "new  errors  0.01" in shown
    assert promoted == "trial is promoted: all calls go to new\n"
    assert "promoted  new  operator  as good" in listed
    assert refused == "error: the gateway answered 400: arm: 'other' is none of trial: old, new\n"
