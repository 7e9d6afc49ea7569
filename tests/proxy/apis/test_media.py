"""What reranks, moderations, pictures and sounds say of themselves."""

import time
from typing import Any

import orjson
import pytest

from spanwell.pricing import Usage
from spanwell_proxy.apis import audio, images, moderations, rerank
from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.failures import ApiError

RANKED = {"id": "r", "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "long"}}]}
DRAWN = {"type": "image_generation.completed", "b64_json": "AAAA", "usage": {"input_tokens": 5, "output_tokens": 90}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"usage": {"total_tokens": 56}}, Usage(input=56)),  # vLLM, Jina
        ({"usage": {"prompt_tokens": 50, "total_tokens": 56}}, Usage(input=50)),
        ({"meta": {"tokens": {"input_tokens": 40}}}, Usage(input=40)),  # Cohere
        ({"meta": {"billed_units": {"search_units": 2}}}, Usage()),
        ({}, None),
        ({"usage": {"total_tokens": "many"}}, None),
    ],
)
def test_a_rerank_reads_the_usage_of_each_provider(told: dict[str, Any], expected: Usage | None) -> None:
    assert rerank.usage(RANKED | told) == expected


def test_a_rerank_is_charged_by_the_search() -> None:
    assert rerank.pieces({}, RANKED | {"meta": {"billed_units": {"search_units": 3}}}) == {"query": 3}
    assert rerank.pieces({}, RANKED) == {"query": 1}


def test_a_rerank_shows_the_order_and_not_the_documents() -> None:
    (message,) = rerank.answered(RANKED)

    assert message["parts"][0]["content"] == '[{"index":1,"relevance_score":0.9}]'


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"results":[1]}', b'{"data":[]}'])
def test_what_is_no_reranking_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        rerank.read(body)


def test_a_moderation_tells_what_was_flagged() -> None:
    answer = moderations.read(b'{"results":[{"flagged":true,"categories":{"hate":true,"sexual":false}}]}')

    (message,) = moderations.answered(answer)

    assert orjson.loads(message["parts"][0]["content"]) == [{"flagged": True, "categories": ["hate"]}]


@pytest.mark.parametrize(
    ("check", "request_", "param"),
    [
        (rerank.check, {"query": "x", "documents": []}, "documents"),
        (rerank.check, {"documents": ["a"]}, "query"),
        (moderations.check, {}, "input"),
        (images.check_prompt, {"prompt": 7}, "prompt"),
        (images.check_image, {"prompt": "x", "image": "text"}, "image"),
        (audio.check_speech, {"input": ""}, "input"),
        (audio.check_file, {"file": "text"}, "file"),
    ],
)
def test_a_request_without_what_it_needs_names_the_field(check: Any, request_: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        check(request_)

    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_picture_is_told_by_its_size() -> None:
    (message,) = images.answered({"data": [{"b64_json": "A" * 400, "revised_prompt": "a red fox"}, {"url": "x"}]})

    assert [part["content"] for part in message["parts"]] == ["[picture, 300 bytes] a red fox", "[picture]"]


def test_a_pictures_tokens_are_told_apart() -> None:
    reported = {"input_tokens": 60, "output_tokens": 200, "input_tokens_details": {"image_tokens": 50}}

    assert images.usage({"data": [], "usage": reported}) == Usage(60, 200, image_input=50, image_output=200)


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_a_stream_of_pictures_ends_with_its_usage(cut: int) -> None:
    part = orjson.dumps({"type": "image_generation.partial_image", "b64_json": "AA"})
    stream = b"event: a\ndata: " + part + b"\n\nevent: b\ndata: " + orjson.dumps(DRAWN) + b"\n\n"
    reader = images.open_reader({})

    passed = b"".join(reader.feed(stream[at : at + cut]) for at in range(0, len(stream), cut))

    assert (passed, reader.done, reader.complete) == (stream, True, True)
    assert reader.usage == Usage(5, 90, image_output=90)


def test_a_large_picture_in_small_pieces_is_joined_once() -> None:
    event = b"data: " + orjson.dumps(DRAWN | {"b64_json": "A" * 4_000_000}) + b"\r\n\r\n"
    reader, began = images.open_reader({}), time.process_time()

    passed = b"".join(reader.feed(event[at : at + 1400]) for at in range(0, len(event), 1400))

    assert passed == event.replace(b"\r\n", b"\n")
    assert time.process_time() - began < 1  # it took four


def test_a_stream_that_reports_an_error_is_broken() -> None:
    with pytest.raises(BrokenAnswerError, match="no pictures today"):
        images.open_reader({}).feed(b'event: error\ndata: {"type":"error","message":"no pictures today"}\n\n')


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"text": "hi", "usage": {"type": "duration", "seconds": 3}}, {"second": 3}),
        ({"text": "hi", "duration": 2.2}, {"second": 3}),
        ({"text": "x" * 31}, {"second": 3}),
        ({"text": "hi", "duration": "inf"}, {"second": 1}),
        ({"text": "1\n00:00:00,000 --> 01:02:03,400\nhi"}, {"second": 3724}),
        ({"text": "WEBVTT\n\n00:00.000 --> 02:03.400\nhi"}, {"second": 124}),
        ({"text": ""}, {"second": 0}),
    ],
)
def test_a_transcript_is_charged_by_the_second(answer: dict[str, Any], expected: dict[str, int]) -> None:
    assert audio.transcript_pieces({}, answer) == expected


def test_a_transcript_may_be_plain_text() -> None:
    assert audio.read_transcript("1\n00:00 --> 00:01\nHöre".encode()) == {"text": "1\n00:00 --> 00:01\nHöre"}


def test_speech_is_charged_by_the_character() -> None:
    assert audio.speech_pieces({"input": "höre"}, {}) == {"character": 4, "second": 1}
