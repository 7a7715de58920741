"""One session, and the replayable event stream of its account. Pure: no socket is known here, only endpoints.

A session outlives its connections: a FIX session is in the configuration, a named WebSocket session is (key, name), an
unnamed one lasts as long as its connection. Reports find their way by session id, and to those sessions of the account
that receive everything: an event costs nothing for the others.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from enum import IntFlag
from itertools import chain, islice

from gateway.auth.authenticator import Client
from gateway.sessions.reply import Endpoint
from limits.paths import Path
from protocols.messages import AnyEvent, Origin, Sender

Shown = Mapping[tuple[str, str], tuple[int, float, str]]
"""Limits that a client was shown, by name and scope: capacity, rate, mode."""

# Shared by all sessions: an empty dict or set of its own would cost each of them memory.
_NONE_SHOWN: Shown = {}
_ALL_INSTRUMENTS = frozenset[int]()


class Pause(IntFlag):
    """Why a session is not read; any one is enough."""

    NONE = 0
    QUEUE = 1  # what waits for the core is too much
    TOKENS = 2  # its limits are being asked for
    FLOOD = 4  # cancels by the thousand
    RECORDS = 8  # what waits for Redis is too much


class Session:
    """One numbered conversation: its client, its command counters, its limits path, and what it still waits for."""

    __slots__ = (
        "_paused", "account", "acts_from_ns", "cancel_on_disconnect", "client", "cod_grace_ms", "connected", "endpoint",
        "flood_count", "flood_since_ns", "has_logged_out", "hears_all", "id", "instruments", "is_leaving", "may_trade",
        "name", "path", "response_mode", "sender", "shown_limits",
    )  # fmt: skip

    def __init__(self, session_id: int, name: str, client: Client, origin: Origin, path: Path) -> None:
        self.id = session_id
        self.name = name
        self.client = client
        self.path = path
        self.sender = Sender(session_id, client.account_id, origin)
        self.endpoint: Endpoint | None = None
        self.connected = False
        self.is_leaving = False  # its logout was received and leaves its orders; the answer is on its way
        self.has_logged_out = False  # and did not leave its orders: the link was not lost
        self.may_trade = True  # else only queries
        self.instruments = _ALL_INSTRUMENTS  # it may trade only these; empty = all
        self.cancel_on_disconnect = "off"  # off | session | account
        self.cod_grace_ms = 0
        self.account: AccountStream | None = None  # from when it was added to `Sessions`
        self.hears_all = False  # events of its account that others caused too; see `hear_all`
        self.response_mode = 0  # FIX: 1 receives everything of its account, away or not; 2 what concerns itself
        self.acts_from_ns = 0  # FIX: a possible duplicate of an order sent before may have been carried out, and lost
        self.shown_limits: Shown = _NONE_SHOWN  # as it was last shown
        self.flood_since_ns = self.flood_count = 0  # cancels beyond their limit, and mass cancels, of late
        self._paused = Pause.NONE

    @property
    def is_taken(self) -> bool:
        """Whether a newcomer would take it over: it is connected, and that this has ended is not read yet."""
        return self.connected and self.endpoint is not None and self.endpoint.has_living_link

    def set_response_mode(self, mode: int) -> None:
        """FIX: from the next event on."""
        self.response_mode = mode
        self.hear_all(mode == 1)

    def hear_all(self, is_wanted: bool) -> None:
        """From the next event on it receives every event of its account, or only what it asked for and its orders'."""
        if is_wanted != self.hears_all and self.account is not None:
            self.hears_all = is_wanted
            others = (each for each in self.account.listeners if each is not self)
            self.account.listeners = (*others, self) if is_wanted else tuple(others)

    def attached(self, now_ns: int) -> None:
        """It has a connection from now on, which is not read either while the session is paused."""
        self.connected, self.is_leaving, self.has_logged_out = True, False, False
        if self._paused and self.endpoint is not None:
            self.endpoint.pause_reading(now_ns)

    @property
    def is_paused(self) -> bool:
        return bool(self._paused)

    def add_pause(self, why: Pause) -> bool:
        """One more reason not to read it; whether it was read until now."""
        before, self._paused = self._paused, self._paused | why
        return not before

    def end_pause(self, why: Pause) -> bool:
        """One reason less; whether that was the last of them."""
        before, self._paused = self._paused, self._paused & ~why
        return bool(before) and not self._paused


class AccountStream:
    """One account's event stream and its sessions."""

    def __init__(self, account_id: int, retain_events: int) -> None:
        self.id = account_id
        self.sessions: list[Session] = []
        self.listeners: tuple[Session, ...] = ()  # those that receive everything
        self.reported_seq = 0  # the latest event sent to them; events recorded in the same batch may be ahead
        self._stream: deque[AnyEvent] = deque(maxlen=retain_events)

    def record(self, event: AnyEvent) -> None:
        """Keep one numbered event; the oldest goes when the bound is reached."""
        self._stream.append(event)

    def record_all(self, events: Sequence[AnyEvent]) -> None:
        """The same for several, in order."""
        self._stream.extend(events)

    def precede(self, events: Sequence[AnyEvent]) -> None:
        """These were before all that is kept."""
        self._stream = deque(chain(events, self._stream), maxlen=self._stream.maxlen)

    def forget(self) -> None:
        """Its events do not come here any more."""
        self._stream.clear()
        self.reported_seq = 0

    @property
    def oldest_seq(self) -> int:
        """Number of the oldest event kept, 0 when there is none."""
        return self._stream[0].seq if self._stream else 0

    @property
    def latest_seq(self) -> int:
        """Number of the latest event, 0 when there is none."""
        return self._stream[-1].seq if self._stream else 0

    def replay(self, begin: int, end: int) -> list[AnyEvent]:
        """The kept events begin..end, rising; numbers are dense, so the first is found without a search."""
        oldest = self.oldest_seq
        return list(islice(self._stream, max(begin - oldest, 0), max(end - oldest + 1, 0))) if self._stream else []
