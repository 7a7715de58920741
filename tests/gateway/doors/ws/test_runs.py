"""Runs of plain orders at the WebSocket door: all that a client can see is what single requests would have shown it.

Two gateways get the same bytes at the same times. The connections of one of them have no `order_reader`, so that each
message goes its own way, on the general road.
Modules: doors.ws.requests, doors.ws.run_answers, orders.dispatch.
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import schema
from gateway.doors.ws.requests import WsRequests
from gateway.journal import JournalSettings
from gateway.orders.trading_modes import ModeChange, Modes
from gateway.server import Server
from protocols.fix.times import parse_ns
from tests.support import ws_room
from tests.support.fix_room import BTC, ETH, MS
from tests.support.hand_clock import HandClock
from tests.support.order_path import Stuck
from tests.support.output import all_output
from tests.support.ws_frames import close, frame, messages, request, text
from tests.support.ws_room import ORDER, answers, events

BEGIN_NS = parse_ns("20261122-12:00:00")
TIGHT = ws_room.OPEN.replace('orders = { rate = "100000/s", burst = 100000 }', 'orders = { rate = "3/s", burst = 9 }')
TIGHT = TIGHT.replace("open_orders = { account = 1000000", "open_orders = { account = 12")
HALT = ModeChange("venue", "", "halted", "a test", "kim", 0)


class Desk(ws_room.Desk):
    """A client whose output is kept as bytes."""

    def read(self):
        self.wire = getattr(self, "wire", b"") + (new := all_output(self.endpoint, self.now))
        return messages(new)


class Gateway:
    """One gateway at a time of its own, with desks of two accounts."""

    def __init__(self, directory, accounts, limits=ws_room.OPEN, core=None, has_runs=True, name=None, **tracing):
        (directory / "limits.toml").write_text(limits)
        config = schema.Config(
            ws=schema.Ws(),
            accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
            keys=(ws_room.key("ACME"), ws_room.key("OTHER")),
            instruments=(BTC, ETH),
            journal=JournalSettings(durability="memory"),
            tracing=schema.Tracing(**tracing),
        )
        self.clock = HandClock(BEGIN_NS)
        self.server = Server(config, directory, core and core(), clock=self.clock)
        self.desks = [Desk(self.server, account) for account in accounts]
        self.runs = 0
        for desk in self.desks:
            if not has_runs:
                desk.endpoint.machine.order_reader = None
            desk.logon(**({"name": name} if name else {}))

    def receive(self, number, data, cut=None):
        """What one desk sends, in one read or in two."""
        desk = self.desks[number]
        for part in (data,) if cut is None else (data[:cut], data[cut:]):
            desk.endpoint.receive(part, desk.now)

    def turn(self, ms=0):
        """The order path works, and all is written."""
        self.clock.own_now_ns += ms * MS
        self.server.orders.tick(self.clock.own_now_ns)
        for desk in self.desks:
            desk.read()

    def seen(self):
        """All that anyone can see of it."""
        server, now_ns = self.server, self.clock.own_now_ns
        sessions = [desk.endpoint.session for desk in self.desks]
        counters = {name: getattr(server.metrics.ws, name) for name in type(server.metrics.ws).__slots__[:-1]}
        return {
            "wire": [desk.wire for desk in self.desks],
            "senders": [each and each.sender for each in sessions],
            "limits": [each and server.limiter.view(each.path, now_ns) for each in sessions],
            "places": [each and server.orders.charging.open_orders(each) for each in sessions],
            "book": [list(server.core.engine.open_orders(account)) for account in (1, 2)],
            "counters": counters,
            "core": (server.metrics.fills, server.metrics.core_refusals, server.metrics.ws.answer_ns.count),
            "open": [bool(desk.endpoint.answers.open) for desk in self.desks],
            "traced": server.tracing.sampled,
        }


@pytest.fixture
def two(tmp_path):
    """Builds a gateway that takes runs, and one that takes none."""

    def build(*accounts, **more):
        made = []
        for name, has_runs in (("runs", True), ("single", False)):
            (tmp_path / name).mkdir(exist_ok=True)
            made.append(Gateway(tmp_path / name, accounts, has_runs=has_runs, **more))
        return made

    return build


@pytest.fixture
def counted(monkeypatch):
    """The sizes of runs that were taken as such."""
    sizes = []
    plain = WsRequests.serve_run

    def serve_run(self, run, session, now_ns):
        is_taken = plain(self, run, session, now_ns)
        sizes.append(len(run.orders) if is_taken else 0)
        return is_taken

    monkeypatch.setattr(WsRequests, "serve_run", serve_run)
    return sizes


def place(cl_ord_id, id=1, **more):
    return request("order.place", {**ORDER, "cl_ord_id": cl_ord_id, **more}, id)


def burst(count, first=0, **more):
    return b"".join(place(f"o{number}", number, **more) for number in range(first, first + count))


# -- what a run is ---------------------------------------------------------------------------------------------------


def test_orders_of_one_read_are_one_run_and_each_answer_goes_before_its_event(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        each.receive(0, burst(3))
        each.turn()
    assert counted == [3]
    told = messages(gateway.desks[0].wire)[-6:]
    assert [each.get("ev") or each["id"] for each in told] == [0, "order", 1, "order", 2, "order"]
    assert gateway.seen() == single.seen()


def test_a_message_that_is_not_plain_goes_alone_and_the_run_goes_on_after_it(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        each.receive(0, burst(2) + place("m", type="market", price=None) + place("q", qty="x") + burst(3, first=2))
        each.turn()
    assert counted == [2, 3]
    assert gateway.seen() == single.seen()


def test_a_run_that_no_limit_lets_pass_as_a_whole_is_served_one_by_one(two, counted):
    gateway, single = two("ACME", limits=TIGHT)
    for each in (gateway, single):
        each.receive(0, burst(6))
        each.receive(0, burst(6, first=6))
        each.turn()
    assert counted == [6, 0]
    assert gateway.seen() == single.seen()
    refused = [each for each in messages(gateway.desks[0].wire) if "error" in each]
    assert [(each["id"], each["error"]["name"]) for each in refused] == [(n, "rate_limited") for n in (9, 10, 11)]


def test_limits_that_run_low_are_shown_with_every_answer(two, counted):
    gateway, single = two("ACME", limits=TIGHT)
    for each in (gateway, single):
        each.receive(0, burst(8))
        each.turn()
    assert counted == [8]
    assert gateway.seen() == single.seen()
    assert all("limits" in each for each in messages(gateway.desks[0].wire)[-16::2])


def test_a_used_id_in_a_run_gets_its_tokens_back_right_before_its_own_answer(two, counted):
    gateway, single = two("ACME", limits=TIGHT)
    for each in (gateway, single):
        each.receive(0, place("a") + place("b", 2) + place("a", 3) + place("c", 4) + place("d", 5))
        each.turn()
    assert counted == [5]
    assert gateway.seen() == single.seen()
    (refused,) = answers(messages(gateway.desks[0].wire), id=3)
    assert refused["error"]["data"]["order"]["cl_ord_id"] == "a"


def test_orders_that_trade_are_answered_with_their_last_state(two, counted):
    gateway, single = two("ACME", "OTHER")
    for each in (gateway, single):
        each.receive(1, burst(4, side="sell"))
        each.turn()
        each.receive(0, place("x", qty="2.5") + place("y", 2, qty="9", tif="ioc") + place("z", 3))
        each.turn()
    assert counted == [4, 3]
    assert gateway.seen() == single.seen()
    found = [answers(messages(gateway.desks[0].wire), id=number)[-1]["result"]["status"] for number in (1, 2, 3)]
    assert found == ["filled", "canceled", "new"]


def test_an_order_that_the_core_refuses_is_answered_in_its_place(two, counted):
    gateway, single = two("ACME", "OTHER")
    for each in (gateway, single):
        each.receive(1, place("s", side="sell"))
        each.turn()
        each.receive(0, place("x", post_only=True) + place("y", 2, price="99.00"))
        each.turn()
    assert counted == [1, 2]
    assert gateway.seen() == single.seen()
    told = messages(gateway.desks[0].wire)[-4:]
    assert [each.get("ev") or each["id"] for each in told] == [1, "order", 2, "order"]
    assert "error" in told[0]


def test_whoever_wants_no_answer_gets_only_events(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        each.receive(0, burst(3, resp="none"))
        each.turn()
    assert counted == [3]
    assert [each.get("ev") for each in messages(gateway.desks[0].wire)[-3:]] == ["order"] * 3
    assert gateway.seen() == single.seen()


def test_an_event_is_encoded_once_for_all_connections_of_the_account(two, monkeypatch):
    gateway, _ = two("ACME", "ACME", "ACME")
    shared = gateway.desks[0].endpoint._event_bytes
    for desk in gateway.desks:
        desk.endpoint.writer._shared = shared
    made = []
    write = shared._text.write
    monkeypatch.setattr(shared._text, "write", lambda events: made.append(len(events)) or write(events))
    gateway.receive(0, burst(5))
    gateway.turn()
    assert made == [5]
    assert [len(events(messages(desk.wire))) for desk in gateway.desks] == [5, 5, 5]


def test_a_client_without_the_stream_of_orders_gets_only_answers(two, counted):
    gateway, single = two("ACME", "ACME")
    for each in (gateway, single):
        each.receive(0, request("unsubscribe", {"streams": ["orders"]}) + burst(2))
        each.turn()
    assert counted == [2]
    assert events(messages(gateway.desks[0].wire)) == []
    assert gateway.seen() == single.seen()


def test_when_much_is_unwritten_the_events_of_a_run_wait_in_the_stream_and_its_answers_do_not(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        for at in range(0, 160, 40):
            each.receive(0, burst(40, first=at))
        each.turn()
    assert counted == [40] * 4
    assert gateway.seen() == single.seen()
    told = messages(gateway.desks[0].wire)
    assert [each["seq"] for each in events(told)] == list(range(1, 161))
    assert told[-1]["ev"] == told[-2]["ev"] == "order", "they came last"


def test_a_run_in_a_halted_market_is_refused_one_by_one(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        each.server.orders.venue.change(Modes().apply(HALT), each.clock.own_now_ns)
        each.receive(0, burst(3))
        each.turn()
    assert counted == [0]
    assert gateway.seen() == single.seen()


def test_after_a_logout_no_order_is_taken_and_the_logout_waits_for_the_run_before_it(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        each.receive(0, burst(3) + request("session.logout", {}, "bye") + burst(2, first=3))
        each.desks[0].read()
        each.turn()
    assert counted == [3, 0]
    assert gateway.seen()["wire"] == single.seen()["wire"]
    told = messages(gateway.desks[0].wire)
    assert [each["id"] for each in told if isinstance(each, dict) and "id" in each][-4:] == [0, 1, 2, "bye"]


def test_a_run_that_the_core_answers_in_parts_is_answered_request_by_request(two, counted):
    gateway, _ = two("ACME", core=Stuck)
    gateway.receive(0, burst(3))
    gateway.turn()
    assert counted == [3]
    assert len(gateway.desks[0].endpoint.answers.open) == 1, "the run"
    gateway.server.core.answer(gateway.clock.own_now_ns, 2)
    gateway.turn()
    assert len(gateway.desks[0].endpoint.answers.open) == 1
    gateway.server.core.answer(gateway.clock.own_now_ns)
    gateway.turn()
    told = messages(gateway.desks[0].wire)[-6:]
    assert [each.get("ev") or each["id"] for each in told] == [0, "order", 1, "order", 2, "order"]


def test_a_connection_that_took_the_session_over_gets_the_events_of_a_run_and_no_answers(two, counted):
    for each in two("ACME", name="mm"):
        newer = Desk(each.server)
        each.receive(0, burst(2))
        newer.endpoint.receive(request("session.logon", newer.proof(name="mm")), newer.now)
        each.turn()
        told = newer.read()
        assert [message["data"]["cl_ord_id"] for message in events(told)] == ["o0", "o1"]
        assert [message["id"] for message in told if "id" in message] == [1], "the logon"
    assert counted == [2]


def test_the_clock_steps_between_a_read_and_its_run(two, counted):
    gateway, single = two("ACME")
    for each in (gateway, single):
        each.clock.system_ns = 5_000 * MS
        late = place("l", 7, ts=BEGIN_NS // 1_000 + 5_000_000, valid_for_ms=900)
        each.receive(0, late + burst(2))
        each.turn()
    assert counted == [0]
    assert gateway.seen() == single.seen()


def test_of_a_run_the_orders_are_traced_that_would_be_one_by_one(two, counted):
    gateway, single = two("ACME", sample_one_in=4)
    for each in (gateway, single):
        for first, count in ((0, 3), (3, 2), (5, 7), (12, 1)):
            each.receive(0, burst(count, first=first))
        each.turn()
    assert counted == [3, 2, 0, 1]
    assert gateway.seen() == single.seen()
    assert gateway.server.tracing.sampled == 3


# -- the net ---------------------------------------------------------------------------------------------------------

_IDS = st.sampled_from([1, 2, "x", 'q"', "é", None, -5])
_NAMES = st.sampled_from([f"n{number}" for number in range(14)])
_TERMS = st.fixed_dictionaries(
    {},
    optional={
        "side": st.sampled_from(["buy", "sell"]),
        "price": st.sampled_from(["100.00", "100.01", "99.5", "0", "1.001", "x"]),
        "qty": st.sampled_from(["1", "0.5", "2.0001", "0", "1.00001"]),
        "tif": st.sampled_from(["gtc", "ioc", "fok", "day"]),
        "post_only": st.booleans(),
        "resp": st.sampled_from(["accepted", "none", "queued"]),
        "symbol": st.sampled_from(["ETH-USDT", "NONE"]),
        "tag": st.sampled_from(["t", 'a"b']),
        "ts": st.sampled_from([BEGIN_NS // 1_000, BEGIN_NS // 1_000 - 2_000_000]),
        "valid_for_ms": st.sampled_from([1, 1_000]),
        "retry": st.booleans(),
        "display_qty": st.just("0.5"),
    },
)
_PLACES = st.builds(lambda name, id, terms: place(name, id, **terms), _NAMES, _IDS, _TERMS)
_PLAIN = st.builds(
    lambda names, side, first: b"".join(place(name, first + n, side=side) for n, name in enumerate(names)),
    st.lists(_NAMES, min_size=2, max_size=6),
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 100),
)
_OTHERS = st.one_of(
    st.builds(lambda name: request("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": name}, "c"), _NAMES),
    st.builds(
        lambda one, two: request(
            "order.batch",
            {"legs": [{"op": "place", "params": {**ORDER, "cl_ord_id": name}} for name in (one, two)]},
            "b",
        ),
        _NAMES,
        _NAMES,
    ),
    st.sampled_from(
        [
            request("ping"),
            request("order.cancel_all", {}, "all"),
            request("unsubscribe", {"streams": ["orders"]}, "u"),
            request("subscribe", {"streams": ["orders"]}, "s"),
            request("session.configure", {"limits": "always"}, "l"),
            request("session.configure", {"limits": "never"}, "l"),
            request("order.status", {"cl_ord_id": "n1"}, "o"),
            request("stream.replay", {"epoch": "?", "begin": 1}, "r"),
            request("nothing", {}, "n"),
            text("{"),
            text(
                json.dumps(
                    {"id": 9, "method": "order.place", "params": {**ORDER, "cl_ord_id": "é"}}, ensure_ascii=False
                )
            ),
            frame(0x9, b"are you there"),
            place("f1")[:30],  # the rest never comes, so what follows is read as its payload
            request("session.logout", {}, "bye"),
            close(1000),
        ]
    ),
)
_READS = st.lists(_PLAIN | _PLAIN | _PLACES | _OTHERS, min_size=1, max_size=5).map(b"".join)
_STEPS = st.lists(st.tuples(st.integers(0, 2), _READS, st.none() | st.integers(0, 900), st.booleans()), max_size=8)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_STEPS, st.sampled_from([ws_room.OPEN, TIGHT, TIGHT, ws_room.FEW]))
def test_runs_and_single_requests_look_the_same_from_outside(two, steps, limits):
    gateway, single = two("ACME", "ACME", "OTHER", limits=limits)
    for number, data, cut, is_turn in steps:
        for each in (gateway, single):
            if not each.desks[number].link.is_closing:
                each.receive(number, data, cut)
            if is_turn:
                each.turn(7)
    for each in (gateway, single):
        each.turn(1)
    assert gateway.seen() == single.seen()
