"""One statement of the embedded engine, whose answer is read as the engine writes it.

The engine formats, as for any file; that the file is a pipe makes it wait for who reads, so an answer of any size takes
the memory of a few blocks.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final, NamedTuple

import chdb

from spanwell_collector.store.statements import quote_text

READ_BYTES: Final = 1 << 18
AGAIN_SECONDS: Final = 0.02  # a statement that has not reached the engine yet cannot be killed
CANCELLED: Final = "Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)"
KILL: Final = "KILL QUERY WHERE Settings['log_comment'] = {tag:String} ASYNC"


class Cost(NamedTuple):
    """What a statement took, once it has ended."""

    read_rows: int
    read_bytes: int
    elapsed_ns: int


class Sink(NamedTuple):
    """Where a statement's answer goes."""

    descriptor: int

    @property
    def clause(self) -> str:
        return f"INTO OUTFILE {quote_text(f'/dev/fd/{self.descriptor}')} APPEND"

    def write(self, body: bytes) -> None:
        """For what the engine itself cannot be made to write there. Raises RuntimeError when nobody reads."""
        try:
            with open(self.descriptor, "wb", closefd=False) as file:
                file.write(body)
        except BrokenPipeError:
            raise RuntimeError(CANCELLED) from None


class Killer:
    """Ends statements of the engine by their tag, whichever connection they run on."""

    def __init__(self, path: str) -> None:
        self._connection = connect(path)
        self._lock = threading.Lock()

    def kill(self, tag: str) -> None:
        with self._lock:
            self._connection.query(KILL, "Null", params={"tag": tag})

    def close(self) -> None:
        with self._lock:
            self._connection.close()


class Piped:
    """A statement under way on a thread of its own.

    `work` sends its answer to the sink it is given; `kill` ends it, and may be called before it has begun.
    """

    def __init__(self, work: Callable[[Sink], Cost], kill: Callable[[], None]) -> None:
        self._kill = kill
        self._lock = threading.Lock()
        self._source, self._sink = os.pipe()
        self._is_open = True
        thread = ThreadPoolExecutor(1, thread_name_prefix="statement")
        self._future: Future[Cost] = thread.submit(self._run, work)
        thread.shutdown(wait=False)

    @property
    def has_ended(self) -> bool:
        return self._future.done()

    def read(self) -> bytes:
        """The next piece of the answer; empty at its end. Raises what the statement failed with. Blocks."""
        piece = self._read_piece()
        if not piece:
            self._future.result()
            if not self._is_open:  # what was left in the pipe is lost
                raise RuntimeError(CANCELLED)
        return piece

    def cost(self) -> Cost:
        """What it took. Blocks until it has ended; raises what it failed with."""
        return self._future.result()

    def abandon(self) -> None:
        """End it, be it waiting for who reads or computing. Whoever reads on is told so."""
        while not self.has_ended:
            self._kill()
            if self._lock.acquire(blocking=False):  # else somebody reads, and nothing waits for the pipe
                self._close_source()
                self._lock.release()
            wait([self._future], AGAIN_SECONDS)
        with self._lock:
            self._close_source()

    def _run(self, work: Callable[[Sink], Cost]) -> Cost:
        try:
            return work(Sink(self._sink))
        finally:
            os.close(self._sink)

    def _read_piece(self) -> bytes:
        pieces, size = [], 0
        with self._lock:
            while self._is_open and size < READ_BYTES:
                piece = os.read(self._source, READ_BYTES - size)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
        return b"".join(pieces)

    def _close_source(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self._source)


def connect(path: str) -> Any:
    return chdb.connect(path)  # type: ignore[no-untyped-call]


def run(connection: Any, sql: str, parameters: dict[str, str], format: str = "Null") -> tuple[Cost, bytes]:
    """Run a statement: what it took, and the answer if it goes nowhere else."""
    result = connection.query(sql, format, params=parameters)
    return Cost(result.rows_read(), result.bytes_read(), int(result.elapsed() * 1e9)), result.bytes() or b""
