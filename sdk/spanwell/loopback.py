"""What is this machine's own: addresses, and requests that were meant for it."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_for_this_machine(host: str, origin: str | None) -> bool:
    """Whether the headers Host and Origin name loopback: a page from elsewhere must not reach us through a browser."""
    return _names_loopback(f"//{host}") and (origin is None or _names_loopback(origin))


def _names_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost")
