"""Of media a digest is kept, wherever in JSON it stands."""

import base64
import hashlib
from typing import Any

import pytest

from spanwell_collector.dialects.jsontext import to_json
from spanwell_collector.dialects.media import cut_media, has_media

PICTURE = b"not really a picture" * 20
DATA = base64.b64encode(PICTURE).decode()
BLOB = {
    "type": "blob",
    "modality": "image",
    "mime_type": "image/png",
    "digest": f"sha256:{hashlib.sha256(PICTURE).hexdigest()}",
    "bytes": 400,
}


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ({"url": f"data:image/png;base64,{DATA}"}, {"url": BLOB}),
        (
            {"inline_data": {"mime_type": "image/png", "data": DATA}},
            {"inline_data": {"mime_type": "image/png", "data": BLOB}},
        ),
        ([{"mediaType": "image/png", "data": DATA}], [{"mediaType": "image/png", "data": BLOB}]),
        ({"vector": [0.5] * 100}, {"vector": "[100 numbers]"}),
    ],
)
def test_media_is_cut(value: Any, cut: Any) -> None:
    assert has_media(to_json(value)) or "vector" in value
    assert cut_media(value) == cut


@pytest.mark.parametrize(
    "value",
    [
        "data: a, b",
        {"data": "A" * 300},
        {"format": "wav", "data": "short"},
        {"data": "not base64 " * 50, "format": "x"},
        [1, 2, 3],
    ],
)
def test_what_only_looks_like_it_stays(value: Any) -> None:
    assert cut_media(value) == value


def test_what_nests_beyond_reason_is_left_out() -> None:
    value: Any = "deep"
    for _ in range(200):
        value = [value]

    assert "deep" not in to_json(cut_media(value))
