"""Exports: whole, exact, within the question's project and window, and known to be so."""

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spanwell.errors import SpanwellError, StoreError
from spanwell_collector.admin.__main__ import main
from spanwell_collector.admin.export import Counter, _compare
from spanwell_collector.queries.export import Export, begin_export
from spanwell_collector.queries.selection import Selection
from spanwell_collector.store.streams import ServerStream
from tests.collector.batches import SpanIn, call, make_batch
from tests.collector.conftest import Client
from tests.services import LOOPBACK

PROJECT = "exports"
HOSTILE = "=cmd|' /C calc'!A0,\"quoted\"\r\nsecond line\t\x01 ünï✓ \\N"
SPANS = 40


@pytest.fixture(scope="module")
def exports(collector: Client) -> Client:
    spans = [
        SpanIn(
            0xE000 + index // 2,
            1 + index % 2,
            attributes=call(
                gen_ai__request__model="small" if index % 4 else "large",
                spanwell__cost_usd="0.25",
                gen_ai__input__messages=json.dumps([{"role": "user", "parts": [{"type": "text", "content": HOSTILE}]}]),
            )
            | {"note": HOSTILE},
        )
        for index in range(SPANS)
    ]
    collector.send(make_batch(spans, {"spanwell.project": PROJECT}))
    collector.send(make_batch([SpanIn(0xEFFF, 1, attributes=call())], {"spanwell.project": "exports-other"}))
    collector.await_count(SPANS, project=PROJECT)
    collector.await_count(1, project="exports-other")
    score = {"trace_id": f"{0xE000:032x}", "name": "taste", "value": 1, "source": "user", "comment": HOSTILE}
    assert collector.http.post("/api/v1/scores", json={**score, "project": PROJECT}).status_code == 201
    return collector


def fetch(client: Client, what: str, format: str, **parameters: Any) -> httpx.Response:
    asked = {"what": what, "format": format, "project": PROJECT, **parameters}
    reply = client.http.get("/api/v1/export", params=asked)
    assert reply.status_code == 200, reply.text
    return reply


def read_jsonl(reply: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.text.split("\n") if line]


def read_csv(reply: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.content.decode(), newline="")))


def read_parquet(reply: httpx.Response) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(reply.content)).to_pylist()
    return rows


READ: Mapping[str, Callable[[httpx.Response], list[Any]]] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
}


@pytest.mark.parametrize("format", READ)
@pytest.mark.parametrize(("what", "rows"), [("spans", SPANS), ("texts", SPANS), ("traces", SPANS // 2), ("scores", 1)])
def test_every_row_is_there_and_announced(exports: Client, what: str, rows: int, format: str) -> None:
    reply = fetch(exports, what, format)

    assert (len(READ[format](reply)), reply.headers["x-spanwell-rows"]) == (rows, str(rows))
    assert reply.headers["content-disposition"] == f'attachment; filename="{what}.{format}"'


@pytest.mark.parametrize("format", READ)
def test_hostile_text_comes_out_as_it_went_in(exports: Client, format: str) -> None:
    score = READ[format](fetch(exports, "scores", format))[0]

    assert score["comment"] == HOSTILE


def test_spans_bring_all_their_columns(exports: Client) -> None:
    span = read_parquet(fetch(exports, "spans", "parquet"))[0]
    line = read_jsonl(fetch(exports, "spans", "jsonl"))[0]

    assert (dict(span["attributes"])["note"], line["attributes"]["note"]) == (HOSTILE, HOSTILE)
    assert (str(span["cost_usd"]), line["cost_usd"]) == ("0.250000000000", 0.25)
    assert set(span) == set(line) >= {"project", "ts", "trace_id", "duplicate_of", "usage", "costs", "events"}


@pytest.mark.parametrize(("what", "rows"), [("spans", 10), ("texts", 10), ("traces", 10), ("scores", 1)])
def test_filters_hold_for_every_kind(exports: Client, what: str, rows: int) -> None:
    assert len(read_jsonl(fetch(exports, what, "jsonl", model="large"))) == rows
    assert read_jsonl(fetch(exports, what, "jsonl", model="none such")) == []


def test_a_trace_sums_up_all_its_spans(exports: Client) -> None:
    trace = read_jsonl(fetch(exports, "traces", "jsonl", model="large"))[0]

    assert (trace["spans"], trace["requests"], trace["cost_usd"], trace["models"]) == (2, 2, 0.5, ["large", "small"])


def test_another_project_and_another_window_stay_out(exports: Client) -> None:
    other = read_jsonl(fetch(exports, "spans", "jsonl", project="exports-other"))
    earlier = fetch(exports, "spans", "jsonl", start="2020-01-01T00:00:00Z", end="2020-01-02T00:00:00Z")

    assert ([row["trace_id"] for row in other], earlier.headers["x-spanwell-rows"]) == ([f"{0xEFFF:032x}"], "0")


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"what": "keys"}, "what"),
        ({"format": "xlsx"}, "format"),
        ({"colour": "red"}, "colour"),
        ({"start": "x"}, "start"),
    ],
)
def test_a_wrong_question_is_refused_by_its_field(exports: Client, parameters: dict[str, str], field: str) -> None:
    reply = exports.http.get("/api/v1/export", params={"what": "spans", "project": PROJECT} | parameters)

    assert (reply.status_code, reply.json()["error"]["field"]) == (400, field)


class Arriving:
    """A store into which rows come: each count finds what `counts` says."""

    def __init__(self, counts: Iterable[int]) -> None:
        self._counts = iter(counts)

    def query(self, _sql: str, _parameters: Mapping[str, Any]) -> pa.Table:
        return pa.table({"rows": [next(self._counts)]})


class Line:
    """A stream of one line."""

    def __init__(self) -> None:
        self.pieces = [b"", b"{}\n"]
        self.is_abandoned = False

    def read(self) -> bytes:
        return self.pieces.pop()

    def abandon(self) -> None:
        self.is_abandoned = True


def begin(monkeypatch: pytest.MonkeyPatch, counts: Iterable[int]) -> tuple[Export, list[Line]]:
    streams: list[Line] = []

    def open_line(*_asked: Any) -> Line:
        streams.append(Line())
        return streams[-1]

    monkeypatch.setattr("spanwell_collector.queries.export.open_stream", open_line)
    store: Any = Arriving(counts)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return begin_export(store, Selection(PROJECT, now, now), "spans", "jsonl", sleep=lambda _seconds: None), streams


def test_rows_that_come_meanwhile_have_it_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    export, streams = begin(monkeypatch, [5, 6, 7, 7])

    assert (export.rows, export.read(), export.read()) == (7, b"{}\n", b"")
    assert [stream.is_abandoned for stream in streams] == [True, True, False]


def test_rows_that_do_not_cease_to_come_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="rows keep coming"):
        begin(monkeypatch, itertools.count())


def test_a_server_is_read_as_the_engine_is(exports: Client) -> None:
    client = clickhouse_connect.get_client(host=LOOPBACK, port=exports.service.settings.sql_port)
    stream = ServerStream(client, "SELECT number FROM numbers({n:UInt32})", {"n": 100_000}, "JSONEachRow")

    lines = b"".join(iter(stream.read, b"")).count(b"\n")
    stream.abandon()

    assert lines == 100_000


def test_a_server_that_breaks_off_is_an_error(exports: Client) -> None:
    client = clickhouse_connect.get_client(host=LOOPBACK, port=exports.service.settings.sql_port)
    stream = ServerStream(client, "SELECT throwIf(number = 2000000) FROM numbers(3000000)", {}, "CSVWithNames")

    with pytest.raises(StoreError, match="broke off"):
        list(iter(stream.read, b""))

    stream.abandon()


def test_rows_are_counted_on_the_way() -> None:
    body = b'a,b\n"one ""two""\n",1\n"",2\n'
    pieces = [body[index : index + 3] for index in range(0, len(body), 3)]

    counter = Counter("csv")
    for piece in pieces:
        counter.see(piece)

    assert counter.rows == 2


def test_an_export_that_is_cut_is_not_kept() -> None:
    with pytest.raises(SpanwellError, match="9 of 10 rows came"):
        _compare(10, 9)


@pytest.fixture
def run(exports: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    for name, value in exports.service.settings.environ().items():
        monkeypatch.setenv(name, value)

    def go(*arguments: str) -> int:
        return main(["export", *arguments, "--project", PROJECT])

    return go


@pytest.mark.parametrize("format", READ)
def test_the_command_writes_a_whole_file(run: Callable[..., int], tmp_path: Path, format: str) -> None:
    file = tmp_path / f"texts.{format}"

    assert run("texts", str(file), "--filter", "model!=large") == 0
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    if format == "parquet":
        assert pq.read_metadata(file).num_rows == SPANS - 10


def test_the_command_overwrites_nothing(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "spans.csv"
    file.write_text("mine")

    assert run("spans", str(file)) == 2
    assert run("spans", str(tmp_path / "spans.xlsx")) == 2
    assert run("spans", str(tmp_path / "new.csv"), "--start", "yesterday") == 1
    assert (file.read_text(), [path.name for path in tmp_path.iterdir()]) == ("mine", ["spans.csv"])
    assert "start: " in capsys.readouterr().err
