"""A provider's batch API, of OpenAI's shape: files that are sent and read, batches that are made and looked at.

Everything that goes wrong is an ApiError, in words without secrets.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import orjson

from spanwell_proxy.config.routes import Deployment
from spanwell_proxy.failures import ApiError
from spanwell_proxy.upstream.client import Answer, Client, join_query
from spanwell_proxy.upstream.refusals import classify, read_failure
from spanwell_proxy.upstream.wire import Limits

Document = dict[str, Any]

MARK: Final = "spanwell_batch"  # in a provider's metadata: which batch of ours it is
ASK_S: Final = 60.0
UPLOAD_S: Final = 600.0
PIECE_S: Final = 60.0  # between two pieces of a file
MOST_PAGES: Final = 20
LONGEST_RESULT_BYTES: Final = 64 * 1024 * 1024
TEMPORARY: Final = frozenset(("timeout", "rate_limit", "internal", "unavailable"))


class Form:
    """The form that an upload is, as it is written: `head`, then the lines, then `tail`."""

    def __init__(self, filename: str) -> None:
        self.boundary = secrets.token_hex(16)
        disposition = "content-disposition: form-data; name="
        fields = (
            f'{disposition}"purpose"\r\n\r\nbatch',
            f'{disposition}"file"; filename="{filename}"\r\ncontent-type: application/jsonl\r\n\r\n',
        )
        self.head = "\r\n".join(f"--{self.boundary}\r\n{field}" for field in fields).encode()
        self.tail = f"\r\n--{self.boundary}--\r\n".encode()


@dataclass(frozen=True)
class BatchApi:
    """That of one deployment."""

    client: Client
    deployment: Deployment

    async def upload(self, path: Path, boundary: str) -> str:
        """Send a form, and get the id of the file. It is not held in memory: it may be as large as a batch's file."""
        with path.open("rb") as file:
            body = cast(bytes, memoryview(mmap(file.fileno(), 0, access=ACCESS_READ)))
        kind = f"multipart/form-data; boundary={boundary}"
        return self._read_id(await self._ask("POST", "/files", body, kind, UPLOAD_S))

    async def find_file(self, filename: str) -> str:
        """The id of an uploaded file of that name; empty where there is none among the latest."""
        listed = await self._ask("GET", "/files?purpose=batch&limit=100&order=desc")
        return next((self._read_id(one) for one in _read_list(listed) if one.get("filename") == filename), "")

    async def delete_file(self, file_id: str) -> None:
        await self._ask("DELETE", f"/files/{quote(file_id, safe='')}")

    async def create(self, file_id: str, endpoint: str, mark: str) -> str:
        """Start a batch, and get its id."""
        wanted = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h", "metadata": {MARK: mark}}
        return self._read_id(await self._ask("POST", "/batches", orjson.dumps(wanted), "application/json"))

    async def find_batch(self, mark: str) -> str:
        """The id of the batch that was started with this mark; empty where there is none."""
        after = ""
        for _ in range(MOST_PAGES):
            listed = await self._ask("GET", f"/batches?limit=100{after}")
            page = _read_list(listed)
            for one in page:
                if (one.get("metadata") or {}).get(MARK) == mark:
                    return self._read_id(one)
            if not page or not listed.get("has_more"):
                break
            after = f"&after={quote(self._read_id(page[-1]), safe='')}"
        return ""

    async def look(self, batch_id: str) -> Document:
        """How it stands."""
        return await self._ask("GET", f"/batches/{quote(batch_id, safe='')}")

    async def cancel(self, batch_id: str) -> None:
        """What has been answered by then is kept."""
        await self._ask("POST", f"/batches/{quote(batch_id, safe='')}/cancel")

    async def read_lines(self, file_id: str) -> AsyncGenerator[bytes]:
        """A file, line by line as it comes."""
        parts: list[bytes] = []  # of a line that goes on
        size = 0
        try:
            path = f"/files/{quote(file_id, safe='')}/content"
            answer = await self._send(self.client, "GET", path, b"", "", ASK_S)
            try:
                while data := await answer.read_some(asyncio.get_running_loop().time() + PIECE_S):
                    *lines, rest = data.split(b"\n")
                    for line in lines:
                        yield b"".join((*parts, line))
                        parts, size = [], 0
                    parts.append(rest)
                    size += len(rest)
                    if size > LONGEST_RESULT_BYTES:
                        raise self._break("sent a line that is too long")
            finally:
                answer.close()
        except OSError as error:
            raise self._explain(error) from error
        if size:
            yield b"".join(parts)

    async def _ask(
        self, method: str, path: str, body: bytes = b"", content_type: str = "", longest_s: float = ASK_S
    ) -> Document:
        # What begins something has a connection of its own: on one that lay idle, a request may be sent twice.
        client = Client() if method == "POST" else self.client
        try:
            answer = await self._send(client, method, path, body, content_type, longest_s)
            try:
                said = await answer.read(asyncio.get_running_loop().time() + ASK_S)
            finally:
                answer.close()
        except OSError as error:
            raise self._explain(error) from error
        finally:
            if client is not self.client:
                await client.close()
        try:
            document = orjson.loads(said)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._break("sent no JSON object")
        return document

    async def _send(
        self, client: Client, method: str, path: str, body: bytes, content_type: str, longest_s: float
    ) -> Answer:
        """An answer that is no refusal. Raises OSError too."""
        deployment, until = self.deployment, asyncio.get_running_loop().time() + longest_s
        whole = join_query(path, deployment.url.query)
        async with asyncio.timeout(longest_s):  # for the sending: `until` is for the answer
            answer = await client.send(
                deployment, method, whole, Limits(head_by=until), body=body, content_type=content_type
            )
        if 200 <= answer.status < 300:
            return answer
        try:
            said = await answer.read(until)
        finally:
            answer.close()
        raise read_failure(deployment, "openai", answer, said)

    def _read_id(self, document: Document) -> str:
        found = document.get("id")
        if not isinstance(found, str) or not 0 < len(found) <= 256:
            raise self._break("gave no id")
        return found

    def _explain(self, error: OSError) -> ApiError:
        who = f"the backend of {self.deployment.model_name!r}"
        if isinstance(error, TimeoutError):
            return ApiError(504, "upstream_timeout", f"{who} did not answer in time", retryable=True)
        return ApiError(502, "upstream_unreachable", f"{who} cannot be reached", retryable=True)

    def _break(self, what: str) -> ApiError:
        told = f"the backend of {self.deployment.model_name!r} {what}"
        return ApiError(502, "upstream_broken_answer", told, retryable=True)


def is_temporary(failure: ApiError) -> bool:
    """Whether the same may go well in a while."""
    return classify(failure) in TEMPORARY


def is_open(failure: ApiError) -> bool:
    """Whether the provider may have done what it was asked, though it does not say so."""
    return is_temporary(failure) and classify(failure) != "rate_limit"


def _read_list(listed: Document) -> list[Document]:
    data = listed.get("data")
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
