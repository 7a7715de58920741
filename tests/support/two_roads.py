"""The same bytes into two whole gateways in virtual time: one takes runs of orders, the other each message by itself.

Both are the product's own wiring: doors, connections, turns, order path, limits, core. The general road is the oracle:
whatever a client, an operator or the next process could see must be equal. Runs are switched off in the second gateway
by what the product has anyway: a session machine without an `order_reader` hands out every message by itself.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.config import schema
from gateway.core.embedded import EmbeddedCore
from gateway.core.matching import EventSink, MatchingCore
from gateway.doors.connection import Connection
from gateway.doors.listening import Arrival
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.logon import ConnectionInfo
from gateway.doors.ws.stream_cursor import EncodedEvents
from gateway.journal import Journal
from gateway.orders.trading_modes import Modes
from gateway.server import Server
from gateway.telemetry.metrics import Histogram
from gateway.telemetry.tracing import OrderTrace
from limits.policy_parse import parse
from limits.reload import built_in
from protocols.messages import AnyCommand, OrderEvent, OrdStatus
from tests.simulate.world import MS, START_NS, Loop, World
from tests.support.hand_clock import HandClock
from tests.support.hooks import ignore

_NOT_COMPARED = {"log_lines_dropped", "journal_bytes"}  # of the test process, and of how records are packed
_HIGH_BYTES, _LOW_BYTES = 65_536, 16_384
_ONE_IN = 60  # traced orders
ALL = 1 << 20


class Socket:
    """The gateway's side of one connection, as `asyncio.Transport`; what it wrote is in `written`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.protocol: Any = None
        self.written = bytearray()
        self.is_gone = False
        self.is_stuck = False  # the client reads nothing
        self._untaken = 0
        self._is_blocked = self._is_read_paused = self._is_closing = False
        self._unread: list[bytes] = []

    # -- the client's side ---------------------------------------------------------------------------------------

    def connect(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        """One read, when the gateway reads."""
        self._unread.append(data)
        self._hand_in()

    def _hand_in(self) -> None:
        while self._unread and not (self._is_read_paused or self._is_closing):
            self.protocol.data_received(self._unread.pop(0))

    def read_on(self) -> None:
        """The client takes all."""
        self.is_stuck, self._untaken = False, 0
        if self._is_blocked:
            self._is_blocked = False
            if not self.is_gone:
                self.protocol.resume_writing()

    def lost(self) -> None:
        """The connection is over."""
        self._is_closing = True
        if not self.is_gone:
            self.is_gone = True
            self.protocol.connection_lost(None)

    # -- asyncio's side ------------------------------------------------------------------------------------------

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """They are as the gateway sets them."""

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return self._untaken

    def is_closing(self) -> bool:
        return self._is_closing

    def write(self, data: bytes) -> None:
        if self._is_closing:
            return
        self.written += data
        if self.is_stuck:
            self._untaken += len(data)
        if not self._is_blocked and self._untaken > _HIGH_BYTES:
            self._is_blocked = True
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self._is_read_paused = True

    def resume_reading(self) -> None:
        self._is_read_paused = False
        self._loop.call_soon(self._hand_in)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self.lost)

    abort = close


class Clock(HandClock):
    """The time of the world; `system_ns` is what the time of day is ahead of it."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def now_ns(self) -> int:
        return self._world.now_ns


class HeldCore:
    """The embedded core behind a link. at_once: how many commands it answers while they are handed over; others wait,
    and its credit shrinks. piece: so many commands, at most, are reported in one batch of events.
    """

    def __init__(self, inner: MatchingCore) -> None:
        assert isinstance(inner, EmbeddedCore)
        self.inner = inner
        self.at_once = self.piece = ALL
        self._handed: list[AnyCommand] = []

    @property
    def epoch(self) -> str:
        return self.inner.epoch

    @property
    def credit(self) -> int:
        return max(self.inner.credit - len(self._handed), 0)

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        if not self._handed and self.at_once == self.piece == ALL:
            self.inner.submit(commands, now_ns)
            return
        self._handed += commands
        self.answer(self.at_once, now_ns)

    def answer(self, most: int, now_ns: int) -> None:
        """Execute so many of those that were handed over, oldest first."""
        batch, self._handed = self._handed[:most], self._handed[most:]
        for begin in range(0, len(batch), self.piece):
            self.inner.submit(batch[begin : begin + self.piece], now_ns)

    def subscribe(self, sink: EventSink) -> None:
        self.inner.subscribe(sink)

    def latest_seq(self, account: int) -> int:
        return self.inner.latest_seq(account)

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        return self.inner.order_state(account, order_id, cl_ord_id)


class _Server(Server):
    """A server whose log is kept; a mistake of its own is raised."""

    def log(self, name: str, **fields: Any) -> None:
        self.__dict__.setdefault("lines", []).append((name, fields))


class Gateway:
    """One of the two. With `takes_runs` False, every message takes the general road."""

    def __init__(self, settings: schema.Config, directory: Path, takes_runs: bool, now_ns: int = START_NS) -> None:
        self._made_of = (settings, directory, takes_runs)
        self.world = World(0)
        self.world.now_ns = now_ns
        self.loop = Loop(self.world)
        self.clock = Clock(self.world)
        self.server = _Server(settings, directory, wrap_core=self._hold, clock=self.clock)
        self.turn = self.server.wire(self.loop)  # type: ignore[arg-type]
        self.sockets: dict[str, Socket] = {}
        self.traces: list[OrderTrace] = []
        self.server.tracing._sink = self.traces.append
        self.trace_one_in(_ONE_IN)
        self._events = EncodedEvents(self.server.instruments, self.server.sessions)
        self.runs = self.longest_run = 0
        self._takes_runs = takes_runs
        for endpoint in self.server.fix.endpoints.values():
            if not takes_runs:
                endpoint.machine.order_reader = None
        self._count_runs()

    def trace_one_in(self, orders: int) -> None:
        """One in so many is traced from now on, 0 = none."""
        tracing = self.server.tracing
        tracing.one_in = tracing._left = orders

    def kill(self) -> None:
        """The process is gone."""
        journal = self.server.journal
        assert isinstance(journal, Journal)
        self.loop.is_dead = True
        journal._writer.release()
        journal._lock.release()

    def next_life(self) -> "Gateway":
        """The process is killed; another one begins with what its journal has."""
        self.kill()
        return Gateway(*self._made_of, self.now_ns)

    def _hold(self, core: MatchingCore) -> MatchingCore:
        self.core = HeldCore(core)
        return self.core

    def _count_runs(self) -> None:
        """Runs that were handed over as a whole."""
        admission = self.server.orders.admission
        enter = admission.enter

        def counted(run: Any, now_ns: int) -> None:
            self.runs += 1
            self.longest_run = max(self.longest_run, len(run.commands))
            enter(run, now_ns)

        admission.enter = counted  # type: ignore[method-assign]

    @property
    def now_ns(self) -> int:
        return self.world.now_ns

    def connect_fix(self, name: str) -> None:
        settings = self.server.settings
        door = self.server.fix.door_of(settings.fix.listeners[0], self.loop, self.turn)  # type: ignore[arg-type]
        arrival = Arrival(door, None, "127.0.0.1", self.now_ns)  # type: ignore[arg-type]
        door.crowd.enter(arrival, arrival.peer_ip)
        self._connected(name).connect(door.make(arrival))

    def connect_ws(self, name: str) -> None:
        server, settings = self.server, self.server.settings
        assert server.ws is not None
        assert settings.ws is not None
        connection = Connection(self.turn, self.loop, settings, server.ws.traffic)  # type: ignore[arg-type]
        caller = ConnectionInfo(f"c-{name}", "challenge", "127.0.0.1", self.now_ns, ignore, ignore)
        endpoint = WsEndpoint(server.services, settings.ws, self._events, connection, caller)
        if not self._takes_runs:
            endpoint.machine.order_reader = None
        connection.peer = endpoint
        self._connected(name).connect(connection)
        endpoint.opened(None, self.now_ns)
        connection.wake()

    def _connected(self, name: str) -> Socket:
        socket = self.sockets[name] = Socket(self.loop)
        return socket

    def apply_limits(self, text: str) -> None:
        policy = parse(text, built_in()).policy
        assert policy is not None
        self.server.limiter.apply(policy, self.now_ns)
        self.server._on_limits()

    # -- what can be seen of it ------------------------------------------------------------------------------------

    @property
    def state(self) -> dict[str, object]:
        """Whatever a client, an operator or a later process could find out, by name."""
        server, now_ns = self.server, self.now_ns
        orders, charging, sessions = server.orders, server.orders.admission._charging, server.sessions
        machines = {key[0]: endpoint.machine for key, endpoint in server.fix.endpoints.items()}
        each = sorted(sessions.by_id.items())
        streams = {session.account.id: session.account for _, session in each if session.account is not None}
        return {
            "numbers": {name: (machine.store.next_in, machine.store.next_out) for name, machine in machines.items()},
            "stored": {name: list(machine.store.read(1, 1 << 20)) for name, machine in machines.items()},
            "states": {name: machine.state for name, machine in machines.items()},
            "counters": {number: session.sender for number, session in each},
            "paused": {number: session._paused for number, session in each},
            "limits": {number: server.limiter.view(session.path, now_ns) for number, session in each},
            "admitted": {name: str(counts) for name, counts in server.limiter.counts.items()},
            "open orders": {account: dict(counts) for account, counts in charging._open._counts.items()},
            "owned": charging._owned,
            "queue": (orders.queue.commands, orders.queue.size_bytes, orders.queue.stage, orders.queue.since_ns),
            "unanswered": {each.command.cmd_id: each.state for each in orders.core_link.requests()},
            "runs left": len(orders.core_link.runs),
            "book": self.core.inner.engine.snapshot(),
            "streams": {number: stream.replay(1, 1 << 40) for number, stream in streams.items()},
            "reported": {number: stream.reported_seq for number, stream in streams.items()},
            "metrics": dict(self._metrics()),
            "traces": [_steps(trace) for trace in self.traces],
            "log": server.__dict__.get("lines", []),
            "idle": orders.is_idle,
        }

    def _metrics(self) -> list[tuple[object, object]]:
        return [
            ((metric.name, labels), (value.counts, value.sum_ns) if isinstance(value, Histogram) else value)
            for metric, labels, value in self.server.metrics.samples()
            if metric.name not in _NOT_COMPARED
        ]


def _steps(trace: OrderTrace) -> tuple[object, ...]:
    """Its steps have the process's own times: only that they were taken is equal."""
    taken = (trace.t_limited, trace.t_queued, trace.t_core_start, trace.t_core_end, trace.t_out)
    return trace.t_recv, trace.door, trace.session, *(time_ns > 0 for time_ns in taken), trace.attributes


class TwoRoads:
    """Both gateways; whatever is done is done to both, at the same time, and then they are compared."""

    def __init__(self, settings: schema.Config, directory: Path) -> None:
        homes = [directory / name for name in ("runs", "singles")]
        for home in homes:
            home.mkdir()
        self.quick, self.general = (Gateway(settings, home, home.name == "runs") for home in homes)

    @property
    def both(self) -> tuple[Gateway, Gateway]:
        return self.quick, self.general

    def do(self, act: Callable[[Gateway], object]) -> None:
        """The same to both."""
        for gateway in self.both:
            act(gateway)

    def restart(self) -> None:
        """Both processes are killed, and others begin with what was recorded."""
        self.quick, self.general = (gateway.next_life() for gateway in self.both)

    def feed(self, name: str, data: bytes) -> None:
        """One read of this client's connection."""
        self.do(lambda gateway: gateway.sockets[name].feed(data))

    def pass_time(self, ms: float = 0) -> None:
        """So much time goes by; then what both have written until now is equal."""
        self.do(lambda gateway: gateway.world.run(int(ms * MS)))
        self.check_output()

    def is_open(self, name: str) -> bool:
        """Whether the client is connected."""
        socket = self.quick.sockets.get(name)
        return socket is not None and not (socket.is_gone or socket.is_closing())

    def set_modes(self, modes: Modes) -> None:
        self.do(lambda gateway: gateway.server.orders.venue.change(modes, gateway.now_ns))

    def check_output(self) -> None:
        for name, quick in self.quick.sockets.items():
            general = self.general.sockets[name]
            if quick.written != general.written:
                raise AssertionError(_difference(name, bytes(quick.written), bytes(general.written)))
            assert quick.is_gone == general.is_gone, f"{name}: only one of both connections has ended"

    def check(self) -> None:
        """Both are in the same state."""
        self.check_output()
        quick, general = self.quick.state, self.general.state
        for part, value in quick.items():
            if value != general[part]:
                raise AssertionError(f"{part}, with runs and without:\n{_unequal(value, general[part])}")


def _unequal(quick: object, general: object) -> str:
    """Of mappings and lists only what differs."""
    if isinstance(quick, dict) and isinstance(general, dict):
        keys = [key for key in {**quick, **general} if quick.get(key) != general.get(key)]
        return "\n".join(f"{key}: {_unequal(quick.get(key), general.get(key))}" for key in keys)
    if isinstance(quick, list) and isinstance(general, list):
        pairs = zip(quick, general, strict=False)
        first = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(quick), len(general)))
        return f"from number {first}\n  {quick[first : first + 1]}\n  {general[first : first + 1]}"
    return f"\n  {quick!r}\n  {general!r}"


def _difference(name: str, quick: bytes, general: bytes) -> str:
    """The first message that differs, in pipe notation."""
    same = next((at for at, (one, other) in enumerate(zip(quick, general, strict=False)) if one != other), None)
    same = min(len(quick), len(general)) if same is None else same
    begin = max(general.rfind(b"8=FIX", 0, same), general.rfind(b"\x81", 0, same), 0)
    texts = (data[begin : begin + 700].decode("latin-1").replace("\x01", "|") for data in (quick, general))
    return f"{name} reads with runs, and without:\n  " + "\n  ".join(texts)
