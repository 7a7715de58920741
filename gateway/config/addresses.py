"""Whose address it is: networks of the configuration, what one customer has, and what a trusted proxy says. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
MAX_FORWARDED = 32
"""Entries of X-Forwarded-For that are looked at: each proxy on the way adds one."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of a checked configuration."""
    return tuple(ip_network(text) for text in texts)


def parse_proxies(text: str) -> Network:
    """A network of balancers or proxies whose word is taken.

    Raises:
        ValueError: no network, or everybody's: then anybody could claim any address.
    """
    network = ip_network(text)
    if network.prefixlen == 0:
        raise ValueError("is everybody: name the balancers' own networks, or anybody can claim any address")
    return network


def is_in(peer_ip: str, listed: Sequence[Network]) -> bool:
    """Whether the address is in one of the networks, however it is written; one that cannot be read is in none."""
    address = _read(peer_ip) if listed else None
    return address is not None and any(address in network for network in listed)


@lru_cache(4_096)  # reading an address costs as much as accepting its connection, and who comes comes again
def network_of(peer_ip: str) -> str:
    """What an address is counted under: itself, or the /64 that one IPv6 customer has as a whole."""
    address = _read(peer_ip)
    if address is None:
        return peer_ip
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


def forwarded_for(lines: Sequence[str], peer_ip: str, trusted: Sequence[Network]) -> str | None:
    """Whose request it is that came from `peer_ip` with these X-Forwarded-For lines; None when they cannot be read.

    Each proxy adds who connected to it, so the last entry is as good as the proxy that wrote it, and so on backwards
    while those are trusted; what stands before that anybody may have made up. Without a trusted proxy nothing counts.
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
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:4711` are all written."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _read(peer_ip: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(peer_ip.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address  # a listener on :: sees IPv4 clients so
