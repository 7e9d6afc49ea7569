"""Large answers through the door: compressed, in many pieces, at once, and broken off."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.collector.conftest import Client
from tests.services import LOOPBACK

ROWS = 200_000
COMPRESSIONS = [False, "lz4", "zstd", "gzip", "deflate"]
BREAKING = "SELECT number, throwIf(number = 1000000, 'a million') FROM numbers(3000000)"


@pytest.fixture(scope="module")
def url(collector: Client) -> str:
    return f"http://{LOOPBACK}:{collector.service.settings.sql_port}/"


@pytest.fixture(scope="module", params=COMPRESSIONS)
def door(collector: Client, request: pytest.FixtureRequest) -> Iterator[Any]:
    with clickhouse_connect.get_client(
        host=LOOPBACK, port=collector.service.settings.sql_port, compress=request.param
    ) as client:
        yield client


def test_two_hundred_thousand_rows_arrive_in_order(door: Any) -> None:
    with door.query_row_block_stream(f"SELECT number FROM numbers({ROWS})") as blocks:
        numbers = [row[0] for block in blocks for row in block]

    assert numbers == list(range(ROWS))


def test_frames_and_tables_are_whole(door: Any) -> None:
    frame = door.query_df(f"SELECT number, toString(number) AS text FROM numbers({ROWS})")
    table = door.query_arrow(f"SELECT number FROM numbers({ROWS})")
    with door.query_arrow_stream(f"SELECT number FROM numbers({ROWS})") as batches:
        streamed = sum(batch.num_rows for batch in batches)

    assert (frame.shape, frame["text"].iloc[-1], table.num_rows, streamed) == ((ROWS, 2), str(ROWS - 1), ROWS, ROWS)


def test_an_answer_that_breaks_off_is_an_error_with_its_number(door: Any) -> None:
    with pytest.raises(StreamFailureError, match="a million") as caught:
        assert door.query(BREAKING).result_rows

    assert caught.value.code == 395


def test_a_small_answer_has_its_length_and_summary(url: str) -> None:
    reply = httpx.post(url, content="SELECT number FROM numbers(10) FORMAT JSON", params={"query_id": "small-1"})

    assert reply.json()["rows"] == 10
    assert reply.headers["content-type"].startswith("application/json")
    assert (reply.headers["x-clickhouse-query-id"], reply.headers["x-clickhouse-format"]) == ("small-1", "JSON")
    assert '"read_rows":"10"' in reply.headers["x-clickhouse-summary"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_compressed_says_so(url: str, encoding: str) -> None:
    headers = {"accept-encoding": encoding}
    asked = httpx.get(url, params={"query": "SELECT repeat('x', 10000)", "enable_http_compression": 1}, headers=headers)
    plain = httpx.get(url, params={"query": "SELECT repeat('x', 10000)"}, headers=headers)

    assert (asked.headers["content-encoding"], len(asked.text)) == (encoding, 10_001)
    assert ("content-encoding" in plain.headers, len(plain.text)) == (False, 10_001)


def test_a_large_answer_comes_in_any_format_whole(url: str) -> None:
    def ask(format: str) -> httpx.Response:
        return httpx.post(url, content=f"SELECT number FROM numbers({ROWS}) FORMAT {format} -- so\n;")

    assert pq.read_table(io.BytesIO(ask("Parquet").content)).num_rows == ROWS
    assert pa.ipc.open_stream(ask("ArrowStream").content).read_all().num_rows == ROWS
    assert len(ask("JSON").json()["data"]) == ROWS
    assert ask("CSVWithNames").text.count("number") == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'ä✓' AS a FORMAT JSONEachRow -- FORMAT CSV",
        "SELECT 'ä✓' AS a /* ; */ format `JSONEachRow` ; # ;",
        "(SELECT 'ä✓' AS a)\nFORMAT/**/JSONEachRow;",
        "WITH 'ä✓' AS a SELECT a FORMAT\tJSONEachRow",
        "SELECT a FROM (SELECT 'ä✓' AS a, ' FORMAT CSV ; ' AS format) FORMAT JSONEachRow",
    ],
)
def test_the_format_is_found_wherever_it_stands(url: str, sql: str) -> None:
    assert httpx.post(url, content=sql).json() == {"a": "ä✓"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        "SELECT count(*) FROM numbers(1) -- FORMAT JSON",
        "SELECT 1 AS format",
        "SELECT (1) /* ; */ ;",
    ],
)
def test_without_a_format_there_is_a_usual_one(url: str, sql: str) -> None:
    assert httpx.post(url, content=sql).text == "1\n"
    assert httpx.post(url, content=sql, params={"default_format": "CSVWithNames"}).text.endswith("\n1\n")


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SHOW TABLES FROM spanwell LIKE 'texts'", "texts"),
        ("SHOW COLUMNS FROM texts FROM spanwell", "trace_id"),
        ("SHOW INDEXES FROM texts FROM spanwell", "by_trace"),
        ("SHOW FUNCTIONS LIKE 'sin'", "sine"),
        ("SHOW ENGINES", "MergeTree"),
        ("SHOW DATABASES", "spanwell"),
        ("DESCRIBE TABLE spanwell.texts", "trace_id"),
        ("EXISTS TABLE spanwell.texts", "1"),
        ("SHOW CREATE TABLE spanwell.texts", "CREATE TABLE"),
        ("EXPLAIN SELECT count() FROM spanwell.texts", "Read"),
        ("SELECT 1 UNION ALL SELECT 2", "2"),
        ("SELECT 7 INTERSECT SELECT 7", "7"),
    ],
)
def test_whatever_reads_is_answered_in_the_wanted_format(url: str, sql: str, found: str) -> None:
    reply = httpx.post(url, content=f"{sql} FORMAT JSONCompact")

    assert (reply.status_code, found in str(reply.json()["data"])) == (200, True)


@pytest.mark.parametrize("format", ["Nonsense", "x" * 65, "'/etc/passwd'", "JSON INTO OUTFILE '/tmp/x'"])
def test_a_format_that_is_none_is_an_error(url: str, format: str) -> None:
    asked = httpx.post(url, content=f"SELECT 1 FORMAT {format}")
    usual = httpx.post(url, content="SELECT 1", params={"default_format": format})

    assert asked.headers["x-clickhouse-exception-code"] in ("73", "62", "164")
    assert usual.headers["x-clickhouse-exception-code"] == "73"


def test_what_breaks_off_ends_with_the_error_and_a_cut(url: str) -> None:
    pieces: list[bytes] = []
    with httpx.stream("POST", url, content=BREAKING) as reply, pytest.raises(httpx.RemoteProtocolError):
        pieces.extend(reply.iter_raw())

    received = b"".join(pieces[-2:])
    tag = reply.headers["x-clickhouse-exception-tag"].encode()
    text, size = received.partition(b"__exception__\r\n" + tag + b"\r\n")[2].split(tag)[0].rsplit(b"\n", 1)
    assert text.startswith(b"Code: 395. DB::Exception: a million")
    assert (int(size), received.endswith(tag + b"\r\n__exception__\r\n")) == (len(text) + 1, True)


def test_clients_of_both_kinds_ask_in_parallel(collector: Client) -> None:
    async def ask() -> list[int]:
        client = await clickhouse_connect.get_async_client(
            host=LOOPBACK, port=collector.service.settings.sql_port, autogenerate_session_id=False
        )
        try:
            questions = (client.query(f"SELECT number + {first} FROM numbers(50000)") for first in range(16))
            replies = await asyncio.gather(*questions)
        finally:
            await client.close()
        return [reply.result_rows[-1][0] for reply in replies]

    assert asyncio.run(ask()) == [first + 49_999 for first in range(16)]


def test_the_asynchronous_client_streams_and_is_told_of_a_break(collector: Client) -> None:
    async def ask() -> tuple[int, int | None]:
        client = await clickhouse_connect.get_async_client(host=LOOPBACK, port=collector.service.settings.sql_port)
        try:
            async with await client.query_row_block_stream(f"SELECT number FROM numbers({ROWS})") as blocks:
                rows = sum([len(block) async for block in blocks])
            with pytest.raises((DatabaseError, StreamFailureError)) as caught:
                (await client.query(BREAKING)).result_rows  # noqa: B018
        finally:
            await client.close()
        return rows, caught.value.code

    assert asyncio.run(ask()) == (ROWS, 395)


@pytest.mark.parametrize("name", ["compress", "decompress"])
def test_clickhouses_own_blocks_are_refused_with_what_to_do(url: str, name: str) -> None:
    reply = httpx.post(url, content="SELECT 1", params={name: "1"})

    assert (reply.status_code, reply.headers["x-clickhouse-exception-code"]) == (501, "48")
    assert "enable_http_compression=1" in reply.text


@pytest.mark.parametrize("query_id", ["a b", "x" * 129, "ä", "a'"])
def test_an_id_that_no_header_could_carry_is_refused(url: str, query_id: str) -> None:
    assert httpx.get(url, params={"query": "SELECT 1", "query_id": query_id}).status_code == 400
