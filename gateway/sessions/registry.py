"""Who is logged on, who owns which order, and the replayable event stream of each account.

A session outlives its connections: a FIX session is in the config, a named WebSocket session is (key, name), an unnamed
one lasts as long as its connection. Reports find their way by session id, and to those of the account who hear
everything: an event costs nothing for the others. Pure: no socket is known here, only endpoints.
"""

from collections import deque
from collections.abc import Callable
from enum import IntFlag
from itertools import islice
from typing import Protocol

from gateway.auth.authenticator import Client
from gateway.sessions.former_names import name_of_unnamed
from gateway.sessions.request import Request
from limits.limiter import ALLOWED, MILLI, BucketView, Decision, Limiter, Path
from protocols.errors import Refusal
from protocols.messages import MAX_SESSION, AnyEvent, EngineState, Origin, Sender

FIRST_WS_SESSION = 1 << 16  # ids below belong to FIX sessions, which config numbers explicitly
MAX_NAMES_PER_KEY = 64  # named WebSocket sessions are remembered, so their number is bounded


class Endpoint(Protocol):
    """How one session hears of its business: the pure half of a door."""

    @property
    def has_living_link(self) -> bool:
        """Whether it has a connection whose end was neither read nor begun by us."""
        ...

    def handed_over(self, request: Request, now_ns: int) -> None:
        """The core has the command; not an answer, and most sessions stay silent."""
        ...

    def answer(self, request: Request, event: AnyEvent, now_ns: int) -> None:
        """The terminal answer to a request: `event` is the last state that the command caused."""
        ...

    def report(self, event: AnyEvent, request: Request | None, now_ns: int) -> None:
        """An event of the account's stream; `request` when this session's request caused it.

        Told to who asked for it, to the owner of the order, and to those that hear everything.
        """
        ...

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """The gateway itself says no (or: outcome unknown) to what `source` asked."""
        ...

    def notice(self, state: EngineState, now_ns: int) -> None:
        """The state of the market changed."""
        ...

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        """Operators changed these buckets."""
        ...

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        """A planned end is near."""
        ...

    def log_out(self, now_ns: int, text: str) -> None:
        """We end the session in order."""
        ...

    def failed(self, now_ns: int) -> None:
        """Our own bug: end this session's connection; no other is touched."""
        ...

    def waits(self, source: object) -> None:
        """What `source` asked waits in memory, in the order of arrival, for tokens that are being fetched."""
        ...

    def goes_on(self, source: object) -> None:
        """It waits no more: it was refused, or is on its way."""
        ...

    def pause_reading(self, now_ns: int) -> None:
        """Stop reading this session's connection: we are slow, and its silence is not its fault."""
        ...

    def resume_reading(self, now_ns: int) -> None:
        """Read on."""
        ...


class Pause(IntFlag):
    """Why a session is not read; any one is enough."""

    NONE = 0
    QUEUE = 1  # what waits for the core is too much
    TOKENS = 2  # its limits are being asked for
    FLOOD = 4  # cancels by the thousand


class Session:
    """One numbered conversation: its client, its command counters, its limits path, and what it still waits for."""

    def __init__(self, session_id: int, name: str, client: Client, origin: Origin, path: Path) -> None:
        self.id = session_id
        self.name = name
        self.client = client
        self.path = path
        self.sender = Sender(session_id, client.account_id, origin)
        self.endpoint: Endpoint | None = None
        self.connected = False
        self.is_leaving = False  # its logout is heard and leaves its orders; the answer is on its way
        self.has_logged_out = False  # and did not leave them: it was not lost
        self.may_trade = True  # else only queries
        self.instruments: frozenset[int] = frozenset()  # it may trade only these; empty = all
        self.cancel_on_disconnect = "off"  # off | session | account
        self.cod_grace_ms = 0
        self.account: AccountStream | None = None  # from when it was added to `Sessions`
        self.hears_all = False  # events of its account that others caused too; see `hear_all`
        self.response_mode = 0  # FIX: 1 hears everything of its account, away or not; 2 what concerns itself
        self.acts_from_ns = 0  # FIX: a possible duplicate of an order sent before may have been carried out, and lost
        self.shown_limits: dict[tuple[str, str], tuple[int, float, str]] = {}  # what it was last told
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
        """Tell it of every event of its account from the next one on, or only of what it asked for and its orders."""
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
        """Whether we do not read what it sends."""
        return bool(self._paused)

    def pause(self, why: Pause, now_ns: int) -> None:
        """Have it read no more, for one more reason."""
        before, self._paused = self._paused, self._paused | why
        if not before and self.endpoint is not None:
            self.endpoint.pause_reading(now_ns)

    def resume(self, why: Pause, now_ns: int) -> None:
        """One reason is gone; with the last of them it is read on."""
        before, self._paused = self._paused, self._paused & ~why
        if before and not self._paused and self.endpoint is not None:
            self.endpoint.resume_reading(now_ns)


class AccountStream:
    """One account's event stream and the sessions that may hear it."""

    def __init__(self, account_id: int, retain_events: int) -> None:
        self.id = account_id
        self.sessions: list[Session] = []
        self.listeners: tuple[Session, ...] = ()  # those that hear everything
        self.told_seq = 0  # the latest event that they were told; those recorded with it may be ahead
        self._stream: deque[AnyEvent] = deque(maxlen=retain_events)

    def record(self, event: AnyEvent) -> None:
        """Keep one numbered event; the oldest goes when the bound is reached."""
        self._stream.append(event)

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


class SessionRecord(Protocol):
    """What remembers WebSocket sessions after they have ended, and after the process has."""

    def record_session(self, session: Session) -> None:
        """The session is new."""
        ...

    def record_ended(self, session: Session) -> None:
        """The session has ended and cannot be resumed."""
        ...

    def former_name(self, session_id: int) -> str:
        """The name of a session that is not in the registry any more."""
        ...


class Sessions:
    """Every session that exists, by id; accounts by id; named WebSocket sessions by key and name."""

    def __init__(self, limiter: Limiter, retain_events: int, record: SessionRecord) -> None:
        self._limiter = limiter
        self._retain_events = retain_events
        self._named: dict[str, dict[str, Session]] = {}
        self.next_ws_id = FIRST_WS_SESSION
        self._record = record
        self.by_id: dict[int, Session] = {}
        self.accounts: dict[int, AccountStream] = {}

    def account(self, account_id: int) -> AccountStream:
        """The account's state; made on first sight."""
        account = self.accounts.get(account_id)
        if account is None:
            account = self.accounts[account_id] = AccountStream(account_id, self._retain_events)
        return account

    def name_of(self, session_id: int) -> str:
        """What a session is called, or was, as long as its events are told; empty for what is the house's own."""
        session = self.by_id.get(session_id)
        return session.name if session is not None else self._record.former_name(session_id)

    def add(self, session_id: int, name: str, client: Client, origin: Origin) -> Session:
        """A new session, of its client's account."""
        path = self._limiter.open(client.account, name)
        session = Session(session_id, name, client, origin, path)
        self.by_id[session_id] = session
        session.account = self.account(client.account_id)
        session.account.sessions.append(session)
        return session

    def for_ws(self, client: Client, name: str, may_go: Callable[[Session], bool] = lambda _: False) -> Session | None:
        """The session of (key, name): the remembered one, or a new one; None when the key has too many names and
        `may_go` is true of none of them. The one that was not logged on for the longest time is forgotten first.

        Without a name each connection is a session of its own. Ids come round again after four million.
        """
        names = self._named.setdefault(client.key_id, {})
        session = names.get(name) if name else None
        if session is not None:
            session.client = client
            names[name] = names.pop(name)
            return session
        if name and len(names) >= MAX_NAMES_PER_KEY and not self._forget_one(names, may_go):
            return None
        session_id = self._next_id()
        session = self.add(session_id, name or name_of_unnamed(session_id), client, Origin.WS)
        if name:
            names[name] = session
        self._record.record_session(session)
        return session

    def _forget_one(self, names: dict[str, Session], may_go: Callable[[Session], bool]) -> bool:
        found = next((name for name, session in names.items() if may_go(session)), None)
        if found is None:
            return False
        self.forget(names.pop(found))
        return True

    def _next_id(self) -> int:
        session_id = self.next_ws_id
        while session_id in self.by_id or session_id > MAX_SESSION:
            session_id = session_id + 1 if session_id < MAX_SESSION else FIRST_WS_SESSION
        self.next_ws_id = session_id + 1
        return session_id

    def restore_ws(self, session_id: int, name: str, client: Client) -> None:
        """A session of the process before this one, under the id that its orders know."""
        session = self.add(session_id, name, client, Origin.WS)
        if name != name_of_unnamed(session_id):
            self._named.setdefault(client.key_id, {})[name] = session

    def charge_logon(self, client: Client, now_ns: int) -> Decision:
        """Charge one logon to the client's key, whatever session it is for; reconnecting does not refill it."""
        path = self._limiter.open(client.account, f"key {client.key_id}")  # a blank is in no session's name
        decision = self._limiter.take(path, "logons", MILLI, now_ns)
        return ALLOWED if decision.allowed else decision

    def forget(self, session: Session) -> None:
        """Drop a WebSocket session that nobody can come back for: its connection ended without a name, or its name is
        forgotten; and its disconnect was dealt with.
        """
        if session.id < FIRST_WS_SESSION or session in self._named.get(session.client.key_id, {}).values():
            return
        session.hear_all(False)
        self.by_id.pop(session.id, None)
        sessions = self.account(session.client.account_id).sessions
        if session in sessions:
            sessions.remove(session)
        self._record.record_ended(session)

    def logged_on(self, origin: Origin) -> int:
        """How many sessions of one door have a connection."""
        return sum(session.connected and session.sender.origin is origin for session in self.by_id.values())
