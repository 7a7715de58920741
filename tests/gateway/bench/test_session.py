"""A load session over a transport of the test: what it counts, and which order an answer belongs to."""

import asyncio

import pytest

from gateway.bench.failed import BenchFailed
from gateway.bench.flow import Flow, Market
from gateway.bench.session import LoadSession, Tally
from gateway.bench.venue import KEY
from gateway.bench.wires import FixWire, Identity, Wire, WsWire

FOREVER_NS = 1 << 62


class Written(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def abort(self) -> None:
        self.is_aborted = True


def connected(wire: Wire) -> tuple[LoadSession, Written, Tally]:
    """A session that has sent its logon, in a run that measures from the start."""
    tally = Tally()
    tally.end_ns, tally.is_open = FOREVER_NS, True
    session, transport = LoadSession(wire, 1, Flow(Market()), tally, "gate:1"), Written()
    session.connection_made(transport)
    return session, transport, tally


def fix(text: str) -> bytes:
    return f"8=FIX.4.4|9=5|{text}|10=000|".replace("|", "\x01").encode()


LOGON = fix("35=A|34=1")


def accepted(n: int) -> bytes:
    return fix(f"35=8|11=b-1-{n}|150=0|39=0")


def refused(n: int) -> bytes:
    return fix(f"35=8|11=b-1-{n}|150=8|39=8|25016=3001")


async def test_answers_are_counted_wherever_a_read_ends() -> None:
    session, _, tally = connected(FixWire(Identity()))
    answered = []
    session.on_answers = lambda _, count: answered.append(count)
    stream = LOGON + accepted(1) + accepted(2) + accepted(3)
    session.send_now(3)
    for at in range(0, len(stream), 7):
        session.data_received(stream[at : at + 7])
    assert (tally.accepted, sum(answered), session.unanswered, tally.latencies.total) == (3, 3, 0, 3)


async def test_a_refusal_that_overtakes_takes_its_own_order_away() -> None:
    session, _, tally = connected(FixWire(Identity()))
    session.data_received(LOGON)
    session.send([10, 20, 30, 40])
    session.data_received(refused(3) + refused(2))
    assert session.unanswered == 2
    session.data_received(accepted(1))
    session.data_received(accepted(4))
    assert session.unanswered == 0
    assert (tally.accepted, tally.latencies.total, dict(tally.refusals)) == (2, 2, {"3001": 2})


async def test_only_orders_that_were_due_in_the_window_have_a_latency() -> None:
    session, _, tally = connected(FixWire(Identity()))
    tally.begin_ns, tally.end_ns = 20, 40
    session.data_received(LOGON)
    session.send([10, 20, 39, 40])
    session.data_received(b"".join(map(accepted, (1, 2, 3, 4))))
    assert (tally.accepted, tally.latencies.total) == (4, 2)


async def test_a_websocket_session_reads_the_answer_to_its_upgrade_and_pongs() -> None:
    session, transport, tally = connected(WsWire(Identity(key=KEY)))
    session.data_received(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r")
    assert not session.ready.done()
    session.data_received(b'\n\x81\x0f{"ev":"hello",}')
    assert session.ready.done()
    session.send_now(1)
    answer = b'{"id":1,"status":200,"t":{}}'
    session.data_received(b"\x89\x00\x81%c%b" % (len(answer), answer))
    assert tally.accepted == 1
    assert transport.parts[-1].startswith(b"\x8a\x80")


@pytest.mark.parametrize(
    ("wire", "said", "expected"),
    [
        (FixWire(Identity()), fix("35=5|34=1|58=drained"), "gate:1: session 1: .* before the logon: drained. Check"),
        (FixWire(Identity()), b"", "without a word"),
        (WsWire(Identity(key=KEY)), b"HTTP/1.1 401 Unauthorized\r\n\r\n", "the upgrade was refused: HTTP/1.1 401"),
    ],
)
async def test_a_logon_that_fails_says_where_and_why(wire: Wire, said: bytes, expected: str) -> None:
    session, _, _ = connected(wire)
    if said:
        session.data_received(said)
    session.connection_lost(None)
    with pytest.raises(BenchFailed, match=expected):
        await session.ready


async def test_a_connection_that_ends_during_the_run_fails_it_but_not_one_that_the_client_ends() -> None:
    session, transport, tally = connected(FixWire(Identity()))
    session.data_received(LOGON)
    session.close()
    session.connection_lost(None)
    assert transport.is_aborted
    assert not tally.failure.done()
    other, _, tally = connected(FixWire(Identity()))
    other.data_received(LOGON)
    other.connection_lost(None)
    with pytest.raises(BenchFailed, match="during the run"):
        await tally.failure
