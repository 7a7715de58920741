"""Mistakes that the simulation must find: each is a small change of the product, made for the time of a run.

Acceptance before the sync, number and command in two records, no dedupe in the core, an outbound number that is not
stored, what was unanswered forgotten, duplicates answered; a number recorded over an order that waits for its tokens,
and what passed it taken twice; a process that goes on without memory; a lost end of the journal cut without a word;
logons that take over, use no number or are told to others; and what is planted in the limits. Those for several
gateways are in `planted_cluster`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway import clock
from gateway.auth.authenticator import Authenticator
from gateway.clock import Clock
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.stall import ReadFirst
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.failures import Failures
from gateway.journal.scan import SegmentScan
from gateway.journal.store import JournalStore
from gateway.recovery.recorder import Recorder
from gateway.recovery.records import COMMANDS
from gateway.recovery.replay import JournalReplay
from protocols.fix.message import encode
from protocols.fix.session.core import SessionCore
from protocols.fix.session.handshake import Handshake
from protocols.fix.session.inbound import Inbound
from protocols.fix.session.output import Output
from protocols.fix.session.settings import SessionState
from protocols.fix.session.store import Intake
from tests.simulate.planted_cluster import PLANTED_IN_CLUSTER, ack_before_commit, no_dedupe
from tests.simulate.planted_limits import PLANTED_IN_LIMITS, Change


def _two_records() -> Change:
    """The command is recorded one commit after the number that came with it."""
    real = Recorder.record

    def record(self: Recorder, commands: Any, now_ns: int) -> None:
        late, self._late = getattr(self, "_late", None), (tuple(commands), now_ns)  # type: ignore[attr-defined]
        if late is not None:
            real(self, *late)

    return Recorder, "record", record


def _outbound_number_not_stored() -> Change:
    """After a restart outbound numbers begin anew."""
    real = JournalStore.__init__

    def init(self: JournalStore, *args: Any) -> None:
        real(self, *args)
        self.index.clear()
        self._next_out = 1

    return JournalStore, "__init__", init


def _forget_unanswered() -> Change:
    """A start takes the snapshot and does not carry out what came behind it."""
    real = JournalReplay.take

    def take(self: JournalReplay, kind: int, session: int, position: int, data: bytes) -> None:
        if kind != COMMANDS:
            real(self, kind, session, position, data)

    return JournalReplay, "take", take


def _answer_duplicates() -> Change:
    """A message whose number was seen is taken once more."""

    def take_old(self: Inbound, message: Any, seq_num: int, sent_ns: int) -> None:
        expected = self._core.store.next_in
        self._take(message, seq_num, 0, sent_ns)
        self._core.store.next_in = expected

    return Inbound, "_take_old", take_old


def _step_moves_time() -> Change:
    """Durations are counted on the clock that shows the time of day."""
    return Clock, "now_ns", lambda _: clock.time.time_ns()


def _judged_before_read() -> Change:
    """After a pause deadlines are acted on at once."""
    return ReadFirst, "must_wait", lambda *_: False


def _sent_again_before_first_sent() -> Change:
    """A message that is sent again after the clock was put back tells an OrigSendingTime(122) behind its 52."""
    real = Output._again

    def again(self: Output, stored: bytes, now_ns: int) -> bytes:
        fields = real(self, stored, now_ns).decode("latin-1").split("\x01")[2:-2]
        original = stored.partition(b"\x0152=")[2].partition(b"\x01")[0].decode()
        body = "\x01".join(f"122={original}" if field.startswith("122=") else field for field in fields)
        return encode("FIX.4.4", body + "\x01")

    return Output, "_again", again


def _newcomer_supersedes() -> Change:
    """Whoever has proved who it is takes over, before what it asks for is judged."""
    real = FixEndpoint.attach

    def meet(self: FixEndpoint, link: Any, *rest: Any) -> Any:
        self._has_begun = False
        return real(self, link, *rest)

    return FixEndpoint, "attach", meet


def _newcomer_supersedes_ws() -> Change:
    """The same over WebSocket."""
    real = WsEndpoint._log_on

    def log_on(self: WsEndpoint, asked: Any, now_ns: int) -> None:
        for session in self.services.sessions.by_id.values():
            if session.name == asked.params.name and isinstance(session.endpoint, WsEndpoint):
                session.endpoint.supersede(now_ns)
        real(self, asked, now_ns)

    return WsEndpoint, "_log_on", log_on


def _unused_number() -> Change:
    """The Logout that refuses a Logon uses no number."""
    real = Handshake._is_refused

    def is_refused(self: Handshake, message: Any) -> bool:
        refused = real(self, message)
        self._core.store.next_out -= refused
        return refused

    return Handshake, "_is_refused", is_refused


def _reject_of_a_logon_is_kept() -> Change:
    """The Reject of a Logon that began nothing is told to whoever uses its number next."""

    def refuse_logon(self: SessionCore, fault: Any, seq_num: int, fields: Any) -> None:
        real_state, self.state = self.state, SessionState.LOGGED_ON
        self.refuse(fault, seq_num, "A", fields)
        self.state = real_state

    return SessionCore, "refuse_logon", refuse_logon


def _deaf_drop_copy() -> Change:
    """A drop copy is not told what other sessions do."""
    return FixEndpoint, "_concerns", lambda self, event: event.session == self.session.id


def _first_key_only() -> Change:
    """Of the keys that a Logon without a name may mean only the first is tried."""
    real = Authenticator.keys_for
    return Authenticator, "keys_for", lambda *args: real(*args)[:1]


def _logout_at_once() -> Change:
    """A Logout is answered before the requests that came ahead of it."""

    def begin_logout(self: SessionCore, farewell: Any) -> None:
        self.pending_logout = farewell
        self.send_pending_logout()

    return SessionCore, "begin_logout", begin_logout


def _asked_once() -> Change:
    """What is missing is asked for once, and then waited for."""

    def retry_gap(self: Inbound) -> None:
        self._core.gap.deadline_ns = 0

    return Inbound, "retry_gap", retry_gap


def _rejects_not_kept() -> Change:
    """A Reject(3) is not sent again."""
    real = Output.send_stored

    def send_stored(self: Output, msg_type: str, body: str, now_ns: int, live: bool) -> int:
        if msg_type != "3":
            return real(self, msg_type, body, now_ns, live)
        if live:
            return self.send_session(msg_type, body, now_ns)
        self._store.next_out += 1
        return self._store.next_out - 1

    return Output, "send_stored", send_stored


def _passes_what_waits() -> Change:
    """NextIn is recorded behind an order that waits for its tokens, as if it were done."""
    return FixEndpoint, "waits", lambda _self, _source, _now_ns: None


def _takes_twice_what_passed() -> Change:
    """After a crash what was dealt with behind a waiting order is dealt with again."""
    real = Intake.without_memory

    def without_memory(self: Intake) -> Any:
        return real(self)[0], self.done

    return Intake, "without_memory", without_memory


def _done_is_not_noted() -> Change:
    """A cancel that was carried out behind a gap is carried out again when it comes again."""
    return Intake, "record_done", lambda _self, _seq_num: None


def _goes_on_without_memory() -> Change:
    """Memory that ends in what all sessions share is taken for one session's trouble."""
    return Failures, "gateway_failed", lambda _self, _error: None


def _cut_without_a_word() -> Change:
    """A journal that lost what was safe is taken for a whole one."""
    return SegmentScan, "_check_end", lambda _self, _directory, _known: None


PLANTED: dict[str, Callable[[], Change]] = {
    "ack before sync": ack_before_commit,
    "two records": _two_records,
    "no dedupe": no_dedupe,
    "outbound number not stored": _outbound_number_not_stored,
    "forget unanswered": _forget_unanswered,
    "answer duplicates": _answer_duplicates,
    "a step moves time": _step_moves_time,
    "judged before read": _judged_before_read,
    "sent again before first sent": _sent_again_before_first_sent,
    "a newcomer supersedes": _newcomer_supersedes,
    "a newcomer supersedes over ws": _newcomer_supersedes_ws,
    "a refusal uses no number": _unused_number,
    "the Reject of a Logon is kept": _reject_of_a_logon_is_kept,
    "a drop copy hears its own": _deaf_drop_copy,
    "first key only": _first_key_only,
    "logout at once": _logout_at_once,
    "asked once": _asked_once,
    "rejects not kept": _rejects_not_kept,
    "NextIn passes what waits": _passes_what_waits,
    "takes twice what passed": _takes_twice_what_passed,
    "done is not noted": _done_is_not_noted,
    "goes on without memory": _goes_on_without_memory,
    "a lost end is cut": _cut_without_a_word,
    **PLANTED_IN_LIMITS,
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The product with this mistake in it; "" = as it is."""
    if not name:
        yield
        return
    owner, attribute, changed = (PLANTED | PLANTED_IN_CLUSTER)[name]()
    real = getattr(owner, attribute)
    setattr(owner, attribute, changed)
    try:
        yield
    finally:
        setattr(owner, attribute, real)
