"""What every reader of a stream survives, whichever API it reads."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from spanwell.pricing import Usage
from spanwell_proxy.apis.api import Api, BrokenAnswerError, Document, Reader
from spanwell_proxy.apis.chat import CHAT
from spanwell_proxy.apis.completions import COMPLETIONS
from spanwell_proxy.apis.messages import MESSAGES
from spanwell_proxy.apis.responses import RESPONSES
from tests.proxy import anthropic_backend, shapes
from tests.proxy.backend import completion, events
from tests.proxy.shapes import TEXT, WORDS

BODY = {"model": "tiny", "stream": True, "stream_options": {"include_usage": True}, "prompt": "x"}
TOOLS = BODY | {"tools": [{"name": "weather"}]}
USED = Usage(input=42, output=20, cached=16)


@dataclass(frozen=True)
class Case:
    """An API, and how the fake backend answers on it."""

    api: Api
    whole: Callable[[dict[str, Any]], Document]

    def events(self, body: dict[str, Any] = BODY) -> list[bytes]:
        return events(body, "well", "/v1" + self.api.path)

    def open_reader(self, body: dict[str, Any] = BODY) -> Reader:
        assert self.api.open_reader
        return self.api.open_reader(body)

    def read(self, data: bytes) -> Reader:
        reader = self.open_reader()
        reader.feed(data)
        return reader


CASES = [
    Case(CHAT, completion),
    Case(COMPLETIONS, shapes.text_completion),
    Case(RESPONSES, shapes.response),
    Case(MESSAGES, shapes.message),
]
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.api.name)
with_tools = pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[3]], ids=lambda case: case.api.name)


def said(case: Case, document: Document | None) -> str:
    """All texts of an answer."""
    assert document
    return "".join(part["content"] for message in case.api.answered(document) for part in message["parts"])


@each
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_it_does_not_matter_where_the_bytes_are_cut(case: Case, size: int) -> None:
    reader, data = case.open_reader(), b"".join(case.events())

    passed = [reader.feed(data[at : at + size]) for at in range(0, len(data), size)]

    assert data == b"".join(passed)
    assert all(part.endswith(b"\n\n") for part in passed if part)
    assert reader.usage == USED
    assert said(case, reader.document()) == TEXT
    assert reader.done


@each
def test_lines_may_end_as_on_windows_and_comments_may_stand_between(case: Case) -> None:
    data = b": hello\n\n" + b": ping\n\n".join(case.events())

    reader = case.read(data.replace(b"\n", b"\r\n"))

    assert said(case, reader.document()) == TEXT
    assert not reader.usage_is_partial
    assert reader.done


@each
def test_a_ping_is_no_content(case: Case) -> None:
    reader = case.read(b'event: ping\ndata: {"type": "ping"}\n\n' + case.events()[0])

    assert reader.content_chunks in (0, 1)  # a text completion begins with its text
    assert case.api is COMPLETIONS or not reader.content_chunks


@each
def test_what_was_said_until_it_broke_is_known(case: Case) -> None:
    data = b"".join(case.events())
    cut = data.index(b'"do "')

    reader = case.read(data[: data.index(b"\n\n", cut) + 2])

    assert said(case, reader.document()) == "Foxes do "
    assert not reader.complete


@each
def test_nothing_is_no_answer(case: Case) -> None:
    reader = case.read(b": nothing\n\n")

    assert reader.document() is None
    assert not reader.complete


@each
@pytest.mark.parametrize("event", [b"data: {\n\n", b"data: []\n\n", b"data: 3\n\n", b'data: "x"\n\n'])
def test_what_is_no_event_breaks_the_stream(case: Case, event: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        case.read(event)


@each
def test_an_error_inside_breaks_the_stream_with_its_words_and_status(case: Case) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "engine died"}}

    with pytest.raises(BrokenAnswerError, match="engine died") as caught:
        case.read(b"event: error\ndata: %s\n\n" % json.dumps(error).encode())

    assert caught.value.status == 529


@each
@pytest.mark.parametrize(("code", "status"), [(429, 429), (401, 502), ("429", 502), (200, 502)])
def test_an_error_about_our_own_key_is_not_the_clients(case: Case, code: Any, status: int) -> None:
    error = {"type": "error", "error": {"type": "x", "message": "no", "code": code}}

    with pytest.raises(BrokenAnswerError) as caught:
        case.read(b"data: %s\n\n" % json.dumps(error).encode())

    assert caught.value.status == status


@each
def test_a_usage_that_stands_nowhere_is_not_known(case: Case) -> None:
    data = b"".join(event for event in case.events() if b'"choices":[],' not in event)

    reader = case.read(data.replace(b'"usage"', b'"x"'))

    assert reader.usage is None
    assert said(case, reader.document()) == TEXT


@each
def test_a_usage_that_stands_everywhere_is_counted_once(case: Case) -> None:
    reader = case.read(b"".join(event for event in case.events() for _ in range(2) if b"DONE" not in event))

    assert reader.usage == USED


@each
def test_an_event_without_an_end_does_not_fill_the_memory(case: Case) -> None:
    with pytest.raises(BrokenAnswerError, match="without an end"):
        case.read(b"x" * (8 * 1024 * 1024 + 1))


@each
def test_a_last_event_without_a_blank_line_counts(case: Case) -> None:
    reader = case.read(b"".join(case.events())[:-2])
    reader.finish()

    assert reader.done


@with_tools
def test_tool_calls_are_put_together(case: Case) -> None:
    reader = case.open_reader(TOOLS)
    reader.feed(b"".join(case.events(TOOLS)))

    (message,) = case.api.answered(reader.document() or {})

    (part,) = message["parts"]
    assert (part["type"], part["name"], part["arguments"]) == ("tool_call", "weather", {"city": "Rome"})


@each
@pytest.mark.parametrize("body", [BODY, TOOLS], ids=["text", "tools"])
def test_a_whole_answer_replayed_as_a_stream_reads_as_the_same_answer(case: Case, body: dict[str, Any]) -> None:
    whole, reader = case.whole(body), case.open_reader(body)
    assert case.api.as_stream

    reader.feed(case.api.as_stream(whole, body))

    again = reader.document()
    assert again
    assert case.api.answered(whole) == case.api.answered(again)
    assert case.api.reasons(whole) == case.api.reasons(again)
    assert case.api.usage(whole) == reader.usage == case.api.usage(again)
    assert (reader.id, reader.model, reader.done) == (whole["id"], "tiny", True)
    assert reader.is_replayable()


@pytest.mark.parametrize("kind", ["enabled", ""])
def test_anthropics_own_stream_is_read_with_its_thoughts_and_cache_writes(kind: str) -> None:
    body = {"model": "claude", "thinking": {"type": kind}, "system": [{"type": "text", "cache_control": {}}]}
    reader = CASES[3].open_reader()

    reader.feed(b"".join(map(anthropic_backend.to_sse, anthropic_backend.events(body))))

    assert Usage(input=142, output=20, cached=16, cache_write=100, cache_write_1h=40) == reader.usage
    assert anthropic_backend.message(body) == reader.document()


def test_a_message_that_broke_has_a_usage_that_is_known_in_part() -> None:
    body = {"model": "claude", "thinking": None}

    reader = CASES[3].read(b"".join(map(anthropic_backend.to_sse, anthropic_backend.events(body)[:5])))

    assert Usage(input=42, output=1, cached=16) == reader.usage
    assert reader.usage_is_partial


def test_a_tools_input_that_is_cut_short_stays_text() -> None:
    data = b"".join(CASES[3].events(TOOLS))

    reader = CASES[3].read(data[: data.index(b"\n\n", data.index(b"city")) + 2])

    assert (reader.document() or {})["content"][0]["input"] == '{"city":'


def test_a_last_event_without_its_output_takes_what_was_sent_before() -> None:
    *events, last = shapes.response_events(BODY)
    last = last | {"response": last["response"] | {"output": []}}

    reader = CASES[2].read(b"".join(shapes.to_sse([*events, last])))

    assert said(CASES[2], reader.document()) == TEXT


def test_a_response_that_failed_breaks_the_stream() -> None:
    failed = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "boom"}}}

    with pytest.raises(BrokenAnswerError, match="boom"):
        CASES[2].read(b"".join(shapes.to_sse([failed])))


def test_every_piece_of_content_counts() -> None:
    counts = [case.read(b"".join(case.events())).content_chunks for case in CASES]

    assert [len(WORDS) + 1, len(WORDS) + 1, len(WORDS), len(WORDS)] == counts
