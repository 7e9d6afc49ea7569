"""Long texts are searched in pieces, and nothing is lost where they are cut."""

import random
from typing import Final

from spanwell.credentials import find_secrets
from spanwell.pii import KINDS, find_pii
from spanwell_proxy.guards.finding import PIECE, find_credentials, find_persons, write_kind

SAID: Final = (
    *("anna@example.com", "+49 170 1234567", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "a" * 50),
    *("password: aB3xYz9QkLm", "Bearer abcdefABCDEF123456", "sk-abcdefghijkl123456", "passport no. C01X00T47"),
    *("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----", "the quick", "fox\n", "12345", "  "),
)
ALL: Final = frozenset(KINDS)


def test_pieces_find_what_the_whole_does() -> None:
    chance = random.Random(5)
    texts = [" ".join(chance.choices(SAID, k=chance.randrange(3000, 9000))) for _ in range(12)]

    assert min(map(len, texts)) > PIECE
    for text in texts:
        assert find_persons(ALL, write_kind).find(text) == find_pii(text, ALL)
        assert find_credentials(write_kind).find(text) == find_secrets(text, named=True)


def test_one_long_word_has_an_end() -> None:
    secret = "x" * (3 * PIECE) + " sk-abcdefghijkl123456"

    assert [one.start for one in find_credentials(write_kind).find(secret)] == [3 * PIECE + 1]
