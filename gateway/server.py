"""Builds the parts, starts them in order, and stops them in reverse: the only module that knows them all.

Endpoints and operators' commands share one `Services` value. Nothing else is global.

More than 400 lines, because the order in which parts are built, opened and closed is read in one piece.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gateway.admin.access import Access, Token, digest_of
from gateway.admin.app import build_admin
from gateway.admin.door import PLACES, AdminDoor
from gateway.admin.health import Health
from gateway.admin.mode_control import ModeControl
from gateway.admin.modes_file import ModesFile
from gateway.admin.operations import Operations
from gateway.admin.scrape import build_registry
from gateway.auth.authenticator import Authenticator
from gateway.clock import Clock, Timed
from gateway.cluster import Cluster, Unrecorded
from gateway.config import schema
from gateway.config.load import build_instruments, read_secrets, read_tokens
from gateway.core.embedded import EmbeddedCore
from gateway.core.engine import Engine
from gateway.core.matching import MatchingCore
from gateway.doors.batch import EventLoopTurn, Parts
from gateway.doors.connection import Connection
from gateway.doors.descriptors import Descriptors, raise_limit
from gateway.doors.fix.acceptor import FixAcceptor
from gateway.doors.services import Services
from gateway.doors.slowness import UnreadOutput
from gateway.doors.ws.acceptor import WsAcceptor
from gateway.failures import Failures
from gateway.journal import AnyJournal
from gateway.journal.delay import RecordDelay
from gateway.limiting.service import Limiting
from gateway.memory_bounds import memory_bounds
from gateway.orders.path import OrderPath
from gateway.orders.trading_modes import ModeChange
from gateway.recovery.known_ids import configured_ids
from gateway.recovery.recorder import Recorder
from gateway.recovery.replay import JournalReplay
from gateway.recovery.restore import Restore, cancel_for_gone, read_back
from gateway.remote.core import RemoteCore
from gateway.remote.link import CoreConnection, LinkRefused, link_of
from gateway.safety.cancel_on_disconnect import CancelOnDisconnect
from gateway.safety.kill_switch import KillSwitch
from gateway.sessions.registry import Sessions
from gateway.telemetry import spans
from gateway.telemetry.log_pace import LogPace
from gateway.telemetry.logs import EVENTS, dropped_lines, log_event
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTracer
from gateway.version import VERSION
from protocols.messages import Origin
from protocols.units import NS_PER_MS

_SECOND_S = 1.0
_DRAIN_STEP_S = 0.02

_logger = logging.getLogger("penstock")


class Server:
    """One gateway process. `core`: another matching core than the embedded one (tests, recordings, links)."""

    def __init__(
        self,
        settings: schema.Config,
        config_dir: Path,
        core: MatchingCore | None = None,
        wrap_core: Callable[[MatchingCore], MatchingCore] = lambda core: core,
        clock: Clock | None = None,
        limiting: Callable[..., Limiting] = Limiting,
    ) -> None:
        """wrap_core: puts an observer around the embedded core, which stays durable. clock, limiting: replacements
        for a simulation in which time is a number.
        """
        self.settings = settings
        self.wall = self.clock = clock or Clock()
        self.now_ns = self.clock.now_ns
        self.metrics = Metrics(VERSION)
        self._pace = LogPace()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: EventLoopTurn | None = None
        self._admin: AdminDoor | None = None
        self._regular: list[asyncio.Task[None]] = []
        self._redating: asyncio.Future[None] | None = None  # a task without a reference may be collected
        self.ports: dict[str, int] = {}
        self.asked_to_end = asyncio.Event()  # by an operator: whoever runs the server drains and stops it
        self.health = Health()
        self.bounds = memory_bounds(settings)
        self.instruments = build_instruments(settings)
        names = [row.name for row in settings.accounts]
        self.limits = limiting(settings.limits, config_dir, names, self.now_ns, self.log)
        self.limiter = self.limits.limiter
        self._build_core(config_dir, core, wrap_core)
        self._build_order_path()
        self._build_services(config_dir)
        self._build_doors()
        self._register_gauges()
        self.restore = Restore(self.services, self.fix, self.recorder)
        if core is None and self.link is None:
            self.restore.run()

    # -- the parts, in the order in which they need each other ---------------------------------------------------

    def _build_core(
        self, config_dir: Path, core: MatchingCore | None, wrap_core: Callable[[MatchingCore], MatchingCore]
    ) -> None:
        """The journal, read back; what records into it; and the core with the state of the last process."""
        settings = self.settings
        engine = Engine(
            tuple(self.instruments.by_id.values()), settings.core.dedupe_ids, f"e-{self.now_ns() // NS_PER_MS}"
        )
        self.journal: AnyJournal
        self.cluster = None if settings.cluster is None else Cluster(settings, settings.cluster)
        if self.cluster is not None:
            self.journal, self.replay = self.cluster.journal, JournalReplay(engine, settings.stream.retain_events)
            known_ids = configured_ids(settings, self.instruments)
        else:
            self.journal, self.replay, known_ids = read_back(
                settings, self.instruments, engine, config_dir, self._notify
            )
        self._delay = RecordDelay(self.journal)
        self.failures = Failures(self.log, self.journal.give_up, self._open_connections)
        self.recorder = Recorder(self.journal, self.replay, known_ids, settings, self.log, self.failures.gateway_failed)
        self.link: CoreConnection | None = None
        if core is None and settings.core.link == "redis":
            core = self._build_link()
        self.core = core or wrap_core(
            EmbeddedCore(engine, settings.core.window, self.recorder.record, self.failures.gateway_failed, self.wall)
        )

    def _build_link(self) -> RemoteCore:
        """The core in another process."""
        self.recorder.take_waiting()
        standing = self.replay.link
        self.link = link_of(
            self.settings,
            self.instruments,
            self.replay.names,
            self.recorder if self.cluster is None else Unrecorded(),
            self.now_ns,
            self.log,
            lambda error: self.failures.gateway_failed(error, isinstance(error, LinkRefused)),
        )
        core = self.replay.state = self.link.core
        core.restore(standing.delivered, standing.reported, tuple(standing.handed.items()), standing.epoch)
        return core

    def _build_order_path(self) -> None:
        """Sessions, traces, the order path, and what cancels orders for a client."""
        settings = self.settings
        self.sessions = Sessions(self.limiter, settings.stream.retain_events, self.recorder)
        self._spans = spans.open_spans(settings.tracing, self.wall) if settings.tracing.sample_one_in else None
        self.tracing = OrderTracer(settings.tracing, self._spans.write if self._spans else None)
        self.orders = OrderPath(
            settings,
            self.instruments,
            self.limiter,
            self.core,
            self.sessions,
            self._delay,
            self.metrics,
            self.tracing,
            self.now_ns,
            self.failures.session_failed,
            self.wall,
            self.recorder if self.link is not None else None,
        )
        self.kill_switch = KillSwitch(self.orders, self.now_ns())
        gone = partial(cancel_for_gone, self.kill_switch, self.recorder)
        self.cancel_on_disconnect = CancelOnDisconnect(
            self.orders, self.sessions, self.recorder.record_link, gone, self.wake
        )

    def _build_services(self, config_dir: Path) -> None:
        """What endpoints and operators share, and the operators' modes."""
        settings = self.settings
        self.services = Services(
            settings,
            self.instruments,
            Authenticator(settings, self.instruments, read_secrets(settings), self.wall),
            self.sessions,
            self.limiter,
            self.orders,
            self.cancel_on_disconnect,
            self.kill_switch,
            self.metrics,
            self.tracing,
            self.wall,
            self.now_ns,
            self.log,
            self.wake,
            self.cluster.moves if self.cluster is not None else None,
        )
        accounts, known = {row.name: row.id for row in settings.accounts}, tuple(self.recorder.known_ids.accounts)
        file = ModesFile(config_dir / settings.journal.directory / "modes.json")
        is_kept = settings.journal.durability != "memory"
        is_alone = self.cluster is None
        self.mode_control = ModeControl(
            self.services, accounts, known, file if is_kept and is_alone else None, self.cluster
        )
        self.mode_control.restore(self.now_ns())

    def _build_doors(self) -> None:
        """The doors for clients, under one bound of unread output and one limit of open files."""
        settings = self.settings
        self.unread_output = UnreadOutput(settings.out.total_bytes)
        self.fix = FixAcceptor(
            self.services,
            self.unread_output,
            self.journal.store,
            self.recorder.record_reset,
            are_here=self.cluster is None,
        )
        self.ws = WsAcceptor(settings.ws, self.services, self.unread_output) if settings.ws is not None else None
        self._doors: dict[str, FixAcceptor | WsAcceptor] = {"fix": self.fix}
        if self.ws is not None:
            self._doors["ws"] = self.ws
        self.descriptors = Descriptors(
            {name: door.crowd for name, door in self._doors.items()},
            PLACES,
            lambda: self.journal.open_files,
            settings.journal.max_bytes // settings.journal.segment_bytes + 2,
            self.log,
        )

    def log(self, name: str, **fields: Any) -> None:
        """Log one declared event, unless it is paced and was just logged."""
        if name in EVENTS and EVENTS[name].is_paced:
            kept_back = self._pace.take((name, fields.get("cause", fields.get("reason"))), self.now_ns())
            if kept_back is None:
                return
            fields["kept_back"] = kept_back
        log_event(_logger, name, **fields)

    def wake(self) -> None:
        if self._turn is not None:
            self._turn.wake()

    # -- start and stop ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open every door; `ports` says where.

        Raises:
            TooFewDescriptors: the process may not open enough files.
        """
        self.descriptors.start(raise_limit())
        loop = asyncio.get_running_loop()
        self.failures.watch(loop)
        turn = self.wire(loop)
        self.log("gateway.bounds", memory_bytes=sum(self.bounds.values()), parts=self.bounds)
        await self.limits.open(self.wake, self._on_limits)
        if self.link is not None:
            await self._join_core(self.link, turn)
        self.ports.update(await self.fix.start(loop, turn))
        if self.ws is not None:
            self.ports["ws"] = await self.ws.start(loop, turn)
        if self.settings.admin is not None:
            self.ports["admin"] = await self._start_admin(self.settings.admin, turn)
        self.restore.await_return()  # from now on they can reconnect
        self.wake()
        self._regular = [loop.create_task(self._housekeeping()), loop.create_task(self._watch_limits())]
        self.health.add("draining", lambda: "draining" if self.orders.venue.draining else "")
        self.health.add("journal", lambda: self.journal.trouble)
        if (link := self.link) is not None:
            self.health.add("core", lambda: link.trouble)
        if (cluster := self.cluster) is not None:
            self.health.add("cluster", lambda: cluster.why_away)
        self.log("gateway.started", ports=self.ports, epoch=self.core.epoch, policy=self.limiter.policy.version)

    async def _join_core(self, link: CoreConnection, turn: EventLoopTurn) -> None:
        """Wait for the core, and go on from where it is."""
        found = await link.open()
        self.restore.run_beside(found.tails, partial(link.deliver, found.rows))
        self.sessions.next_ws_id = max(self.sessions.next_ws_id, link.next_session)
        link.begin(turn)
        if self.cluster is not None:
            await self.cluster.open()

    def _hear(self, change: ModeChange, kill: bool) -> None:
        self.mode_control.hear(change, kill, self.now_ns())

    def wire(self, loop: asyncio.AbstractEventLoop) -> EventLoopTurn:
        """Create the turn of the event loop; nothing in it needs a socket."""
        self._loop = loop
        orders, safety, failures = self.orders, self.cancel_on_disconnect, self.failures
        timed: tuple[Timed, ...] = (self.mode_control, safety, self.fix, self.recorder)
        every_turn: tuple[Timed, ...] = (*self.limits.timed, orders)
        parts = Parts(timed, every_turn, (safety, orders), orders.work, lambda: not orders.queue.is_calm)
        turn = self._turn = EventLoopTurn(
            loop, self.clock, parts, self.journal, self._delay, failures.session_failed, failures.gateway_failed
        )
        if self.cluster is not None and self.link is not None:  # before the first commit of a turn
            self.cluster.connect(
                self.services, self.fix, self.recorder, self.link, turn, self._hear, failures.gateway_failed
            )
        return turn

    async def drain(self) -> None:
        """Take no new connections and orders, wait until open requests are answered, then log out all sessions."""
        if self.orders.venue.draining:
            return
        limit_ns = self.begin_drain()
        while not self.orders.is_idle and self.now_ns() < limit_ns:
            await asyncio.sleep(_DRAIN_STEP_S)
        self.log_out_all()
        while self._open_connections() and self.now_ns() < limit_ns:
            await asyncio.sleep(_DRAIN_STEP_S)

    def begin_drain(self) -> int:
        """Refuse new connections and orders from now on; returns the time by which the drain must end."""
        now_ns = self.now_ns()
        self.orders.venue.draining = True
        self.log("gateway.draining", unanswered=self.orders.core_link.unanswered_count)
        for door in self._doors.values():
            door.stop_listening()
        limit_ns = now_ns + self.settings.venue.drain_ms * NS_PER_MS
        for session in list(self.sessions.by_id.values()):
            if (endpoint := session.endpoint) is not None and session.connected:
                text = "the gateway is draining, reconnect"
                self.orders.calls.call(endpoint, endpoint.draining, limit_ns, text, now_ns)
        return limit_ns

    def log_out_all(self) -> None:
        now_ns = self.now_ns()
        for session in list(self.sessions.by_id.values()):
            if (endpoint := session.endpoint) is not None and session.connected:
                self.orders.calls.call(endpoint, endpoint.log_out, "the gateway is going down", now_ns)

    async def stop(self) -> None:
        """Close everything; connections that `drain` has not ended are aborted."""
        for task in self._regular:
            task.cancel()
        self.fix.stop_listening()
        for connection in self._open_connections():
            connection.abort()
        await asyncio.sleep(0)
        try:
            if self.ws is not None:
                self.ws.stop_listening()
                await self.ws.stop()
            await self.limits.close()
            if self.cluster is not None:
                await self.cluster.close()
            if self.link is not None:
                await self.link.close()
            if self._admin is not None:  # late: `penstock drain --wait` takes its end for the end of all before it
                await self._admin.stop()
            if self._spans is not None:
                self._spans.close()
        finally:
            if self._turn is not None:
                self._turn.stop()
            self.recorder.close(is_clean=not self.orders.venue.reopen_at_ns)
            self.log("gateway.stopped")

    def status(self) -> dict[str, object]:
        """A summary for operators: `/status`."""
        policy, queue = self.limiter.policy, self.orders.queue
        return {
            "version": VERSION,
            "epoch": self.core.epoch,
            "ports": self.ports,
            "sessions": {"fix": self.sessions.logged_on(Origin.FIX), "ws": self.sessions.logged_on(Origin.WS)},
            "queue": {"commands": queue.commands, "bytes": queue.size_bytes, "stage": queue.stage.name.lower()},
            "unanswered": self.orders.core_link.unanswered_count,
            "draining": self.orders.venue.draining or self.asked_to_end.is_set(),
            "modes": len(self.orders.venue.modes.in_force),
            "clock": {"steps": self.clock.steps, "since_start_ms": self.clock.offset_ns // NS_PER_MS},
            "policy_version": policy.version,
            "limits": self.limits.status,
            **({} if self.cluster is None else {"cluster": self.cluster.status()}),
        }

    def _on_limits(self) -> None:
        self.orders.limit_notices.changed(self.now_ns())
        self.wake()

    def _notify(self, durable: int) -> None:
        """Called in the journal's own thread: only passes the position to the event loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_durable, durable)

    def _on_durable(self, durable: int) -> None:
        if self._turn is not None:
            self._turn.on_durable(durable)
            if self.journal.state == "failed":
                self._turn.wake()  # the commit will say so

    # -- inside --------------------------------------------------------------------------------------------------

    async def _start_admin(self, settings: schema.Admin, turn: EventLoopTurn) -> int:
        secrets = read_tokens(self.settings)
        tokens = [Token(row.name, row.role, digest_of(secrets[row.name])) for row in settings.tokens]
        operations = Operations(self.services, self.mode_control, Access(tokens, settings.host), self._end)
        app = build_admin(self.health, build_registry(self.metrics), self.status, operations)
        self._admin = AdminDoor(settings, app, self.metrics, self.log)
        return await self._admin.start(turn)

    def _end(self) -> dict[str, object]:
        self.asked_to_end.set()
        return self.status()

    async def _housekeeping(self) -> None:
        """Once a second: the clock, the journal, how late the loop is."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _SECOND_S
            await asyncio.sleep(_SECOND_S)
            self.metrics.loop_lag_ns.observe(max(int((loop.time() - due) * 1e9), 0))
            self._try(self.look_at_clock)
            self._try(self.look_after_journal)
            self._try(self.descriptors.look)

    async def _watch_limits(self) -> None:
        while True:
            await asyncio.sleep(self.limits.next_look_s)
            self._try(self.limits.look_at_file)

    def _try(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:  # the other parts, and the next time, must still run
            self.log("gateway.housekeeping_failed", error=type(error).__name__, exc_info=True)

    def look_at_clock(self) -> None:
        """Once a second: when the system's clock was corrected, save times again that depend on it."""
        self.clock.look()
        step_ns = self.clock.take_step_ns()
        if step_ns:
            self.log("clock.stepped", by_ms=step_ns // NS_PER_MS, since_start_ms=self.clock.offset_ns // NS_PER_MS)
            self._redating = asyncio.ensure_future(self.mode_control.keep_again())

    def look_after_journal(self) -> None:
        """Once a second: check again for disk space, and record a snapshot when the journal has become long."""
        self.recorder.look(self.now_ns())
        self.wake()  # a commit checks for disk space

    def _open_connections(self) -> list[Connection]:
        return [connection for door in self._doors.values() for connection in door.traffic.connections]

    def _register_gauges(self) -> None:
        gauge, counter, queue = self.metrics.gauge, self.metrics.counter, self.orders.queue
        for name, door in self._doors.items():
            gauge("connections", lambda door=door: door.connections, name)  # type: ignore[misc]
            gauge("connections_unproven", lambda door=door: door.crowd.strangers, name)  # type: ignore[misc]
            gauge("connections_bound", lambda door=door: door.crowd.places, name)  # type: ignore[misc]
            counter("bytes_in", lambda door=door: door.traffic.bytes_in, name)  # type: ignore[misc]
            counter("bytes_out", lambda door=door: door.traffic.bytes_out, name)  # type: ignore[misc]
            gauge("output_pending_bytes", lambda door=door: door.traffic.pending_bytes, name)  # type: ignore[misc]
        for name, origin in (("fix", Origin.FIX), ("ws", Origin.WS)):
            gauge("sessions_logged_on", partial(self.sessions.logged_on, origin), name)
        counter("log_lines_dropped", dropped_lines)
        gauge("queue_commands", lambda: queue.commands)
        gauge("queue_bytes", lambda: queue.size_bytes)
        gauge("queue_fill", lambda: queue.fill_percent / 100)
        gauge("queue_stage", lambda: int(queue.stage))
        gauge("core_unanswered", lambda: self.orders.core_link.unanswered_count)
        gauge("core_away", lambda: int(self.link is not None and bool(self.link.why_away)))
        cluster = self.cluster
        gauge("cluster_away", lambda: int(cluster is not None and bool(cluster.why_away)))
        gauge("cluster_sessions", lambda: 0 if cluster is None else cluster.journal.owned)
        gauge("cluster_commits_waiting", lambda: 0 if cluster is None else len(cluster.journal.unanswered))
        gauge("cluster_waiting_bytes", lambda: 0 if cluster is None else cluster.journal.waiting_bytes)
        counter("cluster_clients_cut", lambda: 0 if cluster is None else cluster.cut)
        gauge("cluster_clock_skew_seconds", lambda: 0 if cluster is None else cluster.clock_skew_s)
        gauge("cluster_clock_error_seconds", lambda: 0 if cluster is None else cluster.clock_error_s)
        counter("cluster_sessions_came", lambda: 0 if cluster is None else cluster.came)
        counter("cluster_sessions_lost", lambda: 0 if cluster is None else cluster.lost)
        gauge("core_replicas_missing", lambda: int(self.link is not None and bool(self.link.why_held)))
        gauge("core_held_entries", lambda: self.link.held if self.link is not None else 0)
        gauge("modes", lambda: self.orders.venue.modes.counts)
        gauge("output_behind_bytes", lambda: self.unread_output.total_bytes)
        gauge("memory_bound_bytes", lambda: sum(self.bounds.values()))
        gauge("parked", lambda: len(self.orders.token_wait))
        gauge("journal_bytes", lambda: self.journal.size_bytes)
        counter("journal_dropped_early", lambda: self.journal.dropped_early)
        gauge("journal_state", lambda: ("ok", "full", "failed").index(self.journal.state))
        gauge("journal_held_seconds", lambda: self._delay.held_ns(self.now_ns()) / 1e9)
        gauge("clock_offset_seconds", lambda: self.clock.offset_ns / 1e9)
        counter("clock_steps", lambda: self.clock.steps)
        counter("traces_sampled", lambda: self.tracing.sampled)
        self.limits.register(self.metrics)
