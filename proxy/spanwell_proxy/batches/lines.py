"""What one line of a batch's file says, and what is written of its answer. Values in, values out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import orjson

MOST_LINES: Final = 50_000  # OpenAI's bound
LONGEST_LINE_BYTES: Final = 32 * 1024 * 1024
MOST_ERRORS: Final = 100  # told of one file
ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/moderations",
    "/v1/messages",
    "/v1/rerank",
)


@dataclass(frozen=True)
class Line:
    """One request of a batch. `number` counts from 1, `offset` is of its first byte."""

    number: int
    offset: int
    custom_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a provider says of one request: its answer, or, with a status of 0, why none was made."""

    custom_id: str
    status: int
    body: bytes
    code: str
    message: str


@dataclass(frozen=True)
class Mistake:
    """Why a file cannot be run, in the words of OpenAI's `errors.data`."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


def check_file(file: BinaryIO, endpoint: str) -> tuple[int, list[Mistake]]:
    """How many requests a file has, and what is wrong with it; nothing of a sound one."""
    mistakes: list[Mistake] = []
    seen: set[str] = set()
    for number, offset, line in _read_lines(file):
        found = _read_line(number, offset, line, endpoint)
        if isinstance(found, Mistake):
            mistakes.append(found)
        elif found.custom_id in seen:
            mistakes.append(Mistake("duplicate_custom_id", f"{found.custom_id!r} stands twice", number, "custom_id"))
        else:
            seen.add(found.custom_id)
        if len(seen) > MOST_LINES or len(mistakes) == MOST_ERRORS:
            break
    if len(seen) > MOST_LINES:
        mistakes.append(Mistake("too_many_tasks", f"a batch has at most {MOST_LINES} requests"))
    if not seen and not mistakes:
        mistakes.append(Mistake("empty_file", "the file has no request in it"))
    return len(seen), mistakes


def read_requests(file: BinaryIO, endpoint: str) -> Iterator[Line]:
    """The requests of a file that was checked."""
    for number, offset, line in _read_lines(file):
        found = _read_line(number, offset, line, endpoint)
        if isinstance(found, Line):
            yield found


def read_request_at(file: BinaryIO, number: int, offset: int, endpoint: str) -> Line:
    """The request that begins there. Raises ValueError where none does."""
    file.seek(offset)
    found = _read_line(number, offset, file.readline(LONGEST_LINE_BYTES + 1), endpoint)
    if isinstance(found, Mistake):
        raise ValueError(found.message)
    return found


def read_result(line: bytes) -> Result | None:
    """One line of a provider's results; None where it is none."""
    try:
        told = orjson.loads(line)
        custom_id, response, error = told["custom_id"], told.get("response"), told.get("error")
        orjson.dumps(told)  # it reads deeper than it writes, and this has to be written
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(custom_id, str):
        return None
    if isinstance(response, dict) and isinstance(status := response.get("status_code"), int) and 200 <= status < 600:
        return Result(custom_id, status, orjson.dumps(response.get("body")), "", "")
    said = error if isinstance(error, dict) else {}
    return Result(custom_id, 0, b"", str(said.get("code") or "no_answer"), str(said.get("message") or "no answer came"))


def write_result(batch_id: str, line: Line, status: int, request_id: str, body: bytes) -> bytes:
    """The line that OpenAI's batches answer with, ended by a line feed; `body` as a text where it is no JSON."""
    try:
        answer: Any = orjson.loads(body)
    except ValueError:
        answer = body.decode("utf-8", "replace")
    result = {
        "id": f"{batch_id.replace('batch_', 'batch_req_', 1)}_{line.number}",
        "custom_id": line.custom_id,
        "response": {"status_code": status, "request_id": request_id, "body": answer},
        "error": None,
    }
    return orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)


def write_unanswered(batch_id: str, line: Line, code: str, message: str) -> bytes:
    """The line of a request that was never made."""
    result = {
        "id": f"{batch_id.replace('batch_', 'batch_req_', 1)}_{line.number}",
        "custom_id": line.custom_id,
        "response": None,
        "error": {"code": code, "message": message},
    }
    return orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)


def read_custom_ids(file: BinaryIO) -> tuple[set[str], int]:
    """What a result file already tells of, and how far it is whole: a crash may leave half a line at its end."""
    found, size = set(), 0
    for line in file:  # written here, of answers that may be longer than any request
        try:
            result = orjson.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        found.add(str(result["custom_id"]))
        size += len(line)
    return found, size


def _read_lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Number, offset and text of lines that say something, bounded, and the first that is too long as it begins."""
    number, offset, empty = 0, 0, 0
    while line := file.readline(LONGEST_LINE_BYTES + 1):
        number, offset = number + 1, offset + len(line)
        if line.strip():
            yield number, offset - len(line), line
        elif (empty := empty + 1) > MOST_LINES:
            return
        if len(line) > LONGEST_LINE_BYTES:
            return


def _read_line(number: int, offset: int, line: bytes, endpoint: str) -> Line | Mistake:
    if len(line) > LONGEST_LINE_BYTES:
        return Mistake("line_too_long", f"a line has at most {LONGEST_LINE_BYTES} bytes", number)
    try:
        said = orjson.loads(line)
    except ValueError:
        return Mistake("invalid_json_line", "this line is not valid JSON", number)
    if not isinstance(said, dict):
        return Mistake("invalid_json_line", "this line is no JSON object", number)
    custom_id, body = said.get("custom_id"), said.get("body")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 512:
        return Mistake("missing_required_parameter", "write a text of 1 to 512 characters", number, "custom_id")
    if said.get("method") != "POST":
        return Mistake("invalid_method", "the method must be POST", number, "method")
    if said.get("url") != endpoint:
        return Mistake("mismatched_endpoint", f"the url must be the batch's endpoint, {endpoint}", number, "url")
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return Mistake("missing_required_parameter", "the body must name a model", number, "body.model")
    if body.get("stream"):
        return Mistake("invalid_parameter", "a batch cannot stream", number, "body.stream")
    return Line(number, offset, custom_id, body)
