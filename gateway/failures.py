"""How often who failed to prove itself lately, and how long it is held off for that. Pure: time is an argument.

Nobody is locked out by the failures of others: the pair of address and key counts for itself, and the address as a
whole only for those who never got in from it (`gateway.clients`).
"""

from collections import OrderedDict
from ipaddress import ip_address, ip_network

_SECOND_NS = 1_000_000_000


class Failures:
    """How often each key failed lately, and until when it is held off: from `free` failures on 1 s, 2 s, 4 s ... 60 s.

    Attempts made while held off are not counted, so that a client that goes on trying gets its turn. Forgotten after 10
    minutes without a failure, and the longest quiet ones first when there are too many.
    """

    MAX_KEYS = 10_000
    _MAX_HOLD_S = 60
    _FORGET_NS = 600 * _SECOND_NS

    def __init__(self, free: int) -> None:
        self._free = free
        self._counts: OrderedDict[object, tuple[int, int]] = OrderedDict()  # key -> (failures, time of the last)

    def holds(self, key: object, now_ns: int) -> bool:
        """Whether the key must wait."""
        count, last_ns = self._counts.get(key, (0, 0))
        if count < self._free:
            return False
        hold_s = min(1 << min(count - self._free, 16), self._MAX_HOLD_S)
        return now_ns - last_ns < hold_s * _SECOND_NS

    def add(self, key: object, now_ns: int) -> None:
        """The key failed."""
        count, last_ns = self._counts.pop(key, (0, now_ns))
        self._counts[key] = (count + 1 if now_ns - last_ns < self._FORGET_NS else 1, now_ns)
        if len(self._counts) > self.MAX_KEYS:
            self._counts.popitem(last=False)

    def forgive(self, key: object) -> None:
        """The key proved itself."""
        self._counts.pop(key, None)


def network_of(peer_ip: str) -> str:
    """What failures of an address are counted under: the address, or the /64 that one IPv6 customer has as a whole."""
    try:
        address = ip_address(peer_ip.partition("%")[0])
    except ValueError:
        return peer_ip
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))
