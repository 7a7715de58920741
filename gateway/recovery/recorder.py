"""Durable gateway state, recorded while running: commands, WebSocket sessions, links, scheduled resets, snapshots.

Before editing: what is recorded here is part of the commit of its turn, so nothing that depends on it is sent before it
is safe. `JournalReplay` holds what the next snapshot will hold, so each record goes to both.
"""

from collections.abc import Callable, Mapping, Sequence

from gateway.config import schema
from gateway.journal import AnyJournal
from gateway.recovery.known_ids import KnownIds
from gateway.recovery.records import (
    CLEAN,
    COMMANDS,
    DELIVERED,
    HANDED,
    LEFT,
    LINK,
    RESET,
    WAITS,
    WS_ENDED,
    WS_SESSION,
    DeliveredRecord,
    HandOverRecord,
    Reset,
    body,
    commands_body,
    encode,
)
from gateway.recovery.replay import JournalReplay
from gateway.recovery.snapshots import Snapshotter
from gateway.safety.cancel_on_disconnect import LinkState
from gateway.sessions.former_names import WsSessionRecord
from gateway.sessions.registry import FIRST_WS_SESSION
from gateway.sessions.request import Request
from gateway.sessions.session import Session
from protocols.messages import AnyCommand, Lane, QueryOrders


class Recorder:
    """Writes the gateway's own records; the FIX stores write theirs into the same journal."""

    def __init__(
        self,
        journal: AnyJournal,
        replay: JournalReplay,
        known_ids: KnownIds,
        settings: schema.Config,
        log: Callable[..., None],
        fail: Callable[[Exception], None],
    ) -> None:
        """journal, replay, known_ids: see `restore.read_back`. fail: see `Failures.gateway_failed`."""
        self.journal = journal
        self.replay = replay
        self.known_ids = known_ids
        self.snapshotter = Snapshotter(replay, journal, settings, known_ids)
        self._is_shared = settings.cluster is not None  # then another gateway must know whether a client is connected
        self._log = log
        self._fail = fail
        self._ending: list[int] = []  # sessions that ended since the last look
        self._ended: list[int] = []  # and in the second before that
        self._reported = ""  # the journal's trouble, as last logged

    def record(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """Record commands that the core is about to execute."""
        if not self.journal.keeps_records:
            return
        data = commands_body(commands, now_ns)
        if data:
            self.snapshotter.recorded(len(commands))
            self.journal.append(COMMANDS, 0, data)

    def record_handed(self, number: int, data: bytes) -> None:
        """Record commands that are about to be handed over to a core in another process."""
        self._take_link(HANDED, HandOverRecord(number, data))

    def record_delivered(
        self, entry: tuple[int, int], answered: int, reported: Mapping[int, int], epoch: str = "", /
    ) -> None:
        """Record how far that core's answers are delivered; see `DeliveredRecord`."""
        self._take_link(DELIVERED, DeliveredRecord(entry, answered, dict(reported), epoch))

    def begins_wait(self, request: Request) -> None:
        """Record a command that is still in the queue when its turn ends: its session has no other record of it."""
        if not isinstance(request.command, QueryOrders):  # a FIX session asks for these again
            self._take_link(WAITS, request.command)

    def ends_wait(self, request: Request) -> None:
        """Record that it has left the queue."""
        if not isinstance(request.command, QueryOrders):
            self._leave(request.command)

    def _leave(self, command: AnyCommand) -> None:
        self._take_link(LEFT, command.cmd_id.to_bytes(8, "big"))

    def take_waiting(self) -> None:
        """What waited when the last process ended is handed over from now on, after what it had handed over."""
        link = self.replay.link
        if waiting := list(link.waiting.values()):
            self.record_handed(max(link.handed, default=0) + 1, encode(waiting))
            for command in waiting:
                self._leave(command)

    def _take_link(self, kind: int, row: HandOverRecord | DeliveredRecord | AnyCommand | bytes) -> None:
        if self.journal.keeps_records:
            data = row if isinstance(row, bytes) else body(row)
            self.replay.take(kind, 0, 0, data)
            self.snapshotter.recorded(1)
            self.journal.append(kind, 0, data)

    def record_session(self, session: Session) -> None:
        """A WebSocket session is new.

        Ids are used again after four million, so its counters continue after the highest that the core has seen.
        """
        self.set_counters(session)
        self._take(WS_SESSION, WsSessionRecord(session.id, session.client.key_id, session.name))

    def set_counters(self, session: Session) -> None:
        """Number the session's commands after the highest that the core has seen of it: a lower one is a repeat."""
        sender, highest = session.sender, self.replay.state.highest
        sender.order_n, sender.cancel_n = highest(session.id, Lane.ORDER), highest(session.id, Lane.CANCEL)
        sender.control_n, sender.query_n = highest(session.id, Lane.CONTROL), highest(session.id, Lane.QUERY)

    def former_name(self, session_id: int) -> str:
        """The name of a session that has ended or is no longer configured; empty for the gateway's own."""
        if session_id >= FIRST_WS_SESSION:
            return self.replay.name_of(session_id)
        found = self.known_ids.sessions.get(session_id)
        return found[0] if found is not None else ""

    def record_ended(self, session: Session) -> None:
        """A WebSocket session ended and cannot be resumed. Its last commands may still be on their way to the core."""
        self._ending.append(session.id)

    def record_link(self, session: Session, dead_man_ns: int) -> None:
        """What protects a session's orders, or what it receives, may have changed. dead_man_ns: UTC, 0 = not armed."""
        is_guarded = session.cancel_on_disconnect != "off" or dead_man_ns
        if is_guarded or session.response_mode or session.id in self.replay.links or self._is_shared:
            is_connected = session.connected and not session.is_leaving
            guards = (session.cancel_on_disconnect, session.cod_grace_ms, dead_man_ns, session.response_mode)
            self._take(LINK, LinkState(session.id, session.client.account_id, is_connected, *guards))

    def record_gone(self, session_id: int, account_id: int) -> None:
        """The orders of a session that is no longer configured were cancelled: do not do it again at the next start."""
        self._take(LINK, LinkState(session_id, account_id, False, "off", 0, 0))

    def record_reset(self, session_id: int, at_ns: int) -> None:
        """A scheduled reset was carried out."""
        self._take(RESET, Reset(session_id, at_ns))

    def _take(self, kind: int, row: WsSessionRecord | LinkState | Reset) -> None:
        self.replay.take(kind, row.session, 0, data := body(row))
        self.journal.append(kind, row.session, data)

    def look(self, now_ns: int) -> None:
        """Once a second: log trouble, let the core forget sessions that ended a second ago, and take snapshots."""
        trouble, self._reported = self._reported, self.journal.trouble
        if trouble != self._reported:
            self._log("journal.trouble" if self._reported else "journal.well", text=self._reported or trouble)
        try:
            for session_id in self._ended:
                self.replay.forget(session_id)
                self.journal.append(WS_ENDED, session_id, b"")
            self._ended, self._ending = self._ending, []
            self.snapshotter.look(now_ns)
        except Exception as error:  # it may be half recorded, and the next commit would make that half count
            self._fail(error)

    @property
    def next_deadline_ns(self) -> int | None:
        return self.snapshotter.next_deadline_ns

    def tick(self, now_ns: int) -> None:
        try:
            self.snapshotter.tick(now_ns)
        except Exception as error:
            self._fail(error)

    def close(self, is_clean: bool) -> None:
        """End the record. is_clean: no order depends on a client that is still expected back after a crash."""
        if is_clean:
            self.journal.append(CLEAN, 0, b"")
        self.journal.close()
