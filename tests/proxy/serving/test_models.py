"""The list of models, in the shape each client expects."""

from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic

from tests.proxy.backend import Backend
from tests.proxy.gateway import MASTER_KEY, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink


@pytest.fixture
async def zoo(backend: Backend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    wild = deployment(backend.url, "wild/*", model="hosted_vllm/*")
    document = config(deployment(backend.url), deployment(backend.url, "org/owl"), wild)
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        yield proxy


async def test_openais_client_lists_and_finds(zoo: Proxy) -> None:
    async with zoo.client() as client:
        listed = [model.id async for model in client.models.list()]
        found = await client.models.retrieve("org/owl")
        caught = await client.models.retrieve("wild/cat")
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.models.retrieve("crow")

    assert listed == ["fox", "org/owl"]
    assert (found.id, found.object, found.owned_by, caught.id) == ("org/owl", "model", "vllm", "wild/cat")


async def test_anthropics_client_lists_and_finds(zoo: Proxy) -> None:
    async with AsyncAnthropic(base_url=zoo.url, api_key=MASTER_KEY, max_retries=0) as client:
        listed = [model.id async for model in client.models.list()]
        found = await client.models.retrieve("fox")
        with pytest.raises(anthropic.NotFoundError, match="does not exist"):
            await client.models.retrieve("crow")

    assert listed == ["fox", "org/owl"]
    assert (found.id, found.type, found.display_name) == ("fox", "model", "fox")


@pytest.mark.parametrize("path", ["/models", "/v1/models/", "/openai/models", "/openai/v1/models"])
async def test_the_list_has_several_paths(zoo: Proxy, path: str) -> None:
    reply = await zoo.get(path)

    assert [model["id"] for model in reply.json()["data"]] == ["fox", "org/owl"]


async def test_a_key_sees_what_it_may_use(zoo: Proxy) -> None:
    key = (await zoo.post({"name": "k", "models": ["fox"]}, "/admin/keys")).json()["key"]

    listed = await zoo.get("/v1/models", key)
    other = await zoo.get("/v1/models/org/owl", key)

    assert [model["id"] for model in listed.json()["data"]] == ["fox"]
    assert other.status_code == 404


async def test_a_stranger_sees_nothing(zoo: Proxy) -> None:
    reply = await zoo.get("/v1/models", "sk-wrong-key-000000000000")

    assert reply.status_code == 401
