"""Cancel-on-disconnect and the dead-man's switch: what cancels a client's orders when the client itself cannot.

Both end in a MassCancel on the control lane, which is never limited and never shed. Pure: the doors say who left and
who came back, time does the rest.
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

    scope: off | session | account. dead_man_ns: when the switch fires, ns UTC, 0 = not armed. response_mode: what it
    hears of its account, 1 or 2; 0 = that is not the session's to choose.
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
        note: Callable[[Session, int], None] = lambda _, __: None,
        fire_for_gone: Callable[[int, int, str, int], None] = lambda _, __, ___, ____: None,
    ) -> None:
        """note: told of every change with the time the dead-man's switch fires (UTC, 0 = not armed), to be kept.
        fire_for_gone: cancels for a session that is no longer configured: its id, its account, scope and the time.
        """
        self._orders = orders
        self._sessions = sessions
        self._note = note
        self._fire_for_gone = fire_for_gone
        self._gone: dict[int, tuple[int, int, str]] = {}  # such sessions: when, the account, the scope
        self._cod: dict[int, tuple[int, str]] = {}  # when, and the scope it was armed with
        self._dead_man: dict[int, int] = {}
        self._noted_offset_ns = orders.wall.offset_ns  # under which clock the times that are kept were noted

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next timer fires."""
        due = list(self._dead_man.values())
        if not self._orders.venue.draining:
            due += [due_ns for due_ns, _ in self._cod.values()]
            due += [due_ns for due_ns, _, _ in self._gone.values()]
        return min(due, default=None)

    def tick(self, now_ns: int) -> None:
        """Fire what is due. In a drain nobody can come back: cancel-on-disconnect is left to the next process."""
        if self._dead_man and abs(self._orders.wall.offset_ns - self._noted_offset_ns) >= STEP_NS:
            self._note_again()
        for session_id, due_ns in list(self._dead_man.items()):
            if due_ns > now_ns:
                continue
            session = self._sessions.by_id[session_id]
            if session.connected and session.is_paused:  # it may have put it off, and it is we who do not read that
                self._dead_man[session_id] = now_ns + NS_PER_S
            else:
                del self._dead_man[session_id]
                self._fire(session_id, Origin.DEAD_MAN, True, now_ns)
        if not self._orders.venue.draining:
            self._cancel_for_gone(now_ns)

    def _cancel_for_gone(self, now_ns: int) -> None:
        for session_id, (due_ns, scope) in list(self._cod.items()):
            if due_ns > now_ns:
                continue
            grace_ns = min(self._sessions.by_id[session_id].cod_grace_ms * NS_PER_MS, NS_PER_S)
            if grace_ns and now_ns - due_ns >= NS_PER_S:
                # It ran out while we stood still, and nobody can come back to who does not answer.
                self._cod[session_id] = now_ns + grace_ns, scope
            else:
                del self._cod[session_id]
                origin = Origin.LOGOUT if self._sessions.by_id[session_id].has_logged_out else Origin.COD
                self._fire(session_id, origin, scope == "session", now_ns)
        for session_id, (due_ns, account, scope) in list(self._gone.items()):
            if due_ns <= now_ns:
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
        self._keep(session)

    def connected(self, session: Session) -> None:
        """The session is back: its orders stay."""
        self._cod.pop(session.id, None)
        self._keep(session)

    def restore(self, link: LinkState, now_ns: int, reopen_at_ns: int, guard_at_ns: int) -> None:
        """A session of the process before this one: unless it is back by then, its orders are cancelled at guard_at_ns.

        Its dead-man's switch fires when it said, but not before reopen_at_ns (0 = it is open), and not for ever later
        where the clock was put back meanwhile. A session that was taken out of the configuration does not come back.
        """
        session = self._sessions.by_id.get(link.session)
        is_lost = link.connected and link.scope != "off"
        if session is None:
            if link.is_guarding:
                self._gone[link.session] = guard_at_ns, link.account, link.scope if is_lost else "session"
        elif not session.connected:
            session.cancel_on_disconnect = link.scope
            if link.dead_man_ns:
                due_ns = min(self._orders.wall.own_ns(link.dead_man_ns), now_ns + _MAX_DEAD_MAN_NS)
                self._dead_man[link.session] = max(due_ns, reopen_at_ns)
            if is_lost:
                self._cod[link.session] = guard_at_ns, link.scope

    def leaving(self, session: Session) -> None:
        """A logout that leaves the orders was heard: from now on its end is no disconnect, and that is kept first."""
        session.is_leaving = True
        self._keep(session)

    def disconnected(
        self,
        session: Session,
        now_ns: int,
        keep_orders: bool = False,
        is_planned: bool = False,
        back_by_ns: int = 0,
    ) -> None:
        """The session's link ended without a successor; `keep_orders` after a logout that left them on purpose.

        is_planned: we ended it, which in a drain means that it may come back to the next process: that one waits for as
        long as a drain may last, and then cancels. back_by_ns: it is waited for until then at least.
        """
        scope = session.cancel_on_disconnect
        if scope != "off" and self._orders.venue.draining and is_planned:
            return  # the next start finds it as connected
        if scope != "off" and not keep_orders:
            due_ns = max(now_ns + session.cod_grace_ms * NS_PER_MS, back_by_ns)
            self._cod[session.id] = due_ns, scope
            return  # for a start after a crash it counts as connected until it has fired
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

    def _note_again(self) -> None:
        """The clock was put right: what is kept for a later process is a time of day, and is another one now."""
        self._noted_offset_ns = self._orders.wall.offset_ns
        for session_id in self._dead_man:
            self._keep(self._sessions.by_id[session_id])

    def _keep(self, session: Session) -> None:
        due_ns = self._dead_man.get(session.id)
        self._note(session, 0 if due_ns is None else self._orders.wall.utc_ns(due_ns))

    def _forget_if_idle(self, session: Session) -> None:
        """An unnamed session that has ended is needed no more once no timer of it runs."""
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
