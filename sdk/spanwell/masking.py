"""Takes secrets, and what names a person, out of text before it is logged or stored."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from spanwell.credentials import KEY_BEGINS, LITERAL, find_secrets
from spanwell.pii import NUMBER_GOES_ON, Found, find_pii, keep_apart

MASK: Final = "[SECRET]"
Level = Literal["off", "secrets", "pii"]

# What is stored by default is masked where a checksum or a plain shape says so. Public addresses are how machines are
# told apart, and passports need a word beside them: a guard can be asked for both.
STORED_KINDS: Final = frozenset(("email", "phone", "iban", "card", "ssn", "national_id"))
SECRET_BEGINS: Final = re.compile("[-_]" + KEY_BEGINS)
NUMBER_BEGINS: Final = re.compile(r"\d" + NUMBER_GOES_ON)

# What a first look takes a text for, a byte a sign: it is many times faster than a search. What parts the groups of a
# number is left out: one that names a person then has seven digits in a row, or two capitals before two digits.
CAPITAL, DIGIT, OTHER_DIGIT, ELSE = b"A0?."
OTHER_DIGITS: Final = b"\xd9\xdb\xdf\xe0\xe1\xea\xef\xf0"  # what UTF-8 of all digits but ours begins with
KINDS_OF_BYTES: Final = bytes(
    CAPITAL if 65 <= byte <= 90 else DIGIT if 48 <= byte <= 57 else OTHER_DIGIT if byte in OTHER_DIGITS else ELSE
    for byte in range(256)
)
LEFT_OUT: Final = b" -./()" + bytes(byte for byte in range(128, 256) if byte not in OTHER_DIGITS)
NO_CAPITALS: Final = bytes(byte for byte in range(256) if KINDS_OF_BYTES[byte] != CAPITAL)
SIGNS: Final = tuple(sign for _, sign, _ in LITERAL)
SMALL_SIGNS: Final = tuple(sign for sign in SIGNS if sign.islower())
# The capitals of the others: a text has few, so that most signs are missed there already.
SIGNS_CAPITALS: Final = re.compile(
    b"|".join(sign.encode().translate(None, NO_CAPITALS) for sign in SIGNS if sign not in SMALL_SIGNS)
)
LEAST_NUMBER: Final = 10**8  # a number of JSON that may be a person's


def mask_secrets(text: str) -> str:
    """Replace API keys, bearer tokens, JSON web tokens and private keys by `[SECRET]`."""
    found = find_secrets(text)
    return replace(text, found, _to_secret) if found else text


def mask_text(text: str, level: Level) -> str:
    """Plain text without secrets, and at level `pii` without what names a person."""
    if level == "off":
        return text
    if level == "secrets":
        return mask_secrets(text)
    secrets, named = find_secrets(text), find_pii(text, STORED_KINDS)
    if not secrets and not named:
        return text
    spans = dict.fromkeys(secrets, MASK) | {one: f"[{one.kind.upper()}]" for one in named}
    return replace(text, keep_apart([*secrets, *named]), lambda one, _: spans[one])


def may_hold_secrets(text: str) -> bool:
    """Whether a search is worth its while; for text that is still JSON, written without escapes for letters."""
    return _may_hold_keys(text) or _may_hold_signs(text, text.encode("utf-8", "replace"))


def may_hold_pii(text: str) -> bool:
    """The same, for what names a person too."""
    if "@" in text or _may_hold_keys(text):
        return True
    encoded = text.encode("utf-8", "replace")
    seen = encoded.translate(KINDS_OF_BYTES, LEFT_OUT)
    is_likely = (DIGIT in seen and (b"0000000" in seen or b"AA00" in seen)) or OTHER_DIGIT in seen
    return (is_likely and NUMBER_BEGINS.search(text) is not None) or _may_hold_signs(text, encoded)


def _may_hold_keys(text: str) -> bool:
    return ("-" in text or "_" in text) and SECRET_BEGINS.search(text) is not None


def _may_hold_signs(text: str, encoded: bytes) -> bool:
    capitals = encoded.translate(None, NO_CAPITALS)
    return any(map(text.__contains__, SIGNS if SIGNS_CAPITALS.search(capitals) else SMALL_SIGNS))


def mask_json(text: str, level: Level) -> str:
    """The same for a JSON document: its texts, keys and long numbers. It comes back as it was where nothing is found.

    It is only taken apart where a cheap look finds a reason to: most documents have none.
    """
    if level == "off" or not (may_hold_pii(text) if level == "pii" else may_hold_secrets(text)):
        return text
    try:
        document = json.loads(text)
        masked = mask_value(document, level)
        return text if masked is document else json.dumps(masked, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return mask_text(text, level)


def mask_value(value: Any, level: Level) -> Any:
    """The same for a value of JSON; the very same object where nothing is found."""
    return rewrite(value, lambda text: mask_text(text, level))


def rewrite(value: Any, change: Callable[[str], str]) -> Any:
    """A value of JSON with its texts, its keys and its long numbers changed; the same object where none was."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        items = [rewrite(item, change) for item in value]
        return value if all(map(_is_same, items, value)) else items
    if isinstance(value, dict):
        pairs = {change(key): rewrite(item, change) for key, item in value.items()}
        return value if pairs.keys() == value.keys() and all(pairs[key] is value[key] for key in pairs) else pairs
    if isinstance(value, int) and value >= LEAST_NUMBER and (changed := change(shown := str(value))) != shown:
        return changed
    return value


def replace(text: str, found: Sequence[Found], write: Callable[[Found, str], str]) -> str:
    """`text` with what `write` makes of each find, given in order and apart."""
    kept: list[str] = []
    end = 0
    for one in found:
        kept += (text[end : one.start], write(one, text[one.start : one.end]))
        end = one.end
    return "".join((*kept, text[end:]))


def _is_same(left: Any, right: Any) -> bool:
    return left is right


def _to_secret(*_: object) -> str:
    return MASK
