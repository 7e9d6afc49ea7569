"""What ends a statement of the door: its client leaves, or somebody says so."""

import concurrent.futures
import time
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.collector.conftest import Client, poll
from tests.services import LOOPBACK

COMPUTING = "SELECT count() FROM numbers(1000000000000) WHERE sin(number) > 2"
WRITING = "SELECT number FROM numbers(90000000)"  # more than what lies between two processes
MORE = {"max_result_rows": 100_000_000, "max_result_bytes": 10_000_000_000}


@pytest.fixture(scope="module")
def url(collector: Client) -> str:
    return f"http://{LOOPBACK}:{collector.service.settings.sql_port}/"


@pytest.fixture(scope="module")
def door(collector: Client) -> Iterator[Any]:
    with clickhouse_connect.get_client(host=LOOPBACK, port=collector.service.settings.sql_port) as client:
        yield client


def is_running(door: Any, id: str) -> bool:
    sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = {id:String}"
    return bool(door.query(sql, parameters={"id": id}).result_rows[0][0])


def await_start(door: Any, id: str) -> None:
    assert poll(lambda: is_running(door, id), bool)


def test_a_client_that_leaves_ends_its_statement_within_a_second(door: Any, url: str) -> None:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        asked = threads.submit(httpx.post, url, content=COMPUTING, params={"query_id": "leaves-1"}, timeout=1)
        await_start(door, "leaves-1")
        assert isinstance(asked.exception(), httpx.ReadTimeout)

    left = time.monotonic()
    assert poll(lambda: is_running(door, "leaves-1"), lambda running: not running) is False
    assert time.monotonic() - left < 1


def test_a_client_that_reads_half_and_leaves_ends_its_statement(door: Any, url: str) -> None:
    with httpx.stream("POST", url, content=WRITING, params={"query_id": "half-1", **MORE}) as reply:
        pieces = reply.iter_raw()
        next(pieces)
        await_start(door, "half-1")

    left = time.monotonic()
    assert poll(lambda: is_running(door, "half-1"), lambda running: not running) is False
    assert time.monotonic() - left < 1


def test_a_stream_that_is_closed_early_leaves_the_door_open(door: Any) -> None:
    for _ in range(12):  # more than there are slots
        with door.query_row_block_stream(WRITING, settings=MORE) as blocks:
            next(iter(blocks))

    assert door.query("SELECT 1").result_rows == [(1,)]


def test_a_statement_is_ended_by_its_id(door: Any, url: str) -> None:
    with concurrent.futures.ThreadPoolExecutor() as threads:
        asked = threads.submit(httpx.post, url, content=COMPUTING, params={"query_id": "kill-1"}, timeout=30)
        await_start(door, "kill-1")
        killed = httpx.post(url, content="KILL QUERY WHERE query_id = 'kill-1' FORMAT JSONEachRow")

    reply = asked.result()
    assert killed.json() == {"kill_status": "finished", "query_id": "kill-1", "user": "default", "query": COMPUTING}
    assert reply.headers["x-clickhouse-exception-code"] == "394"


def test_who_reads_what_is_ended_is_told(door: Any, url: str) -> None:
    received: list[bytes] = []
    with httpx.stream("POST", url, content=WRITING, params={"query_id": "kill-2", **MORE}) as reply:
        await_start(door, "kill-2")
        door.command("KILL QUERY WHERE query_id = 'kill-2' SYNC")
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(reply.iter_raw())

    assert b"Code: 394" in b"".join(received[-2:])


def test_ending_what_does_not_run_ends_nothing(url: str) -> None:
    assert httpx.post(url, content="kill query where query_id = 'nobody';").text == ""


def test_an_id_that_runs_already_is_refused(door: Any, url: str) -> None:
    with httpx.stream("POST", url, content=WRITING, params={"query_id": "twice-1", **MORE}):
        second = httpx.post(url, content="SELECT 1", params={"query_id": "twice-1"})

    assert second.headers["x-clickhouse-exception-code"] == "216"


def test_a_full_door_says_so_and_opens_again(door: Any, url: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        for index in range(8):
            threads.submit(httpx.post, url, content=COMPUTING, params={"query_id": f"full-{index}"}, timeout=60)
        running = "SELECT count() FROM system.processes WHERE Settings['log_comment'] LIKE 'full-%'"
        time.sleep(1)
        refused = httpx.post(url, content=running, timeout=30)
        for index in range(8):
            assert httpx.post(url, content=f"KILL QUERY WHERE query_id = 'full-{index}'", timeout=30).status_code == 200

    assert (refused.status_code, refused.headers["x-clickhouse-exception-code"]) == (503, "202")
    assert httpx.post(url, content=running).text == "0\n"


def test_a_limit_of_time_is_an_error_and_no_wait(door: Any) -> None:
    with pytest.raises((DatabaseError, StreamFailureError)) as caught:
        door.query(COMPUTING, settings={"max_execution_time": 1})

    assert caught.value.code == 159
