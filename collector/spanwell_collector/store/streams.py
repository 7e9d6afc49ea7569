"""Answers of any size, read piece by piece in a format of the engine's, from the embedded engine or a server."""

import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final, Protocol

from clickhouse_connect.driver.binding import bind_query
from clickhouse_connect.driver.client import Client
from urllib3.exceptions import HTTPError

from spanwell.errors import StoreError
from spanwell_collector.store.client import Store, told_apart
from spanwell_collector.store.piped import READ_BYTES, Cost, Killer, Piped, Sink, connect, run
from spanwell_collector.store.statements import quote_text

STREAM_SETTINGS: Final[dict[str, str | int]] = {
    "readonly": 1,
    "max_execution_time": 3600,  # whoever reads may be slow
    "max_memory_usage": 2_000_000_000,
    "max_bytes_before_external_group_by": 500_000_000,
    "max_threads": 2,
    "max_block_size": 8192,  # rows with texts are large
    "output_format_parquet_row_group_size": 100_000,
    "output_format_parquet_row_group_size_bytes": 64_000_000,
    "date_time_output_format": "iso",
}


class Stream(Protocol):
    """An answer under way. Both methods block."""

    def read(self) -> bytes:
        """The next piece; empty at the end. Raises StoreError."""

    def abandon(self) -> None:
        """End it, if it has not, and give back what it holds."""


def open_stream(store: Store, sql: str, parameters: Mapping[str, Any], format: str) -> Stream:
    """Begin to answer `sql`, which names no format itself. Raises StoreError, or its `read` does."""
    if store.path is not None:
        return EngineStream(str(store.path), sql, parameters, format)
    settings = {name: value for name, value in STREAM_SETTINGS.items() if name != "readonly"}  # the user's own affair
    return ServerStream(store.lend_client(settings), sql, parameters, format)


class EngineStream:
    """A statement of the embedded engine."""

    def __init__(self, path: str, sql: str, parameters: Mapping[str, Any], format: str) -> None:
        text, bound = bind_query(sql, dict(parameters))
        self._path = path
        self._format = format
        self._sql = str(text)
        self._parameters = {name.removeprefix("param_"): value for name, value in bound.items()}
        self._tag = f"stream-{uuid.uuid4()}"
        self._killer = Killer(path)
        self._piped = Piped(self._work, lambda: self._killer.kill(self._tag))

    def read(self) -> bytes:
        with told_apart():
            return self._piped.read()

    def abandon(self) -> None:
        self._piped.abandon()
        self._killer.close()

    def _work(self, sink: Sink) -> Cost:
        settings = {**STREAM_SETTINGS, "log_comment": self._tag}
        assignments = ", ".join(f"{name} = {quote_text(str(value))}" for name, value in settings.items())
        with closing(connect(self._path)) as connection:
            connection.query(f"SET {assignments}", "Null")
            return run(connection, f"{self._sql}\n{sink.clause}\nFORMAT {self._format}", self._parameters)[0]


class ServerStream:
    """A statement of a server's, which ends it when the connection does."""

    def __init__(self, client: Client, sql: str, parameters: Mapping[str, Any], format: str) -> None:
        self._client = client
        with told_apart():
            self._reply: Any = client.raw_stream(sql, parameters=dict(parameters), fmt=format)

    def read(self) -> bytes:
        try:
            return bytes(self._reply.read(READ_BYTES))
        except (HTTPError, OSError, ValueError) as error:  # the last when it was closed meanwhile
            raise StoreError(f"the server's answer broke off: {error}") from error

    def abandon(self) -> None:
        self._reply.close()
        self._client.close()
