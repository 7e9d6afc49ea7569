"""What the journal keeps of a request: one byte that names its kind, and the serialized Export*ServiceRequest."""

from typing import Final, NamedTuple

TRACES: Final = b"\x01"
LOGS: Final = b"\x02"
METRICS: Final = b"\x03"
NAMES: Final = {TRACES: "traces", LOGS: "logs", METRICS: "metrics"}
OLDEST_TAG: Final = b"\n"  # before there were kinds, a record was a request of traces, whose first byte is this tag


class Record(NamedTuple):
    """A record taken apart."""

    kind: bytes
    payload: bytes


def kind_of(record: bytes) -> bytes:
    """It is none of ours when another version, or nobody, wrote the record."""
    return TRACES if record.startswith(OLDEST_TAG) else record[:1]


def read_record(record: bytes) -> Record:
    """The payload is a copy: who wants to know the kind alone asks for that."""
    return Record(kind_of(record), record if record.startswith(OLDEST_TAG) else record[1:])
