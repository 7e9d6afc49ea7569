"""Multipart forms: what OpenAI's clients send pictures and sounds in. Read whole, and written anew for a backend."""

import secrets
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from spanwell_proxy.failures import ApiError, bad_request

MOST_PARTS: Final = 200
LONGEST_HEAD_BYTES: Final = 8 * 1024
LONGEST_FIELD_BYTES: Final = 1024 * 1024  # of one that is no file
FILE_BYTES: Final = 4096  # of text at a token each, which is as much as a picture has
SOUND_BYTES: Final = 100  # a token: ten tokens a second of the slowest codec
FORM: Final = "multipart/form-data"


@dataclass(frozen=True)
class Part:
    """One field of a form; `filename` is None where it is plain text."""

    name: str
    filename: str | None
    content_type: str
    content: bytes

    @property
    def value(self) -> Any:
        """What the request says here: a text, or what a file is."""
        if self.filename is None:
            return self.content.decode("utf-8", "replace")
        return {"filename": self.filename, "content_type": self.content_type, "size_bytes": len(self.content)}


def is_form(content_type: str) -> bool:
    return content_type[: len(FORM)].lower() == FORM


def read_form(body: bytes, content_type: str) -> tuple[Part, ...]:
    """Raises ApiError 400 where the body is no such form, or one without an end."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise bad_request("the content-type of a form must name its boundary", None)
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise bad_request(f"the body is no valid form: {error}", None) from error
    if not collector.ended:
        raise bad_request("the body is a form without an end", None)
    return tuple(collector.parts)


def read_fields(parts: tuple[Part, ...]) -> dict[str, Any]:
    """The form as one object: what stands several times, or under `name[]`, is a list."""
    fields: dict[str, Any] = {}
    for part in parts:
        name = part.name.removesuffix("[]")
        if name in fields and not isinstance(fields[name], list):
            fields[name] = [fields[name]]
        if name in fields:
            fields[name].append(part.value)
        else:
            fields[name] = [part.value] if part.name.endswith("[]") else part.value
    return fields


def count_text_bytes(parts: tuple[Part, ...]) -> int:
    """How much text a form is as dear as: a picture or a sound has far fewer tokens than bytes."""
    files = (part for part in parts if part.filename is not None)
    texts = (len(part.content) for part in parts if part.filename is None)
    return sum(texts) + sum(FILE_BYTES + len(part.content) // SOUND_BYTES for part in files)


def write_form(parts: tuple[Part, ...]) -> tuple[str, bytes]:
    """The content type and the body of a form with these parts."""
    boundary = secrets.token_hex(16)
    written: list[bytes] = []
    for part in parts:
        written += (b"--%s\r\n" % boundary.encode(), _head(part), b"\r\n\r\n", part.content, b"\r\n")
    written.append(b"--%s--\r\n" % boundary.encode())
    return f"{FORM}; boundary={boundary}", b"".join(written)


def _head(part: Part) -> bytes:
    disposition = f'content-disposition: form-data; name="{_quote(part.name)}"'
    if part.filename is None:
        return disposition.encode()
    return f'{disposition}; filename="{_quote(part.filename)}"\r\ncontent-type: {part.content_type}'.encode()


def _quote(text: str) -> str:
    # As browsers do: what would end the name, or the line, is percent-encoded.
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


class _Collector:
    """Puts the parser's pieces together: it was given the whole body, so places are places in it."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._head: list[tuple[bytes, bytes]] = []
        self._name = self._value = b""
        self._content: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_part_data": self._take_content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise bad_request(f"a form has at most {MOST_PARTS} fields", None)
        self._head, self._content = [], []

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bound()

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound()

    def _bound(self) -> None:
        if len(self._name) + len(self._value) > LONGEST_HEAD_BYTES:
            raise ApiError(431, "headers_too_long", "the head of a form's field is too long")

    def _end_header(self) -> None:
        self._head.append((self._name.lower(), self._value))
        self._name = self._value = b""

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _end(self) -> None:
        heads = dict(self._head)
        _, options = parse_options_header(heads.get(b"content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if not name:
            raise bad_request("a field of the form has no name", None)
        content = b"".join(self._content)
        if filename is None and len(content) > LONGEST_FIELD_BYTES:
            raise ApiError(413, "body_too_large", f"the field {name[:64]!r} is longer than {LONGEST_FIELD_BYTES} bytes")
        self.parts.append(
            Part(
                name=name.decode("utf-8", "replace"),
                filename=None if filename is None else filename.decode("utf-8", "replace"),
                content_type=_clean_type(heads.get(b"content-type", b"")),
                content=content,
            )
        )

    def _finish(self) -> None:
        self.ended = True


def _clean_type(given: bytes) -> str:
    """A media type without parameters; what is none is just bytes."""
    message = Message()
    message["content-type"] = given.decode("latin-1").replace("\r", "").replace("\n", "")
    return message.get_content_type() if given else "application/octet-stream"
