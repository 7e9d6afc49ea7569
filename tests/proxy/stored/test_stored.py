"""Responses that backends keep: found again at the deployment that made them, by those who asked for them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest

from spanwell.health import free_port
from spanwell_proxy.stored.looking import NOWHERE, Look, read_look
from spanwell_proxy.stored.origins import Origin, Origins, open_origins
from spanwell_proxy.tasks import stop_tasks
from tests.proxy.backend import Backend, running_backend
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.redis import running_redis
from tests.proxy.sink import Sink

FOX = Origin("fox-0", "fox", "key_1")


@pytest.fixture(params=["sqlite", "redis"])
def redis_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Both places, by the same tests; "" is SQLite."""
    if request.param == "sqlite":
        yield ""
        return
    with running_redis(tmp_path) as url:
        yield url


@asynccontextmanager
async def opened(path: Path, redis_url: str) -> AsyncIterator[Origins]:
    """As a worker has it."""
    origins = open_origins(path / "state.db", redis_url)
    yield origins
    await origins.close()


async def test_a_response_is_looked_up_changed_and_deleted_where_it_is_kept(sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as one, running_backend() as other:
        document = config(deployment(one.url), deployment(other.url))
        async with running_proxy(tmp_path, document, sink.port) as proxy, proxy.client() as client:
            made = [await client.responses.create(model="fox", input="x", background=True) for _ in range(6)]
            found = [await client.responses.retrieve(response.id) for response in made]
            listed = await client.responses.input_items.list(made[0].id, limit=5)
            cancelled = await client.responses.cancel(made[0].id)
            await client.responses.delete(made[0].id)
            with pytest.raises(openai.NotFoundError, match="Response not found"):
                await client.responses.retrieve(made[0].id)

    assert [response.id for response in found] == [response.id for response in made]
    assert (listed.data, cancelled.status) == ([], "cancelled")
    seen = one if made[0].id.startswith(f"resp_{one.port}") else other
    assert [path for path in seen.paths if "limit" in path] == [f"GET /v1/responses/{made[0].id}/input_items?limit=5"]


async def test_another_worker_finds_it_too(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url))
    async with (
        running_proxy(tmp_path, document, sink.port) as one,
        running_proxy(tmp_path, document, sink.port, worker=1) as other,
        one.client() as mine,
        other.client() as theirs,
    ):
        made = await mine.responses.create(model="fox", input="x")
        found = await theirs.responses.retrieve(made.id)

    assert found.id == made.id


async def test_who_goes_on_with_a_response_is_answered_by_who_made_it(sink: Sink, tmp_path: Path) -> None:
    async with running_backend() as one, running_backend() as other:
        document = config(deployment(one.url), deployment(other.url))
        async with running_proxy(tmp_path, document, sink.port) as proxy, proxy.client() as client:
            first = await client.responses.create(model="fox", input="x")
            for _ in range(8):
                await client.responses.create(model="fox", input="y", previous_response_id=first.id)

    assert sorted((len(one.requests), len(other.requests))) == [0, 9]


async def test_nobody_else_finds_a_response(proxy: Proxy, sink: Sink) -> None:
    keys = [(await proxy.post({"name": name}, "/admin/keys")).json()["key"] for name in ("mine", "theirs")]
    async with proxy.client(keys[0]) as me, proxy.client(keys[1]) as they, proxy.client() as operator:
        made = await me.responses.create(model="fox", input="x")

        for attempt in (
            they.responses.retrieve(made.id),
            they.responses.create(model="fox", input="y", previous_response_id=made.id),
            they.responses.create(model="fox", input="y", conversation=made.id),
            they.responses.create(model="fox", input="y", conversation={"id": made.id}),
            me.responses.retrieve("resp_of_nobody"),
        ):
            with pytest.raises(openai.NotFoundError, match="of yours is known"):
                await attempt
        assert (await me.responses.retrieve(made.id)).id == made.id
        assert (await operator.responses.retrieve(made.id)).id == made.id


async def test_what_was_not_kept_is_not_looked_for(proxy: Proxy, backend: Backend) -> None:
    async with proxy.client() as client:
        made = await client.responses.create(model="fox", input="x", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)

    assert backend.paths == ["/v1/responses"]


async def test_a_backend_sees_its_own_key_and_no_query_but_what_the_api_has(proxy: Proxy, backend: Backend) -> None:
    made = (await proxy.post({"model": "fox", "input": "x"}, "/v1/responses")).json()

    reply = await proxy.get(f"/v1/responses/{made['id']}?include[]=x&api_base=y&api-version=1")

    assert reply.status_code == 200
    assert backend.paths[-1] == f"GET /v1/responses/{made['id']}?include%5B%5D=x"
    assert backend.headers[-1]["authorization"].startswith("Bearer sk-backend")


@pytest.mark.parametrize("path", ["/v1/Responses/resp_1", "/v1/responses/resp_1/else", "/v1/responses/a%2Fb"])
async def test_what_is_no_look_goes_to_no_backend(proxy: Proxy, backend: Backend, path: str) -> None:
    reply = await proxy.get(path)

    assert reply.status_code == 404
    assert backend.paths == []


async def test_an_origin_outlives_its_worker(tmp_path: Path, redis_url: str) -> None:
    async with opened(tmp_path, redis_url) as mine:
        mine.note("resp_1", FOX)

    async with opened(tmp_path, redis_url) as theirs:
        assert await theirs.find("resp_1") == FOX
        assert await theirs.find("resp_2") is None


async def test_an_origin_is_written_behind_the_call_and_found_all_the_same(tmp_path: Path, redis_url: str) -> None:
    async with opened(tmp_path, redis_url) as mine, opened(tmp_path, redis_url) as theirs:
        writing = asyncio.create_task(mine.write())
        mine.note("resp_1", FOX)
        found = await theirs.find("resp_1")
        writing.cancel()

    assert found == FOX


async def test_what_is_being_written_when_it_closes_is_written(tmp_path: Path) -> None:
    for turn in range(5):
        origins = open_origins(tmp_path / str(turn) / "state.db", "")
        writing = asyncio.create_task(origins.write())
        for number in range(3000):
            origins.note(f"resp_{number}", Origin("d", "fox", "key"))
        await asyncio.sleep(0.021 + turn * 0.001)  # amid the first batch: it crashed the process
        await stop_tasks(writing)
        await origins.close()

        async with opened(tmp_path / str(turn), "") as again:
            assert await again.find("resp_2999")


async def test_only_the_latest_stay_in_memory(tmp_path: Path, redis_url: str) -> None:
    async with opened(tmp_path, redis_url) as origins:
        for number in range(10_100):
            origins.note(f"resp_{number}", FOX)
        await origins.flush()

        assert len(origins) == 10_000
        assert await origins.find("resp_0") == FOX


async def test_a_redis_that_is_away_stops_no_call(tmp_path: Path) -> None:
    async with opened(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as origins:
        origins.note("resp_1", FOX)
        await origins.flush()

        assert await origins.find("resp_1") == FOX
        assert await origins.find("resp_2") is None


@pytest.mark.parametrize(
    ("method", "path", "look"),
    [
        ("GET", "/v1/responses/resp_1", Look("GET", "resp_1", "", "")),
        ("DELETE", "/responses/resp_1/", Look("DELETE", "resp_1", "", "")),
        ("POST", "/openai/v1/responses/resp_1/cancel", Look("POST", "resp_1", "/cancel", "")),
        ("GET", "/v1/responses/resp_1/cancel", NOWHERE),
        ("POST", "/v1/responses/resp_1", NOWHERE),
        ("GET", "/v1/Responses/resp_1", NOWHERE),
        ("GET", "/v1/responses/resp_1/other", NOWHERE),
        ("GET", "/v1/responses/../secrets", NOWHERE),
        ("GET", "/v1/responses/a%2f..%2fb", NOWHERE),
        ("GET", "/v1/responses/", None),
        ("GET", "/v1/responsesx", None),
    ],
)
def test_what_is_below_responses_is_a_look_at_an_id_or_goes_nowhere(method: str, path: str, look: Look | None) -> None:
    assert read_look(method, path, b"") == look
