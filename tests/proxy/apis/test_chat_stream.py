import pytest

from spanwell.pricing import Usage
from spanwell_proxy.apis.api import BrokenAnswerError
from spanwell_proxy.apis.chat_stream import ChatReader
from tests.proxy.backend import WORDS, events

BODY = {"model": "tiny", "stream_options": {"include_usage": True}}
WHOLE = b"".join(events(BODY, "well"))


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_it_does_not_matter_where_the_bytes_are_cut(size: int) -> None:
    reader = ChatReader(hide_usage=True)

    passed = [reader.feed(WHOLE[at : at + size]) for at in range(0, len(WHOLE), size)]

    assert all(part.endswith(b"\n\n") for part in passed if part)
    assert b"".join(event for event in events(BODY, "well") if b"usage" not in event) == b"".join(passed)
    assert Usage(input=42, output=20, cached=16) == reader.usage
    assert "".join(WORDS) == reader.choices[0].message()["content"]
    assert reader.done


def test_lines_may_end_as_on_windows() -> None:
    reader = ChatReader(hide_usage=False)

    reader.feed(WHOLE.replace(b"\n", b"\r\n"))

    assert reader.done
    assert len(WORDS) + 1 == reader.content_chunks


def test_the_chunk_that_names_the_role_is_no_content() -> None:
    reader = ChatReader(hide_usage=False)

    reader.feed(events(BODY, "well")[0])
    before = reader.content_chunks
    reader.feed(events(BODY, "well")[1])

    assert (before, reader.content_chunks) == (0, 1)


def test_comments_and_event_names_pass() -> None:
    reader = ChatReader(hide_usage=True)

    passed = reader.feed(b": ping\n\nevent: message\n" + events(BODY, "well")[1])

    assert passed.startswith(b": ping\n\nevent: message\ndata: ")
    assert reader.content_chunks == 1


@pytest.mark.parametrize(
    "event",
    [b"data: {\n\n", b"data: []\n\n", b'data: {"choices": 3}\n\n', b'data: {"choices": [{"delta": "x"}]}\n\n'],
)
def test_what_is_no_chunk_breaks_the_stream(event: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        ChatReader(hide_usage=True).feed(event)


def test_an_error_inside_breaks_the_stream_with_its_message() -> None:
    with pytest.raises(BrokenAnswerError, match="engine died"):
        ChatReader(hide_usage=True).feed(b'data: {"error": {"message": "engine died"}}\n\n')


def test_an_event_without_an_end_does_not_fill_the_memory() -> None:
    reader = ChatReader(hide_usage=True)
    reader.feed(b"x" * 8 * 1024 * 1024)

    with pytest.raises(BrokenAnswerError, match="without an end"):
        reader.feed(b"x")


def test_a_stream_without_done_is_whole_once_every_choice_finished() -> None:
    reader = ChatReader(hide_usage=True)

    reader.feed(b"".join(events(BODY, "well")[:-2]))

    assert not reader.done
    assert reader.complete
