"""Of media a digest is kept, wherever in JSON it stands."""

import base64
import hashlib
import json
from typing import Any

import pytest

from spanwell import conventions as c
from spanwell_collector import telemetry
from spanwell_collector.dialects.jsontext import to_json
from spanwell_collector.dialects.media import cut_media, has_media
from tests.collector.dialects.spans import make_source, refined

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
        ({"b64_json": DATA}, {"b64_json": {**BLOB, "modality": "", "mime_type": ""}}),
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


def test_media_that_went_is_counted() -> None:
    def count() -> float:
        return telemetry.REGISTRY.get_sample_value("spanwell_cut_total", {"kind": "media"}) or 0

    before = count()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
    message = {"role": "user", "content": [part, {"type": "text", "text": "What is this?"}]}

    made = refined(make_source({c.OPERATION: "chat", c.INPUT_MESSAGES: [message]}))
    refined(make_source({"openinference.span.kind": "TOOL", "input.value": json.dumps({"b64_json": DATA})}))

    assert json.loads(made[c.INPUT_MESSAGES])[0]["parts"][0] == BLOB
    assert count() - before == 2


def test_what_nests_beyond_reason_is_left_out() -> None:
    value: Any = "deep"
    for _ in range(200):
        value = [value]

    assert "deep" not in to_json(cut_media(value))
