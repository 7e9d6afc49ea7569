import asyncio
import json
import struct
from base64 import b64decode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import pytest
import pytest_asyncio

from spanwell import conventions as c
from tests.proxy.backend import SECRET, until
from tests.proxy.gateway import config, running_proxy
from tests.proxy.lane.lanes import File, Lane, running_lane
from tests.proxy.lane.others import SOUND, Others, running_others
from tests.proxy.sink import running_sink

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAV = ("file", "fox.wav", "audio/wav", b"RIFF" + bytes(64))
PNG = ("image", "fox.png", "image/png", b"\x89PNG" + bytes(64))
EMBED: dict[str, Any] = {"input": ["Do foxes sleep?"]}
# What is asked for, of which model, and below which address it is served.
CASES: dict[str, tuple[dict[str, Any], str, str, tuple[File, ...]]] = {
    "/embeddings": (EMBED, "cohere/embed-v4.0", "/v2/embed", ()),
    "/rerank": ({"query": "q", "documents": ["a", "b"], "top_n": 2}, "cohere/rerank-v3.5", "", ()),
    "/moderations": ({"input": "x"}, "openai/mod", "/v1", ()),
    "/images/generations": ({"prompt": "fox"}, "recraft/recraftv3", "", ()),
    "/images/edits": ({"prompt": "fox", "n": "1"}, "openai/gpt-image-1", "/v1", (PNG,)),
    "/audio/speech": ({"input": "hi", "voice": "alloy"}, "elevenlabs/eleven_multilingual_v2", "", ()),
    "/audio/transcriptions": ({"temperature": "0"}, "deepgram/nova-3", "/v1", (WAV,)),
}


@dataclass
class House:
    lane: Lane
    others: Others

    async def ask(self, path: str, **asked: Any) -> httpx.Response:
        request, model, below, files = CASES[path]
        params = {"model": model, "api_base": self.others.url + below}
        return await self.lane.post(path, request | asked, params, *files)


@pytest_asyncio.fixture(name="running", scope="module", loop_scope="module")
async def running_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with running_others() as others, running_lane(tmp_path_factory.mktemp("lane")) as lane:
        yield House(lane, others)


@pytest.fixture
def house(running: House) -> House:
    running.others.hangs, running.others.moved_to = False, ""
    running.others.aborted.clear()
    for seen in (running.others.bodies, running.others.headers, running.others.paths):
        seen.clear()
    return running


async def test_embeddings_are_lists_or_base64_as_they_were_asked_for(house: House) -> None:
    plain = (await house.ask("/embeddings")).json()
    packed = (await house.ask("/embeddings", encoding_format="base64")).json()

    assert plain["data"][0]["embedding"] == [0.5, 0.25]
    assert struct.unpack("<2f", b64decode(packed["data"][0]["embedding"])) == (0.5, 0.25)
    assert plain["usage"]["prompt_tokens"] == 7


async def test_every_api_comes_through_the_gateway_and_has_its_price(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = [
        {
            "model_name": path,
            "litellm_params": {"model": model, "api_base": house.others.url + below, "api_key": SECRET},
        }
        for path, (_, model, below, _) in CASES.items()
    ]
    async with (
        running_sink() as sink,
        running_proxy(tmp_path_factory.mktemp("proxy"), config(*models), sink.port) as proxy,
        proxy.client(timeout=60) as client,
    ):
        await client.embeddings.create(model="/embeddings", input=["Do foxes sleep?"])
        await client.images.generate(model="/images/generations", prompt="fox")
        await client.audio.speech.create(model="/audio/speech", voice="alloy", input="hi")
        await client.audio.transcriptions.create(model="/audio/transcriptions", file=("fox.wav", WAV[3]))
        ranked = await proxy.post({"model": "/rerank", "query": "q", "documents": ["a", "b"]}, "/v1/rerank")

        spans = await sink.wait(5)
    assert ranked.status_code == 200
    assert all(Decimal(span.attributes[c.COST_USD]) > 0 for span in spans)


async def test_documents_are_ranked_and_what_was_billed_is_told(house: House) -> None:
    answer = (await house.ask("/rerank")).json()

    assert [result["index"] for result in answer["results"]] == [1, 0]
    assert answer["meta"] == {"billed_units": {"search_units": 1}}


async def test_moderations_keep_the_names_of_their_categories(house: House) -> None:
    answer = (await house.ask("/moderations")).json()

    assert answer["results"][0]["flagged"] is True
    assert answer["results"][0]["categories"]["hate/threatening"] is True


@pytest.mark.parametrize("path", ["/images/generations", "/images/edits"])
async def test_pictures_come_back_and_no_usage_is_made_up(house: House, path: str) -> None:
    answer = (await house.ask(path)).json()

    assert answer["data"][0]["b64_json"] == "Zm94"
    assert "usage" not in answer


async def test_a_picture_to_edit_arrives_whole(house: House) -> None:
    await house.ask("/images/edits")

    assert PNG[3] in house.others.bodies[0]


async def test_speech_is_a_sound_and_says_which(house: House) -> None:
    answer = await house.ask("/audio/speech")

    assert (answer.content, answer.headers["content-type"]) == (SOUND, "audio/mpeg")


async def test_a_recording_becomes_text(house: House) -> None:
    whole = await house.ask("/audio/transcriptions")
    text = await house.ask("/audio/transcriptions", response_format="text")

    assert house.others.bodies == [WAV[3], WAV[3]]
    assert (whole.json()["text"], whole.json()["duration"]) == ("do foxes sleep", 3.5)
    assert (text.text, text.headers["content-type"]) == ("do foxes sleep", "text/plain; charset=utf-8")


@pytest.mark.parametrize(("path", "field"), [("/audio/transcriptions", "file"), ("/images/edits", "image")])
async def test_a_form_without_its_file_is_refused(house: House, path: str, field: str) -> None:
    request, model, below, _ = CASES[path]

    answer = await house.lane.post(path, request, {"model": model, "api_base": house.others.url + below})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


async def test_an_api_that_nobody_translates_is_not_found(house: House) -> None:
    answer = await house.lane.post("/audio/translations", {}, {"model": "deepgram/nova-3"}, WAV)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_offered")


@pytest.mark.parametrize("path", CASES)
async def test_nothing_of_a_request_steers_where_it_goes(house: House, path: str) -> None:
    steering = {
        "api_base": "http://127.0.0.1:1",
        "api_key": "sk-clients-own",
        "base_url": "http://127.0.0.1:1",
        "extra_headers": {"x-steered": "1"},
        "headers": {"x-steered": "1"},
        "extra_body": {"steered": 1},
        "extra_query": {"steered": 1},
        "custom_llm_provider": "openai",
        "mock_response": "steered",
        "litellm_params": {"api_base": "http://127.0.0.1:1"},
        "callbacks": ["steered"],
        "success_callback": ["steered"],
        "metadata": {"steered": 1},
        "model_list": [],
        "fallbacks": ["steered"],
    }

    answer = await house.ask(path, **steering)

    assert answer.status_code == 200
    (headers,) = house.others.headers
    arrived = json.dumps(headers) + house.others.paths[0] + repr(house.others.bodies[0]) + answer.text
    assert SECRET in json.dumps(headers)
    assert "steered" not in arrived
    assert "sk-clients-own" not in arrived


# LiteLLM calls Recraft in a thread: nobody can take that back.
@pytest.mark.parametrize("path", sorted(CASES.keys() - {"/images/generations"}))
async def test_who_leaves_takes_the_call_back_from_the_provider(house: House, path: str) -> None:
    house.others.hangs = True
    asking = asyncio.create_task(house.ask(path))
    await until(lambda: house.others.bodies)

    asking.cancel()

    async with asyncio.timeout(1.0):
        await house.others.aborted.wait()


@pytest.mark.parametrize("path", CASES)
async def test_no_redirect_is_followed_and_no_key_taken_elsewhere(house: House, path: str) -> None:
    house.others.moved_to = house.others.url.replace("127.0.0.1", "localhost") + "/elsewhere"

    answer = await house.ask(path)

    assert answer.status_code == 502
    assert "/elsewhere" not in house.others.paths
