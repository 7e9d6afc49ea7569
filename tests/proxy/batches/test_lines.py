"""What a batch's file may say."""

from io import BytesIO

import pytest

from spanwell_proxy.batches.lines import (
    Mistake,
    Result,
    check_file,
    read_custom_ids,
    read_request_at,
    read_requests,
    read_result,
)
from tests.proxy.batches.conftest import ENDPOINT, line


def test_a_sound_file_is_read_line_by_line() -> None:
    file = BytesIO(line("a") + b"\n" + line("b").rstrip())

    total, mistakes = check_file(file, ENDPOINT)
    file.seek(0)

    assert (total, mistakes) == (2, [])
    assert [one.custom_id for one in read_requests(file, ENDPOINT)] == ["a", "b"]


@pytest.mark.parametrize(
    ("bad", "code", "param"),
    [
        (b"{\n", "invalid_json_line", None),
        (b"[]\n", "invalid_json_line", None),
        (line("x", custom_id=7), "missing_required_parameter", "custom_id"),
        (line("x", method="GET"), "invalid_method", "method"),
        (line("x", url="/v1/embeddings"), "mismatched_endpoint", "url"),
        (line("x", body={}), "missing_required_parameter", "body.model"),
        (line("x", body={"model": "fox", "stream": True}), "invalid_parameter", "body.stream"),
        (line("a"), "duplicate_custom_id", "custom_id"),
    ],
)
def test_a_mistake_names_its_line_and_field(bad: bytes, code: str, param: str | None) -> None:
    _, (mistake,) = check_file(BytesIO(line("a") + bad), ENDPOINT)

    assert (mistake.code, mistake.line, mistake.param) == (code, 2, param)


def test_lines_are_counted_as_an_editor_does() -> None:
    _, (mistake,) = check_file(BytesIO(b"\n\n" + line("a") + b"{"), ENDPOINT)

    assert mistake.line == 4


def test_a_file_of_empty_lines_is_not_read_to_its_end() -> None:
    file = BytesIO(b"\n" * 200_000)

    check_file(file, ENDPOINT)

    assert file.tell() < 60_000


def test_a_file_without_a_request_is_a_mistake() -> None:
    assert check_file(BytesIO(b"\n\n"), ENDPOINT) == (
        0,
        [Mistake("empty_file", "the file has no request in it")],
    )


def test_half_a_line_at_the_end_of_the_results_is_not_counted() -> None:
    whole = b'{"custom_id":"a"}\n'

    assert read_custom_ids(BytesIO(whole + b'{"custom_id":"b"}')) == ({"a"}, len(whole))


def test_a_line_is_found_again_by_its_offset() -> None:
    file = BytesIO(b"\n" + line("a") + b"\n" + line("b"))

    lines = list(read_requests(file, ENDPOINT))

    assert [read_request_at(file, one.number, one.offset, ENDPOINT) for one in lines] == lines
    with pytest.raises(ValueError, match="JSON"):
        read_request_at(file, 1, 3, ENDPOINT)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (b'{"custom_id":"a","response":{"status_code":200,"body":{}}}', Result("a", 200, b"{}", "", "")),
        (b'{"custom_id":"a","response":null,"error":{"code":"x","message":"y"}}', Result("a", 0, b"", "x", "y")),
        (b'{"custom_id":"a","response":{"status_code":"200"}}', Result("a", 0, b"", "no_answer", "no answer came")),
        (b'{"custom_id":7,"response":{"status_code":200}}', None),
        (b'{"custom_id":"a","response":{"status_code":200,"body":' + b"[" * 500 + b"]" * 500 + b"}}", None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_a_result_is_read_whatever_it_says(told: bytes, expected: Result | None) -> None:
    assert read_result(told) == expected
