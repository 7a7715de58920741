"""A gateway without sockets in this process, and ready orders for it: what benchmarks run.

A turn is what one tick of a busy gateway does: it reads from every session, runs the order path, commits the journal,
and writes to every session.
"""

from collections.abc import Callable
from pathlib import Path

from gateway.auth.authenticator import Client
from gateway.bench.venue import LIMITS
from gateway.clock import Clock
from gateway.config.load import load
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.logon import ConnectionInfo
from gateway.doors.ws.stream_cursor import EncodedEvents
from gateway.server import Server
from protocols.fix.decoder import Decoder
from tests.support.hooks import ignore
from tests.support.order_load import Door, Flow, fix_logon, fix_orders, load_toml, ws_orders
from tests.support.server import write_venue


def ready_orders(door: Door, n: int, count: int, flow: Flow, now_ns: int) -> list[bytes]:
    """The bytes of `count` orders of session n, as of now_ns UTC."""
    return fix_orders(n, count, flow, now_ns) if door == "fix" else ws_orders(n, count, flow)


class InProcessGateway:
    """A server, its logged-on endpoints, and `turns` rounds of `in_flight` orders from each of them."""

    def __init__(
        self,
        door: Door,
        flow: Flow,
        sessions: int,
        in_flight: int,
        orders: int,
        directory: Path,
        durability: str = "memory",
        clock: Clock | None = None,
    ) -> None:
        self.server = Server(
            load(write_venue(directory, load_toml(sessions, durability), LIMITS)), directory, clock=clock
        )
        self.turns = orders // (sessions * in_flight)
        self._door: Door = door
        self._orders_a_turn = in_flight * sessions
        self._turned = 0
        self._lines: list[tuple[FixEndpoint | WsEndpoint, list[bytes]]] = []
        for n in range(1, sessions + 1):
            ready = ready_orders(door, n, self.turns * in_flight, flow, self.server.now_ns())
            reads = [b"".join(ready[at : at + in_flight]) for at in range(0, len(ready), in_flight)]
            self._lines.append((_endpoint(self.server, door, n), reads))

    def turn(self, number: int, now: Callable[[], int]) -> None:
        """Every session's next orders in, and all their answers out."""
        server = self.server
        for endpoint, reads in self._lines:
            endpoint.receive(reads[number], now())
        now_ns = now()
        server.cancel_on_disconnect.tick(now_ns)
        server.orders.tick(now_ns)
        server.journal.commit(now_ns)
        for endpoint, _ in self._lines:
            while endpoint.has_output and endpoint.take_output(65_536):
                pass
            assert not endpoint.has_output, "more than a peer is given at once"
        self._turned += 1

    def accepted(self) -> int:
        """How many orders were given and accepted: all of them, or this is no measurement."""
        given = self._turned * self._orders_a_turn
        assert self.server.metrics.doors[self._door].orders_accepted == given, "not every order was accepted"
        return given


class _Link:
    """A connection that is asked for nothing."""

    has_ended = is_closing = False
    peer_ip = ""

    def wake(self) -> None:
        """A turn writes every endpoint's output."""

    def close(self) -> None:
        """Must not happen."""
        raise AssertionError("a session was closed")

    def pause_reading(self, now_ns: int) -> None:
        """The queue never fills: every turn is pumped at once."""

    def resume_reading(self, now_ns: int) -> None:
        """See above."""


def _endpoint(server: Server, door: Door, n: int) -> FixEndpoint | WsEndpoint:
    now_ns = server.now_ns()
    if door == "fix":
        endpoint = server.fix.endpoints[f"S{n}", "GATE"]
        logon = fix_logon(n, now_ns)
        endpoint.attach(_Link(), Decoder("FIX.4.4").decode(logon), endpoint.session.client, now_ns)
        endpoint.receive(logon, now_ns)
        return endpoint
    assert server.settings.ws is not None
    client = Client(n, f"A{n}", f"K{n}", frozenset({"trade", "read"}))
    events = EncodedEvents(server.instruments, server.sessions)
    caller = ConnectionInfo(f"c-{n}", "challenge", "127.0.0.1", now_ns, ignore, ignore)
    opened = WsEndpoint(server.services, server.settings.ws, events, _Link(), caller)
    opened.opened(client, now_ns)
    return opened
