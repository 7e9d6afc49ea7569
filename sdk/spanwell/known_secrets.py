"""Takes a secret that is known out of a text, however it is written there: plain, escaped, base64 or hex."""

import base64
import re
from functools import lru_cache
from typing import Final

MASKED: Final = "[SECRET]"
SLASH: Final = r"\\?/"
SHORTEST: Final = 8  # a shorter one would be found in words that mean nothing


def mask_known(text: str, secret: str) -> str:
    """`text` with every spelling of `secret` replaced."""
    return find_spellings(secret).sub(MASKED, text) if len(secret) >= SHORTEST else text.replace(secret, MASKED)


@lru_cache(256)
def find_spellings(secret: str) -> re.Pattern[str]:
    """What `secret` may look like. Of base64, the letters that are its own wherever in a longer text it begins."""
    data = secret.encode()
    percent = "".join(_letter(letter) for letter in secret)
    spellings = [percent, rf"(?i:{data.hex()})", *(_base64(data, shift) for shift in range(3))]
    return re.compile("|".join(spellings))


def _letter(letter: str) -> str:
    """As it is, percent-encoded, or as JSON may escape it: many writers put a backslash before a slash."""
    encoded = "".join(f"%{byte:02x}" for byte in letter.encode())
    plain = SLASH if letter == "/" else re.escape(letter)
    return rf"(?:{plain}|(?i:{encoded}|\\u{ord(letter):04x}))"


def _base64(data: bytes, shift: int) -> str:
    whole = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
    kept = whole[(shift * 8 + 5) // 6 : -1]
    return "".join({"+": "[+-]", "/": rf"(?:{SLASH}|_)"}.get(letter, letter) for letter in kept)
