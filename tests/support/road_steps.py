"""A venue for `two_roads`, and what its clients and operators do there: steps, of which a script is made by chance.

A step is a tuple of a word and small numbers, so that a failing script shrinks to a few of them.
"""

from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import Literal

from hypothesis import strategies as st

from gateway.config import schema
from gateway.journal import JournalSettings
from gateway.orders.trading_modes import ModeChange, Modes
from tests.support.fix_room import BTC, session
from tests.support.order_path import Recording
from tests.support.road_clients import KINDS, MS, OTHERS, TWISTS, FixClient, Say, WsClient
from tests.support.two_roads import ALL, TwoRoads
from tests.support.ws_room import key

ETH = schema.InstrumentRow(
    id=2, symbol="ETH-USDT", base="ETH", quote="USDT", px_exp=3, qty_exp=2, tick="0.05", lot="1", min_qty="1",
    max_qty="3000", min_notional="100.04", max_notional="300000", band_low="99", band_high="101",
)  # fmt: skip
DAY = schema.InstrumentRow(
    id=3, symbol="DAY-USD", base="DAY", quote="USD", px_exp=2, qty_exp=0, tick="0.01", lot="1", session_bound=True
)
FIX = (
    ("A1", "FIX.4.4", "ACME", {"cancel_on_disconnect": "S"}),
    ("A2", "FIX.4.2", "ACME", {"dialect": "plain", "response_mode": 1}),
    ("B1", "FIX.4.4", "OTHER", {"dialect": "plain", "recv_window_ms": 150}),
    ("B2", "FIXT.1.1", "OTHER", {"throttle_reject": "business", "response_mode": 1}),
    ("B3", "FIX.4.4", "OTHER", {"instruments": ("BTC-USDT", "DAY-USD"), "pending_new": False}),
    ("P1", "FIX.4.4", "ACME", {"pending_new": True}),
    ("P2", "FIX.4.4", "OTHER", {"last_msg_seq_num_processed": True}),
    ("D1", "FIX.4.4", "ACME", {"kind": "drop_copy"}),
)
WS = (("W1", "ACME"), ("W2", "OTHER"))
PLAN = """
version = {version}
[plans.open]
orders = {{ rate = "{rate}/s", burst = {burst}{mode} }}
{each}
cancels = {{ rate = "50/s", burst = 30 }}
queries = {{ rate = "50/s", burst = 10 }}
msgs = {{ rate = "{msgs}/s", burst = {msgs} }}
logons = {{ rate = "1000/s", burst = 1000 }}
open_orders = {{ account = {open}, instrument = {open} }}
[assign]
default = "open"
{more}
"""
ROOMY = {"rate": 90_000, "burst": 90_000, "msgs": 90_000, "open": 9_000, "mode": "", "each": "", "more": ""}
PLANS = tuple(
    {**ROOMY, **more}
    for more in (
        {},
        {"rate": 20, "burst": 40},
        {"msgs": 45},
        {"open": 45},
        {"rate": 20, "burst": 20, "mode": ', mode = "shadow"'},
        {"each": 'orders_per_instrument = { rate = "30/s", burst = 45 }'},
        {
            "rate": 20,
            "burst": 45,
            "more": '[penalty]\nstrikes = 4\nwindow_s = 1\ncooldown_s = 1\ndisconnect_over = "4x"',
        },
    )
)
SELLS = frozenset(number for number, (side, _, _) in enumerate(KINDS) if side == "2")
MODES = (
    Modes(),
    Modes().apply(ModeChange("venue", "", "halted", "why", "kim", 0)),
    Modes().apply(ModeChange("account", "ACME", "cancel_only", "why", "kim", 0)),
    Modes().apply(ModeChange("session", "OTHER/B1", "halted", "why", "kim", 0)),
    Modes().apply(ModeChange("instrument", "ETH-USDT", "halted", "why", "kim", 0, instrument=2)),
)


class Traffic:
    """Both gateways with their clients, all logged on, and plain orders of each kind accepted of each."""

    def __init__(
        self,
        directory: Path,
        window: int = 256,
        most: int = 8_192,
        plan: int = 0,
        is_heard: bool = True,
        durability: Literal["memory", "process"] = "memory",
    ) -> None:
        """window: of the core. most: commands in the queue. is_heard: WebSocket clients read all of their account."""
        rows = tuple(
            session(number, name, **{"account": account, "version": version, **more})
            for number, (name, version, account, more) in enumerate(FIX, 1)
        )
        config = schema.Config(
            fix=schema.Fix(sessions=rows, listeners=(schema.FixListener(port=1, insecure=True),)),
            ws=schema.Ws(),
            accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
            keys=(key("ACME"), key("OTHER")),
            instruments=(BTC, ETH, DAY),
            limits=schema.Limits(file=""),
            core=schema.Core(window=window),
            ingress=schema.Ingress(max_commands=most),
            journal=JournalSettings(durability=durability, segment_bytes=1 << 20),
        )
        self.roads = TwoRoads(config, directory)
        self.clients: list[FixClient | WsClient] = [
            *(
                FixClient(self.roads, name, version, "|9406=Y" if "kind" in more else "")
                for name, version, _, more in FIX
            ),
            *(WsClient(self.roads, name, account, is_heard) for name, account in WS),
        ]
        self._version = 10
        self.limit(0)
        for client in self.clients:
            client.log_on(True)
        self.roads.pass_time(1)
        for number, client in enumerate(self.clients):
            # Each session has other shapes, as there are more of them than it may have.
            rest = deque(range(1, len(KINDS)))
            rest.rotate(-3 * number)
            for kind in (0, *rest) * 3:
                self.roads.feed(client.name, client.bytes_of(Say(kind=kind, price=9 if kind in SELLS else -9, qty=2)))
            self.roads.pass_time(1)
        self.limit(plan)

    def limit(self, plan: int) -> None:
        self._version += 1
        text = PLAN.format(version=self._version, **PLANS[plan])
        self.roads.do(lambda gateway: gateway.apply_limits(text))

    def play(self, *steps: tuple) -> None:
        """These steps in one moment: before the turn in which the gateways act on them."""
        for step in steps:
            getattr(self, f"_{step[0]}")(*step[1:])
        self.roads.pass_time(0.01)

    def _client(self, which: int):
        return self.clients[which % len(self.clients)]

    def _bursts(self, bursts) -> None:
        """Each client sends some messages in one piece, or in pieces cut in these places; nobody waits for answers."""
        for which, says, cuts in bursts:
            client = self._client(which)
            if not self.roads.is_open(client.name):
                continue
            data = b"".join(client.bytes_of(say) for say in says)
            places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
            for begin, end in pairwise(places):
                if begin < end:
                    self.roads.feed(client.name, data[begin:end])

    def _wait(self, ms) -> None:
        self.roads.pass_time(ms)

    def _mode(self, which) -> None:
        self.roads.set_modes(MODES[which])

    def _limit(self, plan) -> None:
        self.limit(plan)

    def _hold(self, at_once) -> None:
        """How many orders the core answers while it takes them."""
        self.roads.do(lambda gateway: setattr(gateway.core, "at_once", at_once))
        if at_once == ALL:
            self._answer(ALL)

    def _piece(self, piece) -> None:
        """How many orders the core reports together."""
        self.roads.do(lambda gateway: setattr(gateway.core, "piece", piece))

    def _answer(self, most) -> None:
        self.roads.do(lambda gateway: gateway.core.answer(most, gateway.now_ns))
        self.roads.do(lambda gateway: gateway.server.wake())

    def _leave(self, which) -> None:
        name = self._client(which).name
        if self.roads.is_open(name):
            self.roads.do(lambda gateway: gateway.sockets[name].lost())

    def _return(self, which, resets) -> None:
        client = self._client(which)
        if not self.roads.is_open(client.name):
            client.log_on(resets)

    def _revive(self, which) -> None:
        """Whoever was logged out, or has lost count, comes back with new numbers."""
        client = self._client(which)
        is_well = self.roads.is_open(client.name)
        if is_well and isinstance(client, FixClient):
            machine = self.roads.quick.server.fix.endpoints[client.name, "GATE"].machine
            is_well = machine.is_logged_on and machine.store.next_in == client.seq + 1
        if not is_well:
            self.play(("leave", which))
            self.play(("return", which, True))

    def _again(self, which) -> None:
        """Another connection beside the one that it has: a takeover, or refused."""
        self._client(which).log_on(False)

    def _stick(self, which, is_stuck) -> None:
        name = self._client(which).name
        self.roads.do(
            lambda gateway: (
                setattr(gateway.sockets[name], "is_stuck", True) if is_stuck else gateway.sockets[name].read_on()
            )
        )

    def _clock(self, ms) -> None:
        """All clocks are put right; the gateways notice within a second, or when a time looks wrong."""
        self.roads.do(lambda gateway: setattr(gateway.clock, "system_ns", gateway.clock.system_ns + ms * 1_000_000))

    def _look(self) -> None:
        self.roads.do(lambda gateway: gateway.clock.look())

    def _journal(self, has_room, is_late) -> None:
        """Whether it has room for orders, and whether answers wait for it for too long."""
        recording = Recording()
        recording.may_accept_orders, recording.late = has_room, is_late
        self.roads.do(lambda gateway: setattr(gateway.server.orders.admission, "_recording", recording))

    def _reopen(self) -> None:
        """As after a crash: for a while there are only cancels."""
        self.roads.do(lambda gateway: setattr(gateway.server.orders.venue, "reopen_at_ns", gateway.now_ns + 50 * MS))

    def _trace(self, one_in) -> None:
        """One in so many orders."""
        self.roads.do(lambda gateway: gateway.trace_one_in(one_in))

    def _drain(self) -> None:
        self.roads.do(lambda gateway: gateway.server.begin_drain())


def often(strategy, times):
    """The same so often among others: `one_of` drops what it has already."""
    return [strategy.map(lambda value: value) for _ in range(times)]


small = st.integers(0, 60)
kinds = st.integers(0, len(KINDS) - 1)
plain = st.builds(Say, st.just("order"), kinds, st.integers(-3, 3), st.integers(1, 4), st.just(""), st.just(0))
twisted = st.builds(Say, st.just("order"), kinds, st.integers(-3, 3), st.integers(1, 4), st.sampled_from(TWISTS), small)
maybe_twist = st.one_of(st.just(""), st.just(""), st.sampled_from(TWISTS))
others = st.builds(Say, st.sampled_from(OTHERS), kinds, st.just(0), st.just(1), maybe_twist, small)
said = st.one_of(*often(plain, 6), *often(twisted, 2), others)
flood = st.builds(lambda say, count: [say] * count, plain, st.integers(5, 20))
messages = st.one_of(
    *often(st.lists(said, min_size=1, max_size=10), 3), flood, st.lists(plain, min_size=2, max_size=12)
)
fix_client = st.integers(0, 4)
client = st.one_of(*often(fix_client, 3), st.integers(0, len(FIX) + len(WS) - 1))
cuts = st.one_of(st.just([]), st.lists(st.integers(0, 5_000), max_size=3))
bursts = st.tuples(st.just("bursts"), st.lists(st.tuples(client, messages, cuts), min_size=1, max_size=4))
events = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from((1, 20, 160, 500, 2_100, 31_000))),
    st.tuples(st.just("mode"), st.integers(0, len(MODES) - 1)),
    st.tuples(st.just("limit"), st.integers(0, len(PLANS) - 1)),
    st.tuples(st.just("hold"), st.sampled_from((ALL, 0, 1, 3, 8))),
    st.tuples(st.just("piece"), st.sampled_from((ALL, 1, 2, 7))),
    st.tuples(st.just("answer"), st.integers(1, 20)),
    st.tuples(st.just("leave"), client),
    st.tuples(st.just("return"), client, st.booleans()),
    st.tuples(st.just("revive"), client),
    st.tuples(st.just("again"), client),
    st.tuples(st.just("stick"), client, st.booleans()),
    st.tuples(st.just("clock"), st.sampled_from((-3_000, -200, 200, 3_000, 300_000))),
    st.tuples(st.just("look")),
    st.tuples(st.just("journal"), st.booleans(), st.booleans()),
    st.tuples(st.just("reopen")),
    st.tuples(st.just("trace"), st.sampled_from((0, 1, 5, 60))),
    st.tuples(st.just("drain")),
)
moments = st.one_of(
    st.tuples(bursts), *often(st.tuples(bursts, events), 2), st.tuples(events), st.tuples(events, bursts)
)
scripts = st.lists(moments, min_size=1, max_size=9)
