"""After the process stood still, input is read before peers are judged by their silence.

The process may be stopped, the machine paused, or the loop stalled. What a peer sent meanwhile waits in its socket, so
a deadline that expired then says nothing about the peer. Code that acts on a deadline asks here first, and is called
back after the waiting input has been read. Pure.
"""

from collections.abc import Callable
from typing import Protocol

from protocols.units import NS_PER_S

LATE_NS = 20_000_000
"""A deadline that is judged this late expired while the process stood still."""
_TURNS = 5  # of the loop: a connection is accepted, its reading begins, its first bytes come, and are parsed in turns
_MOST_NS = NS_PER_S  # some clients may never stop sending


class Soon(Protocol):
    """An event loop: `call_soon` runs a call in the next turn, after the sockets were looked at."""

    def call_soon(self, callback: Callable[[], None]) -> object: ...


class ReadFirst:
    """One per process. is_behind: whether input that was read is still unparsed."""

    def __init__(self, loop: Soon, now_ns: Callable[[], int], is_behind: Callable[[], bool]) -> None:
        self._loop = loop
        self._now_ns = now_ns
        self._is_behind = is_behind
        self._waiting: dict[Callable[[], None], None] = {}
        self._turns = 0
        self._began_ns = self._read_ns = 0

    def must_wait(self, due_ns: int, then: Callable[[], None]) -> bool:
        """Whether a judgement that was due at due_ns must wait; then `then` is called when it may be made."""
        now_ns = self._now_ns()
        if now_ns - due_ns < LATE_NS or due_ns <= self._read_ns:
            return False
        if not self._waiting:
            self._turns, self._began_ns = 0, now_ns
            self._loop.call_soon(self._turn)
        self._waiting[then] = None
        return True

    def _turn(self) -> None:
        """Count one more pass of the loop, in which sockets were read."""
        now_ns, self._turns = self._now_ns(), self._turns + 1
        if (self._turns < _TURNS or self._is_behind()) and now_ns - self._began_ns < _MOST_NS:
            self._loop.call_soon(self._turn)
            return
        self._read_ns = now_ns
        waiting, self._waiting = self._waiting, {}
        for then in waiting:
            then()
