"""Which hosts are this machine, and which are public."""

from __future__ import annotations

import ipaddress
import socket

FAKE_IPS = ipaddress.ip_network("198.18.0.0/15")
"""Proxy tools that answer every name with an address of their own use this range."""


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(host: str) -> bool:
    """Tell whether every address of a host is a public one.

    A name that does not resolve here may do so behind a proxy, and is left to the connection.
    """
    return all(_is_public(address) for address in _addresses(host))


def _addresses(host: str) -> list[str]:
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return ["127.0.0.1"] if host.lower().rstrip(".") == "localhost" else []


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    fake = isinstance(found, ipaddress.IPv4Address) and found in FAKE_IPS
    return fake or (found.is_global and not found.is_multicast)
