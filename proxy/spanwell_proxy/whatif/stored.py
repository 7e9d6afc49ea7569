"""Reads stored calls from the collector, oldest first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from sys import intern
from typing import Any, Final

import httpx
import orjson

from spanwell.conventions import CALLS, MAX_TOKENS, SAVED_MS, TEMPERATURE
from spanwell.errors import SpanwellError
from spanwell.settings import Settings

SILENCE_S: Final = 60.0
ROWS: Final = "x-spanwell-rows"
PARAMETERS: Final = (TEMPERATURE, MAX_TOKENS)  # those that spans carry
Tell = Callable[[str, int, int], None]  # what is read, how many rows of how many


@dataclass(frozen=True)
class Window:
    """What to look at: of a project, from `start` to `end`; `model` is the name that was asked for."""

    project: str
    start: datetime
    end: datetime
    model: str = ""

    def parameters(self) -> list[tuple[str, str]]:
        times = [("start", self.start.isoformat()), ("end", self.end.isoformat())]
        return [("project", self.project), *times, *([("request_model", self.model)] if self.model else [])]


@dataclass(frozen=True, slots=True)
class Stored:
    """A call as it is stored. `asked` are its messages of {role, parts}, masked; `at` in seconds since 1970.

    A call that a cache answered has the cost and the time that it was spared. `parameters` are its PARAMETERS.
    """

    trace_id: str
    span_id: str
    at: float
    model: str
    operation: str
    key_id: str
    status: str
    deployment: str
    cache: str
    duration_ms: float
    cost_usd: Decimal | None
    parameters: tuple[str, ...]
    asked: str = ""


def read_calls(settings: Settings, window: Window, tell: Tell) -> list[Stored]:
    """The model calls of the window that were not Spanwell's own, with what they asked. Raises SpanwellError."""
    texts = {
        (row["trace_id"], row["span_id"]): row["input"]
        for row in export_rows(settings, "texts", window, tell)
        if row["source"] == ""
    }
    spans = (row for row in export_rows(settings, "spans", window, tell) if _is_call(row))
    calls = [_read(row, texts.get((row["trace_id"], row["span_id"]), "")) for row in spans]
    return sorted(calls, key=lambda call: (call.at, call.trace_id, call.span_id))


def export_rows(settings: Settings, what: str, window: Window, tell: Tell) -> Iterator[dict[str, Any]]:
    """`spans`, `texts` or `scores` of the window. Raises SpanwellError."""
    headers = {"authorization": f"Bearer {settings.api_token}"} if settings.api_token else {}
    question = [("what", what), ("format", "jsonl"), *window.parameters()]
    url = f"{settings.collector_url}/api/v1/export"
    try:
        with (
            httpx.Client(timeout=SILENCE_S, trust_env=False, headers=headers) as client,
            client.stream("GET", url, params=tuple(question)) as reply,
        ):
            if reply.is_error:
                reply.read()
                raise SpanwellError(_explain(reply))
            total = int(reply.headers.get(ROWS, 0))
            for number, line in enumerate(reply.iter_lines(), 1):
                if number % 1000 == 0 or number == total:
                    tell(what, number, total)
                yield orjson.loads(line)
    except httpx.HTTPError as error:
        raise SpanwellError(f"no collector answers at {settings.collector_url} ({error}): start it first") from error


def _is_call(row: dict[str, Any]) -> bool:
    return row["operation"] in CALLS and not row["purpose"] and not row["duplicate_of"]


def _read(row: dict[str, Any], asked: str) -> Stored:
    was_hit, attributes = row["cache"] == "hit", row["attributes"]
    cost = row["saved_usd"] if was_hit else row["cost_usd"]
    return Stored(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        at=datetime.fromisoformat(row["ts"]).replace(tzinfo=UTC).timestamp(),
        model=intern(row["request_model"]),
        operation=intern(row["operation"]),
        key_id=intern(row["key_id"]),
        status=row["status"],
        deployment=intern(row["deployment"]),
        cache=row["cache"],
        duration_ms=float(attributes.get(SAVED_MS) or row["duration_ms"]),
        cost_usd=None if cost is None else Decimal(str(cost)),
        parameters=tuple(intern(attributes.get(name, "")) for name in PARAMETERS),
        asked=asked,
    )


def _explain(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the collector answered {reply.status_code}"
