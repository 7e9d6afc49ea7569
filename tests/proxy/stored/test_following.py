"""A response that its backend works at in the background is one span with the right bill, once it is done."""

from pathlib import Path

from spanwell import conventions as c
from tests.proxy.backend import Backend
from tests.proxy.gateway import COST_USD, Proxy, config, deployment, running_proxy
from tests.proxy.shapes import RESPONSE_USAGE, TEXT, response
from tests.proxy.sink import Sink

ASK = {"model": "fox", "input": "Do foxes sleep?", "background": True}


def finish(backend: Backend, **changes: object) -> None:
    (kept,) = backend.kept.values()
    kept.update(response({"model": "tiny"}) | {"id": kept["id"]} | changes)


async def test_it_is_billed_when_it_is_done_though_nobody_asks_for_it(
    proxy: Proxy, backend: Backend, sink: Sink
) -> None:
    reply = await proxy.post(ASK, "/v1/responses")
    assert sink.spans == []
    finish(backend)

    (span,) = await sink.wait(1)
    assert (reply.status_code, reply.json()["status"]) == (200, "queued")
    keys = (c.INPUT_TOKENS, c.OUTPUT_TOKENS, c.CACHE_READ_TOKENS, c.COST_USD)
    assert [span.attributes[key] for key in keys] == [42, 20, 16, COST_USD]
    assert span.attributes[c.FINISH_REASONS] == ["completed"]
    assert TEXT in span.attributes[c.OUTPUT_MESSAGES]


async def test_its_budget_is_charged_then(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    budget = [{"usd": 1, "period": "total"}]
    made = (await proxy.post({"name": "k", "budgets": budget}, "/admin/keys")).json()
    await proxy.post(ASK, "/v1/responses", authorization=f"Bearer {made['key']}")
    finish(backend)
    await sink.wait(1)

    spent = await proxy.get(f"/admin/keys/{made['id']}/spend")

    assert COST_USD in spent.text


async def test_one_that_was_cut_short_or_failed_is_told_as_it_ended(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    await proxy.post(ASK, "/v1/responses")
    finish(backend, status="incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=RESPONSE_USAGE)

    (span,) = await sink.wait(1)
    assert span.attributes[c.FINISH_REASONS] == ["max_output_tokens"]


async def test_one_that_is_gone_is_no_longer_followed(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    reply = await proxy.post(ASK, "/v1/responses")
    backend.kept.clear()

    (span,) = await sink.wait(1)
    assert reply.json()["id"] == span.attributes[c.RESPONSE_ID]
    assert span.attributes[c.OUTPUT_TOKENS] == 0


async def test_a_proxy_that_stops_tells_what_it_knows(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port) as proxy:
        await proxy.post(ASK, "/v1/responses")

    (span,) = await sink.wait(1)
    assert span.attributes[c.FINISH_REASONS] == ["queued"]
