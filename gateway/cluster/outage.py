"""What a gateway does for its clients while Redis takes nothing from it. Pure.

    Redis answers no more    no grace of cancel-on-disconnect runs out: no client could come back
    too much waits for it    no client is read, so that memory is bounded
    it is too long           clients are sent away: another gateway may reach Redis
    Redis answers            all of this ends

Only a gateway that does not reach the machine of Redis has reason to think that others do. It sends its clients away as
soon as others may have taken their sessions, that is when its lease is over. Where that machine answers, and Redis does
not, no other gateway serves them any better: then they wait for `hold_ms`.
"""

from collections.abc import Callable
from typing import Protocol

from protocols.units import NS_PER_MS


class Clients(Protocol):
    """The clients of this gateway, all of them."""

    def stop_counting(self, since_ns: int) -> None:
        """No client can come back, since then."""

    def count_on(self, now_ns: int) -> None:
        """They can again."""

    def stop_reading(self, now_ns: int) -> None:
        """Read none of them, nor any that comes."""

    def read_on(self, now_ns: int) -> None:
        """Read them again."""

    def cut_off(self, text: str, now_ns: int) -> int:
        """Send those away that are connected; how many there were."""


class Outage:
    """From when Redis stops answering until it answers."""

    def __init__(
        self, clients: Clients, most_bytes: int, lease_ms: int, hold_ms: int, log: Callable[..., None]
    ) -> None:
        """most_bytes: may wait for Redis."""
        self._clients = clients
        self._most_bytes = most_bytes
        self._lease_ns = lease_ms * NS_PER_MS
        self._hold_ns = hold_ms * NS_PER_MS
        self._log = log
        self._since_ns = 0  # 0 = Redis answers
        self.is_full = False
        """Whether no client is read."""
        self.cut = 0  # clients

    def begin(self, since_ns: int) -> None:
        """Redis does not answer, and has not since then."""
        if not self._since_ns:
            self._since_ns = since_ns
            self._clients.stop_counting(since_ns)

    def end(self, now_ns: int) -> None:
        """Redis has answered."""
        if self._since_ns:
            self._since_ns = 0
            self._clients.count_on(now_ns)

    def weigh(self, waiting_bytes: int, now_ns: int) -> None:
        """So much waits for Redis."""
        if waiting_bytes > self._most_bytes:
            if not self.is_full:
                self.is_full = True
                self._log("cluster.commits_full", bytes=waiting_bytes)
                self._clients.stop_reading(now_ns)
        elif self.is_full and waiting_bytes <= self._most_bytes // 2:
            self.is_full = False
            self._clients.read_on(now_ns)

    def look(self, is_cut_off: bool, now_ns: int) -> None:
        """Time has passed. is_cut_off: the machine of Redis is not reached."""
        if self.is_full:
            self._clients.stop_reading(now_ns)  # also those that came since
        if not self._since_ns:
            return
        away_ns = now_ns - self._since_ns
        if away_ns < (self._lease_ns if is_cut_off else self._hold_ns):
            return
        count = self._clients.cut_off("this gateway cannot reach Redis, reconnect to another", now_ns)
        if count:
            self.cut += count
            self._log("cluster.clients_cut", count=count, away_ms=away_ns // NS_PER_MS, is_cut_off=is_cut_off)
