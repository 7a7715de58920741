"""Counts failed logons: a peer that fails repeatedly gets its refusal late. Pure: time is an argument.

Only the refusal is delayed, never the check of a proof, which costs 65 us. A client that signs correctly is let in at
once, whatever others at its address or with its key id have done (`gateway.auth.authenticator`).
"""

from collections import OrderedDict

from protocols.units import NS_PER_S


class LogonBackoff:
    """Recent failures by key. A key is forgotten after 10 minutes without a failure; if there are too many, the one
    that has been quiet longest goes first.
    """

    MAX_KEYS = 10_000
    _FORGET_NS = 600 * NS_PER_S

    def __init__(self, free: int) -> None:
        self._free = free
        self._counts: OrderedDict[object, tuple[int, int]] = OrderedDict()  # key -> (failures, time of the last)

    def add(self, key: object, now_ns: int) -> bool:
        """Count a failure; whether there were more than `free` of them."""
        count, last_ns = self._counts.pop(key, (0, now_ns))
        count = count + 1 if now_ns - last_ns < self._FORGET_NS else 1
        self._counts[key] = count, now_ns
        if len(self._counts) > self.MAX_KEYS:
            self._counts.popitem(last=False)
        return count > self._free

    def forgive(self, key: object) -> None:
        """The key proved itself."""
        self._counts.pop(key, None)
