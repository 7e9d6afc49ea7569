"""Small bodies that inflate to much: refused, and without the memory."""

import gzip
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from backports import zstd

from tests.collector.conftest import PROTOBUF, Client
from tests.services import LOOPBACK

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ONE_GB = 1 << 30


def _peak_bytes(collector: Client) -> int:
    status = Path(f"/proc/{collector.service.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_bomb_is_refused_without_being_held(
    collector: Client, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(bytes(ONE_GB))
    headers = PROTOBUF | {"content-encoding": encoding}
    collector.http.post("/v1/traces", content=compress(b""), headers=headers)  # what the first request costs
    before = _peak_bytes(collector)

    reply = collector.http.post("/v1/traces", content=bomb, headers=headers)

    assert reply.status_code == 413
    assert _peak_bytes(collector) - before < 50 << 20


def test_a_bomb_over_grpc_is_refused_without_being_held(collector: Client) -> None:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"{LOOPBACK}:{collector.service.settings.grpc_port}", options=options) as channel:
        export = channel.unary_unary(EXPORT)
        export(b"", timeout=10)
        before = _peak_bytes(collector)

        with pytest.raises(grpc.RpcError) as caught:
            export(bytes(ONE_GB // 4), timeout=30, compression=grpc.Compression.Gzip)

    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _peak_bytes(collector) - before < 50 << 20
