"""A provider with a batch API, as OpenAI's reference describes it: files, batches, and what may become of them."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.proxy.backend import SECRET, completion, fault, served

USED = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
COST_USD = "0.00001"  # of one line: 10 tokens at half of 1e-6, 5 at half of 2e-6
ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass
class Provider:
    """`fates` are of lines by custom_id; what is not named goes well. A batch that is `held` ends once it is let go.

    `moods` is what requests to a path meet, one each: a status, `lost` where its answer never arrives, `cut` where half
    of it does, and `hang` where it is done and nobody hears of it.
    """

    outcome: str = "completed"
    is_held: bool = False
    fates: dict[str, str] = field(default_factory=dict)
    moods: dict[str, deque[Any]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: list[list[dict[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)  # made line by line
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        name = f"{request.method} {request.path.removeprefix('/v1')}"
        self.asked.append(name)
        mood = self._find_mood(name)
        if isinstance(mood, int):
            return web.json_response(fault("invalid_request_error", f"no, {SECRET}", mood), status=mood)
        reply = await self._answer(request, name.split("/")[1:])
        if mood == "hang":
            self.hanging.set()
            await asyncio.sleep(60)
        if mood in ("lost", "cut"):
            assert request.transport is not None
            if mood == "cut":
                assert isinstance(reply, web.Response)
                assert isinstance(reply.body, bytes)
                half = web.StreamResponse(headers={"content-length": str(len(reply.body))})
                await half.prepare(request)
                await half.write(reply.body[: len(reply.body) // 2])
            request.transport.abort()
        return reply

    def _find_mood(self, name: str) -> Any:
        for start, moods in self.moods.items():
            if name.startswith(start) and moods:
                return moods.popleft()
        return None

    async def _answer(self, request: web.Request, path: list[str]) -> web.StreamResponse:
        match request.method, path:
            case "POST", ["files"]:
                return web.json_response(await self._upload(request))
            case "GET", ["files"]:
                return web.json_response(_list(self.files, request))
            case "GET", ["files", file_id, "content"] if file_id in self.contents:
                return web.Response(body=self.contents[file_id])
            case "DELETE", ["files", file_id] if file_id in self.files:
                del self.files[file_id], self.contents[file_id]
                return web.json_response({"id": file_id, "object": "file", "deleted": True})
            case "POST", ["batches"]:
                return web.json_response(self._create(await request.json()))
            case "GET", ["batches"]:
                return web.json_response(_list(self.batches, request))
            case "GET", ["batches", batch_id] if batch_id in self.batches:
                return web.json_response(self._advance(self.batches[batch_id]))
            case "POST", ["batches", batch_id, "cancel"] if batch_id in self.batches:
                return web.json_response(self._cancel(self.batches[batch_id]))
            case "POST", ["chat", "completions"]:
                self.calls.append(await request.json())
                return web.json_response(completion(self.calls[-1]))
        return web.json_response(fault("invalid_request_error", "No such thing", 404), status=404)

    async def _upload(self, request: web.Request) -> dict[str, Any]:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        assert form["purpose"] == "batch"
        with file.file as uploaded:
            content = uploaded.read()
        self.uploads.append([json.loads(line) for line in content.splitlines()])
        return self._keep(content, file.filename, "batch")

    def _keep(self, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        file_id = f"file-{len(self.asked)}{len(self.files)}"
        self.contents[file_id] = content
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": 1795207129,
            "expires_at": None,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
        }
        return self.files[file_id]

    def _create(self, wanted: dict[str, Any]) -> dict[str, Any]:
        batch_id = f"batch_at_provider_{len(self.batches)}"
        lines = self.contents[wanted["input_file_id"]].splitlines()
        self.batches[batch_id] = wanted | {
            "id": batch_id,
            "object": "batch",
            "status": "validating",
            "errors": None,
            "created_at": 1795207129,
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        return self.batches[batch_id]

    def _cancel(self, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["status"] not in ENDED:
            batch["status"] = "cancelling"
        return batch

    def _advance(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A step with every look."""
        if batch["status"] == "validating":
            batch["status"] = "in_progress"
            if self.outcome == "failed":
                error = {"code": "model_not_found", "message": f"line 2, {SECRET}", "param": "body.model", "line": 2}
                batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
        elif batch["status"] == "cancelling":
            self._end(batch, "cancelled")
        elif batch["status"] == "in_progress" and not self.is_held:
            self._end(batch, self.outcome)
        return batch

    def _end(self, batch: dict[str, Any], status: str) -> None:
        """Results stand in another order than requests."""
        lines = [json.loads(line) for line in self.contents[batch["input_file_id"]].splitlines()]
        made = (_make_result(line, self.fates.get(line["custom_id"], "")) for line in reversed(lines))
        results = [one for one in made if one]
        for name, is_error in (("output_file_id", False), ("error_file_id", True)):
            content = b"".join(
                json.dumps(one).encode() + b"\n"
                for one in results
                if ((one["response"] or {"status_code": 500})["status_code"] != 200) == is_error
            )
            batch[name] = self._keep(content, f"{name}.jsonl", "batch_output")["id"] if content else None
        batch["status"] = status


def _make_result(line: dict[str, Any], fate: str) -> dict[str, Any] | None:
    if fate == "missing":
        return None
    result: dict[str, Any] = {"id": "batch_req_1", "custom_id": line["custom_id"], "response": None, "error": None}
    if fate in ("batch_expired", "batch_cancelled"):
        return result | {"error": {"code": fate, "message": f"This request could not be executed. {SECRET}"}}
    if line["url"] == "/v1/embeddings":
        vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
        body: dict[str, Any] = {"object": "list", "data": [vector], "usage": {"prompt_tokens": 20, "total_tokens": 20}}
    else:
        body = completion(line["body"]) | {"usage": USED, "service_tier": "default"}
        body["choices"][0]["message"]["content"] = f"to {line['custom_id']}"
    status = 200
    if fate == "400":
        status, body = 400, fault("invalid_request_error", f"too long, {SECRET}", 400)
    return result | {"response": {"status_code": status, "request_id": "req_1", "body": body}}


def _list(things: dict[str, dict[str, Any]], request: web.Request) -> dict[str, Any]:
    """Newest first, a page of one."""
    listed = list(reversed(things.values()))
    if after := request.query.get("after"):
        listed = listed[[one["id"] for one in listed].index(after) + 1 :]
    if request.path.endswith("/files"):
        return {"object": "list", "data": listed, "has_more": False}
    return {"object": "list", "data": listed[:1], "has_more": len(listed) > 1}


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    provider, app = Provider(), web.Application(client_max_size=2**28)
    app.router.add_route("*", "/v1/{path:.*}", provider.handle)
    async with served(app) as provider.port:
        yield provider
