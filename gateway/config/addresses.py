"""Addresses of clients: configured networks, what one customer owns, and what a trusted proxy reports. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
MAX_FORWARDED = 32
"""Entries of X-Forwarded-For that are read: each proxy on the way adds one."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a listener on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a checked configuration."""
    return tuple(ip_network(text) for text in texts)


def parse_proxies(text: str) -> Network:
    """A network of trusted balancers or proxies.

    Raises:
        ValueError: it is not a network, or it contains every address: then any client could claim any address.
    """
    network = ip_network(text)
    if network.prefixlen == 0:
        raise ValueError("is every address: name the balancers' own networks, or any client can claim any address")
    return network


def is_in(peer_ip: str, listed: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks, in whatever notation; an unreadable one is in none."""
    address = _read(peer_ip) if listed else None
    return address is not None and any(address in network for network in listed)


@lru_cache(4_096)  # parsing an address costs as much as accepting its connection, and clients come again
def network_of(peer_ip: str) -> str:
    """What an address is counted as: itself, or the whole /64 that one IPv6 customer owns."""
    address = _read(peer_ip)
    if address is None:
        return peer_ip
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


def forwarded_for(lines: Sequence[str], peer_ip: str, trusted: Sequence[Network]) -> str | None:
    """The client's address, for a request from `peer_ip` with these X-Forwarded-For lines; None if they are unreadable.

    Each proxy appends the address that connected to it. So entries are read from the end for as long as they come from
    a trusted proxy; what is before them may be made up. With 10.0.0.1 trusted:

        peer 10.0.0.1, "6.6.6.6, 192.0.2.1"    192.0.2.1: the last entry, written by the trusted proxy
        peer 203.0.113.9, "192.0.2.1"          203.0.113.9: the peer is not trusted, so the line does not count
    """
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    client = peer_ip
    for entry in reversed(entries[-MAX_FORWARDED:]):
        if not is_in(client, trusted):
            break
        address = _read(_without_port(entry))
        if address is None:
            return None
        client = str(address)
    return client


def _without_port(entry: str) -> str:
    """All of these occur: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _read(peer_ip: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(peer_ip.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address  # a listener on :: sees IPv4 clients as mapped
