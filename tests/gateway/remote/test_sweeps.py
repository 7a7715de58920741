"""A mass cancel at one gateway and an order that waits at another: the core compares when they arrived.

Each line: when it is executed, by which gateway, what, and when it arrived there.
"""

import msgspec
import pytest

from gateway.core.engine import Engine
from gateway.remote.host import CoreHost
from gateway.remote.keys import Keys
from gateway.remote.wire import decode_events, encode_commands
from protocols.messages import COD_EXEMPT, Lane, MassCancel, NewOrder, OrdType, Origin, Side, Tif, pack_cmd_id
from tests.support.venue import INSTRUMENTS

ACCOUNT, S, OTHER = 1, 10, 11


class Venue:
    """A core that two gateways hand over to."""

    def __init__(self):
        self.host = self._new()
        self.n = 0
        self.take("a", b"configure", b'{"instruments":[1,2],"dedupe_ids":100}', 1)
        for node in "ab":
            self.take(node, b"hello", b'{"accounts":[1],"sessions":[]}', 1)

    def _new(self):
        return CoreHost(Engine(INSTRUMENTS, 100, ""), Keys("t"), 100)

    def restart(self):
        taking = self.host.begin_snapshot()
        while taking.advance():
            pass
        self.host = self._new()
        self.host.restore(taking.whole())

    def take(self, node, field, data, at_ms):
        self.n += 1
        return self.host.take((at_ms, self.n), {b"node": node.encode(), field: data})

    def run(self, node, command, at_ms):
        rows = self.take(node, b"m", encode_commands([command], "msgpack"), at_ms)
        told = next(row for row in rows if row.key.endswith(f"node:{node}"))
        return decode_events(dict(told.fields)["m"], "msgpack")

    def new(self, node, name, arrived_ms, at_ms, **terms):
        self.n += 1
        order = NewOrder(
            pack_cmd_id(terms.get("session", S), Lane.ORDER, self.n), ACCOUNT, S, Origin.FIX, arrived_ms, 0, name, 1,
            Side.BUY, OrdType.LIMIT, Tif.GTC, 1, 1,
        )  # fmt: skip
        event = self.run(node, msgspec.structs.replace(order, **terms), at_ms)[0]
        return event.code or "placed"

    def sweep(self, node, arrived_ms, at_ms, **scope):
        self.n += 1
        command = MassCancel(
            pack_cmd_id(OTHER, Lane.CONTROL, self.n), ACCOUNT, OTHER, Origin.FIX, arrived_ms, 0, cl_ord_id="",
            **{"instrument": 0, "only_session": False, "keep_exempt": False, **scope},
        )  # fmt: skip
        return self.run(node, command, at_ms)[-1].affected


@pytest.fixture
def venue():
    return Venue()


def test_an_order_that_waited_elsewhere_when_the_mass_cancel_arrived_is_withdrawn(venue):
    assert venue.new("b", "early", arrived_ms=100, at_ms=150) == "placed"
    assert venue.sweep("a", arrived_ms=200, at_ms=210) == 1
    assert venue.new("b", "waited", arrived_ms=199, at_ms=300) == 5006
    assert venue.new("b", "after", arrived_ms=200, at_ms=300) == "placed"


def test_its_own_gateway_has_withdrawn_what_waited_there(venue):
    """There one clock and one queue decide: what is handed over after it arrived after it, or is meant to live."""
    venue.sweep("a", arrived_ms=200, at_ms=210)
    assert venue.new("a", "own", arrived_ms=100, at_ms=300) == "placed"


@pytest.mark.parametrize(
    ("scope", "terms"),
    [
        ({"instrument": 2}, {}),
        ({"side": Side.SELL}, {}),
        ({"only_session": True}, {}),
        ({"keep_exempt": True}, {"flags": COD_EXEMPT}),
    ],
)
def test_only_what_it_means_is_withdrawn(venue, scope, terms):
    venue.sweep("a", arrived_ms=200, at_ms=210, **scope)
    assert venue.new("b", "waited", arrived_ms=100, at_ms=300, **terms) == "placed"


def test_it_bars_for_as_long_as_an_order_may_wait_and_no_longer(venue):
    venue.sweep("a", arrived_ms=200, at_ms=210)
    assert venue.new("b", "one", arrived_ms=100, at_ms=10_209) == 5006
    assert venue.new("b", "two", arrived_ms=100, at_ms=10_210) == "placed"


def test_a_core_that_starts_from_a_snapshot_bars_it_too(venue):
    venue.sweep("a", arrived_ms=200, at_ms=210)
    venue.restart()
    assert venue.new("b", "waited", arrived_ms=100, at_ms=300) == 5006


def test_of_many_mass_cancels_the_latest_are_known(venue):
    for n in range(40):
        venue.sweep("a", arrived_ms=200 + n, at_ms=300)
    assert len(venue.host._sweeps.rows()) == 16
    assert venue.new("b", "waited", arrived_ms=238, at_ms=300) == 5006
