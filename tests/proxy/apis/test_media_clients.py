"""Reranks, moderations, pictures and sounds by OpenAI's stock client: the same answers as without the gateway."""

import base64
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from spanwell import conventions as c
from tests.proxy.backend import SECRET
from tests.proxy.gateway import Proxy, config, running_proxy
from tests.proxy.media_backend import PICTURE, SOUND, SPOKEN, MediaBackend, running_media_backend
from tests.proxy.sink import Sink

PRICES: dict[str, dict[str, float]] = {
    "rerank": {"input_cost_per_query": 0.002},
    "draw": {"input_cost_per_token": 5e-6, "output_cost_per_token": 1e-5, "input_cost_per_image_token": 1e-5}
    | {"output_cost_per_image_token": 4e-5},
    "paint": {"output_cost_per_image": 0.04},
    "speak": {"input_cost_per_character": 1.5e-5},
    "listen": {"input_cost_per_second": 1e-4},
    "moderate": {},
}
NAMES = {"draw": "gpt-image-1"}


@pytest.fixture
async def media() -> AsyncIterator[MediaBackend]:
    async with running_media_backend() as media:
        yield media


@pytest.fixture
async def proxy(media: MediaBackend, sink: Sink, tmp_path: Path) -> AsyncIterator[Proxy]:
    def entry(name: str, prices: dict[str, float]) -> dict[str, Any]:
        vendor = "hosted_vllm" if name == "rerank" else "openai"
        params = {"model": f"{vendor}/{NAMES.get(name, name)}", "api_base": media.url, "api_key": SECRET}
        return {"model_name": name, "litellm_params": params | prices}

    async with running_proxy(tmp_path, config(*(entry(*one) for one in PRICES.items())), sink.port) as proxy:
        yield proxy


async def facts(sink: Sink, *names: str) -> list[Any]:
    (span,) = await sink.wait(1)
    return [span.attributes.get(name) for name in names]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank"])
async def test_documents_are_ranked_and_the_search_is_charged(proxy: Proxy, sink: Sink, path: str) -> None:
    body = {"model": "rerank", "query": "Do foxes sleep?", "documents": ["yes", "no"], "top_n": 2}

    reply = await proxy.post(body, path)

    assert [result["index"] for result in reply.json()["results"]] == [0, 1]
    assert await facts(sink, c.OPERATION, c.COST_USD, c.INPUT_TOKENS) == ["rerank", "0.002", 56]


async def test_a_text_is_moderated(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        answer = await client.moderations.create(model="moderate", input="a text")

    assert answer.results[0].flagged
    assert await facts(sink, c.OPERATION, c.COST_USD) == ["moderation", None]


async def test_a_picture_is_drawn_and_its_tokens_charged(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        answer = await client.images.generate(model="draw", prompt="a red fox", n=1)

    assert (answer.data or [])[0].b64_json == PICTURE
    # 10 tokens of text, 40 of a picture, and 1,056 that were drawn
    cost = str(10 * Decimal("0.000005") + 40 * Decimal("0.00001") + 1056 * Decimal("0.00004"))
    assert await facts(sink, c.OPERATION, c.COST_USD) == ["image_generation", cost.rstrip("0")]


async def test_a_picture_may_be_paid_for_by_the_piece(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        await client.images.generate(model="paint", prompt="a red fox", n=3)

    assert await facts(sink, c.COST_USD) == ["0.12"]


async def test_a_picture_may_come_in_parts(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        stream = await client.images.generate(model="draw", prompt="a red fox", stream=True, partial_images=1)
        kinds = [event.type async for event in stream]

    assert kinds == ["image_generation.partial_image", "image_generation.completed"]
    assert await facts(sink, c.OUTPUT_TOKENS, c.STREAM_END) == [1056, "done"]


async def test_pictures_are_edited_as_they_were_sent(proxy: Proxy, media: MediaBackend, sink: Sink) -> None:
    pictures = [("a.png", base64.b64decode(PICTURE), "image/png"), ("ß.png", b"\r\n--", "image/png")]
    async with proxy.client() as client:
        await client.images.edit(model="paint", prompt="add a hat", image=pictures, extra_body={"api_base": "http://x"})

    (asked,) = media.requests
    assert asked["image[]"] == [(name, kind, content) for name, content, kind in pictures]
    assert (asked["model"], asked["prompt"], "api_base" in asked) == ("paint", "add a hat", False)
    assert (await facts(sink, c.INPUT_MESSAGES))[0].count("[picture") == 2


async def test_a_picture_is_varied(proxy: Proxy) -> None:
    async with proxy.client() as client:
        answer = await client.images.create_variation(model="paint", image=("a.png", b"png"))

    assert (answer.data or [])[0].b64_json == PICTURE


async def test_speech_is_played_while_it_is_made(proxy: Proxy, media: MediaBackend, sink: Sink) -> None:
    async with proxy.client() as client:
        async with client.audio.speech.with_streaming_response.create(
            model="speak", voice="alloy", input="Do foxes sleep?"
        ) as answer:
            pieces = [piece async for piece in answer.iter_bytes()]
        kind = answer.headers["content-type"]

    assert (b"".join(pieces), kind) == (SOUND, "audio/mpeg")
    assert len(pieces) > 1
    assert media.requests[0]["model"] == "speak"
    assert await facts(sink, c.OPERATION, c.COST_USD, c.USAGE_ESTIMATED) == ["speech", "0.000225", None]


async def test_speech_that_breaks_off_is_a_failure(proxy: Proxy, media: MediaBackend, sink: Sink) -> None:
    media.break_off = True
    async with proxy.client() as client:
        with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
            await client.audio.speech.create(model="speak", voice="alloy", input="x")

    assert (await facts(sink, c.STREAM_END))[0] == "upstream_error"


@pytest.mark.parametrize("kind", ["json", "text"])
async def test_a_sound_is_written_down(proxy: Proxy, media: MediaBackend, sink: Sink, kind: Any) -> None:
    async with proxy.client() as client:
        answer = await client.audio.transcriptions.create(
            model="listen", file=("höre.mp3", SOUND, "audio/mpeg"), response_format=kind, prompt="foxes"
        )

    (asked,) = media.requests
    assert (answer if kind == "text" else answer.text) == SPOKEN
    assert asked["file"] == ("höre.mp3", "audio/mpeg", SOUND)
    assert (asked["model"], asked["prompt"]) == ("listen", "foxes")
    told = ["transcription", "0.0007", None] if kind == "json" else ["transcription", "0.0001", True]
    assert await facts(sink, c.OPERATION, c.COST_USD, c.USAGE_ESTIMATED) == told


async def test_a_sound_may_be_written_down_word_by_word(proxy: Proxy, sink: Sink) -> None:
    async with proxy.client() as client:
        stream = await client.audio.transcriptions.create(model="listen", file=("a.mp3", SOUND), stream=True)
        kinds = [event.type async for event in stream]

    assert kinds == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert await facts(sink, c.AUDIO_INPUT_TOKENS, c.OUTPUT_TOKENS) == [14, 4]


async def test_a_fault_inside_a_stream_is_told_as_the_client_expects(
    proxy: Proxy, media: MediaBackend, sink: Sink
) -> None:
    media.break_off = True
    async with proxy.client() as client:
        drawn = await client.images.generate(model="draw", prompt="a red fox", stream=True)
        with pytest.raises(openai.APIError, match="fell ill"):
            [event async for event in drawn]
        heard = await client.audio.transcriptions.create(model="listen", file=("a.mp3", SOUND), stream=True)
        with pytest.raises(openai.APIError, match="fell ill"):
            [event async for event in heard]

    spans = await sink.wait(2)
    assert [span.attributes[c.STREAM_END] for span in spans] == ["upstream_error"] * 2


async def test_what_cannot_stream_answers_in_events_all_the_same(proxy: Proxy, media: MediaBackend) -> None:
    media.cannot_stream = True
    async with proxy.client() as client:
        drawn = await client.images.generate(model="draw", prompt="a red fox", stream=True)
        pictures = [event async for event in drawn]
        heard = await client.audio.transcriptions.create(model="listen", file=("a.mp3", SOUND), stream=True)
        told = [event async for event in heard]

    assert [(event.type, event.b64_json) for event in pictures] == [("image_generation.completed", PICTURE)]
    assert [event.type for event in told] == ["transcript.text.delta", "transcript.text.done"]
    assert told[-1].type == "transcript.text.done"
    assert told[-1].text == SPOKEN


async def test_a_sound_is_not_billed_as_if_its_bytes_were_text(proxy: Proxy, media: MediaBackend, sink: Sink) -> None:
    media.break_off = True
    picture = ("a.png", b"png" * 1_000_000)
    async with proxy.client() as client:
        drawn = await client.images.edit(model="draw", prompt="add a hat", image=picture, stream=True)
        with pytest.raises(openai.APIError):
            [event async for event in drawn]

    (tokens, estimated) = await facts(sink, c.INPUT_TOKENS, c.USAGE_ESTIMATED)
    assert estimated
    assert tokens < 10_000


async def test_a_long_sound_fits_a_small_budget(proxy: Proxy) -> None:
    budget = {"usd": "1", "period": "day"}
    made = await proxy.post({"name": "k", "models": ["draw"], "budgets": [budget], "tpm": 20_000}, "/admin/keys")
    async with proxy.client(made.json()["key"]) as client:
        answer = await client.audio.transcriptions.create(model="draw", file=("a.mp3", bytes(2_000_000)))

    assert answer.text == SPOKEN


async def test_the_number_in_a_form_is_reserved_for(proxy: Proxy) -> None:
    made = await proxy.post(
        {"name": "k", "models": ["paint"], "budgets": [{"usd": "0.35", "period": "day"}]}, "/admin/keys"
    )
    async with proxy.client(made.json()["key"]) as client:
        with pytest.raises(openai.RateLimitError):
            await client.images.edit(model="paint", prompt="add hats", image=("a.png", b"png"), n=5)
        answer = await client.images.edit(model="paint", prompt="add a hat", image=("a.png", b"png"), n=2)

    assert len(answer.data or []) == 2


async def test_a_sound_is_translated(proxy: Proxy) -> None:
    async with proxy.client() as client:
        answer = await client.audio.translations.create(model="listen", file=("a.mp3", SOUND))

    assert answer.text == SPOKEN


async def test_what_is_no_form_is_refused(proxy: Proxy) -> None:
    reply = await proxy.post({"model": "listen"}, "/v1/audio/transcriptions")

    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type")
