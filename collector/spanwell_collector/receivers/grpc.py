"""OTLP over gRPC: the three Export calls, checked, kept and refused as over HTTP.

Messages reach us as they were sent: we undo their compression ourselves, in bounds, and decode them once.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc

from spanwell.errors import ConfigError
from spanwell_collector import telemetry
from spanwell_collector.access.gate import Gate
from spanwell_collector.access.rights import Refusal
from spanwell_collector.ingest.journal import Journal
from spanwell_collector.receivers.checks import make_answer
from spanwell_collector.receivers.inflate import MAX_BODY_BYTES
from spanwell_collector.receivers.intake import Room, arriving, keep
from spanwell_collector.receivers.refusals import (
    INVALID_ARGUMENT,
    PERMISSION_DENIED,
    PROTOBUF,
    UNAUTHENTICATED,
    RefusedError,
)
from spanwell_collector.receivers.signals import SIGNALS, Signal

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_BODY_BYTES),
    ("grpc.max_concurrent_streams", 100),  # a connection
    ("grpc.per_message_decompression", 0),
    ("grpc.so_reuseport", 0),  # a second collector must not take half of the senders of the first
)
DETAILS: Final = "grpc-status-details-bin"
CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}
ZLIB_FIRST: Final = 0x78
Export = Callable[[bytes, Any], Awaitable[bytes]]


def build_grpc_server(address: str, journal: Journal, room: Room, gate: Gate) -> Any:
    """A server that is to be started, on the loop that runs. Raises ConfigError when `address` is taken."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers([_handle(signal, journal, room, gate) for signal in SIGNALS])
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {address}: {error}") from error
    return server


def join_address(host: str, port: int) -> str:
    """`host:port` as gRPC writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def find_compression(message: bytes) -> str:
    """How a message is compressed, by its first bytes: no request begins with the tags that they would be."""
    if message.startswith(b"\x1f\x8b"):
        return "gzip"
    is_zlib = len(message) > 1 and message[0] == ZLIB_FIRST and int.from_bytes(message[:2]) % 31 == 0
    return "deflate" if is_zlib else ""


def _handle(signal: Signal, journal: Journal, room: Room, gate: Gate) -> Any:
    async def accept(context: Any) -> bytes:
        project = _admit(gate, context)
        message = await _receive(context)
        room.enter(len(message))
        try:
            accepted = await room.read(signal, message, find_compression(message), PROTOBUF, project)
            await keep(journal, signal, accepted)
        finally:
            room.leave(len(message))
        return bytes(make_answer(signal, accepted).SerializeToString())

    async def export(_messages: Any, context: Any) -> bytes:
        try:
            answer = await accept(context)
        except RefusedError as refusal:
            telemetry.BATCHES.labels(CODES[refusal.code].name).inc()
            details = ((DETAILS, refusal.to_status().SerializeToString()),)
            await context.abort(CODES[refusal.code], str(refusal), trailing_metadata=details)
            raise  # abort has raised already
        telemetry.BATCHES.labels("OK").inc()
        return answer

    # As a stream, of which one message is read: who may not send is refused before anything of it is held.
    # Without a deserializer it comes as bytes.
    handler = grpc.stream_unary_rpc_method_handler(export)
    return grpc.method_handlers_generic_handler(signal.service, {"Export": handler})


async def _receive(context: Any) -> bytes:
    async with arriving():
        message = await context.read()
    if message is grpc.aio.EOF:
        raise RefusedError(INVALID_ARGUMENT, "the call holds no message")
    return bytes(message)


def _admit(gate: Gate, context: Any) -> str:
    """The project that all of a call goes to; empty when it may name its own. Raises RefusedError."""
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    # No page in a browser speaks gRPC, so without a token it is enough that we listen on loopback alone.
    admitted = gate.admit(metadata | {"host": "localhost"}, "ingest")
    if isinstance(admitted, Refusal):
        raise RefusedError(UNAUTHENTICATED if admitted.status == 401 else PERMISSION_DENIED, admitted.message)
    return admitted.project if admitted.is_scoped else ""
