"""What a start does with the durable state of the last process: reads it, checks it, and continues from it.

`read_back` runs before anything else is built, because the records decide which ids are known. `Restore` runs when all
parts are built and no door is open yet.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.config import schema
from gateway.core.engine import Engine
from gateway.doors.fix.acceptor import FixAcceptor
from gateway.doors.services import Services
from gateway.journal import AnyJournal, open_journal
from gateway.journal.record import JournalCorrupt
from gateway.recovery.known_ids import ConfigMismatch, KnownIds, configured_ids, merge
from gateway.recovery.recorder import Recorder
from gateway.recovery.replay import JournalReplay, NoSoundSnapshot
from gateway.safety.kill_switch import HOUSE_SESSION, CancelScope, KillSwitch
from protocols.instruments import Instruments
from protocols.messages import AnyEvent, Lane
from protocols.units import NS_PER_MS

_LOST_NUMBERS = 1_000_000
"""How far MsgSeqNum(34) jumps when the end of the journal is unknown: more than a loss can hold, so that no number is
used twice. The client's gap is filled with one SequenceReset(4)."""


def read_back(
    settings: schema.Config, instruments: Instruments, engine: Engine, config_dir: Path, notify: Callable[[int], None]
) -> tuple[AnyJournal, JournalReplay, KnownIds]:
    """Open the journal and read it; `instruments` learns those that are no longer configured. notify: see `Journal`.

    Raises:
        ConfigMismatch: the configuration gives an id a new meaning.
        JournalInUse, JournalCorrupt, JournalFailed, OSError: see `Journal`.
    """
    replay = JournalReplay(engine, settings.stream.retain_events)
    journal = open_journal(config_dir / settings.journal.directory, settings.journal, notify, replay.take)
    known_ids = configured_ids(settings, instruments)
    if replay.known_ids is not None:
        known_ids = merge(replay.known_ids, known_ids)
        instruments.add_removed(known_ids.instruments.values())
    return journal, replay, known_ids


def cancel_for_gone(
    kill_switch: KillSwitch, recorder: Recorder, session_id: int, account_id: int, scope: str, now_ns: int
) -> None:
    """Cancel the orders of a session that is no longer configured, once."""
    kill_switch.cancel_for_disconnected(CancelScope(account_id, session_id if scope == "session" else 0), now_ns)
    recorder.record_gone(session_id, account_id)


class Restore:
    """Continues from the state of the last process: streams, counters, sessions, and the protection of open orders."""

    def __init__(self, services: Services, fix: FixAcceptor, recorder: Recorder) -> None:
        self._services = services
        self._fix = fix
        self._recorder = recorder
        self._replay = recorder.replay
        self._journal = recorder.journal
        self._ended_clean = recorder.replay.was_clean  # the last process; a link records while it opens
        self._was_clean: bool | None = None  # the same, once it is restored

    def run(self) -> None:
        """Put every part where the last process had it, the embedded core first.

        Raises:
            ConfigMismatch: there are open orders in an instrument that is not configured.
            JournalCorrupt: there is no usable snapshot.
        """
        services, replay = self._services, self._replay
        try:
            replay.restore_engine()
        except ValueError as error:
            raise ConfigMismatch(f"{error}. Restore the instrument, cancel its open orders, then remove it.") from error
        except NoSoundSnapshot as error:
            raise self._no_sound_snapshot(error) from error
        for position, text in replay.unsound:
            services.log("journal.unsound_snapshot", place=self._journal.place_of(position), error=text)
        if not self._journal.recovery.is_proven:
            self._begin_epoch()
        self.run_beside(replay.events, lambda: None)
        replay.events.clear()

    def run_beside(self, events: Mapping[int, Sequence[AnyEvent]], deliver: Callable[[], None]) -> None:
        """The same for all but the core, which is where it was. events: reported earlier, by account. deliver: reports
        what the core has caused since.
        """
        services, replay, state = self._services, self._replay, self._replay.state
        self._was_clean = self._ended_clean
        if not self._journal.recovery.is_proven:
            self._skip_numbers()
        for account_id, told in events.items():
            services.sessions.account(account_id).record_all(told)
        self._restore_sessions()
        deliver()
        services.orders.charging.forget_places()  # what was just delivered is among what is open now
        for row in services.settings.accounts:
            services.orders.charging.restore(state.open_orders(row.id))
        services.kill_switch.resume(state.highest(HOUSE_SESSION, Lane.CONTROL))
        self._fix.catch_up(replay.resets, services.now_ns())
        self._recorder.snapshotter.start()
        self.await_return()
        if replay.first is not None:
            sessions = len(services.sessions.by_id)
            services.log("gateway.recovered", commands=replay.count, clean=self._was_clean, sessions=sessions)
        found = self._journal.recovery
        if found.cut_bytes:
            services.log("journal.cut", file=found.cut_file, cut_bytes=found.cut_bytes)

    def await_return(self) -> None:
        """Give the clients of the last process time to reconnect, from now on. Does nothing if there was none.

        Called again when the doors are open: only from then on can they.
        """
        if self._was_clean is None:
            return
        services, settings, now_ns = self._services, self._services.settings, self._services.now_ns()
        if not self._was_clean:
            services.orders.venue.reopen_at_ns = now_ns + settings.core.reopen_after_ms * NS_PER_MS
        # An orderly stop asked every client to reconnect: those that do not count as disconnected after the drain time.
        guard_at_ns = services.orders.venue.reopen_at_ns or now_ns + settings.venue.drain_ms * NS_PER_MS
        for link in list(self._replay.links.values()):
            services.cancel_on_disconnect.restore(link, now_ns, services.orders.venue.reopen_at_ns, guard_at_ns)

    def _begin_epoch(self) -> None:
        """What followed the end of the journal is unknown, so none of it may be used again: begin new streams."""
        now_ns = self._services.now_ns()
        self._replay.events.clear()  # of streams that have ended
        self._replay.engine.begin_epoch(f"e-{now_ns // NS_PER_MS}", sorted(self._recorder.known_ids.accounts), now_ns)

    def _skip_numbers(self) -> None:
        """No number of a message that is lost may be used again."""
        services, now_ns = self._services, self._services.now_ns()
        for row in services.settings.fix.sessions:
            self._journal.store(row.id).next_out += _LOST_NUMBERS
            services.sessions.by_id[row.id].acts_from_ns = now_ns
        services.log("journal.end_unknown", epoch=services.orders.dispatch.epoch, numbers=_LOST_NUMBERS)

    def _no_sound_snapshot(self, error: NoSoundSnapshot) -> JournalCorrupt:
        places = "\n".join(f"  {self._journal.place_of(position)}: {text}" for position, text in error.places)
        return JournalCorrupt(
            f"the journal has no usable snapshot of the book:\n{places}\nRestore the directory from a copy, or start"
            " with an empty one: that gives up its orders, events and numbers."
        )

    def _restore_sessions(self) -> None:
        sessions, replay = self._services.sessions, self._replay
        replay.forget_ended()
        for row in replay.names.values():
            client = self._services.authenticator.by_key(row.key_id)
            if client is not None:
                sessions.restore_ws(row.session, row.name, client)
        sessions.next_ws_id = replay.next_ws_session
        for session in sessions.by_id.values():
            self._recorder.set_counters(session)
        for link in replay.links.values():
            found = sessions.by_id.get(link.session)
            if found is not None and found.may_trade and link.response_mode:  # a drop copy receives everything anyway
                found.set_response_mode(link.response_mode)
