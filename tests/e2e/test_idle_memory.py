"""What a session costs that is logged on and silent: there may be thousands.

Module: doors.connection. What nobody has connected to costs: tests/gateway/sessions/test_memory.py. Counted is what the
gateway's own lines have allocated; sockets and transports belong to the event loop.
"""

import gc
import tracemalloc

import pytest

from gateway.bench.flow import Flow, Market
from gateway.bench.load import Door, connect
from gateway.bench.session import LoadSession, Tally
from gateway.bench.venue import CODE, KEY, LIMITS, venue_toml
from gateway.bench.wires import FixWire, Identity, Wire, WsWire
from tests.support.server import running

WARM, COUNT = 20, 120  # the first ones fill tables that all sessions share
OURS = [tracemalloc.Filter(True, f"{CODE}/{package}/*") for package in ("gateway", "limits", "protocols")]
NOT_OURS = [tracemalloc.Filter(False, pattern) for pattern in (f"{CODE}/gateway/bench/*", tracemalloc.__file__)]


def held() -> int:
    """Bytes that lines of the gateway have allocated and that are still in use."""
    gc.collect()
    taken = tracemalloc.take_snapshot().filter_traces(OURS).filter_traces(NOT_OURS)
    return sum(trace.size for trace in taken.traces)


@pytest.mark.parametrize(
    ("door", "wire", "most"), [("ws", WsWire(Identity(key=KEY)), 7_500), ("fix", FixWire(Identity()), 2_200)]
)
async def test_a_session_that_is_logged_on_and_silent_takes_a_few_kilobytes(door: str, wire: Wire, most: int) -> None:
    async with running(venue_toml(COUNT, "memory"), limits=LIMITS) as server:
        way, tally = Door(wire, "127.0.0.1", server.ports[door]), Tally()
        sessions = [LoadSession(wire, number, Flow(Market()), tally, "") for number in range(1, COUNT + 1)]
        try:
            await connect(way, sessions[:WARM])
            tracemalloc.start()
            before = held()
            await connect(way, sessions[WARM:])
            each = (held() - before) / (COUNT - WARM)
        finally:
            tracemalloc.stop()
            for session in sessions:
                session.close()
    assert each < most
