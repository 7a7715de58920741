"""How many connections fit into the process's limit of open files; the journal and the operators come first.

A process without a free descriptor cannot open the next journal segment, and must end. So connections never get the
last ones: a door has only the places that remain after the journal, the operators' door and the process itself.
"""

import resource
from collections.abc import Callable, Mapping

from gateway.doors.crowd import Crowd

OWN = 64
"""What the process itself opens: about twenty; the rest is for segments that the journal begins within a second."""
_LEAST = 16
_PLENTY = 1 << 30  # no limit


class TooFewDescriptors(Exception):
    """The limit of open files leaves no room for connections; the text says what to change."""


def raise_limit() -> int:
    """Raise the soft limit to the hard limit; returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # a hard limit beyond what the kernel allows
            pass
    return _PLENTY if soft == resource.RLIM_INFINITY else soft


def share_out(room: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """How many places each door gets when there are `room` in all: what it wants, or its proportional share."""
    total = sum(wanted.values())
    if room >= total:
        return dict(wanted)
    return {door: max(room, 0) * places // total for door, places in wanted.items()}


class Descriptors:
    """Keeps the doors within the places that the limit allows, as the journal opens and closes files."""

    def __init__(
        self,
        doors: Mapping[str, Crowd],
        kept: int,
        journal: Callable[[], int],
        journal_most: int,
        log: Callable[..., None],
    ) -> None:
        """kept: for the operators' door. journal: the number of files it has open; journal_most: its maximum."""
        self._doors = doors
        self._wanted = {door: crowd.places for door, crowd in doors.items()}
        self._kept = OWN + kept + Crowd.SLACK * (len(doors) + 1)
        self._journal = journal
        self._needed = self._kept + journal_most + sum(self._wanted.values())
        self._log = log
        self._limit = _PLENTY
        self._is_logged = False

    def start(self, limit: int) -> None:
        """Apply this limit.

        Raises:
            TooFewDescriptors: there is room for fewer than 16 connections per door.
        """
        self._limit = limit
        if self._room < _LEAST * len(self._doors):
            raise TooFewDescriptors(
                f"the limit of open files is {limit}, and {self._kept + self._journal()} are kept for the journal, the"
                f" operators and the process itself: {self._mend}"
            )
        self.look()

    def look(self) -> None:
        """Once a second: set the places of each door to the room that there is now."""
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
