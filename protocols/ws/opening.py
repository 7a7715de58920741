"""What the headers of an opening handshake say: lists on several lines, and whose page an Origin names.

Source: RFC 7230 3.2.2 and 7 (lists), RFC 6455 4.2.1 and 11.3 (the handshake), RFC 6454 (origins).
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def listed(lines: Sequence[str]) -> list[str]:
    """The elements of a header that is a list, in order, however many lines it stands on; empty ones do not count."""
    return [word for line in lines for part in line.split(",") if (word := part.strip())]


def names_host(origin: str, hosts: Sequence[str]) -> bool:
    """Whether an Origin is a page of the host that the request was sent to, as its Host lines say: there must be one.

    The scheme is left aside, for TLS may end before us; a port that is left out is the scheme's own.
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
    except ValueError:  # a port that is none, or half an address
        return False
