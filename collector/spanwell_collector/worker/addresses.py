"""Which addresses a webhook may reach. The name is resolved once; the address that was checked is the one dialled."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from spanwell.errors import SpanwellError

GLOBAL_UNICAST = ip_network("2000::/3")  # outside of it stand the ways to write an IPv4 address, loopback included


class ForbiddenAddressError(SpanwellError):
    """A name led to an address that is not public."""


def is_public(text: str) -> bool:
    """Whether an address belongs to the open internet, the IPv4 address inside an IPv6 one looked at too."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.sixtofour is not None or address.teredo is not None or address not in GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of `host`. Raises ForbiddenAddressError if one of them is not public, OSError if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private and not all(is_public(address) for address in addresses):
        raise ForbiddenAddressError("the receiver's name leads to an address that is not public; see allow_private")
    return addresses
