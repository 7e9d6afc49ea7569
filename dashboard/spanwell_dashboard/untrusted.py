"""Text that came from outside on its way to a screen: prompts, outputs, model and app names, errors of the API.

Streamlit renders Markdown in most of its strings, and a Markdown image makes the viewer's browser fetch a URL. So text
from outside goes to `st.text`, `st.code`, `st.json`, a table cell or a chart label, and here to be made fit for that.
"""

import html
import re
from typing import Final

MAX_TEXT_CHARS: Final = 64 * 1024  # what a browser lays out without a hitch; the rest is a download away
MAX_LABEL_CHARS: Final = 32

# Control characters, and the marks that reverse the reading order: a name may not lie about itself.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_BLOB = re.compile(r"(data:[\w.+-]{1,40}/[\w.+-]{1,80};base64,)([A-Za-z0-9+/=_-]{256,})")


def plain(text: object, limit: int = MAX_TEXT_CHARS) -> str:
    """`text` without invisible characters, cut at `limit` characters."""
    cleaned = _INVISIBLE.sub("\ufffd", str(text).replace("\r\n", "\n"))
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def label(text: object, limit: int = MAX_LABEL_CHARS) -> str:
    """One line for a chart, whose labels know a little HTML: markup shows as it was written."""
    return html.escape(plain(text, limit).replace("\n", " "), quote=False) or "(none)"


def fold_blobs(text: str) -> str:
    """Base64 payloads replaced by their size: an image in a prompt is a megabyte that nobody reads."""
    return _BLOB.sub(lambda found: f"{found[1]}… {len(found[2]) * 3 // 4096} KB …", text)
