"""The worker's neighbours, small and scriptable: a collector, a proxy, a webhook receiver, each a real HTTP server."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


@dataclass
class FakeCollector:
    """Answers the questions the worker asks from plain lists, and keeps what is posted."""

    overview: dict[str, Any] = field(default_factory=lambda: {"requests": 100})
    groups: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    posted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    status: int = 200

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/v1/overview", self._overview),
                Route("/api/v1/breakdown", self._breakdown),
                Route("/api/v1/samples", self._samples),
                Route("/api/v1/drift", self._drift, methods=["GET"]),
                Route("/api/v1/{path:path}", self._post, methods=["POST"]),
            ]
        )

    async def _overview(self, request: Request) -> Response:
        return self._rows(request, [{"window": "previous"}, {"window": "current", **self.overview}])

    async def _breakdown(self, request: Request) -> Response:
        return self._rows(request, self.groups)

    async def _samples(self, request: Request) -> Response:
        start, end = (datetime.fromisoformat(request.query_params[name]) for name in ("start", "end"))
        wanted = request.query_params.getlist("app")
        rows = [row for row in self.samples if start <= row["ts"] < end and (not wanted or row["app"] in wanted)]
        rows = sorted(rows, key=lambda row: row["ts"], reverse=True)[: int(request.query_params["limit"])]
        return self._rows(request, [{**row, "ts": row["ts"].isoformat()} for row in rows])

    async def _drift(self, request: Request) -> Response:
        return self._rows(request, list(reversed(self.posted.get("drift", []))))

    async def _post(self, request: Request) -> Response:
        if self.status == 200:
            self.posted.setdefault(request.path_params["path"], []).append(await request.json())
        return JSONResponse({}, status_code=201 if self.status == 200 else self.status)

    def _rows(self, request: Request, rows: list[dict[str, Any]]) -> Response:
        params = request.query_params
        self.asked.append((request.url.path.removeprefix("/api/v1"), {key: params.getlist(key) for key in params}))
        return JSONResponse({"rows": rows}, status_code=self.status)


@dataclass
class FakeProxy:
    """Gives the scripted answers one after the other, the last one again and again; keeps the questions."""

    answers: list[str | Response]
    questions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        self.questions.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Response):
            return answer
        return JSONResponse({"choices": [{"message": {"role": "assistant", "content": answer}}]})


@dataclass
class FakeReceiver:
    """Takes webhooks; `respond` says what it answers to the n-th."""

    respond: Callable[[int], Response] = lambda _: Response(status_code=204)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._take, methods=["POST", "GET"])])

    async def _take(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(dict(request.headers))
        return self.respond(len(self.bodies))


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve `app` on a free port of 127.0.0.1; its URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
