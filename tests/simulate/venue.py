"""The real gateway in the world: its process can be killed, its power can go, its disk and its core can fail or drag.

`gateway.server.Server` runs as it is, on the world's loop, clock, disk, store of limits and link to the core; only the
sockets, and the HTTP upgrade in front of a WebSocket, are not there.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.config import schema
from gateway.core.embedded import EmbeddedCore
from gateway.core.matching import EventSink, MatchingCore
from gateway.doors.batch import EventLoopTurn
from gateway.doors.connection import Connection
from gateway.doors.listening import Arrival
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.logon import ConnectionInfo
from gateway.doors.ws.stream_cursor import EncodedEvents
from gateway.journal.record import JournalCorrupt, JournalFailed
from gateway.server import Server
from limits.policy import Policy
from protocols.messages import AnyCommand, AnyEvent, OrderEvent, OrdStatus
from tests.simulate import promises
from tests.simulate.disk import Disk, Syncer
from tests.simulate.far_store import SharedStore
from tests.simulate.memory import Memory
from tests.simulate.neighbour import Limits, Neighbour
from tests.simulate.pipes import End, Pipe
from tests.simulate.spending import Spending
from tests.simulate.world import MS, Broken, Loop, World
from tests.support.hooks import ignore

_WINDOW = 48
_AT_ONCE_CHANCE = 0.4


class FarCore:
    """A link in front of the engine: late, in order, at least once. Credit comes back with the answers.

    Now and then all that was handed over, or the first half of it, is answered at once.
    """

    def __init__(self, world: World, loop: Loop, inner: EmbeddedCore, venue: "Venue") -> None:
        self.inner = inner
        self._world, self._loop, self._venue = world, loop, venue
        self._under_way = 0
        self._told: list[tuple[Sequence[AnyEvent], int]] = []
        self._sink: EventSink | None = None
        self._last: Sequence[AnyCommand] = ()
        self._free_ns = 0
        inner.subscribe(self._collect)

    @property
    def epoch(self) -> str:
        return self.inner.epoch

    @property
    def credit(self) -> int:
        return _WINDOW - self._under_way

    def subscribe(self, sink: EventSink) -> None:
        self._sink = sink

    def latest_seq(self, account: int) -> int:
        return self.inner.latest_seq(account)

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        return self.inner.order_state(account, order_id, cl_ord_id)

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """They are on their way."""
        if len(commands) > self.credit:
            raise Broken(f"{len(commands)} commands handed over with a credit of {self.credit}")
        self._under_way += len(commands)
        if self._under_way == len(commands) and self._world.happens(_AT_ONCE_CHANCE):
            if self._world.happens(0.7):
                self._deliver(commands)
                return
            if half := len(commands) // 2:
                self._deliver(commands[:half])
                commands = commands[half:]
        self._free_ns = max(self._free_ns, now_ns + self._venue.core_delay_ns())
        self._world.at(self._free_ns - now_ns, self._loop.hear, self._deliver, commands)

    def _deliver(self, commands: Sequence[AnyCommand]) -> None:
        if self._loop.is_dead:
            return
        if self._last and self._world.happens(0.05):
            self._world.fault("commands delivered twice")
            self._execute(self._last)
        self._last = commands
        self._execute(commands)
        self._under_way -= len(commands)
        told, self._told = self._told, []
        if self._sink is not None:
            for events, now_ns in told:
                self._sink(events, now_ns)
        self._venue.server.wake()

    def _execute(self, commands: Sequence[AnyCommand]) -> None:
        if not self.inner.credit:  # it has failed, and the process ends
            return
        try:
            self.inner.submit(commands, self._venue.server.now_ns())
        except MemoryError as error:  # as the turn does with exceptions of the order path
            self._venue.server.failures.session_failed(error)

    def _collect(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        self._told.append((events, now_ns))


class Process(Server):
    """One life of the gateway. What is its own mistake breaks the promise that nothing does."""

    def __init__(self, home: Any, *parts: Any, **more: Any) -> None:
        self.home = home
        super().__init__(*parts, **more)

    def log(self, name: str, **fields: Any) -> None:
        """Into the trace; a process that ends by itself is followed by another one."""
        note = self.home.world.note
        if name == "logon.refused":
            note(f"| {name} {fields}")
        if name == "session.failed":
            error = sys.exc_info()[1]
            raise error if isinstance(error, Broken) else Broken(f"a mistake of its own: {error!r}") from error
        if name == "gateway.failed":
            self.home.failed(fields)
        if name in ("journal.unsound_snapshot", "journal.end_unknown"):
            raise Broken(f"14: the start takes the journal for broken: {name} {fields}")
        if name in ("session.lost", "session.logged_on", "session.ended", "session.logged_out", "session.disconnect"):
            note(f"| {name} {fields.get('session', '')} {fields.get('reason', '')}")


class Doors:
    """Where clients connect, while the process is up."""

    world: World
    server: Server
    loop: Loop
    turn: EventLoopTurn
    settings: schema.Config
    pipes: list[Pipe]
    is_up: bool

    def open_doors(self) -> None:
        """Those of a new process."""
        self._events = EncodedEvents(self.server.instruments, self.server.sessions)

    def connect_fix(self, client: End) -> Pipe | None:
        """A connection to the FIX door."""
        return self._connect(client, self._fix)

    def connect_ws(self, client: End) -> Pipe | None:
        """A connection to the WebSocket door, its upgrade answered."""
        return self._connect(client, self._ws)

    @property
    def lets_in(self) -> bool:
        """Whether nothing keeps a client out."""
        return self.server.orders.queue.accepts_connections

    def _connect(self, client: End, door: Callable[[Pipe], None]) -> Pipe | None:
        if not self.is_up or self.server.orders.venue.draining:
            return None
        pipe = Pipe(self.world, self.loop, client)
        self.pipes.append(pipe)
        self.loop.hear(door, pipe)
        return pipe

    def _fix(self, pipe: Pipe) -> None:
        door = self.server.fix.door_of(self.settings.fix.listeners[0], self.loop, self.turn)  # type: ignore[arg-type]
        arrival = Arrival(door, None, "127.0.0.1", self.server.now_ns())  # type: ignore[arg-type]
        door.crowd.enter(arrival, arrival.peer_ip)
        pipe.transport.connect(door.make(arrival))

    def _ws(self, pipe: Pipe) -> None:
        server, settings = self.server, self.settings
        assert server.ws is not None
        assert settings.ws is not None
        connection = Connection(self.turn, self.loop, settings, server.ws.traffic)  # type: ignore[arg-type]
        challenge = f"challenge-{self.world.steps}"
        caller = ConnectionInfo(f"c-{self.world.steps}", challenge, "127.0.0.1", server.now_ns(), ignore, ignore)
        endpoint = WsEndpoint(server.services, settings.ws, self._events, connection, caller)
        connection.peer = endpoint
        pipe.transport.connect(connection)
        endpoint.opened(None, server.now_ns())
        connection.wake()


class Venue(Doors):
    """Where clients connect: a gateway that is up, or is not, over what the last one left on its disk."""

    def __init__(self, world: World, settings: schema.Config, policy: Policy, directory: Path, memory: Memory) -> None:
        self.world = world
        self.settings = settings
        self.spending = Spending(world, policy)
        self.store = SharedStore(world, self.spending)
        self.neighbour = Neighbour(world, self.store, policy, self.spending)
        self.on_recovered: Callable[[Server], None] = lambda _: None
        self.is_calm = False
        self.lives = 0
        self.began_off_ns = 0  # of the wall clock, when this gateway began
        self.pipes: list[Pipe] = []
        self.memory = memory
        self._parked: list[tuple[int, int]] = []  # sessions and numbers of orders that waited when the last one died
        self._policy = policy
        self._directory = directory
        self._home = directory / "0"
        self._home.mkdir()
        self.is_up = False
        self.start()

    def start(self) -> None:
        """A new process on what is there."""
        self.lives += 1
        self.began_off_ns = self.world.wall.offset_ns
        self.memory.is_short = False
        loop = self.loop = Loop(self.world)
        self.disk = Syncer.disk = Disk(self.world, self._home)
        Syncer.is_dead = staticmethod(lambda: loop.is_dead)
        try:
            self.server = Process(
                self, self.settings, self._home, wrap_core=self._far, limiting=self._limiting
            )  # fmt: skip
        except (JournalCorrupt, JournalFailed) as error:
            raise Broken(f"14: the gateway does not start: {error}") from error
        self.turn = self.server.wire(loop)  # type: ignore[arg-type]
        self.limits.limiter.connect(self.server.wake, self.spending.in_trouble, ignore)
        self.open_doors()
        self.is_up = True
        self.world.note(f"| gateway {self.lives} is up")
        self.turn.wake()
        loop.call_later(1, self._every_second, loop)
        promises.check_asked_for_again(self._parked, self.server)
        if self.lives > 1:
            self.on_recovered(self.server)

    def _far(self, core: MatchingCore) -> MatchingCore:
        assert isinstance(core, EmbeddedCore)
        return FarCore(self.world, self.loop, core, self)

    def _limiting(self, _: Any, __: Any, ___: Any, now_ns: Callable[[], int], ____: Any) -> Limits:
        node = f"n{self.lives}"
        self.limits = Limits(self.world, self.loop, self.store, self._policy, self.spending, node, now_ns)
        return self.limits

    def _every_second(self, loop: Loop) -> None:
        self.server.clock.look()
        self.server.look_after_journal()
        loop.call_later(1, self._every_second, loop)

    def core_delay_ns(self) -> int:
        """How long the core takes this time."""
        if self.is_calm:
            return 100_000
        if self.world.happens(0.01):
            self.world.fault("the core pauses")
            return self.world.between(500, 7_000)
        return self.world.between(0.05, 4)

    # -- how it ends ---------------------------------------------------------------------------------------------

    def die(self, why: str, is_power_loss: bool) -> None:
        """The process is gone, in the middle of whatever it did; another one starts after a while."""
        if not self.is_up:
            return
        self.world.fault(why)
        if self.world.happens(0.2):
            self.world.put_right(self.world.random.choice((-1, 1)) * self.world.between(60_000, 10_000_000))
        left = self._be_gone()
        self.disk.crash(left, is_power_loss)
        self._let_go()
        self._come_back_to(left)

    def die_while_orders_wait(self, is_power_loss: bool, patience: int = 2_000) -> None:
        """The process is gone in the moment in which an order waits for its tokens, if there is one soon."""
        if self.is_up and promises.parked(self.server):
            self.die("gone while orders wait for tokens", is_power_loss)
        elif patience:
            self.world.at(MS, self.die_while_orders_wait, is_power_loss, patience - 1)

    def failed(self, fields: dict[str, Any]) -> None:
        """The gateway ends itself."""
        self.loop.call_soon(self.die, "the gateway ended itself", True)

    def end(self) -> None:
        """SIGTERM: nothing is lost, and the next process starts where this one ended."""
        if self.is_up and not self.server.orders.venue.draining:
            self.world.fault("SIGTERM")
            limit_ns = self.server.begin_drain()
            self.loop.call_later(0.02, self._drained, limit_ns, False)

    def _drained(self, limit_ns: int, has_logged_out: bool) -> None:
        is_late = self.server.now_ns() >= limit_ns
        if not has_logged_out and (self.server.orders.is_idle or is_late):
            has_logged_out = True
            self.server.log_out_all()
        elif has_logged_out and (is_late or not self.server._open_connections()):
            self._stop()
            return
        self.loop.call_later(0.02, self._drained, limit_ns, has_logged_out)

    def _stop(self) -> None:
        self.turn.stop()
        try:
            self.server.recorder.close(is_clean=not self.server.orders.venue.reopen_at_ns)
        except JournalFailed:  # exit status 1; the next start finds no CLEAN, or what is behind it
            self.world.fault("the journal failed at the end")
        left = self._be_gone()
        self.disk.crash(left, is_power_loss=False)
        self._come_back_to(left)

    def _be_gone(self) -> Path:
        """Nothing of this process happens any more; where the next one will find its files."""
        self.is_up = False
        self.loop.is_dead = True
        self._parked = promises.parked(self.server)
        self.spending.gone(self.limits.limiter)
        return self._directory / str(self.lives)

    def _come_back_to(self, left: Path) -> None:
        """Clients learn in their time that it is gone; after a while another one starts on what is left."""
        self._home = left
        for pipe in self.pipes:
            pipe.hung_up(at_once=self.world.happens(0.5))
        self.pipes = []
        self.world.at(self.world.between(50, 1_500), self.start)

    def _let_go(self) -> None:
        journal: Any = self.server.journal
        journal._writer.release()
        journal._lock.release()

    def close(self) -> None:
        """The world ends."""
        self.loop.is_dead = True
        if self.is_up:
            self._let_go()
