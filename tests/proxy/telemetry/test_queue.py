import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from spanwell import conventions as c
from tests.proxy.backend import SECRET, Backend, until
from tests.proxy.gateway import ASK, MASTER_KEY, Proxy, config, deployment, running_proxy
from tests.proxy.sink import Sink


async def test_every_call_is_one_span_and_the_ledger_adds_up(proxy: Proxy, sink: Sink) -> None:
    await asyncio.gather(*(proxy.post() for _ in range(40)))

    spans = await sink.wait(40)
    assert len({span.span_id for span in spans}) == 40
    assert len({span.span_id for span in sink.attempts}) == 40
    assert sum(batch[c.BATCH_SPANS] for batch in sink.batches) == 80
    firsts = [batch[c.BATCH_FIRST] for batch in sink.batches]
    assert firsts == sorted(firsts)
    assert {0} == {batch[c.BATCH_DROPPED] for batch in sink.batches}
    assert sink.batches[0][c.SERVICE_NAME] == "spanwell-proxy"


@pytest.mark.parametrize("body", [b"{", {"model": "fox", "messages": "hi"}])
async def test_a_call_that_is_refused_is_still_somebodys(proxy: Proxy, sink: Sink, body: Any) -> None:
    refused = await proxy.post(body, x_spanwell_app="shop", x_spanwell_session="basket", x_spanwell_user="ann")

    (span,) = await sink.wait(1)
    assert refused.status_code == 400
    assert [span.attributes[name] for name in (c.APP, c.SESSION_ID, c.USER_ID)] == ["shop", "basket", "ann"]


async def test_a_span_is_at_the_collector_within_half_a_second(proxy: Proxy, sink: Sink) -> None:
    await proxy.post()

    await until(lambda: sink.spans, 0.5)


async def test_calls_go_on_while_the_collector_is_away_and_nothing_is_lost(proxy: Proxy, sink: Sink) -> None:
    sink.status = 503
    replies = [await proxy.post() for _ in range(3)]
    await asyncio.sleep(0.5)
    sink.status = 200
    replies.append(await proxy.post())

    spans = await sink.wait(4)
    assert [reply.status_code for reply in replies] == [200] * 4
    assert len({span.span_id for span in spans}) == 4


async def test_spans_wait_on_disk_for_the_next_start(
    backend: Backend, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanwell_proxy.serving.app.FAREWELL_S", 0.2)
    document = config(deployment(backend.url))
    sink.status = 503
    async with running_proxy(tmp_path, document, sink.port) as proxy:
        await proxy.post()
    sink.status = 200

    async with running_proxy(tmp_path, document, sink.port):
        await sink.wait(1)


async def test_what_the_collector_refuses_is_kept_aside(proxy: Proxy, sink: Sink, tmp_path: Path) -> None:
    sink.status = 400
    await proxy.post()
    await until(lambda: list((tmp_path / "proxy").glob("dead/*.spool")))
    sink.status = 200

    await proxy.post()

    await sink.wait(1)


async def test_a_disk_that_fails_does_not_end_the_telemetry(
    proxy: Proxy, sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        await proxy.post()
        await until(lambda: "lost" in caplog.text)

    await proxy.post()

    await sink.wait(1)


def fail(file: int) -> None:
    if stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(28, "No space left on device")


async def test_texts_are_left_out_when_capturing_is_off(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    document = config(deployment(backend.url))
    async with running_proxy(tmp_path, document, sink.port, capture_content=False) as proxy:
        await proxy.post()

    (span,) = await sink.wait(1)
    assert not {c.INPUT_MESSAGES, c.OUTPUT_MESSAGES} & span.attributes.keys()


async def test_a_huge_text_is_shortened(proxy: Proxy, sink: Sink) -> None:
    await proxy.post(ASK | {"messages": [{"role": "user", "content": "x" * 500_000}]})

    (span,) = await sink.wait(1)
    assert 65_000 < len(span.attributes[c.INPUT_MESSAGES]) < 66_000


async def test_many_long_texts_are_shortened_together(proxy: Proxy, sink: Sink) -> None:
    await proxy.post(ASK | {"messages": [{"role": "user", "content": "x" * 20_000}] * 300})

    (span,) = await sink.wait(1)
    assert 4_000_000 < len(span.attributes[c.INPUT_MESSAGES]) < 4_300_000


async def test_no_secret_is_left_anywhere(
    proxy: Proxy, backend: Backend, sink: Sink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted = "sk-prompt-canary-aaaaaaaaaaaaaaaa"
    backend.moods.extend(["500", "500", "401", "401", "error inside", "drop", "drop"])
    said = ASK | {"messages": [{"role": "user", "content": f"my key is {planted}"}]}

    replies = [await proxy.post(said | {"stream": stream}) for stream in (False, False, True, False, False, True)]
    replies.append(await proxy.post(said, authorization=f"Bearer {planted}"))
    replies.append(await proxy.get("/metrics"))

    await sink.wait(6)
    told = b"".join(sink.bodies) + "".join(reply.text for reply in replies).encode() + caplog.text.encode()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "proxy").rglob("*") if path.is_file())
    for secret in (SECRET, MASTER_KEY, planted):
        assert secret.encode() not in told + kept


async def test_metrics_count_what_was_answered(proxy: Proxy, backend: Backend, sink: Sink) -> None:
    await proxy.post()
    await proxy.post(ASK | {"model": "heron"})

    await sink.wait(2)
    metrics = (await proxy.get("/metrics")).text
    assert 'llm_requests_total{model="fox",status="200"}' in metrics
    assert 'llm_tokens_total{model="fox",type="output"}' in metrics
    assert "heron" not in metrics  # a client cannot make labels


async def test_without_telemetry_nothing_is_sent_or_kept_and_all_is_counted(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    document = config(deployment(backend.url, "unseen-fox"))
    async with running_proxy(tmp_path, document, sink.port, telemetry="off") as proxy:
        await proxy.post(ASK | {"model": "unseen-fox"})
        await asyncio.sleep(0.5)
        page = (await proxy.get("/metrics")).text

    assert 'llm_requests_total{model="unseen-fox",status="200"} 1.0' in page
    assert (sink.posts, list((tmp_path / "proxy").glob("spool*"))) == (0, [])
