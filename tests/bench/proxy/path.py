"""What a call costs between the server and the socket to the backend: `python -m tests.bench.proxy.path`.

In one process and without a network, a batch at a time: the least of many short batches hardly depends on who else is
running, so two versions can be told apart on a busy machine. With `--profile` it shows where the time goes.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import logging
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
import yaml

from spanwell.settings import Settings
from spanwell_proxy.plan import read_plan
from spanwell_proxy.serving.app import AsgiApp, create_app
from spanwell_proxy.upstream.wire import Wire
from tests.bench.load import Load, requests
from tests.bench.proxy.targets import BUDGETS, MASTER_KEY, MODEL, litellm_config
from tests.bench.upstream import COMPLETION

BATCHES, BATCH_CALLS = 150, 40
PAUSE_S = 0.02  # for what runs behind the calls
PROFILED = 40  # lines

Message = dict[str, Any]
Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Variant:
    """What is switched on."""

    cache: bool = True
    budgets: bool = True
    telemetry: bool = True

    @property
    def title(self) -> str:
        return ", ".join(name for name, on in vars(self).items() if on) or "none of these"


class Answer:
    """What a backend would have said."""

    status = 200

    def header(self, name: str) -> str:
        return "application/json" if name.lower() == "content-type" else ""

    async def read(self, _: float) -> bytes:
        return COMPLETION.partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        pass


async def answer(*_: Any) -> Answer:
    return Answer()


@asynccontextmanager
async def opened(folder: Path, variant: Variant) -> AsyncIterator[AsgiApp]:
    """The proxy's application, started as a server would."""
    file = folder / "spanwell.yaml"
    document = {**litellm_config("http://127.0.0.1:9"), "cache": {"enabled": variant.cache}}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    settings = Settings(data=folder, config=file, collector_port=9, telemetry="on" if variant.telemetry else "off")
    plan = read_plan(settings)
    app, events, started = create_app(plan, 0), asyncio.Queue[Message](), asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.startup.complete":
            started.set()

    await events.put({"type": "lifespan.startup"})
    lifespan = asyncio.create_task(_run(app({"type": "lifespan"}, events.get, send)))
    await started.wait()
    yield app
    await events.put({"type": "lifespan.shutdown"})
    await lifespan


async def _run(application: Awaitable[None]) -> None:
    await application


async def post(app: AsgiApp, path: str, key: str, body: bytes) -> bytes:
    """The answer's body."""
    headers = [
        (b"host", b"127.0.0.1"),
        (b"content-length", b"%d" % len(body)),
        (b"authorization", f"Bearer {key}".encode()),
        (b"content-type", b"application/json"),
    ]
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        parts.append(message.get("body", b""))

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await app(scope | {"http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)
    return b"".join(parts)


async def make_call(app: AsgiApp, variant: Variant) -> Call:
    """Makes one call each time; no two bodies are the same."""
    key = MASTER_KEY
    if variant.budgets:
        made = await post(app, "/admin/keys", MASTER_KEY, json.dumps({"budgets": BUDGETS}).encode())
        key = json.loads(made)["key"]
    numbered = requests(Load("http://127.0.0.1", key, MODEL, connections=1, seconds=1))

    async def call() -> None:
        answered = await post(app, "/v1/chat/completions", key, next(numbered).partition(b"\r\n\r\n")[2])
        assert b"choices" in answered, answered

    return call


async def measure(call: Call, profile: cProfile.Profile | None) -> float:
    """Microseconds of CPU a call, of the least batch."""
    least = float("inf")
    for number in range(BATCHES):
        if profile and number:
            profile.enable()
        began = time.thread_time()
        for _ in range(BATCH_CALLS):
            await call()
        least = min(least, time.thread_time() - began)
        if profile:
            profile.disable()
        await asyncio.sleep(PAUSE_S)
    return least / BATCH_CALLS * 1e6


async def run(variant: Variant, profile: cProfile.Profile | None = None) -> float:
    Wire.send = answer  # type: ignore[assignment,method-assign]
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder), variant) as app:
            call = await make_call(app, variant)
            gc.freeze()
            gc.set_threshold(50_000, 20, 20)  # as the worker does
            return await measure(call, profile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    logging.disable(logging.CRITICAL)  # there is no collector
    if parser.parse_args().profile:
        profile = cProfile.Profile()
        uvloop.run(run(Variant(), profile))
        pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(PROFILED)
        return
    for variant in (Variant(), Variant(cache=False), Variant(budgets=False), Variant(False, False, False)):
        sys.stdout.write(f"{uvloop.run(run(variant)):6.1f} µs a call: {variant.title}\n")


if __name__ == "__main__":
    main()
