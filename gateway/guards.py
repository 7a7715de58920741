"""Cancel-on-disconnect and the dead-man's switch: what cancels a client's orders when the client itself cannot.

Both end in a MassCancel on the control lane, which is never limited and never shed. Pure: the doors say who left and
who came back, time does the rest.
"""

from collections.abc import Callable

from gateway.pipeline import Road
from gateway.sessions import Session, Sessions
from protocols.messages import MassCancel, Origin


class Guards:
    """Timers by session id: at most one of each kind a session."""

    def __init__(
        self, road: Road, sessions: Sessions, note: Callable[[Session, int], None] = lambda _, __: None
    ) -> None:
        """note: told of every change with the time the dead-man's switch fires (0 = not armed), to be kept."""
        self._road = road
        self._sessions = sessions
        self._note = note
        self._cod: dict[int, tuple[int, str]] = {}  # when, and the scope it was armed with
        self._dead_man: dict[int, int] = {}
        self.suspended_until_ns = 0  # a planned drain: those who come back in time keep their orders

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next timer fires."""
        return min([*(due_ns for due_ns, _ in self._cod.values()), *self._dead_man.values()], default=None)

    def tick(self, now_ns: int) -> None:
        """Fire what is due."""
        for session_id, (due_ns, scope) in list(self._cod.items()):
            if due_ns <= now_ns:
                del self._cod[session_id]
                self._fire(session_id, Origin.COD, scope == "session", now_ns)
        for session_id, due_ns in list(self._dead_man.items()):
            if due_ns <= now_ns:
                del self._dead_man[session_id]
                self._fire(session_id, Origin.DEAD_MAN, True, now_ns)

    def arm_dead_man(self, session: Session, due_ns: int) -> None:
        """Cancel this session's orders at `due_ns` unless armed again before; 0 = off."""
        self._dead_man.pop(session.id, None)
        if due_ns:
            self._dead_man[session.id] = due_ns
        self._note(session, due_ns)

    def connected(self, session: Session) -> None:
        """The session is back: its orders stay."""
        self._cod.pop(session.id, None)
        self._note(session, self._dead_man.get(session.id, 0))

    def restore(self, session_id: int, scope: str, dead_man_ns: int, was_connected: bool, reopen_at_ns: int) -> None:
        """A session of the process before this one: what guards it fires at `reopen_at_ns`, unless it is back."""
        session = self._sessions.by_id.get(session_id)
        if session is None:
            return
        session.cancel_on_disconnect = scope
        if dead_man_ns:
            self._dead_man[session_id] = max(dead_man_ns, reopen_at_ns)
        if was_connected and scope != "off":
            self._cod[session_id] = reopen_at_ns, scope

    def disconnected(self, session: Session, now_ns: int, keep_orders: bool = False, is_planned: bool = False) -> None:
        """The session's link ended without a successor; `keep_orders` after a logout that left them on purpose.

        is_planned: we ended it. In a drain it may be back at the next process, which waits for it as long as a drain
        may last, and then cancels.
        """
        scope = session.cancel_on_disconnect
        if is_planned and self._road.draining and scope != "off":
            return  # the next start finds it as connected
        if scope != "off" and not keep_orders:
            self._cod[session.id] = max(now_ns + session.cod_grace_ms * 1_000_000, self.suspended_until_ns), scope
            return  # for a start after a crash it counts as connected until it has fired
        self._note(session, self._dead_man.get(session.id, 0))
        self._forget_if_idle(session)

    def cancel_now(self, session: Session, now_ns: int) -> None:
        """A logout that asks for it: cancel this session's orders."""
        self._sweep(session, session.sender.origin, True, now_ns)

    def _fire(self, session_id: int, origin: Origin, only_session: bool, now_ns: int) -> None:
        session = self._sessions.by_id[session_id]
        self._sweep(session, origin, only_session, now_ns)
        self._note(session, self._dead_man.get(session_id, 0))
        self._forget_if_idle(session)

    def _forget_if_idle(self, session: Session) -> None:
        """An unnamed session that has ended is needed no more once no timer of it runs."""
        if not session.connected and session.id not in self._cod and session.id not in self._dead_man:
            self._sessions.forget(session)

    def _sweep(self, session: Session, origin: Origin, only_session: bool, now_ns: int) -> None:
        command = MassCancel(
            session.sender.next_control_id(),
            session.client.account_id,
            session.id,
            origin,
            now_ns,
            0,
            cl_ord_id="",
            only_session=only_session,
            keep_exempt=True,
        )
        self._road.submit(session, command, "q", None, 0, now_ns)
