"""Who has connected to one door, and who goes when there is no room for one more: strangers, never who has logged on.

A stranger is whoever has not logged on. One address may have half of the places for its strangers, so that all clients
of an office or a proxy can come back at once; and when all places are taken, the oldest stranger of the address that
has most of them goes: a crowd displaces itself first, and whoever logs on in the time that a message takes gets in.
Every step costs the same however many there are. Pure.
"""

from collections import OrderedDict
from typing import Protocol

_MIN_SHARE = 16


class Guest(Protocol):
    """A connection, hashable and each its own."""

    def crowd_out(self) -> None:
        """Go at once: others need the place. `leave` follows soon."""
        ...


class Crowd:
    """The guests of one door. `places`: how many may be there, which may change."""

    SLACK = 16
    """So many may be there beside, who have been told to go and have not gone yet."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._guests: dict[Guest, str] = {}  # where each came from
        self._going: set[Guest] = set()
        self._strangers: dict[str, OrderedDict[Guest, None]] = {}  # by address, who is to go first first
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
        """Whether nobody may come before somebody has really gone."""
        return len(self._going) >= self.SLACK

    @property
    def _has_room(self) -> bool:
        return len(self._guests) - len(self._going) < self.places

    def admit(self, address: str, is_shared: bool = False) -> bool:
        """Whether one more may come from `address`; a stranger goes for it when one has to.

        is_shared: it speaks for many (a balancer), and has no share.
        """
        if not is_shared and self._keep_share(address):
            return True
        return self._has_room or self._send_away(self._first_to_go())

    def trim(self) -> None:
        """There are fewer places than there were: as many strangers go."""
        while len(self._guests) - len(self._going) > self.places and self._send_away(self._first_to_go()):
            pass

    def _keep_share(self, address: str) -> bool:
        """Have the oldest of the address go when one more is too many; whether that was so."""
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
        """A stranger is there."""
        self._guests[guest] = address
        self._add(guest, address)

    def move(self, guest: Guest, address: str) -> None:
        """It is known now for whom a balancer or proxy spoke."""
        if self._is_stranger(guest):
            self._take(guest)
            self._keep_share(address)
            self._guests[guest] = address
            self._add(guest, address)

    def _is_stranger(self, guest: Guest) -> bool:
        return guest in self._strangers.get(self._guests.get(guest, ""), ())

    def fail(self, guest: Guest) -> None:
        """It could not prove who it is, and waits for its refusal: of its address it goes first."""
        if self._is_stranger(guest):
            self._strangers[self._guests[guest]].move_to_end(guest, last=False)

    def prove(self, guest: Guest) -> None:
        """It has logged on, and is no stranger any more."""
        self._take(guest)

    def leave(self, guest: Guest) -> None:
        """It is gone."""
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
            self._top = now  # one step at a time: what left the top level went to the one above or below
