"""Where deliveries may go: not into the network that the worker is in, whatever a name leads to.

A name is looked up once, what it leads to is checked, and the connection goes to the address that was checked: a name
that leads elsewhere a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from headrace.errors import ConfigurationError, WebhookRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_URL_CHARS = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # newer than some Pythons' lists


def read_networks(given: Sequence[str]) -> tuple[Network, ...]:
    """Networks that are allowed although they are not public.

    Raises:
        ConfigurationError: One is none.
    """
    try:
        return tuple(ipaddress.ip_network(network) for network in given)
    except ValueError as error:
        raise ConfigurationError(f"webhooks: {error}; write a network such as 10.1.0.0/16") from None


def check_url(url: str, allowed: Sequence[Network] = ()) -> SplitResult:
    """Refuse what is no address to deliver to, as far as that can be seen without looking names up.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the URL of a webhook cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or len(url) > MAX_URL_CHARS:
        raise ConfigurationError('the URL of a webhook must be like "https://shop.example/hooks"')
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ConfigurationError("the URL of a webhook must have neither a user nor a fragment")
    if port == 0 or any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigurationError("the URL of a webhook must be like https://shop.example/hooks")
    if parts.scheme == "http" and not allowed:
        raise ConfigurationError("the URL of a webhook must begin with https://, unless private networks are allowed")
    literal = _literal(parts.hostname)
    if literal is not None and not may_reach(literal, allowed):
        raise ConfigurationError(
            f"webhooks may not reach {literal}: it is not public. Allow its network, if you mean it"
        )
    return parts


async def find_address(host: str, port: int, allowed: Sequence[Network] = ()) -> Address:
    """An address that a name leads to, checked.

    Raises:
        WebhookRefused: It leads nowhere, or, even if only also, to where deliveries may not go.
    """
    literal = _literal(host)
    found = [literal] if literal is not None else await _look_up(host, port)
    for address in found:
        if not may_reach(address, allowed):
            raise WebhookRefused(f"{host} leads to {address}, which is not public: nothing was sent")
    return found[0]


async def _look_up(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WebhookRefused(f"{host} cannot be looked up: {error}") from None
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def may_reach(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Whether deliveries may go there: it is public, and so is every address that it stands for; or it is allowed."""
    if any(address in network for network in allowed):
        return True
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in _DOCUMENTATION):
        return False
    return all(may_reach(inner, allowed) for inner in _inside(address))


def _inside(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inner if one is not None]


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
