"""What a session's reader remembers is bounded, in number and in bytes, whatever its client sends.

That it reads each order as the general road does is checked in whole gateways: `tests/gateway/test_two_roads.py`.
Modules: fix.order_reader, fix.order_shape, fix.run_report.
"""

import tracemalloc
from itertools import permutations

import pytest

from gateway.memory_bounds import _KIND_BYTES, _WORDING_BYTES
from protocols.errors import ENGINE_BUSY, ENGINE_TIMEOUT, RATE_LIMITED, Refusal
from protocols.fix import order_shape
from protocols.fix.commands import Commands, request_of
from protocols.fix.decoder import Decoder
from protocols.fix.events import AppMessage
from protocols.fix.message import encode
from protocols.fix.order_reader import _MAX_SIGHTS, MAX_KINDS, MAX_SHAPES, SIGHTS_TO_LEARN, OrderReader
from protocols.fix.run_report import MAX_WORDINGS
from protocols.fix.times import format_ns, parse_ns
from protocols.fix.translate import Translator
from protocols.instruments import Instrument, Instruments
from protocols.known_numbers import KnownNumbers
from protocols.messages import ExecType, OrderEvent, OrdStatus, OrdType, Origin, Sender, Side, Tif

NOW_NS = parse_ns("20261122-12:00:00")
INSTRUMENTS = Instruments(
    tuple(Instrument(number, f"I{number}", "A", "B", px_exp=2, qty_exp=4) for number in range(1, MAX_WORDINGS * 2))
)
ORDER = "11=o-1|38=1|40=2|44=100.00|54=1|55=I1|59=1|60=20261122-12:00:00|"


class Room:
    """A reader, and the general road that teaches it."""

    def __init__(self):
        self.known = KnownNumbers()
        self.reader = OrderReader("FIX.4.4", INSTRUMENTS, self.known, 10**12, 0, 60_000)
        self._decoder, self._commands = Decoder("FIX.4.4"), Commands(INSTRUMENTS, 60_000)
        self._sender = Sender(1, 1, Origin.FIX)

    def frame(self, body, seq_num=1):
        head = f"35=D\x0134={seq_num}\x0149=C\x0152={format_ns(NOW_NS)}\x0156=G\x01"
        return encode("FIX.4.4", head + body.replace("|", "\x01"))

    def learn(self, body):
        frame = self.frame(body)
        message = self._decoder.decode(frame)
        assert message.fault is None, message.fault
        taken = AppMessage("D", 1, message.fields, message.groups, False, False, NOW_NS, len(frame))
        self.reader.learn(taken, self._commands.make(taken, self._sender, NOW_NS))

    def reads(self, *bodies):
        """How many of these, which come in one read, are of one run."""
        data = b"".join(self.frame(body, seq_num) for seq_num, body in enumerate(bodies, 1))
        run = self.reader.read(data, data.decode(), 0, 1, NOW_NS)
        return len(run.orders) if run is not None else 0

    def teach(self, body):
        for _ in range(SIGHTS_TO_LEARN):
            self.learn(body)


@pytest.fixture
def room():
    return Room()


def test_orders_are_read_by_the_run_once_some_were_accepted(room):
    for _ in range(SIGHTS_TO_LEARN):
        assert not room.reads(ORDER)
        room.learn(ORDER)
    assert room.reads(ORDER, ORDER.replace("11=o-1", "11=o-2").replace("44=100.00", "44=99.5")) == 2


def test_kinds_are_bounded_and_learned_again(room):
    room.teach(ORDER)
    for number in range(2, MAX_KINDS * 2):
        room.learn(ORDER.replace("55=I1|", f"55=I{number}|"))
        assert len(room.reader._kinds) <= MAX_KINDS
    assert room.reads(ORDER.replace("55=I1|", f"55=I{number}|"))
    assert not room.reads(ORDER)
    room.learn(ORDER)
    assert room.reads(ORDER)


def test_the_kinds_of_long_orders_are_not_kept(room):
    """They are never read by the run, and 256 of them with texts of 60,000 bytes would be 15 MB a session."""
    room.teach(ORDER + f"58={'x' * 600}|")
    assert not room.reader._kinds


def test_what_one_session_keeps_of_orders_is_what_the_bound_of_memory_says(room):
    room.teach(ORDER + "58=x|")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(MAX_KINDS - 1):
        room.learn(ORDER + f"58={number:0280}|")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(room.reader._kinds) == MAX_KINDS
    assert after - before < MAX_KINDS * _KIND_BYTES


def test_only_a_few_shapes_are_compiled_for_a_session(room, monkeypatch):
    """Compiling takes a millisecond, so it is done once a shape, and no client has many."""
    compiled = []
    real = order_shape.OrderShape
    monkeypatch.setattr(order_shape, "OrderShape", lambda *shape: compiled.append(shape) or real(*shape))
    order_shape.order_shape.cache_clear()
    fields = ORDER.strip("|").split("|")
    orders = ["|".join((*fields[at:], *fields[:at], "")) for at in range(len(fields))]
    for _ in range(20):
        for order in orders:
            room.learn(order)
        order_shape.order_shape.cache_clear()  # as when other sessions have filled what is shared
    assert len(compiled) == MAX_SHAPES == len(room.reader._shapes)
    assert [bool(room.reads(order)) for order in orders].count(True) == MAX_SHAPES


def test_shapes_that_are_seen_seldom_do_not_crowd_out_one_that_is_known(room):
    room.teach(ORDER)
    for fields in permutations(ORDER.strip("|").split("|"), 8):
        if fields[0] != "60=20261122-12:00:00" and fields[7] == "11=o-1" and fields[6] == "38=1":
            room.learn("|".join((*fields, "")))
    room.teach(ORDER)
    assert len(room.reader._shapes) == 1
    assert len(room.reader._sights) <= _MAX_SIGHTS
    assert room.reads(ORDER)


def test_a_new_connection_learns_anew(room):
    room.teach(ORDER)
    room.reader.forget()
    assert not room.reader.is_ready
    room.teach(ORDER)
    assert room.reads(ORDER)


def test_prices_that_never_repeat_are_still_read_by_the_run_and_bounded(room):
    room.teach(ORDER)
    prices = [ORDER.replace("44=100.00", f"44={cents / 100:.2f}") for cents in range(1, 501)]
    assert room.reads(*prices) == len(prices)
    assert room.known.count == len(prices) + 1


def report_of(instrument, tag=""):
    """The event of a new order."""
    return OrderEvent(
        1, 1, 1, NOW_NS, 1, ExecType.NEW, OrdStatus.NEW, 1, "o-1", instrument, Side.BUY, OrdType.LIMIT, Tif.GTC, 10_000,
        0, 10_000, 0, 100_00, tag=tag,
    )  # fmt: skip


def test_what_reports_have_in_common_is_bounded_as_the_bound_of_memory_says():
    reports = Translator("FIX.4.4", "penstock", INSTRUMENTS, "order", 60_000, "ACME")
    events = [report_of(number, f"{number:064}") for number in range(1, MAX_WORDINGS * 2)]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for event in events:
        reports.reports([event], NOW_NS, ("35=8\x0134=", ["1"], "\x01"))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(reports._run_reports._wordings) <= MAX_WORDINGS
    assert len(reports._run_reports._tags) <= MAX_WORDINGS
    assert after - before < MAX_WORDINGS * _WORDING_BYTES


@pytest.mark.parametrize("code", [RATE_LIMITED, ENGINE_BUSY, ENGINE_TIMEOUT])
@pytest.mark.parametrize("throttle_reject", ["order", "business"])
@pytest.mark.parametrize("more", ["", "1=ACC|", "526=grid-7|"])
def test_an_order_of_a_run_is_refused_as_the_message_that_it_came_in(room, code, throttle_reject, more):
    body = ORDER.replace("55=I1|", f"55=I1|{more}")
    room.teach(body)
    frames = [room.frame(body, 1), room.frame(body.replace("11=o-1", "11=o-2").replace("38=1|", "38=1.50|"), 2)]
    data = b"".join(frames)
    run = room.reader.read(data, data.decode(), 0, 1, NOW_NS)
    fields = Decoder("FIX.4.4").decode(frames[1]).fields
    decoded = AppMessage("D", 2, fields, None, False, False, NOW_NS, len(frames[1]))
    translator = Translator("FIX.4.4", "penstock", INSTRUMENTS, account="ACC", throttle_reject=throttle_reject)
    refusal = Refusal(code, "why", 5)
    made = request_of(run, 1, "ACC")
    assert translator.refusal(made, refusal, NOW_NS, "R-1") == translator.refusal(decoded, refusal, NOW_NS, "R-1")
    assert (made.seq_num, made.size_bytes) == (decoded.seq_num, decoded.size_bytes)
