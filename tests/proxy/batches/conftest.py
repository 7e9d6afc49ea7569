"""A store in the test's own folder, and an asker that answers at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from spanwell_proxy.batches import handing, runner, standing
from spanwell_proxy.batches.runner import Runner
from spanwell_proxy.batches.store import BatchStore, Row
from spanwell_proxy.orders import Answered
from spanwell_proxy.tasks import stop_tasks
from tests.proxy.batches.provider import Provider, running_provider

ENDPOINT = "/v1/chat/completions"


class Asker:
    """Answers each line with its own words; the first `refusals` answers are a 429."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()  # who asks in the name of `held` waits for it
        self.held = ""
        self.refused, self.retry_after_s = "", 0.0  # whoever this is, it is a 429
        self.asked: list[str] = []
        self.refusals = 0
        self.status = 200
        self.under_way = 0
        self.most = 0

    async def __call__(self, owner: str, endpoint: str, body: bytes) -> Answered:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        if owner == self.held:
            await self.gate.wait()
        self.under_way -= 1
        content = orjson.loads(body)["messages"][0]["content"]
        self.asked.append(f"{owner} {content}")
        assert endpoint == ENDPOINT
        if owner == self.refused:
            return Answered(429, "r", b"{}", retry_after_s=self.retry_after_s)
        if self.refusals:
            self.refusals -= 1
            return Answered(429, "r", b"{}", retry_after_s=0.001)
        return Answered(self.status, f"req-{content}", orjson.dumps({"echo": content}))


@pytest.fixture
def asker() -> Asker:
    return Asker()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BatchStore]:
    store = BatchStore(tmp_path / "batches")
    yield store
    store.close()


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    """One that is looked at often."""
    for module in (handing, standing):
        monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.02)
        monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.05)
    for module in (runner, standing):
        monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)
    async with running_provider() as provider:
        yield provider


def line(custom_id: str, /, **changes: object) -> bytes:
    body = {"model": "fox", "messages": [{"role": "user", "content": custom_id}]}
    said = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return orjson.dumps(said | changes, option=orjson.OPT_APPEND_NEWLINE)


def add_batch(store: BatchStore, *lines: bytes, batch_id: str = "batch_1", **facts: object) -> str:
    """A batch whose file is these lines; its id."""
    now = int(time.time())
    with store.write_file() as (file_id, file):
        file.write(b"".join(lines))
    times = {"created_at": now, "expires_at": now + 86_400}
    store.add_file(file_id, {"owner": "key_1", "filename": "in.jsonl", "purpose": "batch", **times})
    row: Row = {
        "id": batch_id,
        "output_file_id": f"{batch_id}-output",
        "error_file_id": f"{batch_id}-errors",
        "owner": "key_1",
        "endpoint": ENDPOINT,
        "input_file_id": file_id,
        "status": "validating",
        "errors": [],
        **times,
        **facts,
    }
    store.add_batch(row)
    return batch_id


async def finish(runner: Runner, store: BatchStore, *left_open: str) -> None:
    """Let it work until only these batches are open."""
    working = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(10):
            while {row["id"] for row in store.list_open()} != set(left_open):
                assert not working.done()
                await asyncio.sleep(0.005)
    finally:
        await stop_tasks(working)


def read_results(store: BatchStore, file_id: str) -> list[Row]:
    with store.read_file(file_id) as file:
        return [orjson.loads(each) for each in file]
