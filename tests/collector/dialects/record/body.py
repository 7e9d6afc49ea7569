"""Reads the body of a request, of known length or in chunks (as Node's exporters send)."""

from http.server import BaseHTTPRequestHandler


def read(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers["transfer-encoding"] != "chunked":
        return request.rfile.read(int(request.headers["content-length"]))
    parts = []
    while length := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(length))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)
