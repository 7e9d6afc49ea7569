"""A sieve never says of a key that was added that it is not there."""

import hashlib

from spanwell_proxy.caches.sieve import HEAD_BYTES, Sieve


def digest(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=32).digest()


def test_what_was_added_is_never_lacking() -> None:
    sieve, keys = Sieve(), [digest(number) for number in range(2000)]

    sieve.add(b"".join(key[:HEAD_BYTES] for key in keys))

    assert not any(sieve.lacks(key) for key in keys)
    assert sieve.added == 2000


def test_nearly_all_others_are() -> None:
    sieve = Sieve()
    sieve.add(b"".join(digest(number)[:HEAD_BYTES] for number in range(2000)))

    seeming = sum(not sieve.lacks(digest(number)) for number in range(10_000, 20_000))

    assert seeming < 20
