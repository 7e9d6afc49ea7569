"""Forms are read as browsers and OpenAI's clients write them, and written anew without anything of their own."""

import email
from email.policy import HTTP

import httpx
import pytest

from spanwell_proxy.apis.forms import Part, is_form, read_fields, read_form, write_form
from spanwell_proxy.failures import ApiError


def encode(**fields: object) -> tuple[bytes, str]:
    request = httpx.Request("POST", "http://x", **fields)  # type: ignore[arg-type]
    return request.read(), request.headers["content-type"]


def test_a_form_of_httpx_is_read() -> None:
    body, content_type = encode(
        data={"model": "whisper", "timestamp_granularities[]": ["word", "segment"]},
        files={"file": ("höre.mp3", b"\r\n--sound\x00", "audio/mpeg")},
    )

    parts = read_form(body, content_type)

    assert is_form(content_type)
    assert parts[-1] == Part("file", "höre.mp3", "audio/mpeg", b"\r\n--sound\x00")
    assert read_fields(parts) == {
        "model": "whisper",
        "timestamp_granularities": ["word", "segment"],
        "file": {"filename": "höre.mp3", "content_type": "audio/mpeg", "size_bytes": 10},
    }


def test_what_is_written_is_what_was_read() -> None:
    parts = (Part("model", None, "", b"whisper"), Part("image[]", "a.png", "image/png", b"\x89PNG\r\n"))

    content_type, body = write_form(parts)

    assert [(part.name, part.filename, part.content) for part in read_form(body, content_type)] == [
        (part.name, part.filename, part.content) for part in parts
    ]


@pytest.mark.parametrize("name", ['x"; filename="y', "x\r\nx-evil: 1", 'a"b'])
def test_a_hostile_name_cannot_write_a_header(name: str) -> None:
    content_type, body = write_form((Part("file", name, "audio/mpeg", b"sound"),))

    message = email.message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    (part,) = message.iter_parts()

    assert sorted(key.lower() for key in part.keys()) == ["content-disposition", "content-type"]  # noqa: SIM118


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data"),
        (b"", "multipart/form-data; boundary=x"),
        (b"no form", "multipart/form-data; boundary=x"),
        (b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nhalf', "multipart/form-data; boundary=x"),
        (b"--x\r\ncontent-disposition: form-data\r\n\r\nv\r\n--x--\r\n", "multipart/form-data; boundary=x"),
    ],
)
def test_what_is_no_whole_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_form(body, content_type)

    assert caught.value.status == 400


def test_a_form_has_a_bound_of_fields_and_of_their_heads() -> None:
    field = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nv\r\n'
    with pytest.raises(ApiError, match="at most 200 fields"):
        read_form(field * 201 + b"--x--\r\n", "multipart/form-data; boundary=x")
    long = b'--x\r\ncontent-disposition: form-data; name="' + b"a" * 9000 + b'"\r\n\r\nv\r\n--x--\r\n'
    with pytest.raises(ApiError, match="head"):
        read_form(long, "multipart/form-data; boundary=x")
