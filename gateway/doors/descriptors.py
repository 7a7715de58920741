"""How many connections the process's limit of descriptors has room for: the journal and the operators come first.

Whoever runs out of descriptors cannot open the next segment of the journal, and must end. So strangers never get the
last ones: each door has no more places than are left when everybody else has theirs.
"""

import resource
from collections.abc import Callable, Mapping

from gateway.doors.crowd import Crowd

OWN = 64
"""What the process itself opens: some twenty, the rest for segments that the journal begins within a second."""
_LEAST = 16
_PLENTY = 1 << 30  # there is no limit


class TooFewDescriptors(Exception):
    """The limit of descriptors has no room for connections; the text names the mend."""


def raise_limit() -> int:
    """Raise the soft limit to the hard one; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # a hard limit beyond what the kernel allows
            pass
    return _PLENTY if soft == resource.RLIM_INFINITY else soft


def share_out(room: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """How many places each door gets when there are `room` in all: what it wants, or its share of what there is."""
    total = sum(wanted.values())
    if room >= total:
        return dict(wanted)
    return {door: max(room, 0) * places // total for door, places in wanted.items()}


class Descriptors:
    """Keeps the doors to the places that the limit allows, while the journal's files come and go."""

    def __init__(
        self,
        doors: Mapping[str, Crowd],
        kept: int,
        journal: Callable[[], int],
        journal_most: int,
        log: Callable[..., None],
    ) -> None:
        """kept: for the operators' door. journal: how many files it has open; journal_most: how many it may have."""
        self._doors = doors
        self._wanted = {door: crowd.places for door, crowd in doors.items()}
        self._kept = OWN + kept + Crowd.SLACK * (len(doors) + 1)
        self._journal = journal
        self._needed = self._kept + journal_most + sum(self._wanted.values())
        self._log = log
        self._limit = _PLENTY
        self._is_logged = False

    def start(self, limit: int) -> None:
        """Take this limit for what there is.

        Raises:
            TooFewDescriptors: there is no room for connections to speak of.
        """
        self._limit = limit
        if self._room < _LEAST * len(self._doors):
            raise TooFewDescriptors(
                f"the limit of open files is {limit}, and {self._kept + self._journal()} are kept for the journal, the"
                f" operators and the process itself: {self._mend}"
            )
        self.look()

    def look(self) -> None:
        """Once a second: as many places as there is room for now."""
        shares = share_out(self._room, self._wanted)
        for door, crowd in self._doors.items():
            crowd.places = shares[door]
            crowd.trim()
        if shares != self._wanted and not self._is_logged:
            self._is_logged = True
            self._log("gateway.few_descriptors", limit=self._limit, connections=shares, mend=self._mend)

    @property
    def _room(self) -> int:
        return self._limit - self._kept - self._journal()

    @property
    def _mend(self) -> str:
        return (
            f"raise it to {self._needed} (`ulimit -n {self._needed}`, or LimitNOFILE={self._needed} in a unit),"
            " or lower max_connections"
        )
