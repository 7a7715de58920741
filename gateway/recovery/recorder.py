"""What of the house outlives its process: recorded while it runs, and gone on from by the next one.

Before editing: whatever is recorded here is part of the commit of its tick, so nothing that rests on it leaves before
it is safe; and what the next snapshot holds is what `JournalReplay` holds, so each record goes to both.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from gateway.auth.authenticator import Authenticator
from gateway.config import schema
from gateway.core.engine import Engine
from gateway.doors.fix.acceptor import FixAcceptor
from gateway.journal import open_journal
from gateway.journal.record import JournalCorrupt
from gateway.mistakes import Mistakes
from gateway.orders.pipeline import Road
from gateway.recovery.known_ids import ConfigMismatch, register_of, succeed
from gateway.recovery.records import CLEAN, COMMANDS, ENDED, LINK, NAME, RESET, Reset, body, commands_body
from gateway.recovery.replay import JournalReplay, Unsound
from gateway.recovery.snapshots import Snapshotter
from gateway.safety.cancel_on_disconnect import CancelOnDisconnect, LinkState
from gateway.safety.kill_switch import HOUSE_SESSION, CancelScope, KillSwitch
from gateway.sessions.former_names import WsSessionRecord
from gateway.sessions.registry import FIRST_WS_SESSION, Session, Sessions
from protocols.instruments import Instruments
from protocols.messages import AnyCommand, Lane

_MS = 1_000_000
_LOST_NUMBERS = 1_000_000  # of a FIX session: more than a loss can hold, and filled with one message


class House(Protocol):
    """The parts of the process that something is kept of."""

    settings: schema.Config
    instruments: Instruments
    clients: Authenticator
    sessions: Sessions
    road: Road
    cancel_on_disconnect: CancelOnDisconnect
    kill_switch: KillSwitch
    fix: FixAcceptor
    mistakes: Mistakes

    @property
    def now_ns(self) -> Callable[[], int]: ...
    def log(self, name: str, **fields: Any) -> None: ...


class Keeper:
    """Opens the journal and reads it; `resume` puts the house where the last process was."""

    def __init__(self, house: House, engine: Engine, config_dir: Path, notify: Callable[[int], None]) -> None:
        """notify: see `Journal`. The house has its settings, instruments and sessions by now; the rest before `resume`.

        Raises:
            ConfigMismatch: the configuration gives an id to another than it was.
            JournalInUse, JournalCorrupt, JournalFailed, OSError: see `Journal`.
        """
        settings = house.settings
        self._house = house
        self.replay = JournalReplay(engine, settings.stream.retain_events)
        directory = config_dir / settings.journal.directory
        self.journal = open_journal(directory, settings.journal, notify, self.replay.take)
        self.register = register_of(settings, house.instruments)
        if self.replay.register is not None:
            self.register = succeed(self.replay.register, self.register)
            house.instruments.remember(self.register.instruments.values())
        self.snapshotter = Snapshotter(
            self.replay, self.journal, settings, lambda: house.sessions.next_ws_id, self.register
        )
        house.sessions.former_name = self.former_name
        self._ending: list[int] = []  # sessions that ended since the last look
        self._ended: list[int] = []  # and those of the second before
        self._told = ""  # of the journal's trouble
        self._was_clean: bool | None = None  # the end of the process before this one; None: none is gone on from

    # -- while it runs -------------------------------------------------------------------------------------------

    def record(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """Commands that the core is about to carry out."""
        data = commands_body(commands, now_ns)
        if data:
            self.snapshotter.recorded(len(commands))
            self.journal.append(COMMANDS, 0, data)

    def note_name(self, session: Session) -> None:
        """A WebSocket session is new. Ids come round again after millions: counters go on where the core saw them."""
        self._count_on(session)
        self._keep(NAME, WsSessionRecord(session.id, session.client.key_id, session.name))

    def former_name(self, session_id: int) -> str:
        """What a session was called that has ended, or is no longer configured; empty for the house's own."""
        if session_id >= FIRST_WS_SESSION:
            return self.replay.name_of(session_id)
        found = self.register.sessions.get(session_id)
        return found[0] if found is not None else ""

    def note_ended(self, session: Session) -> None:
        """A WebSocket session is over that nobody can come back for, but its last commands may be on their way."""
        self._ending.append(session.id)

    def look(self, now_ns: int) -> None:
        """Once a second: let the core forget sessions that ended a second ago; snapshots; trouble is told."""
        trouble, self._told = self._told, self.journal.trouble
        if trouble != self._told:
            self._house.log("journal.trouble" if self._told else "journal.well", text=self._told or trouble)
        try:
            for session_id in self._ended:
                self.replay.forget(session_id)
                self.journal.append(ENDED, session_id, b"")
            self._ended, self._ending = self._ending, []
            self.snapshotter.look(now_ns)
        except Exception as error:  # half of it may be recorded: with a commit behind it, it would count
            self._house.mistakes.of_all(error)

    @property
    def next_deadline_ns(self) -> int | None:
        """When the next piece of a snapshot is due."""
        return self.snapshotter.next_deadline_ns

    def tick(self, now_ns: int) -> None:
        """Record the next piece of a snapshot when it is time."""
        try:
            self.snapshotter.tick(now_ns)
        except Exception as error:
            self._house.mistakes.of_all(error)

    def note_link(self, session: Session, dead_man_ns: int) -> None:
        """What guards a session's orders, or what it hears of, may have changed. dead_man_ns: UTC, 0 = not armed."""
        is_guarded = session.cancel_on_disconnect != "off" or dead_man_ns
        if is_guarded or session.response_mode or session.id in self.replay.links:
            row = LinkState(
                session.id,
                session.client.account_id,
                session.connected and not session.is_leaving,
                session.cancel_on_disconnect,
                session.cod_grace_ms,
                dead_man_ns,
                session.response_mode,
            )
            self._keep(LINK, row)

    def note_reset(self, session_id: int, at_ns: int) -> None:
        """A scheduled reset was carried out."""
        self._keep(RESET, Reset(session_id, at_ns))

    def fire_for_gone(self, session_id: int, account_id: int, scope: str, now_ns: int) -> None:
        """Cancel for a session that is no longer configured, once."""
        self._house.kill_switch.disconnected(CancelScope(account_id, session_id if scope == "session" else 0), now_ns)
        self._keep(LINK, LinkState(session_id, account_id, False, "off", 0, 0))

    def _keep(self, kind: int, row: WsSessionRecord | LinkState | Reset) -> None:
        self.replay.take(kind, row.session, 0, data := body(row))
        self.journal.append(kind, row.session, data)

    # -- from process to process ---------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on where the last process was: streams, counters, sessions, and what guards orders of those not back.

        Raises:
            ConfigMismatch: there are open orders in an instrument that is not configured.
            JournalCorrupt: no snapshot can be gone on from, or there is none.
        """
        house, replay, engine = self._house, self.replay, self.replay.engine
        self._was_clean = replay.was_clean
        try:
            replay.carry_out()
        except ValueError as error:
            raise ConfigMismatch(
                f"{error}: configure it as it was, cancel those orders, and take it out then"
            ) from error
        except Unsound as error:
            raise self._nothing_sound(error) from error
        for position, text in replay.unsound:
            house.log("journal.unsound_snapshot", place=self.journal.place_of(position), error=text)
        if not self.journal.recovery.is_proven:
            self._begin_epoch()
        for account_id, events in replay.events.items():
            for event in events:
                house.sessions.account(account_id).record(event)
        replay.events.clear()
        self._restore_sessions()
        for row in house.settings.accounts:
            house.road.charging.restore(engine.open_orders(row.id))
        house.kill_switch.resume(engine.highest(HOUSE_SESSION, Lane.CONTROL))
        house.fix.on_reset = self.note_reset
        house.fix.catch_up(replay.resets, house.now_ns())
        self.snapshotter.start()
        self.await_return()
        if replay.first is not None:
            sessions = len(house.sessions.by_id)
            house.log("gateway.recovered", commands=replay.count, clean=self._was_clean, sessions=sessions)
        found = self.journal.recovery
        if found.cut_bytes:
            house.log("journal.cut", file=found.cut_file, cut_bytes=found.cut_bytes)

    def _begin_epoch(self) -> None:
        """Nobody knows what came behind the journal's end: give none of it again."""
        house, now_ns, settings = self._house, self._house.now_ns(), self._house.settings
        self.replay.events.clear()  # of streams that have ended
        self.replay.engine.begin_epoch(f"e-{now_ns // _MS}", sorted(self.register.accounts), now_ns)
        for row in settings.fix.sessions:
            self.journal.store(row.id).next_out += _LOST_NUMBERS
            house.sessions.by_id[row.id].acts_from_ns = now_ns
        house.log("journal.end_unknown", epoch=self.replay.engine.epoch, numbers=_LOST_NUMBERS)

    def _nothing_sound(self, unsound: Unsound) -> JournalCorrupt:
        places = "\n".join(f"  {self.journal.place_of(position)}: {text}" for position, text in unsound.places)
        return JournalCorrupt(
            f"no snapshot of the book in the journal can be gone on from:\n{places}\nRestore the directory from a copy,"
            " or start with an empty one: its orders, events and numbers are given up then"
        )

    def _restore_sessions(self) -> None:
        sessions, replay = self._house.sessions, self.replay
        replay.forget_ended()
        for row in replay.names.values():
            client = self._house.clients.by_key(row.key_id)
            if client is not None:
                sessions.restore_ws(row.session, row.name, client)
        sessions.next_ws_id = replay.next_ws_session or sessions.next_ws_id
        for session in sessions.by_id.values():
            self._count_on(session)
        for link in replay.links.values():
            found = sessions.by_id.get(link.session)
            if found is not None and found.may_trade and link.response_mode:  # a drop copy hears everything
                found.set_response_mode(link.response_mode)

    def _count_on(self, session: Session) -> None:
        sender, highest = session.sender, self.replay.engine.highest
        sender.order_n, sender.cancel_n = highest(session.id, Lane.ORDER), highest(session.id, Lane.CANCEL)
        sender.control_n, sender.query_n = highest(session.id, Lane.CONTROL), highest(session.id, Lane.QUERY)

    def await_return(self) -> None:
        """Give clients of the process before this one the time to come back, from now on; nothing where there is none.

        Called once more when the doors are open.
        """
        if self._was_clean is None:
            return
        house, settings, now_ns = self._house, self._house.settings, self._house.now_ns()
        if not self._was_clean:
            house.road.reopen_at_ns = now_ns + settings.core.reopen_after_ms * _MS
        # After an orderly stop everybody was told to come back; whoever does not counts as disconnected.
        guard_at_ns = house.road.reopen_at_ns or now_ns + settings.venue.drain_ms * _MS
        for link in list(self.replay.links.values()):
            house.cancel_on_disconnect.restore(link, now_ns, house.road.reopen_at_ns, guard_at_ns)

    def close(self) -> None:
        """The process ends in good order; but after a crash, whoever was to come back still is until it has opened."""
        if not self._house.road.reopen_at_ns:
            self.journal.append(CLEAN, 0, b"")
        self.journal.close()
