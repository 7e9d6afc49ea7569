"""Estimates how many tokens a request is, a little too high rather than too low, without any vocabulary to load.

A vocabulary costs 55 MB a worker and 140 µs a kilobyte; this costs a microsecond. Measured on o200k and cl100k: from
1.0 to 1.7 times the truth for prose, code, JSON and fourteen languages; texts of nothing but signs are undercounted.
"""

import string
from typing import Any, Final

from spanwell_proxy.guards.texts import list_texts

LETTERS: Final = (string.ascii_letters + " \n\t").encode()
ASCII: Final = bytes(range(128))
LETTERS_A_TOKEN: Final = 3.6
SIGNS_A_TOKEN: Final = 1.8  # digits and punctuation
BYTES_A_TOKEN: Final = 1.9  # of letters beyond ASCII
BYTES_A_TOKEN_OF_DATA: Final = 1.3  # base64 and the like
LONGEST_WORD: Final = 24  # on average: beyond that a text is data
TOKENS_A_MESSAGE: Final = 4  # what a chat template puts around it
TOKENS_A_PICTURE: Final = 1000
MEDIA: Final = frozenset(("image_url", "input_image", "image", "input_audio", "file", "input_file", "document"))


def estimate_tokens(text: str) -> int:
    """Of one text."""
    data = text.encode("utf-8", "surrogatepass")
    beyond = len(data.translate(None, ASCII))
    signs = len(data.translate(None, LETTERS)) - beyond
    letters = len(data) - signs - beyond
    if len(data) > LONGEST_WORD * (2 + data.count(b" ") + data.count(b"\n")) and not beyond:
        return int((letters + signs) / BYTES_A_TOKEN_OF_DATA) + 1
    return int(letters / LETTERS_A_TOKEN + signs / SIGNS_A_TOKEN + beyond / BYTES_A_TOKEN) + 1


def count_tokens(value: Any) -> int:
    """Of a message, a list of them, or any part of a request."""
    total = sum(estimate_tokens(one.text) for one in list_texts(value)) if value else 0
    return total + TOKENS_A_MESSAGE + TOKENS_A_PICTURE * _count_media(value)


def _count_media(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_count_media, value))
    if not isinstance(value, dict):
        return 0
    kind = value.get("type")
    own = isinstance(kind, str) and kind in MEDIA
    return own + _count_media(value.get("content"))
