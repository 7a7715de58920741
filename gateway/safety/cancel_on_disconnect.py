"""Cancel-on-disconnect and the dead-man's switch: cancel a client's orders when the client itself cannot. Pure.

Both send a MassCancel on the control lane, which is never limited and never shed. The doors say which session has
disconnected and which is back; deadlines do the rest.

A grace runs in counted time: it stands still from `stop_counting` to `count_on`, while no client could come back.
"""

from collections.abc import Callable

import msgspec

from gateway.orders.path import OrderPath
from gateway.sessions.registry import Sessions
from gateway.sessions.session import Session
from protocols.messages import MassCancel, Origin
from protocols.units import NS_PER_MS, NS_PER_S
from protocols.wall import STEP_NS

_MAX_DEAD_MAN_NS = 300_000_000_000  # what a client may ask for at most


class LinkState(msgspec.Struct, frozen=True, array_like=True):
    """What guards a session's orders: whether it is connected, what its disconnect cancels, its dead-man's switch.

    A stored format: a field may only be added at the end, with a default.

    scope: off | session | account. dead_man_ns: when the switch fires, ns UTC, 0 = not armed. response_mode: which
    events of its account it receives, 1 or 2; 0 = the session cannot choose.
    """

    session: int
    account: int
    connected: bool
    scope: str
    grace_ms: int
    dead_man_ns: int
    response_mode: int = 0

    @property
    def is_guarding(self) -> bool:
        """Whether a start has to cancel orders for the session, unless it is back in time."""
        return self.dead_man_ns > 0 or (self.connected and self.scope != "off")


class CancelOnDisconnect:
    """Timers by session id: at most one of each kind a session."""

    def __init__(
        self,
        orders: OrderPath,
        sessions: Sessions,
        record: Callable[[Session, int], None],
        fire_for_gone: Callable[[int, int, str, int], None],
        wake: Callable[[], None],
    ) -> None:
        """record: makes each change durable, with the time at which the dead-man's switch fires (UTC, 0 = not armed).
        fire_for_gone: cancels for a session that is no longer configured: its id, its account, scope and the time.
        wake: asks for `tick` or `next_deadline_ns` soon, because a timer was set.
        """
        self._orders = orders
        self._sessions = sessions
        self._record = record
        self._fire_for_gone = fire_for_gone
        self._wake = wake
        self._uncounted_ns = 0  # until now, or until `_stopped_ns`
        self._stopped_ns = 0  # since when no time counts, 0 = it does
        self._gone: dict[int, tuple[int, int, str]] = {}  # such sessions: when (counted), the account, the scope
        self._cod: dict[int, tuple[int, str]] = {}  # when (counted), and the scope it was armed with
        self._dead_man: dict[int, int] = {}
        self._recorded_offset_ns = orders.wall.offset_ns  # under which clock the times on disk were recorded

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next timer fires."""
        due = list(self._dead_man.values())
        if not (self._orders.venue.draining or self._stopped_ns):
            due += [due_ns + self._uncounted_ns for due_ns, _ in self._cod.values()]
            due += [due_ns + self._uncounted_ns for due_ns, _, _ in self._gone.values()]
        return min(due, default=None)

    def tick(self, now_ns: int) -> None:
        """Fire what is due. In a drain no client can reconnect: cancel-on-disconnect is left to the next process."""
        if self._dead_man:
            self._fire_dead_man(now_ns)
        if (self._cod or self._gone) and not (self._orders.venue.draining or self._stopped_ns):
            self._cancel_due(self._counted(now_ns), now_ns)

    def stop_counting(self, since_ns: int) -> None:
        """No client can come back, since then: no grace runs out."""
        if not self._stopped_ns:
            self._stopped_ns = since_ns

    def count_on(self, now_ns: int) -> None:
        """They can come back again: what is left of each grace runs on."""
        if self._stopped_ns:
            self._uncounted_ns += max(now_ns - self._stopped_ns, 0)
            self._stopped_ns = 0
            self._wake()

    def _counted(self, now_ns: int) -> int:
        return min(now_ns, self._stopped_ns or now_ns) - self._uncounted_ns

    def _fire_dead_man(self, now_ns: int) -> None:
        if abs(self._orders.wall.offset_ns - self._recorded_offset_ns) >= STEP_NS:
            self._record_again()
        for session_id, due_ns in list(self._dead_man.items()):
            if due_ns > now_ns:
                continue
            session = self._sessions.by_id[session_id]
            if session.connected and session.is_paused:  # it may have re-armed it in what we do not read
                self._dead_man[session_id] = now_ns + NS_PER_S
            else:
                del self._dead_man[session_id]
                self._fire(session_id, Origin.DEAD_MAN, True, now_ns)

    def _cancel_due(self, counted_ns: int, now_ns: int) -> None:
        for session_id, (due_ns, scope) in list(self._cod.items()):
            if due_ns > counted_ns:
                continue
            grace_ns = min(self._sessions.by_id[session_id].cod_grace_ms * NS_PER_MS, NS_PER_S)
            if grace_ns and counted_ns - due_ns >= NS_PER_S:
                # It ran out while the process stood still, and no client could reconnect.
                self._cod[session_id] = counted_ns + grace_ns, scope
            else:
                del self._cod[session_id]
                origin = Origin.LOGOUT if self._sessions.by_id[session_id].has_logged_out else Origin.COD
                self._fire(session_id, origin, scope == "session", now_ns)
        for session_id, (due_ns, account, scope) in list(self._gone.items()):
            if due_ns <= counted_ns:
                del self._gone[session_id]
                self._fire_for_gone(session_id, account, scope, now_ns)

    def is_guarding(self, session: Session) -> bool:
        """Whether orders of the session, which has no connection, are to be cancelled at some time."""
        return session.id in self._cod or session.id in self._dead_man

    def arm_dead_man(self, session: Session, due_ns: int) -> None:
        """Cancel this session's orders at `due_ns` unless armed again before; 0 = off."""
        self._dead_man.pop(session.id, None)
        if due_ns:
            self._dead_man[session.id] = due_ns
            self._wake()
        self._keep(session)

    def connected(self, session: Session) -> None:
        """The session is back: its orders stay."""
        self._cod.pop(session.id, None)
        self._keep(session)

    def forget(self, session: Session) -> None:
        """Another gateway has the session, and guards it."""
        for timers in (self._cod, self._dead_man):
            timers.pop(session.id, None)

    def restore(self, link: LinkState, now_ns: int, reopen_at_ns: int, guard_at_ns: int) -> None:
        """A session of the last process: unless it is back by then, its orders are cancelled at guard_at_ns.

        Its dead-man's switch fires at its time, but not before reopen_at_ns (0 = the venue is open), and at most five
        minutes from now where the clock was put back meanwhile. A session that is no longer configured cannot come
        back.
        """
        session = self._sessions.by_id.get(link.session)
        is_lost = link.connected and link.scope != "off"
        if session is None:
            if link.is_guarding:
                scope = link.scope if is_lost else "session"
                self._gone[link.session] = guard_at_ns - now_ns + self._counted(now_ns), link.account, scope
        elif not session.connected:
            session.cancel_on_disconnect = link.scope
            if link.dead_man_ns:
                due_ns = min(self._orders.wall.own_ns(link.dead_man_ns), now_ns + _MAX_DEAD_MAN_NS)
                self._dead_man[link.session] = max(due_ns, reopen_at_ns)
            if is_lost:
                self._cod[link.session] = guard_at_ns - now_ns + self._counted(now_ns), link.scope

    def leaving(self, session: Session) -> None:
        """A logout that leaves the orders was received: from now on the end of the link is not a disconnect."""
        session.is_leaving = True
        self._keep(session)

    def disconnected(
        self, session: Session, now_ns: int, keep_orders: bool = False, is_planned: bool = False, back_by_ns: int = 0
    ) -> None:
        """The session's connection ended and no other took it over; `keep_orders` after a logout that leaves orders.

        is_planned: the gateway ended it. In a drain the client may reconnect to the next process, which waits for as
        long as a drain may last, and then cancels. back_by_ns: the client is waited for until then at least.
        """
        scope = session.cancel_on_disconnect
        if scope != "off" and self._orders.venue.draining and is_planned:
            return  # the next start finds it as connected
        if scope != "off" and not keep_orders:
            left_ns = max(session.cod_grace_ms * NS_PER_MS, back_by_ns - now_ns)
            self._cod[session.id] = self._counted(now_ns) + left_ns, scope
            self._wake()
            return  # until it has fired, a start after a crash finds the session as connected
        self._keep(session)
        self._forget_if_idle(session)

    def cancel_now(self, session: Session, now_ns: int) -> None:
        """A logout that asks for it: cancel this session's orders."""
        self._sweep(session, session.sender.origin, True, now_ns)

    def _fire(self, session_id: int, origin: Origin, only_session: bool, now_ns: int) -> None:
        session = self._sessions.by_id[session_id]
        self._sweep(session, origin, only_session, now_ns)
        self._keep(session)
        self._forget_if_idle(session)

    def _record_again(self) -> None:
        """The clock was stepped: what is recorded for a later process is a time of day, which is another one now."""
        self._recorded_offset_ns = self._orders.wall.offset_ns
        for session_id in self._dead_man:
            self._keep(self._sessions.by_id[session_id])

    def _keep(self, session: Session) -> None:
        due_ns = self._dead_man.get(session.id)
        self._record(session, 0 if due_ns is None else self._orders.wall.utc_ns(due_ns))

    def _forget_if_idle(self, session: Session) -> None:
        """An unnamed session that has ended is forgotten when no timer of it runs."""
        if not session.connected and not self.is_guarding(session):
            self._sessions.forget(session)

    def _sweep(self, session: Session, origin: Origin, only_session: bool, now_ns: int) -> None:
        command = MassCancel(
            session.sender.next_control_id(),
            session.client.account_id,
            session.id,
            origin,
            self._orders.wall.utc_ns(now_ns),
            0,
            cl_ord_id="",
            only_session=only_session,
            keep_exempt=True,
        )
        self._orders.admission.submit(session, command, "q", None, 0, now_ns)
