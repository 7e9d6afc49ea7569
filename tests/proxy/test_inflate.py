import gzip
import time
import zlib

import orjson
import pytest
from backports import zstd

from spanwell_proxy.failures import ApiError
from spanwell_proxy.inflate import inflate
from tests.proxy.backend import Backend
from tests.proxy.gateway import ASK, Proxy

BODY = orjson.dumps(ASK)
PACKED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY), "zstd": zstd.compress(BODY)}
each = pytest.mark.parametrize("encoding", PACKED)


@each
async def test_a_compressed_body_is_understood(proxy: Proxy, backend: Backend, encoding: str) -> None:
    reply = await proxy.post(PACKED[encoding], content_encoding=encoding)

    assert reply.status_code == 200
    assert backend.requests[0]["messages"] == ASK["messages"]


async def test_another_encoding_is_refused_with_those_that_are_not(proxy: Proxy) -> None:
    reply = await proxy.post(BODY, content_encoding="br")

    assert reply.status_code == 415
    assert "gzip, deflate, zstd" in reply.json()["error"]["message"]


@each
async def test_a_body_that_is_not_what_it_says_is_refused(proxy: Proxy, encoding: str) -> None:
    replies = [await proxy.post(body, content_encoding=encoding) for body in (BODY, PACKED[encoding][:-5], b"")]

    assert [reply.status_code for reply in replies] == [400] * 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_small_body_does_not_fill_the_memory(encoding: str) -> None:
    noughts = bytes(256 * 1024 * 1024)
    bomb = gzip.compress(noughts, 9) if encoding == "gzip" else zstd.compress(noughts)
    began = time.perf_counter()

    with pytest.raises(ApiError, match="larger than 1048576 bytes once inflated") as caught:
        inflate(bomb, encoding, 1024 * 1024)

    assert caught.value.status == 413
    assert time.perf_counter() - began < 0.5


def test_a_window_that_would_need_much_memory_is_refused() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.compression_level: 1}
    wide = zstd.ZstdCompressor(options=options)
    body = wide.compress(bytes(1024)) + wide.flush()

    with pytest.raises(ApiError, match="not whole and valid zstd"):
        inflate(body, "zstd", 1024 * 1024)


def test_members_and_frames_may_follow_each_other() -> None:
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b"), "GZIP", 10) == b"ab"
    assert inflate(zstd.compress(b"a") + zstd.compress(b"b"), " zstd ", 10) == b"ab"
    assert inflate(b"ab", "identity", 10) == b"ab"
