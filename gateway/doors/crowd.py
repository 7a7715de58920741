"""Who is connected to one door, and who goes when it is full: strangers, never a client that has logged on.

A stranger is a connection that has not logged on. Two rules decide who goes (here with 1,024 places):

1. One address may have half of the places for its strangers (512), so that all clients of an office can come back at
   once. When it has that many, its own oldest stranger goes for the next.
2. When all places are taken, the oldest stranger of the address with most strangers goes. If 10.0.0.9 has 500 and
   10.0.0.7 has 3, the oldest of 10.0.0.9 goes, whichever address the new connection is from.

So a crowd displaces itself first, and a client that logs on without delay gets in. When all places are taken by
logged-on clients, the new connection is turned away. Every step takes constant time. Pure.
"""

from collections import OrderedDict
from typing import Protocol

_MIN_SHARE = 16


class Guest(Protocol):
    """A connection, hashable by identity."""

    def crowd_out(self) -> None:
        """Disconnect at once, to free the place. `leave` follows soon."""


class Crowd:
    """The connections of one door. `places`: how many there may be, which may change."""

    SLACK = 16
    """How many connections may be open beyond the places, because they were asked to go and have not gone yet."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._guests: dict[Guest, str] = {}  # its address
        self._going: set[Guest] = set()
        self._strangers: dict[str, OrderedDict[Guest, None]] = {}  # by address, in the order in which they go
        self._levels: dict[int, OrderedDict[str, None]] = {}  # addresses by their number of strangers
        self._top = 0  # the highest of these numbers

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def strangers(self) -> int:
        """How many have not logged on."""
        return sum(len(found) for found in self._strangers.values())

    @property
    def share(self) -> int:
        """How many strangers one address may have."""
        return max(self.places // 2, _MIN_SHARE)

    @property
    def is_stuffed(self) -> bool:
        """Whether no one may come before one that was asked to go has gone."""
        return len(self._going) >= self.SLACK

    @property
    def _has_room(self) -> bool:
        return len(self._guests) - len(self._going) < self.places

    def admit(self, address: str, is_shared: bool = False) -> bool:
        """Whether one more may come from `address`; a stranger goes for it when necessary.

        is_shared: a balancer or proxy, whose address stands for many clients and has no share.
        """
        if not is_shared and self._keep_share(address):
            return True
        return self._has_room or self._send_away(self._first_to_go())

    def trim(self) -> None:
        """The places became fewer: as many strangers go."""
        while len(self._guests) - len(self._going) > self.places and self._send_away(self._first_to_go()):
            pass

    def _keep_share(self, address: str) -> bool:
        """Send away the oldest stranger of an address that has its full share; whether that was so."""
        own = self._strangers.get(address)
        return own is not None and len(own) >= self.share and self._send_away(next(iter(own)))

    def _send_away(self, guest: Guest | None) -> bool:
        if guest is None:
            return False
        self._take(guest)
        self._going.add(guest)
        guest.crowd_out()
        return True

    def _first_to_go(self) -> Guest | None:
        if not self._top:
            return None
        fullest = next(iter(self._levels[self._top]))
        return next(iter(self._strangers[fullest]))

    def enter(self, guest: Guest, address: str) -> None:
        """Add a stranger."""
        self._guests[guest] = address
        self._add(guest, address)

    def move(self, guest: Guest, address: str) -> None:
        """Move a stranger to the client's address, once the balancer or proxy has given it."""
        if self._is_stranger(guest):
            self._take(guest)
            self._keep_share(address)
            self._guests[guest] = address
            self._add(guest, address)

    def _is_stranger(self, guest: Guest) -> bool:
        return guest in self._strangers.get(self._guests.get(guest, ""), ())

    def fail(self, guest: Guest) -> None:
        """Its logon was refused and it waits for the answer: it goes first among its address."""
        if self._is_stranger(guest):
            self._strangers[self._guests[guest]].move_to_end(guest, last=False)

    def prove(self, guest: Guest) -> None:
        """It has logged on, and is no longer a stranger."""
        self._take(guest)

    def leave(self, guest: Guest) -> None:
        self._take(guest)
        self._guests.pop(guest, None)
        self._going.discard(guest)

    # -- strangers by address, and addresses by how many they have ------------------------------------------------

    def _add(self, guest: Guest, address: str) -> None:
        own = self._strangers.get(address)
        if own is None:
            own = self._strangers[address] = OrderedDict()
        own[guest] = None
        self._rank(address, len(own) - 1, len(own))

    def _take(self, guest: Guest) -> None:
        if not self._is_stranger(guest):
            return
        address = self._guests[guest]
        own = self._strangers[address]
        del own[guest]
        if not own:
            del self._strangers[address]
        self._rank(address, len(own) + 1, len(own))

    def _rank(self, address: str, before: int, now: int) -> None:
        if before:
            level = self._levels[before]
            del level[address]
            if not level:
                del self._levels[before]
        if now:
            self._levels.setdefault(now, OrderedDict())[address] = None
        if now > self._top or self._top not in self._levels:
            self._top = now  # counts change by one, so what left the top level is just above or below
