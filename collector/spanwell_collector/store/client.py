"""Opens clients and asks them; what is asked is the caller's."""

import hashlib
import os
import queue
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Final

import chdb
import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, DataError

from spanwell.errors import QueryError, StoreError
from spanwell_collector.store.asking import CODE, END, mark, told_what_to_do
from spanwell_collector.store.cluster import CLUSTER_SETTINGS, local, pick_node, render
from spanwell_collector.store.statements import quote_text
from spanwell_collector.store.turnstile import Turnstile

ENGINE_CONFIG: Final = Path(__file__).with_name("engine.xml")
OTLP_SCHEMA: Final = Path(__file__).with_name("otlp.proto").read_text(encoding="utf-8")
OTLP_SETTINGS: Final = {
    "format_schema_source": "string",
    "format_schema": OTLP_SCHEMA,
    "format_schema_message_name": "ExportTraceServiceRequest",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}
OWN_FIELD: Final = b"\xc2\x3e"  # the tag of default_project in otlp.proto
READ_SETTINGS: Final = {
    "max_execution_time": 20,
    "max_memory_usage": 2_000_000_000,
    "max_rows_to_read": 1_000_000_000,
    "max_result_rows": 200_000,
    "max_bytes_before_external_group_by": 500_000_000,  # a long window has more traces than memory has room for
    "output_format_arrow_string_as_string": 1,
    "output_format_arrow_compression_method": "none",
}
ERASE_KEYS: Final = 1000  # spans a statement: their ids travel in it
HAS_KEY: Final = "trace_id IN {traces:Array(String)} AND concat(trace_id, span_id, project) IN {keys:Array(String)}"
OF_SPANS: Final = {"spans": HAS_KEY, "texts": f"{HAS_KEY} AND source = ''"}  # what one insert of OTLP fills
WRITE_SETTINGS: Final = {
    "max_memory_usage": 4_000_000_000,
    "async_insert": 0,
    "max_partitions_per_insert_block": 400,  # a year's history may come in one request
    "lightweight_delete_mode": "lightweight_update",  # else a delete rewrites something of every part
    # Half of what an insert would cost. Merges build them, and until then the newest texts are read through.
    "exclude_materialize_skip_indexes_on_insert": "by_words,by_grams",
}
MEMORY_LIMIT_EXCEEDED: Final = 241
TOO_MANY_PARTS: Final = 252
TRANSIENT_CODES: Final = frozenset(
    {
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        77,  # CANNOT_CLOSE_FILE
        159,  # TIMEOUT_EXCEEDED
        173,  # CANNOT_ALLOCATE_MEMORY
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        999,  # KEEPER_EXCEPTION
    }
)


class Store:
    """A pool of clients: one a concurrent caller, made when it is first needed."""

    def __init__(
        self,
        *,
        path: Path | None = None,
        dsn: str = "",
        cluster: str = "",
        backups: Path | None = None,
        writes: Turnstile | None = None,
    ) -> None:
        """An embedded engine in `path`, or the server at `dsn`; of a `cluster`, `dsn` may name several nodes."""
        self._path = path
        self._dsn = dsn
        self._nodes = re.split(r"[\s,]+", dsn.strip())
        self._cluster = cluster
        self._backups = backups  # the one directory that the embedded engine may copy itself to and from
        self._writes = writes or Turnstile()
        self._idle: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self._writer = self._open(WRITE_SETTINGS)
        self._others: dict[str, Client] = {}  # writers of the cluster's other nodes
        # The client would write what it inserts to a file and have the engine read it from there.
        self._sender = None if path is None or not hasattr(os, "memfd_create") else _connect(path)

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def is_embedded(self) -> bool:
        return self._path is not None

    @property
    def version(self) -> str:
        return str(self._writer.server_version)

    def beside(self) -> "Store":
        """The same store once more: what one handle waits for does not hold up the other's writes."""
        return Store(path=self._path, dsn=self._dsn, cluster=self._cluster, backups=self._backups, writes=self._writes)

    def lend_client(self, settings: Mapping[str, Any]) -> Client:
        """A client of the caller's own, who closes it."""
        return self._open(settings)

    def read_clock_ms(self) -> int:
        """The engine's time, which rows are stamped with, in milliseconds since 1970."""
        return int(self.query("SELECT toUnixTimestamp64Milli(now64(3)) AS now_ms").column("now_ms").to_pylist()[0])

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Ask with bound `{name:Type}` parameters. Raises QueryError when the question is at fault."""
        marked = mark(sql)
        with told_what_to_do(), told_apart(), self._reader() as client:
            stream = client.raw_query(marked, parameters=dict(parameters or {}), fmt="ArrowStream")
        return pa.ipc.open_stream(stream).read_all() if stream else pa.table({})

    def end(self, tag: str) -> None:
        """End what is asked for the asker with this tag."""
        with told_apart(), self._reader() as client:
            client.command(END, parameters={"tag": tag})

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run one statement that answers nothing."""
        with told_apart(), self._writes.passing():
            for statement in self._spell(sql):
                self._writer.command(statement, parameters=dict(parameters or {}))

    @contextmanager
    def hold_writes(self) -> Iterator[None]:
        """Have whoever inserts or corrects wait while the block runs; `operate` and `alter` do not."""
        with self._writes.holding():
            yield

    def operate(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:
        """Run one statement that may take long, with a client of its own: nothing else waits for it."""
        with told_apart(), closing(self._open({**WRITE_SETTINGS, **settings})) as client:
            for statement in self._spell(sql):
                client.command(statement, parameters=dict(parameters or {}))

    def alter(self, table: str, change: str, *, wait: bool = False) -> None:
        """Change a table; with `wait` its parts are rewritten before this returns, else in the background."""
        sync = 2 if wait else 0
        self.operate(f"ALTER TABLE spanwell.{table} {change}", alter_sync=sync, mutations_sync=sync)

    def insert(self, table: str, rows: Sequence[Sequence[Any]], columns: Sequence[str], *, token: str = "") -> None:
        """Store rows; the same `token` again changes nothing."""
        settings = {"insert_deduplication_token": token} if token else {}
        with told_apart(), self._writes.passing():
            self._writer.insert(f"spanwell.{table}", rows, column_names=list(columns), settings=settings)

    def dump(self, sql: str, parameters: Mapping[str, Any]) -> bytes:
        """The answer in ClickHouse's own format, which `load` takes."""
        with told_apart(), self._reader() as client:
            return bytes(client.raw_query(sql, parameters=dict(parameters), fmt="Native"))

    def load(self, table: str, columns: Sequence[str], body: bytes, *, token: str) -> None:
        """Store what `dump` gave; the same `token` again changes nothing."""
        if body:
            settings = {"insert_deduplication_token": token}
            with told_apart(), self._writes.passing():
                self._writer.raw_insert(
                    f"spanwell.{table}", column_names=list(columns), insert_block=body, fmt="Native", settings=settings
                )

    def place(self, table: str) -> str:
        """The table that holds the rows: on a cluster, the one of each node."""
        return local(table) if self._cluster else table

    def everywhere(self, system_table: str) -> str:
        """A table of the engine's own, of every node."""
        name = f"system.{system_table}"
        return f"clusterAllReplicas({quote_text(self._cluster)}, {name})" if self._cluster else name

    def insert_otlp(self, batches: Sequence[bytes], *, project: str, token: str, dialects: bool = False) -> None:
        """Store serialized ExportTraceServiceRequests as one insert; the same `token` again changes nothing.

        Spans that name no project get `project`. With `dialects` their attributes are mapped to our names. An insert
        that fails may have written some of its rows.
        """
        table = "spanwell.otlp_dialects_in" if dialects else "spanwell.otlp_in"
        pieces = [*batches, _field(OWN_FIELD, project.encode())]
        settings = {**OTLP_SETTINGS, "insert_deduplication_token": token}
        with told_apart(), self._writes.passing():
            if self._sender is None:
                node = self._writer_of(pick_node(token.partition(":")[0], self._nodes))
                node.raw_insert(table, insert_block=b"".join(pieces), fmt="ProtobufSingle", settings=settings)
            else:
                _send(self._sender, table, pieces, {**WRITE_SETTINGS, **settings})

    def erase_spans(self, keys: Sequence[str]) -> None:
        """Take out what an insert that did not come to its end has left: `keys` are trace id, span id and project.

        The engine notes an insert's token just before it commits a part, so after a crash neither a token that is
        known nor one that is not tells what is stored.
        """
        for table, first in product(OF_SPANS, range(0, len(keys), ERASE_KEYS)):
            some = keys[first : first + ERASE_KEYS]
            parameters = {"keys": some, "traces": sorted({key[:32] for key in some})}
            self.erase(table, OF_SPANS[table], parameters)

    def erase(self, table: str, condition: str, parameters: Mapping[str, Any]) -> None:
        """Delete the rows of `table` that meet `condition`, if there are any: a delete of nothing costs as much."""
        rows = f"FROM spanwell.{table} WHERE {condition}"
        found = self.query(f"SELECT count() AS rows {rows}", parameters)
        if found.column("rows").to_pylist()[0]:
            self.command(f"DELETE {rows}", parameters)

    def close(self) -> None:
        """Close every client; the caller has stopped asking."""
        if self._sender is not None:
            self._sender.close()
        self._writer.close()
        for client in self._others.values():
            client.close()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _reader(self) -> Iterator[Client]:
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._open(READ_SETTINGS)
        try:
            yield client
        except BaseException:
            # What the engine had written of an answer when it failed stands before the connection's next one.
            client.close()
            raise
        self._idle.put(client)

    def _spell(self, sql: str) -> list[str]:
        return render(sql, self._cluster) if self._cluster else [sql]

    def _writer_of(self, node: str) -> Client:
        if node == self._nodes[0]:
            return self._writer
        if node not in self._others:
            self._others[node] = self._open(WRITE_SETTINGS, node)
        return self._others[node]

    def _open(self, settings: Mapping[str, Any], node: str = "") -> Client:
        spread = CLUSTER_SETTINGS if self._cluster else {}
        with told_apart():
            if self._dsn:
                return clickhouse_connect.get_client(
                    dsn=node or self._nodes[0], settings={**settings, **spread}, autogenerate_session_id=False
                )
            return clickhouse_connect.get_client(
                interface="chdb",
                path=str(self._path),
                settings=dict(settings),
                chdb_options=self._engine_options(),
            )

    def _engine_options(self) -> dict[str, str]:
        options = {"config-file": str(ENGINE_CONFIG)}
        return options if self._backups is None else {**options, "backups.allowed_path": str(self._backups)}


def digest_batch(batch: bytes) -> bytes:
    """Eight bytes that are the same for the same batch: ids are random, so equal bytes are one batch sent twice."""
    return hashlib.sha256(batch).digest()[:8]


def _field(tag: bytes, value: bytes) -> bytes:
    length, digits = len(value), bytearray()
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return tag + bytes((*digits, length)) + value


def _connect(path: Path) -> Any:
    return chdb.connect(str(path))  # type: ignore[no-untyped-call]


def _send(connection: Any, table: str, pieces: Iterable[bytes], settings: Mapping[str, Any]) -> None:
    """From a file that is on no disk. The engine's own way to take bytes, send_insert, keeps silent when an insert
    fails after they were parsed."""
    assignments = ", ".join(f"{name} = {_quote(value)}" for name, value in settings.items())
    file = os.memfd_create("insert")
    try:
        for piece in pieces:
            _write_all(file, piece)
        path = f"/proc/self/fd/{file}"
        connection.query(
            f"INSERT INTO {table} FROM INFILE '{path}' SETTINGS {assignments} FORMAT ProtobufSingle", "Null"
        )
    finally:
        os.close(file)


def _write_all(file: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(file, view) :]


def _quote(value: str | int) -> str:
    return str(value) if isinstance(value, int) else quote_text(value)


def _may_pass(code: int | None, message: str) -> bool:
    if code == MEMORY_LIMIT_EXCEEDED:
        return "(total)" in message  # other questions have taken the engine's memory
    if code == TOO_MANY_PARTS:
        return "single INSERT block" not in message  # of rows of too many days, which will not be fewer later
    return code is None or code in TRANSIENT_CODES


@contextmanager
def told_apart() -> Iterator[None]:
    """A refusal that would come again is a QueryError; everything else may pass, and is a StoreError."""
    try:
        yield
    except DataError as error:  # the client itself cannot write such rows
        raise QueryError(str(error)) from error
    except DatabaseError as error:
        raise (StoreError if _may_pass(error.code, str(error)) else QueryError)(str(error)) from error
    except ClickHouseError as error:
        raise StoreError(str(error)) from error
    except (chdb.ChdbError, RuntimeError) as error:  # what the engine's own interface raises
        code = CODE.match(str(error))
        raise (StoreError if _may_pass(int(code[1]) if code else None, str(error)) else QueryError)(
            str(error)
        ) from error
