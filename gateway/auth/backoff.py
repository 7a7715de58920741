"""How often who failed to prove itself lately: who fails again and again waits for its refusal. Pure: time is given.

A refusal is held back, a proof never: checking one costs 65 us, and whoever signs rightly is let in at once, whatever
others at its address or with the name of its key have done (`gateway.auth.authenticator`).
"""

from collections import OrderedDict

from protocols.units import NS_PER_S


class LogonBackoff:
    """How often each key failed lately. Forgotten after 10 minutes without a failure, and the longest quiet ones first
    when there are too many.
    """

    MAX_KEYS = 10_000
    _FORGET_NS = 600 * NS_PER_S

    def __init__(self, free: int) -> None:
        self._free = free
        self._counts: OrderedDict[object, tuple[int, int]] = OrderedDict()  # key -> (failures, time of the last)

    def add(self, key: object, now_ns: int) -> bool:
        """The key failed; whether that was more than `free` times."""
        count, last_ns = self._counts.pop(key, (0, now_ns))
        count = count + 1 if now_ns - last_ns < self._FORGET_NS else 1
        self._counts[key] = count, now_ns
        if len(self._counts) > self.MAX_KEYS:
            self._counts.popitem(last=False)
        return count > self._free

    def forgive(self, key: object) -> None:
        """The key proved itself."""
        self._counts.pop(key, None)
