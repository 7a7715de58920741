"""What a gateway does when a session comes to it from another one, and when it leaves.

It is what a start does with the sessions of the last process, for one session, while all others go on.
"""

from collections.abc import Sequence

from gateway.cluster.journal import Lost, SharedJournal
from gateway.cluster.ownership import Adopted
from gateway.doors.fix.acceptor import FixAcceptor
from gateway.doors.services import Services
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.recovery import records
from gateway.recovery.recorder import Recorder
from gateway.remote.core import RemoteCore
from gateway.sessions.session import Session
from protocols.messages import AnyCommand, AnyEvent, is_numbered
from protocols.units import NS_PER_MS

_LOST_NUMBERS = 1_000_000
"""How far MsgSeqNum(34) jumps when Redis has lost its latest writes: more than it can have lost."""


class House:
    """The parts of one gateway, as sessions come and go."""

    def __init__(
        self, services: Services, fix: FixAcceptor, journal: SharedJournal, recorder: Recorder, core: RemoteCore
    ) -> None:
        self._services = services
        self._fix = fix
        self._journal = journal
        self._recorder = recorder
        self._core = core
        self.came = self.lost = 0  # sessions

    def token_of(self, session: int) -> int:
        """Under which token the session is ours, as far as we know; 0 = it is not."""
        return self._journal.token_of(session)

    def account_of(self, session: int) -> int:
        """The account of a configured FIX session, 0 = it is none."""
        if not self._fix.has_session(session):
            return 0
        return self._services.sessions.by_id[session].client.account_id

    def opened(self, account: int, now_ns: int) -> None:
        """From here on all events of the account come to this gateway."""
        stream = self._services.sessions.account(account)
        stream.reported_seq = self._core.latest_seq(account)
        self._services.orders.charging.restore(self._core.open_orders(account))

    def is_needed(self, account: int) -> bool:
        """Whether a session of the account is here."""
        return any(self._journal.owns(each.id) for each in self._services.sessions.account(account).sessions)

    def closed(self, account: int) -> None:
        """The account's events do not come here any more."""
        self._core.left(account)
        self._services.sessions.account(account).forget()
        self._services.orders.charging.forget(account)

    def remember(self, account: int, events: Sequence[AnyEvent]) -> None:
        """The account's latest events from before it was here; those that have come since are kept already.

        Only if they reach up to these: a client that resumes over a hole would not be told of it. Else it gets a
        snapshot.
        """
        stream = self._services.sessions.account(account)
        first = stream.oldest_seq or self._core.latest_seq(account) + 1
        older = [event for event in events if is_numbered(event) and event.seq < first]
        if older and older[-1].seq == first - 1:
            stream.precede(older)

    def adopt(self, adopted: Adopted, now_ns: int) -> None:
        """The session goes on here."""
        if self._fix.has_session(adopted.session):
            self._adopt_fix(adopted, now_ns)
        else:
            self._adopt_ws(adopted, now_ns)
        self.came += 1
        self._services.log("session.moved_here", session=adopted.session, owner=adopted.row.owner)
        self._services.wake()

    def _adopt_fix(self, adopted: Adopted, now_ns: int) -> None:
        services, row = self._services, adopted.row
        session = services.sessions.by_id[adopted.session]
        store = self._journal.store(session.id)
        store.restore(row.next_in, row.next_out, row.done, adopted.runs)
        if row.epoch and row.epoch != self._core.epoch:  # some of what was numbered is lost: no number is used twice
            store.next_out += _LOST_NUMBERS
            session.acts_from_ns = now_ns
        self._journal.own(session.id, row.token, adopted.account)
        self._fix.open_session(session.id)
        self._count_on(session, adopted)
        self._guard(session, adopted, now_ns)
        self._fix.catch_up({session.id: row.reset_ns} if row.reset_ns else {}, now_ns, (session.id,))
        services.orders.dispatch.report_missed(session, self._missed(adopted), now_ns)

    def _missed(self, adopted: Adopted) -> list[AnyEvent]:
        """What the last owner had not reported, as far as the core has delivered it here."""
        latest, at = self._core.latest_seq(adopted.account), adopted.row.reported(self._core.epoch)
        events = [event for event in adopted.events if is_numbered(event) and at < event.seq <= latest]
        known = events[-1].seq if events else at
        return events + self._services.sessions.account(adopted.account).replay(known + 1, latest)

    def _adopt_ws(self, adopted: Adopted, now_ns: int) -> None:
        services, row = self._services, adopted.row
        self._journal.own(adopted.session, row.token)
        client = services.authenticator.by_key(row.ws.key_id) if row.ws is not None else None
        if row.ws is None or client is None:  # a gateway's own, or of a key that is no longer configured
            self._hand_over(row.waiting)
            self._journal.append(records.WS_ENDED, adopted.session, b"")
            return
        session = services.sessions.by_id.get(adopted.session)
        if session is None:
            services.sessions.restore_ws(adopted.session, row.ws.name, client)
            session = services.sessions.by_id[adopted.session]
        self._count_on(session, adopted)
        self._guard(session, adopted, now_ns)
        if not (row.ws.is_given or services.cancel_on_disconnect.is_guarding(session)):
            services.sessions.forget(session)  # no one can resume it

    def _count_on(self, session: Session, adopted: Adopted) -> None:
        """Number its commands after all that the core has executed, and all that waited, which are handed over now."""
        self._hand_over(adopted.row.waiting)
        self._recorder.set_counters(session)

    def _hand_over(self, waiting: Sequence[AnyCommand]) -> None:
        """What the last owner had accepted and not handed over."""
        for command in waiting:
            self._journal.append(records.LEFT, 0, command.cmd_id.to_bytes(8, "big"))
        if waiting:
            self._core.hand_over_again(waiting)

    def _guard(self, session: Session, adopted: Adopted, now_ns: int) -> None:
        """What protects its orders goes on: its client has its grace to come back, from now on."""
        link, services = adopted.row.link, self._services
        if link is None:
            return
        session.cod_grace_ms = link.grace_ms
        grace_ms = max(link.grace_ms, services.settings.venue.drain_ms) if adopted.was_asked else link.grace_ms
        services.cancel_on_disconnect.restore(link, now_ns, 0, now_ns + grace_ms * NS_PER_MS)
        if session.may_trade and link.response_mode:
            session.set_response_mode(link.response_mode)

    def lose(self, sessions: Lost, cmd_ids: Sequence[int]) -> None:
        """These sessions are another gateway's. cmd_ids: commands that will never reach the core."""
        services, now_ns = self._services, self._services.now_ns()
        orders = services.orders
        for request in orders.core_link.drop(cmd_ids):  # perhaps of a session that went a moment before
            orders.charging.leave(request)
        for session_id, for_client in sessions.items():
            session = services.sessions.by_id.get(session_id)
            self._journal.disown(session_id)
            if session is None:
                continue
            services.cancel_on_disconnect.forget(session)
            for request in orders.core_link.forget(session, now_ns):
                orders.charging.leave(request)
            if self._fix.has_session(session_id):
                self._fix.close_session(session_id)
            else:
                services.sessions.let_go(session)
                endpoint, session.endpoint, session.connected = session.endpoint, None, False
                if isinstance(endpoint, WsEndpoint):
                    endpoint.abandon(for_client, now_ns)
            self.lost += 1
            services.log("session.moved_away", session=session.name)
        services.wake()
