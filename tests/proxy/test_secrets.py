"""Sentinel keys are put wherever a key can stand, and every way to fail is taken: none comes out anywhere."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from aiohttp import web

from spanwell.health import free_port
from tests.proxy.gateway import config, deployment
from tests.proxy.serving.test_process import COMMAND, environ, until_healthy
from tests.proxy.sink import Sink

MASTER = "master+SENTINEL/0f1e2d3c4b5a6978"  # of no shape that a pattern would know
BACKEND = "backend=SENTINEL 9a8b7c6d5e4f3021".replace(" ", "+")
TOKEN = "token.SENTINEL.1122334455667788"
GIVEN = "client-SENTINEL-aabbccddeeff0011"
ASK = {"model": "fox", "messages": [{"role": "user", "content": "hi"}]}


def forms(secret: str) -> dict[str, bytes]:
    """The secret, as it may be written. Base64 is told by what stays the same wherever in a text it begins."""
    data, found = secret.encode(), {"raw": secret.encode(), "percent": quote(secret, safe="").encode()}
    found["every letter"] = "".join(f"%{byte:02X}" for byte in data).encode()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + data).rstrip(b"=")
        found[f"base64 {shift}"] = whole[(shift * 8 + 5) // 6 : -1]
    found["hex"] = data.hex().encode()
    return found


class Telltale:
    """A backend that says which key it was called with, in every manner there is."""

    def __init__(self) -> None:
        self.mood = "400"
        self.asked = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        told = " ".join(form.decode() for form in forms(key).values()) + f" Basic {base64.b64encode(key.encode())!r}"
        error = {"error": {"message": told, "type": "x", "param": key, "code": key}}
        if self.mood == "stream":
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            chunk = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
            await response.write(chunk + b"data: " + web.json_response(error).body + b"\n\n")  # type: ignore[operator]
            return response
        if self.mood == "html":
            return web.Response(text=f"<html>{told}</html>", content_type="text/html")
        if self.mood == "redirect":
            return web.Response(status=302, headers={"location": f"http://127.0.0.1/?key={quote(key)}"}, text=told)
        if self.mood == "200":
            return web.json_response(error)
        return web.json_response(error, status=int(self.mood), headers={"retry-after": "0", "x-key": key})


@asynccontextmanager
async def telling() -> AsyncIterator[tuple[Telltale, str]]:
    backend, app = Telltale(), web.Application()
    app.router.add_route("*", "/{rest:.*}", backend.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.addresses
    yield backend, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


MOODS = ("400", "401", "403", "404", "422", "429", "500", "503", "200", "html", "redirect", "stream")


async def take_every_way(client: httpx.AsyncClient, backend: Telltale, key: str) -> list[httpx.Response]:
    """Calls that fail in all the ways there are."""
    usual = {"authorization": f"Bearer {key}"}
    replies = []
    for backend.mood in MOODS:
        bodies = (ASK, ASK | {"stream": True})
        replies += [await client.post("/v1/chat/completions", json=body, headers=usual) for body in bodies]
        replies.append(await client.get("/v1/fine_tuning/jobs", headers=usual))
        replies.append(await client.post("/v1/messages", json=ASK | {"max_tokens": 5}, headers=usual))
    for wrong in (f"Bearer {GIVEN}", f"Basic {GIVEN}", GIVEN, f"Bearer {key}x"):
        replies += [await client.post("/v1/chat/completions", json=ASK, headers={"authorization": wrong})]
    replies += [await client.post("/v1/messages", json=ASK, headers={name: GIVEN}) for name in ("x-api-key", "api-key")]
    secrets: dict[str, Any] = {
        "api_key": GIVEN,
        "extra_headers": {"authorization": GIVEN},
        "api_base": f"http://{GIVEN}",
    }
    replies.append(await client.post("/v1/chat/completions", json=ASK | secrets, headers=usual))
    replies.append(
        await client.post("/v1/chat/completions", content=b'{"api_key": "%s"' % GIVEN.encode(), headers=usual)
    )
    replies.append(await client.post(f"/v1/chat/completions?api_key={GIVEN}", json={}, headers=usual))
    replies.append(await client.get("/admin/keys", headers={"authorization": f"Bearer {GIVEN}"}))
    replies += [await client.get(path) for path in ("/health", "/metrics", "/openapi.json", f"/nowhere/{key[:3]}")]
    return replies


@pytest.fixture
async def found(sink: Sink, tmp_path: Path) -> dict[str, bytes]:
    """All that a gateway has said and written: to clients, the log, the collector and the disk."""
    port = free_port()
    async with telling() as (backend, url):
        document = config(
            deployment(url, api_key=BACKEND),
            deployment("http://127.0.0.1:1/v1", api_key=BACKEND),
            general_settings={"master_key": MASTER},
            cache={"enabled": True},
        )
        wanted = environ(
            tmp_path, document, proxy_port=port, collector_port=sink.port, api_token=TOKEN, capture_content=True
        )
        process = await asyncio.create_subprocess_exec(*COMMAND, env=wanted, stderr=asyncio.subprocess.PIPE)
        await asyncio.to_thread(until_healthy, f"http://127.0.0.1:{port}")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            operator = {"authorization": f"Bearer {MASTER}"}
            made = await client.post("/admin/keys", json={"name": "a", "key": GIVEN + "-virtual"}, headers=operator)
            assert made.status_code == 201, made.text
            key = made.json()["key"]
            replies = [*await take_every_way(client, backend, key), *await take_every_way(client, backend, MASTER)]
            (tmp_path / "spanwell.yaml").write_text("model_list: [" + BACKEND)  # a mistake beside a key
            replies.append(await client.post("/admin/reload", headers=operator))
        process.terminate()
        _, log = await process.communicate()
    assert backend.asked > 40
    places = {"log": log, "spans": b"".join(sink.bodies)} | read_files(tmp_path)
    return places | {f"answer {at}": reply.content + str(reply.headers).encode() for at, reply in enumerate(replies)}


def read_files(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "spanwell.yaml")
    return {f"file {file.relative_to(folder)}": file.read_bytes() for file in files}


async def test_no_key_comes_out_anywhere(found: dict[str, bytes]) -> None:
    secrets = {"master": MASTER, "backend": BACKEND, "token": TOKEN, "given": GIVEN}

    seen = [
        (place, name, form)
        for place, content in found.items()
        for name, secret in secrets.items()
        for form, written in forms(secret).items()
        if written in content
    ]

    assert seen == []
    assert len(found["spans"]) > 10_000
    assert len(found) > 100
