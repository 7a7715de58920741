"""Every session that exists, connected or not, and the names under which WebSocket sessions may be resumed. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.auth.authenticator import Client
from gateway.sessions.former_names import name_of_unnamed
from gateway.sessions.session import AccountStream, Session
from limits.bucket import MILLI
from limits.limiter import ALLOWED, Decision, Limiter
from protocols.messages import MAX_SESSION, Origin

FIRST_WS_SESSION = 1 << 16  # ids below belong to FIX sessions, which config numbers explicitly
MAX_NAMES_PER_KEY = 64  # named WebSocket sessions are remembered, so their number is bounded


class SessionRecord(Protocol):
    """What remembers WebSocket sessions after they have ended, and after the process has."""

    def record_session(self, session: Session) -> None:
        """The session is new."""

    def record_ended(self, session: Session) -> None:
        """The session has ended and cannot be resumed."""

    def former_name(self, session_id: int) -> str:
        """The name of a session that is not in the registry any more."""


class Sessions:
    """Every session that exists, by id; accounts by id; named WebSocket sessions by key and name."""

    def __init__(self, limiter: Limiter, retain_events: int, record: SessionRecord) -> None:
        self._limiter = limiter
        self._retain_events = retain_events
        self._named: dict[str, dict[str, Session]] = {}
        self.next_ws_id = FIRST_WS_SESSION
        self.given_ids: deque[int] | None = None  # where several gateways share the ids: those that are this one's
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
        """The name of a session, also of a former one while its events are reported; empty for the gateway's own."""
        session = self.by_id.get(session_id)
        return session.name if session is not None else self._record.former_name(session_id)

    def add(self, session_id: int, name: str, client: Client, origin: Origin, is_unnamed: bool = False) -> Session:
        """is_unnamed: its client gave it no name. All such sessions of a key share the limits of one session."""
        path = self._limiter.open(client.account, _shared_limits(client) if is_unnamed else name)
        session = Session(session_id, name, client, origin, path)
        self.by_id[session_id] = session
        session.account = self.account(client.account_id)
        session.account.sessions.append(session)
        return session

    def for_ws(self, client: Client, name: str, may_go: Callable[[Session], bool] = lambda _: False) -> Session | None:
        """The session of (key, name): the remembered one, or a new one; None when the key has too many names and
        `may_go` is true of none of them. The one that was not logged on for the longest time is forgotten first.

        Without a name each connection is a session of its own. Ids are used again after four million.
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
        session = self.add(session_id, name or name_of_unnamed(session_id), client, Origin.WS, is_unnamed=not name)
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

    @property
    def has_id(self) -> bool:
        """Whether a new session can have an id."""
        return self.given_ids is None or bool(self.given_ids)

    def named(self, key_id: str, name: str) -> Session | None:
        """The session of (key, name), if it is here."""
        return self._named.get(key_id, {}).get(name)

    def _next_id(self) -> int:
        if self.given_ids is not None:
            return self.given_ids.popleft()
        session_id = self.next_ws_id
        while session_id in self.by_id or session_id > MAX_SESSION:
            session_id = session_id + 1 if session_id < MAX_SESSION else FIRST_WS_SESSION
        self.next_ws_id = session_id + 1
        return session_id

    def restore_ws(self, session_id: int, name: str, client: Client) -> None:
        """A session of the last process, under the id that its orders have."""
        is_unnamed = name == name_of_unnamed(session_id)
        session = self.add(session_id, name, client, Origin.WS, is_unnamed)
        if not is_unnamed:
            self._named.setdefault(client.key_id, {})[name] = session

    def begin_ws(self, session_id: int, name: str, client: Client) -> None:
        """A new session under an id that was given to it."""
        self.restore_ws(session_id, name, client)
        self._record.record_session(self.by_id[session_id])

    def charge_logon(self, client: Client, now_ns: int) -> Decision:
        """Charge one logon to the client's key, whatever session it is for; reconnecting does not refill it."""
        path = self._limiter.open(client.account, _shared_limits(client))
        decision = self._limiter.take(path, "logons", MILLI, now_ns)
        return ALLOWED if decision.allowed else decision

    def forget(self, session: Session) -> None:
        """Drop a WebSocket session that cannot be resumed: it has no name, or its name is forgotten. Its disconnect
        must have been dealt with.
        """
        if session.id < FIRST_WS_SESSION or session in self._named.get(session.client.key_id, {}).values():
            return
        session.hear_all(False)
        self.by_id.pop(session.id, None)
        sessions = self.account(session.client.account_id).sessions
        if session in sessions:
            sessions.remove(session)
        self._record.record_ended(session)

    def let_go(self, session: Session) -> None:
        """Another process has this WebSocket session."""
        session.hear_all(False)
        self.by_id.pop(session.id, None)
        if session.account is not None and session in session.account.sessions:
            session.account.sessions.remove(session)
        names = self._named.get(session.client.key_id, {})
        if names.get(session.name) is session:
            del names[session.name]

    def logged_on(self, origin: Origin) -> int:
        """How many sessions of one door have a connection."""
        return sum(session.connected and session.sender.origin is origin for session in self.by_id.values())


def _shared_limits(client: Client) -> str:
    """What the limiter calls all unnamed sessions of the client's key; a blank is in no session's name."""
    return f"key {client.key_id}"
