"""OpenAI's client makes a batch, and reads what came of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pytest
from openai import AsyncOpenAI

from spanwell import conventions as c
from tests.proxy.access.test_keys import make
from tests.proxy.backend import WORDS, Backend, until
from tests.proxy.batches.conftest import ENDPOINT, line
from tests.proxy.gateway import Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink


@pytest.fixture
async def proxy(backend: Backend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    document = config(deployment(backend.url), batches={"concurrency": 2, "max_file_mb": 1})
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        yield proxy


async def run_batch(client: AsyncOpenAI, *lines: bytes) -> Any:
    file = await client.files.create(file=("in.jsonl", b"".join(lines)), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"job": "nightly"}
    )

    async def is_over() -> bool:
        return (await client.batches.retrieve(batch.id)).status not in ("validating", "in_progress", "finalizing")

    for _ in range(200):
        if await is_over():
            break
        await until(lambda: True)
        await client.models.list()  # somebody else's call meanwhile
    return await client.batches.retrieve(batch.id)


async def test_a_batch_is_answered_and_traced(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        batch = await run_batch(client, line("a"), line("b"))
        results = [
            orjson.loads(each) for each in (await client.files.content(batch.output_file_id)).content.splitlines()
        ]

    spans = await sink.wait(2)
    assert (batch.status, batch.request_counts.completed, batch.metadata) == ("completed", 2, {"job": "nightly"})
    assert {one["custom_id"] for one in results} == {"a", "b"}
    assert results[0]["response"]["body"]["choices"][0]["message"]["content"] == "".join(WORDS)
    assert [span.attributes[c.REQUEST_MODEL] for span in spans] == ["fox", "fox"]
    assert results[0]["response"]["request_id"] in {span.attributes[c.REQUEST_ID] for span in spans}


async def test_a_refused_line_stands_in_the_file_of_errors(proxy: Proxy, backend: Backend) -> None:
    backend.moods.append("400")
    async with proxy.client() as client:
        batch = await run_batch(client, line("a"))
        content = (await client.files.content(batch.error_file_id)).content

    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert orjson.loads(content)["response"]["status_code"] == 400


async def test_a_batch_belongs_to_its_key(proxy: Proxy) -> None:
    keys = [(await make(proxy, name=name))["key"] for name in "ab"]
    async with proxy.client(keys[0]) as mine, proxy.client(keys[1]) as other, proxy.client() as operator:
        batch = await run_batch(mine, line("a"))

        assert [one.id for one in (await operator.batches.list()).data] == [batch.id]
        assert [*(await other.batches.list()).data, *(await other.files.list()).data] == []
        for forbidden in (other.batches.retrieve(batch.id), other.files.content(batch.output_file_id)):
            with pytest.raises(openai.NotFoundError):
                await forbidden
        with pytest.raises(openai.BadRequestError, match="input_file_id"):
            await other.batches.create(
                input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
            )


async def test_a_file_may_be_read_listed_and_deleted(proxy: Proxy) -> None:
    async with proxy.client() as client:
        file = await client.files.create(file=("in.jsonl", line("a")), purpose="batch")
        listed, content = await client.files.list(), await client.files.content(file.id)
        deleted = await client.files.delete(file.id)

        assert ([one.id for one in listed.data], content.content) == ([file.id], line("a"))
        assert deleted.deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(file.id)


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"endpoint": "/v1/videos"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"metadata": {"a": 7}}, "metadata"),
    ],
)
async def test_a_wrong_field_is_named(proxy: Proxy, wanted: dict[str, Any], param: str) -> None:
    async with proxy.client() as client:
        file = await client.files.create(file=("in.jsonl", line("a")), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": ENDPOINT, "completion_window": "24h"} | wanted

    reply = await proxy.post(body, "/v1/batches")

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_file_has_a_bound_and_a_purpose(proxy: Proxy) -> None:
    async with proxy.client() as client:
        with pytest.raises(openai.APIStatusError, match="max_file_mb"):
            await client.files.create(file=("in.jsonl", b"x" * (1024 * 1024 + 1)), purpose="batch")
        with pytest.raises(openai.BadRequestError, match="purpose"):
            await client.files.create(file=("in.jsonl", b"x"), purpose="fine-tune")


async def test_a_batch_may_be_cancelled_at_once(proxy: Proxy) -> None:
    async with proxy.client() as client:
        file = await client.files.create(file=("in.jsonl", line("a")), purpose="batch")
        made = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        with pytest.raises(openai.ConflictError, match="cancel it first"):
            await client.files.delete(file.id)
        await client.batches.cancel(made.id)
        for _ in range(200):
            batch = await client.batches.retrieve(made.id)
            if batch.status == "cancelled":
                break
            await asyncio.sleep(0.02)
        await client.files.delete(file.id)

    assert (batch.status, batch.output_file_id) == ("cancelled", None)


async def test_a_stranger_is_refused_before_the_file_is_read(proxy: Proxy) -> None:
    url = httpx.URL(proxy.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = "POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-wrong\r\ncontent-length: 1000000\r\n"
    writer.write(head.encode() + b"content-type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")

    async with asyncio.timeout(5):
        status = await reader.readline()

    writer.close()
    assert b" 401 " in status


@pytest.mark.parametrize(("path", "size"), [("/v1/files", 3_000_000), ("/v1/batches", 5_000_000)])
async def test_a_request_has_a_bound(proxy: Proxy, path: str, size: int) -> None:
    head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'

    reply = await proxy.post(head + b"x" * size, path, content_type="multipart/form-data; boundary=x")

    assert reply.status_code == 413


async def test_nobody_comes_without_a_key(proxy: Proxy) -> None:
    async with proxy.client("sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.batches.list()
