"""What the door reads and writes compressed."""

import gzip
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
from backports import zstd

from spanwell_collector.door.encodings import choose_encoder, inflate
from spanwell_collector.store.guard import DoorError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
PIECES = [b"SELECT ", b"1, " * 5000, b"2"]


@pytest.mark.parametrize("encoding", COMPRESS)
def test_every_frame_of_a_body_is_read(encoding: str) -> None:
    body = b"".join(map(COMPRESS[encoding], PIECES))

    assert inflate(body, encoding) == b"".join(PIECES)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_that_grows_beyond_the_limit_is_refused(encoding: str) -> None:
    with pytest.raises(DoorError, match="larger than"):
        inflate(COMPRESS[encoding](bytes(20_000_000)), encoding)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_many_frames_do_not_get_past_the_limit(encoding: str) -> None:
    with pytest.raises(DoorError, match="larger than"):
        inflate(COMPRESS[encoding](bytes(3_000_000)) * 4, encoding)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_that_is_cut_off_is_refused(encoding: str) -> None:
    with pytest.raises(DoorError, match="cut off"):
        inflate(COMPRESS[encoding](PIECES[1])[:-5], encoding)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_body_that_is_something_else_is_refused(encoding: str) -> None:
    with pytest.raises(DoorError, match=f"the body is not {encoding}"):
        inflate(b"SELECT 1 -- as it is", encoding)


def test_what_is_not_spoken_is_refused_by_name() -> None:
    with pytest.raises(DoorError, match="Content-Encoding br is not understood; send lz4, zstd, gzip, deflate or none"):
        inflate(b"x", "br")


@pytest.mark.parametrize("encoding", COMPRESS)
def test_pieces_become_one_body(encoding: str) -> None:
    encoder = choose_encoder(encoding)
    assert encoder is not None

    body = b"".join([*map(encoder.encode, PIECES), encoder.end()])

    assert (encoder.name, inflate(body, encoding)) == (encoding, b"".join(PIECES))


def test_a_body_of_nothing_is_a_whole_one() -> None:
    encoder = choose_encoder("lz4")
    assert encoder is not None

    assert inflate(encoder.end(), "lz4") == b""


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, zstd;q=0.5, br", "zstd"),
        ("lz4;q=0, gzip", "gzip"),
        ("deflate", "deflate"),
        ("br", None),
        ("identity", None),
        ("", None),
    ],
)
def test_the_fastest_that_is_accepted_is_chosen(accepted: str, chosen: str | None) -> None:
    encoder = choose_encoder(accepted)

    assert (encoder.name if encoder else None) == chosen
