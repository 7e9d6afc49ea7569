"""What the gateway does not know goes to a backend as it is, and comes back as it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from spanwell import conventions as c
from spanwell_proxy.apis.passthrough import is_passable
from tests.proxy.access.test_keys import make
from tests.proxy.backend import SECRET
from tests.proxy.gateway import MASTER_KEY, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink


class Jobs:
    """A backend with paths of its own."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any, str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kind = request.content_type
        body = (await request.json() if "json" in kind else await request.text()) if request.can_read_body else None
        self.seen.append((request.method, request.path_qs, body, request.headers.get("authorization", "")))
        if request.path.endswith("/missing"):
            error = {"message": f"no such job; key was {SECRET}", "type": "invalid_request_error", "code": None}
            return web.json_response({"error": error}, status=404)
        if request.path.endswith("/score"):
            return web.json_response({"data": [{"score": 0.9}], "usage": {"prompt_tokens": 12, "total_tokens": 12}})
        if request.method == "POST" and request.path.endswith("/jobs"):
            return web.json_response({"id": f"ftjob-{len(self.seen)}-0123456789"})
        return web.Response(body=b"\x00job", content_type="application/x-job")


@asynccontextmanager
async def running_jobs() -> AsyncIterator[Jobs]:
    jobs, app = Jobs(), web.Application()
    app.router.add_route("*", "/v1/{rest:.*}", jobs.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.addresses
    jobs.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield jobs
    await runner.cleanup()


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    async with running_jobs() as jobs:
        yield jobs


@pytest.fixture
async def proxy(jobs: Jobs, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    document = config(deployment(jobs.url), deployment(jobs.url, "owl"))
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        yield proxy


async def ask(
    proxy: Proxy,
    method: str,
    path: str,
    key: str = MASTER_KEY,
    headers_too: dict[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}", "cookie": "a=b"} | (headers_too or {})
    async with httpx.AsyncClient() as client:
        return await client.request(method, proxy.url + path, headers=headers, **options)


async def test_a_call_of_an_unknown_api_is_relayed_counted_and_charged(proxy: Proxy, jobs: Jobs, sink: Sink) -> None:
    reply = await proxy.post({"model": "fox", "text_1": "a", "text_2": "b", "api_base": "http://x"}, "/v1/score")

    (span,) = await sink.wait(1)
    assert reply.json()["data"] == [{"score": 0.9}]
    assert jobs.seen == [
        ("POST", "/v1/score", {"model": "tiny", "text_1": "a", "text_2": "b"}, f"Bearer {SECRET}"),
    ]
    assert [span.attributes[key] for key in (c.INPUT_TOKENS, c.COST_USD)] == [12, "0.000012"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH"])
async def test_what_calls_no_model_is_relayed_with_its_query(proxy: Proxy, jobs: Jobs, method: str) -> None:
    reply = await ask(proxy, method, "/v1/fine_tuning/list?limit=2&api_key=sk-other&Api-Base=http://x")

    assert (reply.status_code, reply.content, reply.headers["content-type"]) == (200, b"\x00job", "application/x-job")
    assert jobs.seen == [(method, "/v1/fine_tuning/list?limit=2", None, f"Bearer {SECRET}")]


async def test_a_refusal_comes_back_without_the_backends_key(proxy: Proxy) -> None:
    reply = await ask(proxy, "GET", "/v1/fine_tuning/missing")

    assert reply.status_code == 404
    assert "no such job" in reply.text
    assert SECRET not in reply.text


async def test_nobody_comes_without_a_key(proxy: Proxy, jobs: Jobs) -> None:
    reply = await ask(proxy, "GET", "/v1/fine_tuning/jobs", key="sk-wrong")

    assert (reply.status_code, jobs.seen) == (401, [])


async def test_a_key_reaches_only_the_models_it_may_use(proxy: Proxy, jobs: Jobs) -> None:
    key = (await make(proxy, name="a", models=["owl"]))["key"]
    refused = [
        await ask(proxy, "POST", "/v1/score", key=key, json={"model": "fox"}),
        await ask(proxy, "GET", "/v1/organization/users", key=key),
        await ask(proxy, "POST", "/v1/engines/fox/completions", key=key, json={"prompt": "x"}),
        await ask(proxy, "POST", "/v1/score", key=key, files={"f": b"x"}, data={"model": "fox"}),
        await ask(proxy, "POST", "/v1/jobs", key=key, headers_too={"x-spanwell-model": "fox"}),
    ]

    assert [reply.status_code for reply in refused] == [403] * 5
    assert jobs.seen == []
    assert (await ask(proxy, "POST", "/v1/score", key=key, json={"model": "owl"})).status_code == 200


async def test_a_key_reaches_what_it_made_and_nothing_else(proxy: Proxy, jobs: Jobs) -> None:
    keys = [(await make(proxy, name=name))["key"] for name in "ab"]
    path = "/v1/fine_tuning/jobs"
    made = (await ask(proxy, "POST", path, keys[0], json={"training_file": "f"})).json()["id"]

    mine = [await ask(proxy, *what, key=keys[0]) for what in (("GET", f"{path}/{made}"), ("POST", f"{path}/{made}/x"))]
    others = [
        await ask(proxy, method, path + rest, key=keys[1])
        for method, rest in (("GET", f"/{made}"), ("DELETE", f"/{made}"), ("POST", f"/{made}/cancel"), ("GET", ""))
    ]

    assert [reply.status_code for reply in mine] == [200, 200]
    assert [reply.status_code for reply in others] == [404, 404, 404, 403]
    assert len(jobs.seen) == 3
    assert (await ask(proxy, "GET", f"{path}/{made}")).status_code == 200


async def test_what_names_no_model_is_counted_too(proxy: Proxy, jobs: Jobs, sink: Sink) -> None:
    key = (await make(proxy, name="a", rpm=1))["key"]

    replies = [await ask(proxy, "POST", "/v1/threads", key=key, json={"metadata": {"app": "x"}}) for _ in range(2)]

    assert [reply.status_code for reply in replies] == [200, 429]
    assert [seen[2] for seen in jobs.seen] == [{"metadata": {"app": "x"}}]
    assert [span.attributes[c.REQUEST_MODEL] for span in await sink.wait(2)] == ["fox", "fox"]


async def test_a_thing_is_looked_for_where_it_was_made(jobs: Jobs, sink: Sink, tmp_path: Path) -> None:
    async with running_jobs() as others:
        document = config(deployment(jobs.url), deployment(others.url, "owl"))
        async with running_proxy(tmp_path, document, sink.port) as proxy:
            made = await proxy.post({}, "/v1/fine_tuning/jobs", x_spanwell_model="owl")
            await ask(proxy, "GET", f"/v1/fine_tuning/jobs/{made.json()['id']}")

        assert (len(jobs.seen), len(others.seen)) == (0, 2)


async def test_a_form_and_other_bytes_go_on_as_they_are(proxy: Proxy, jobs: Jobs) -> None:
    await ask(proxy, "POST", "/v1/parts", files={"data": b"bytes"}, data={"model": "fox", "api_base": "http://x"})
    await ask(proxy, "POST", "/v1/parts", content=b"plain", headers_too={"content-type": "text/plain"})

    form, plain = (seen[2] for seen in jobs.seen)
    assert ("tiny" in form, "bytes" in form, "http://x" in form, plain) == (True, True, False, "plain")


async def test_a_body_that_says_it_is_json_has_to_be(proxy: Proxy, jobs: Jobs) -> None:
    reply = await proxy.post(b'\xef\xbb\xbf{"model": "fox"}', "/v1/score", content_type="application/json")

    assert (reply.status_code, jobs.seen) == (400, [])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/score", True),
        ("/fine_tuning/jobs/ft-1/events", True),
        ("/a/../b", False),
        ("/..", False),
        ("/a/.", False),
        ("//a", False),
        ("/a%2f..", False),
        ("/a\r\nx: y", False),
        ("/" + "a/" * 20, False),
        ("", False),
    ],
)
def test_a_path_that_a_backend_may_read_otherwise_is_none(path: str, expected: bool) -> None:
    assert is_passable(path) is expected
