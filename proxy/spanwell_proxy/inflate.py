"""Undoes a request body's compression, piece by piece, so that a small body cannot fill the memory."""

from spanwell.frames import BROKEN, INFLATERS, read_frames
from spanwell_proxy.failures import ApiError, bad_request


def inflate(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """Undo `encoding`. Raises ApiError: 415 for one that is not known, 413 beyond `most_bytes`, 400 if it is broken."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in INFLATERS:
        allowed = ", ".join((*INFLATERS, "identity"))
        raise ApiError(415, "unsupported_encoding", f"this content-encoding is not understood; send {allowed}")
    parts, size = [], 0
    try:
        for part in read_frames(body, INFLATERS[encoding]):
            parts.append(part)
            size += len(part)
            if size > most_bytes:
                raise ApiError(413, "body_too_large", f"the body is larger than {most_bytes} bytes once inflated")
    except (*BROKEN, EOFError) as error:
        raise bad_request(f"the body is not whole and valid {encoding}", None) from error
    return b"".join(parts)
