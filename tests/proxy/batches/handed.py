"""A gateway whose backend has a batch API, and its clients."""

import asyncio
from decimal import Decimal
from typing import Any

import orjson

from tests.proxy.backend import SECRET
from tests.proxy.batches.conftest import ENDPOINT
from tests.proxy.batches.provider import Provider
from tests.proxy.gateway import Proxy, config, deployment

HALF = {"input_cost_per_token_batches": 5e-7, "output_cost_per_token_batches": 1e-6}


def document(provider: Provider, name: str = "fox", **sections: Any) -> dict[str, Any]:
    entry = deployment(provider.url, name, model="openai/gpt-tiny", temperature=0.2, **HALF)
    return config(entry | {"model_info": {"batch_api": True, "id": f"{name}-1"}}, **sections)


async def start(proxy: Proxy, *lines: bytes, key: str = "", endpoint: str = ENDPOINT) -> str:
    async with proxy.client(key) as client:
        file = await client.files.create(file=("in.jsonl", b"".join(lines)), purpose="batch")
        wanted: dict[str, Any] = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"}
        return (await client.batches.create(**wanted, metadata={"job": "nightly"})).id


async def finish(proxy: Proxy, batch_id: str, timeout_s: float = 10.0) -> Any:
    async with proxy.client() as client, asyncio.timeout(timeout_s):
        while True:
            batch = await client.batches.retrieve(batch_id)
            if batch.status in ("completed", "failed", "expired", "cancelled"):
                return batch
            await asyncio.sleep(0.02)


async def read(proxy: Proxy, file_id: str | None) -> dict[str, Any]:
    """Results by custom_id."""
    assert file_id
    async with proxy.client() as client:
        content = (await client.files.content(file_id)).content
    assert SECRET.encode() not in content
    return {one["custom_id"]: one for one in map(orjson.loads, content.splitlines())}


async def spend(proxy: Proxy, key_id: str) -> Decimal:
    told = (await proxy.get(f"/admin/keys/{key_id}/spend")).json()
    return Decimal(told["spent_usd"]["total"])
