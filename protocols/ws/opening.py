"""The headers of an opening handshake: lists on several lines, and which host an Origin belongs to.

Source: RFC 7230 3.2.2 and 7 (lists), RFC 6455 4.2.1 and 11.3 (the handshake), RFC 6454 (origins).
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def listed(lines: Sequence[str]) -> list[str]:
    """The elements of a list header, in order, from one or more lines; empty ones are skipped."""
    return [word for line in lines for part in line.split(",") if (word := part.strip())]


def names_host(origin: str, hosts: Sequence[str]) -> bool:
    """Whether an Origin is a page of the host that the request was sent to. There must be exactly one Host line.

    The scheme is not compared, because TLS may end at a balancer. A missing port is the default of the scheme.
    """
    if len(hosts) != 1:
        return False
    try:
        page = urlsplit(origin)
        ours = urlsplit(f"{page.scheme}://{hosts[0].strip()}")
        default = _PORTS.get(page.scheme)
        return (
            default is not None
            and page.hostname is not None
            and (page.hostname, page.port or default) == (ours.hostname, ours.port or default)
        )
    except ValueError:  # not a port number, or half an address
        return False
