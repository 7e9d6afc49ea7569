"""Guards that point at places in a text, which can be masked, in a stream too: what names a person, and secrets."""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from spanwell.credentials import find_secrets
from spanwell.pii import LONGEST, Found, find_pii

Mode = Literal["mask", "hash", "drop"]
CONTEXT: Final = 64  # characters before a place that may decide whether it is one
LONGEST_SECRET: Final = 1024
LONGEST_TOKEN: Final = 8192
LONGEST_KEY: Final = 16_384
HASH_DIGITS: Final = 10
GROUP: Final = re.compile(r"[\dA-Z+()./\-\u2011]{1,17}[ \u00a0\u202f]{1,3}\Z")
GROUP_BEGUN: Final = re.compile(r"[\dA-Z+()./\-\u2011]{0,34}\Z")
KEY_ENDS: Final = re.compile("-----END [A-Z0-9 ]{0,30}KEY-----")
PIECE: Final = 8192  # characters; a few milliseconds at worst
LONGEST_NUMBER: Final = 64  # characters of a number in groups


@dataclass(frozen=True)
class Finder:
    """`find` gives places in their order. What stands behind `open_from` may yet become one, or a longer one."""

    find: Callable[[str], list[Found]]
    open_from: Callable[[str], int]
    write: Callable[[Found, str], str]  # what stands in a place's stead


def find_persons(kinds: frozenset[str], write: Callable[[Found, str], str]) -> Finder:
    return _search_pieces(lambda text: find_pii(text, kinds), open_number, write)


def find_credentials(write: Callable[[Found, str], str]) -> Finder:
    return _search_pieces(lambda text: find_secrets(text, named=True), open_secret, write)


def find_in_pieces(text: str, find: Callable[[str], list[Found]], open_from: Callable[[str], int]) -> list[Found]:
    """What `find` finds in the whole. While a pattern is searched no other thread runs: long texts are cut for that."""
    found: list[Found] = []
    gone, end = 0, PIECE
    while gone < len(text):
        start = max(0, gone - CONTEXT)
        piece = text[start:end]
        until = open_from(piece) if end < len(text) else len(piece)
        for one in find(piece):
            if one.start >= gone - start:
                if one.start < until < one.end:
                    until = one.start
                if one.end <= until:
                    found.append(Found(one.start + start, one.end + start, one.kind))
        gone, end = max(gone, start + until), end + PIECE
    return found


def write_kind(one: Found, _: str) -> str:
    return f"[{one.kind.upper()}]"


def write_nothing(_: Found, __: str) -> str:
    return ""


def write_hash(key: bytes) -> Callable[[Found, str], str]:
    """`[EMAIL_0a1b2c3d4e]`: the same for the same value under the same key, without which it tells nothing."""

    def write(one: Found, value: str) -> str:
        digest = hmac.digest(key, f"{one.kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"[{one.kind.upper()}_{digest.hex()[:HASH_DIGITS]}]"

    return write


def open_number(text: str) -> int:
    """The last word; and before it, where it may be a part of a number, the groups of digits and capitals."""
    end = len(text)
    start = _word_begins(text, LONGEST)
    if GROUP_BEGUN.fullmatch(text, start):
        while end - start < LONGEST_NUMBER and (group := GROUP.search(text, max(0, start - 20), start)):
            start = group.start()
    return start


def open_secret(text: str) -> int:
    """The last word, and a private key that has not ended."""
    begun = text.rfind("-----BEGIN")
    if begun >= 0 and len(text) - begun < LONGEST_KEY and not KEY_ENDS.search(text, begun):
        return begun
    return _word_begins(text, LONGEST_TOKEN if "eyJ" in text or "earer " in text else LONGEST_SECRET)


def _search_pieces(
    find: Callable[[str], list[Found]], open_from: Callable[[str], int], write: Callable[[Found, str], str]
) -> Finder:
    return Finder(
        lambda text: find(text) if len(text) <= PIECE else find_in_pieces(text, find, open_from), open_from, write
    )


def _word_begins(text: str, most: int) -> int:
    return max(len(text) - most, 1 + max(text.rfind(" "), text.rfind("\n"), text.rfind("\t")))
