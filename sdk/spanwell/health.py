"""Asks whether a process works, over plain HTTP and without a client library."""

import asyncio
import secrets
import socket
from urllib.parse import urlsplit


async def get_status(url: str, timeout_s: float = 1.0) -> int | None:
    """The HTTP status of `GET url`, or None if nobody answers in time."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            secure = parts.scheme == "https"
            port = parts.port or (443 if secure else 80)
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
            try:
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
                status_line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    words = status_line.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else None


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could bind `host:port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if is_port_free(host, port):
            return port
