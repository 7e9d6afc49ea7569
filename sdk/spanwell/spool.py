"""A queue on disk: records in segment files, so that what was accepted survives the process.

One file is open for appending; `seal` closes it, and only sealed segments are read. A record is its length, the CRC-32
of its payload, and the payload, which is never empty. A tail torn by a crash is cut off when the directory is opened
again; a record that was damaged later is passed over, and its bytes are kept aside; one flipped bit in its header does
not matter. Not thread-safe: it has one owner.
"""

import contextlib
import os
import secrets
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spanwell.errors import SpoolFullError

HEADER = struct.Struct("<II")  # length and CRC-32 of the payload
HALF = ".half"  # ends the name of a file that is not all written


@dataclass(frozen=True)
class Segment:
    """A sealed file. Its id never changes, so an insert repeated after a crash carries the same token.

    `damaged_bytes` of it were known not to be records when the spool was opened.
    """

    path: Path
    size_bytes: int
    damaged_bytes: int = 0

    @property
    def id(self) -> str:
        return self.path.stem

    def payloads(self) -> list[bytes]:
        """Every whole record, oldest first."""
        return _scan(self.path.read_bytes()).payloads

    def count_lost(self, payloads: Sequence[bytes]) -> int:
        """Bytes that were damaged since it was sealed, or since the spool was opened, if `payloads` is all it holds."""
        return self.size_bytes - self.damaged_bytes - sum(HEADER.size + len(payload) for payload in payloads)

    def keep_damaged(self) -> None:
        """Write what is no record to files of its own, which stay when the segment is removed."""
        data = self.path.read_bytes()
        _keep_aside(self.path, data, _scan(data))


class Spool:
    """Segments in `directory`, bounded by `max_bytes`. Opening it recovers what an earlier process left."""

    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.torn_bytes = 0  # cut off when this was opened
        self.damaged_bytes = 0  # passed over when this was opened
        self._file: int | None = None
        self._path = directory
        self._open_bytes = 0
        self._synced_bytes = 0  # of the open file
        directory.mkdir(parents=True, exist_ok=True)
        self._sealed = [segment for path in sorted(directory.glob("*.spool")) if (segment := self._recover(path))]
        self._sealed_bytes = sum(segment.size_bytes for segment in self._sealed)

    @property
    def size_bytes(self) -> int:
        return self._open_bytes + self._sealed_bytes

    @property
    def open_bytes(self) -> int:
        """Bytes in the file that is being appended to."""
        return self._open_bytes

    def append(self, payload: bytes) -> None:
        """Write one record. It is safe from a crash of the process now, from a power cut only after `sync`.

        Raises SpoolFullError at the bound or on a full disk; the file is then as it was before.
        """
        record = HEADER.pack(len(payload), zlib.crc32(payload)) + payload
        if self.size_bytes + len(record) > self.max_bytes:
            raise SpoolFullError(f"the spool in {self.directory} holds {self.size_bytes} of {self.max_bytes} bytes")
        file = self._file if self._file is not None else self._begin()
        try:
            _write_all(file, record)
        except OSError as error:
            self._cut(file, self._open_bytes)
            raise SpoolFullError(f"cannot write to the spool in {self.directory}: {error.strerror}") from error
        self._open_bytes += len(record)

    def sync(self) -> None:
        """Put everything appended so far onto the disk itself.

        Raises SpoolFullError when the disk fails; what was appended since the last `sync` is then gone.
        """
        if self._file is None or self._synced_bytes == self._open_bytes:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            # The kernel may have dropped the pages, and says so only once: syncing again would prove nothing.
            self._cut(self._file, self._synced_bytes)
            raise SpoolFullError(f"cannot sync the spool in {self.directory}: {error.strerror}") from error
        self._synced_bytes = self._open_bytes

    def seal(self) -> Segment | None:
        """Close the open file, list it among the sealed ones and return it; None when nothing was appended.

        Raises SpoolFullError as `sync` does, and leaves the file open then.
        """
        self.sync()
        if self._file is None or self._open_bytes == 0:
            return None
        os.close(self._file)
        segment = Segment(self._path, self._open_bytes)
        self._sealed.append(segment)
        self._sealed_bytes += self._open_bytes
        self._file, self._open_bytes, self._synced_bytes = None, 0, 0
        return segment

    def sealed(self) -> list[Segment]:
        """Segments waiting to be read, oldest first."""
        return list(self._sealed)

    def remove(self, segment: Segment) -> None:
        """Forget a segment whose records are safe elsewhere."""
        segment.path.unlink(missing_ok=True)
        self._sealed.remove(segment)
        self._sealed_bytes -= segment.size_bytes

    def _cut(self, file: int, size: int) -> None:
        os.ftruncate(file, size)
        os.lseek(file, size, os.SEEK_SET)
        self._open_bytes = size

    def _begin(self) -> int:
        # Time sorts the names, the random part keeps two processes apart.
        self._path = self.directory / f"{time.time_ns():020d}-{secrets.token_hex(4)}.spool"
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _sync_directory(self.directory)
            except OSError:
                os.close(file)
                self._path.unlink()
                raise
        except OSError as error:
            raise SpoolFullError(f"cannot write to the spool in {self.directory}: {error.strerror}") from error
        self._file = file
        return file

    def _recover(self, path: Path) -> Segment | None:
        data = path.read_bytes()
        found = _scan(data)
        _keep_aside(path, data, found)
        damaged_bytes = sum(end - start for start, end in found.damaged)
        self.damaged_bytes += damaged_bytes
        if found.end < len(data):
            self.torn_bytes += len(data) - found.end
            os.truncate(path, found.end)
        if not found.payloads:
            path.unlink()
            return None
        return Segment(path, found.end, damaged_bytes)


class _Found(NamedTuple):
    """The whole records of a file, where the damaged ones between them lie, and where the last whole one ends."""

    payloads: list[bytes]
    damaged: list[tuple[int, int]]
    end: int


def _scan(data: bytes) -> _Found:
    payloads, damaged, end, position = [], [], 0, 0
    while position + HEADER.size <= len(data):
        length, crc = HEADER.unpack_from(data, position)
        start = position
        if payload := _take(data, start + HEADER.size, length, crc):
            if end < start:
                damaged.append((end, start))
            payloads.append(payload)
            end = position = start + HEADER.size + len(payload)
        elif 0 < length <= len(data) - start - HEADER.size:
            position += HEADER.size + length  # if its length is right, a whole record follows
        else:
            break
    return _Found(payloads, damaged, end)


def _take(data: bytes, begin: int, length: int, crc: int) -> bytes:
    """The payload that a header tells of, even if one bit of the header has flipped; empty when it is damaged.

    Zeros are what a power cut leaves, and the CRC of nothing is zero too: so nothing is no payload.
    """
    payload = data[begin : begin + length]
    difference = zlib.crc32(payload) ^ crc
    if payload and len(payload) == length and difference & (difference - 1) == 0:
        return payload
    for other in (length ^ 1 << bit for bit in range(32)):
        if 0 < other <= len(data) - begin and zlib.crc32(data[begin : begin + other]) == crc:
            return data[begin : begin + other]
    return b""


def write_file(path: Path, data: bytes) -> None:
    """Put `data` onto the disk itself under `path`, all of it or nothing, for its owner alone. Raises OSError."""
    half = path.with_name(path.name + HALF)
    file = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(file, data)
        os.fsync(file)
    finally:
        os.close(file)
    half.replace(path)
    _sync_directory(path.parent)


def _keep_aside(path: Path, data: bytes, found: _Found) -> None:
    """What may be of use to somebody; a tail without so much as a header, or of zeros, is not."""
    for start, end in [*found.damaged, (found.end, len(data))]:
        damage = data[start:end]
        if len(damage) > HEADER.size and damage.strip(b"\0"):
            with contextlib.suppress(OSError):  # a disk that is full of records must not keep them from being read
                write_file(path.with_suffix(f".{start}.damaged"), damage)


def _write_all(file: int, record: bytes) -> None:
    view = memoryview(record)
    while view:
        view = view[os.write(file, view) :]


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
