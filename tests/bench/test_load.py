"""The load generator against the backend it is made for."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from spanwell.health import free_port
from tests.bench.load import Load, percentile_ms, requests, run
from tests.bench.processes import running, wait_for
from tests.bench.proxy.targets import LOAD_CORE, backend


@pytest.fixture(scope="module")
def backend_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with backend(tmp_path_factory.mktemp("bench")) as target:
        yield target.url


@pytest.fixture
def load(backend_url: str) -> Load:
    return Load(url=backend_url, key="sk-x", model="m", connections=2, seconds=0.2, warm_s=0.05)


async def test_the_closed_loop_counts_every_answer(load: Load) -> None:
    measure = await run(load)

    assert measure.errors == 0
    assert 0 < measure.calls < measure.answered
    assert 0 < measure.p50_ms <= measure.p95_ms <= measure.p99_ms


async def test_a_stream_has_its_first_byte_before_its_last(load: Load) -> None:
    measure = await run(replace(load, stream=True))

    assert measure.errors == 0
    assert 0 < measure.first_p50_ms < measure.p50_ms


async def test_a_paced_window_keeps_to_its_rate(load: Load) -> None:
    measure = await run(replace(load, rate=100, connections=8, seconds=0.5))

    assert 50 < measure.per_second < 200


async def test_an_answer_that_is_not_200_is_an_error(load: Load, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    # A server of files: it answers any POST with 501.
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with running(command, LOAD_CORE, tmp_path / "log") as server:
        wait_for(url, server)
        measure = await run(replace(load, url=url, connections=1))

    assert measure.answered == 0
    assert measure.errors > 0


def test_percentiles_are_values_of_the_list() -> None:
    assert percentile_ms([0.004, 0.001, 0.003, 0.002], 0.50) == 2.0
    assert percentile_ms([0.004, 0.001, 0.003, 0.002], 0.95) == 4.0


def test_no_two_bodies_are_the_same_and_all_are_as_long(load: Load) -> None:
    made = requests(replace(load, first=41))

    heads, bodies = zip(*(next(made).split(b"\r\n\r\n") for _ in range(3)), strict=True)

    assert len(set(bodies)) == 3
    assert {1024} == {len(body) for body in bodies}
    assert b"content-length: 1024" in heads[0]
    assert "aaaaaaaaaaeb" in json.loads(bodies[0])["messages"][1]["content"]
