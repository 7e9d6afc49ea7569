"""The client: rows to frames, errors to types."""

from collections.abc import Callable
from decimal import Decimal

import httpx
import pyarrow as pa
import pytest

from spanwell.settings import Settings
from spanwell_dashboard.client import ARROW, ApiDownError, ApiRefusedError, Client


def client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client(httpx.Client(base_url="http://collector", transport=httpx.MockTransport(answer)))


def arrow_answer(table: pa.Table) -> httpx.Response:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return httpx.Response(200, content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW})


def test_money_comes_as_a_number_and_time_as_utc() -> None:
    table = pa.table({"ts": ["2026-11-20T12:00:00Z"], "cost_usd": [Decimal("0.001840")]})

    frame = client(lambda _: arrow_answer(table)).frame("series")

    assert frame["cost_usd"].tolist() == pytest.approx([0.00184])
    assert str(frame["ts"].dtype).endswith("UTC]")


def test_what_stands_beside_the_rows_is_kept() -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"next": '"abc"', "bucket_seconds": "60"})

    frame = client(lambda _: arrow_answer(table)).frame("traces")

    assert frame.attrs == {"next": "abc", "bucket_seconds": 60}


def test_rows_in_json_are_read_too() -> None:
    frame = client(lambda _: httpx.Response(200, json={"rows": [{"a": 1}], "next": None})).frame("traces")

    assert frame["a"].tolist() == [1]


def test_a_refusal_names_the_field_and_what_is_allowed() -> None:
    error = {"message": "no such metric", "field": "metric", "allowed": ["requests"]}

    with pytest.raises(ApiRefusedError) as raised:
        client(lambda _: httpx.Response(400, json={"error": error})).frame("series")

    assert (raised.value.status, raised.value.field, raised.value.allowed) == (400, "metric", ("requests",))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": null}', b'{"detail": 1}'])
def test_a_refusal_of_any_shape_is_understood(body: bytes) -> None:
    with pytest.raises(ApiRefusedError, match="HTTP 502"):
        client(lambda _: httpx.Response(502, content=body)).frame("series")


@pytest.mark.parametrize("kind", ["text/html", ARROW])
def test_an_answer_from_something_else_is_no_traceback(kind: str) -> None:
    with pytest.raises(ApiRefusedError, match="collector's port"):
        client(lambda _: httpx.Response(200, content=b"<html>", headers={"content-type": kind})).frame("series")


def test_nobody_listening_is_said_without_the_token() -> None:
    reached = Client.connect(Settings(collector_port=1, api_token="canary-token"))

    with pytest.raises(ApiDownError, match=r"cannot reach http://127\.0\.0\.1:1") as raised:
        reached.frame("series")
    reached.close()

    assert "canary-token" not in repr(raised.value)


def test_the_token_is_sent() -> None:
    reached = Client.connect(Settings(api_token="canary-token"))

    assert reached._http.headers["authorization"] == "Bearer canary-token"
    reached.close()
