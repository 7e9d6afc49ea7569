"""The operator sees what becomes of a payload before it is sent for good."""

from pathlib import Path

import pytest

from spanwell import conventions as c
from spanwell_collector.admin.__main__ import main
from tests.collector.dialects.spans import make_source, to_batch

FIXTURES = Path(__file__).parents[1] / "dialects" / "fixtures"


def test_a_payload_is_shown_with_where_each_value_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["mapping", "test", str(FIXTURES / "openinference_openai.traces.pb")])

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert "dialect openinference, operation chat: a call" in lines
    assert "input_tokens 150 from llm.token_count.prompt" in lines
    assert "request_model gpt-4o-mini worked out" in lines
    assert "output assistant: text: Paris it is." in lines
    assert "not mapped llm.token_count.total = 187" in lines
    assert lines[-1] == "8 of 8 spans are in a dialect that is known"


def test_a_payload_in_json_that_nobody_knows_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.json"
    path.write_text(
        '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "5b8efff798038103d269b633813fc60c",'
        ' "spanId": "eee19b7ec3c1b174", "name": "GET /", "startTimeUnixNano": "1790000000000000000",'
        ' "endTimeUnixNano": "1790000001000000000"}]}]}]}'
    )

    assert main(["mapping", "test", str(path)]) == 1
    assert "dialect otel, operation none: no call" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"no protobuf", b"{no json"])
def test_a_file_that_is_no_request_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "request"
    path.write_bytes(content)

    assert main(["mapping", "test", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("messages", ["no messages", "[1, 2]"])
def test_messages_that_are_none_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], messages: str
) -> None:
    path = tmp_path / "request.pb"
    path.write_bytes(to_batch(make_source({c.OPERATION: "chat", c.INPUT_MESSAGES: messages}, scope="spanwell")))

    assert main(["mapping", "test", str(path)]) == 0
    assert messages in capsys.readouterr().out


def test_what_steers_a_terminal_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.pb"
    sent = {"gen_ai.system": "\x1b[31m", "error.type": "\x1b[2J"}
    path.write_bytes(to_batch(make_source(sent, scope="a\x9b1m", name="b\x1b]0;c\x07", failed=True)))

    main(["mapping", "test", str(path)])

    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


def test_what_was_cut_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.pb"
    path.write_bytes(to_batch(make_source({"gen_ai.system": "openai", "long": "x" * 100_000})))

    assert main(["mapping", "test", str(path)]) == 0
    assert "out of bounds and cut: value_length" in capsys.readouterr().out


def test_the_table_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mapping", "list"]) == 0

    out = capsys.readouterr().out
    assert "    langfuse.observation.usage_details -> prompt_tokens\n" in out
    assert "    ai.response.msToFirstChunk  (in ms)\n" in out
    assert "    user_id  (logfire alone)\n" in out
