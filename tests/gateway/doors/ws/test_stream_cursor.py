"""Where a connection stands in its account's stream: what is written live, what waits, and that nothing comes twice."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.doors.ws.stream_cursor import EncodedEvents, ListCursor, StreamCursor
from gateway.sessions.session import AccountStream
from protocols.instruments import Instruments
from protocols.messages import ExecType, MassCancelDone, OrderEvent, OrderList, OrdStatus, OrdType, Side, Tif
from protocols.ws.codec import JSON, MSGPACK
from tests.support.order_path import BTC


def order(number, **more):
    more = {"exec_type": ExecType.NEW, "status": OrdStatus.NEW, **more}
    return OrderEvent(
        account=1, seq=number, cmd_id=0, t_core=0, exec_id=number, order_id=number, cl_ord_id=f"o-{number}",
        instrument=BTC.id, side=Side.BUY, ord_type=OrdType.LIMIT, tif=Tif.GTC, qty=10, cum_qty=0, leaves_qty=10,
        price=100_00, **more,
    )  # fmt: skip


class Reader:
    """A cursor whose account makes events, and everything that was written, as (kind, number)."""

    def __init__(self, retain=1_000, events=0):
        self.account = AccountStream(1, retain)
        self.written = []
        self.last = 0
        for _ in range(events):
            self._record()
        self.account.reported_seq = self.last
        self.cursor = StreamCursor(self.account)

    def _record(self):
        self.last += 1
        self.account.record(MassCancelDone(1, self.last, 0, 0, "", 0))

    def happen(self, count=1):
        """That many events, all stored before the first is reported."""
        first = self.last + 1
        for _ in range(count):
            self._record()
        for number in range(first, self.last + 1):
            self.account.reported_seq = number
            if self.cursor.is_live:
                self.written.append(("live", number))

    def drain(self, slices=1_000):
        """The socket asks for more."""
        while slices and self.cursor.has_slice:
            slices -= 1
            piece = self.cursor.take()
            if piece is None:
                self.written.append("gone")
                return
            if piece.kind == "snapshot":
                self.written.append(("snapshot", len(piece.rows), piece.is_last))
            else:
                self.written += [(piece.kind, event.seq) for event in piece.rows]
                if piece.kind == "replay" and piece.is_last:
                    self.written.append(("resumed", piece.begin, piece.end))

    def numbers(self, kind="live"):
        return [row[1] for row in self.written if row[0] == kind]


def test_who_is_not_subscribed_is_written_nothing_and_who_is_every_event_at_once():
    reader = Reader()
    reader.happen(2)
    reader.cursor.subscribe()
    reader.happen(3)
    assert reader.numbers() == [3, 4, 5]
    assert not reader.cursor.has_slice


def test_a_replay_goes_first_and_what_happens_meanwhile_follows_once():
    reader = Reader(events=100)
    reader.cursor.subscribe()
    reader.cursor.replay(31, 100)
    reader.drain(slices=1)
    reader.happen(2)
    assert reader.numbers() == []
    reader.drain()
    reader.happen()
    assert reader.numbers("replay") == list(range(31, 101))
    assert reader.written[70:] == [("resumed", 31, 100), ("live", 101), ("live", 102), ("live", 103)]


def test_unsubscribing_and_subscribing_again_never_touch_a_running_replay():
    reader = Reader(events=200)
    reader.cursor.subscribe()
    reader.cursor.replay(1, 200)
    reader.drain(slices=1)
    reader.cursor.unsubscribe()
    reader.happen()  # no one subscribes to 201
    reader.cursor.subscribe()
    reader.happen()
    reader.drain()
    assert reader.numbers("replay") == list(range(1, 201))
    assert reader.written[-2:] == [("resumed", 1, 200), ("live", 202)]


def test_behind_a_replay_an_unsubscribed_client_is_written_nothing():
    reader = Reader(events=50)
    reader.cursor.replay(1, 10)
    reader.happen(5)
    reader.drain()
    assert reader.written == [*(("replay", number) for number in range(1, 11)), ("resumed", 1, 10)]
    assert reader.cursor.is_settled


def test_catching_up_is_not_settled_until_the_last_event_is_written():
    reader = Reader(events=10)
    reader.cursor.subscribe()
    reader.cursor.replay(1, 10)
    reader.happen(100)
    reader.drain(slices=2)  # the replay, and the first of what happened meanwhile
    assert (reader.numbers()[-1], reader.cursor.is_settled) == (42, False)
    reader.drain()
    assert (reader.numbers()[-1], reader.cursor.is_settled) == (110, True)


def test_nothing_is_written_before_the_snapshot_and_then_only_what_it_does_not_contain():
    reader = Reader(events=5)
    reader.cursor.subscribe()
    reader.cursor.await_snapshot()
    reader.happen(2)
    reader.drain()
    assert reader.written == []
    reader.cursor.give_snapshot(OrderList(1, 6, 0, 0, "snapshot", tuple(order(n) for n in range(250))))
    reader.happen()
    reader.drain()
    rows = [("snapshot", 100, False), ("snapshot", 100, False), ("snapshot", 50, True)]
    assert reader.written == [*rows, ("live", 7), ("live", 8)]


def test_a_snapshot_of_no_orders_is_one_empty_piece():
    reader = Reader()
    reader.cursor.subscribe()
    reader.cursor.await_snapshot()
    reader.cursor.give_snapshot(OrderList(1, 0, 0, 0, "snapshot", ()))
    reader.drain()
    assert reader.written == [("snapshot", 0, True)]


def test_a_snapshot_that_was_promised_comes_to_an_unsubscribed_client_too_and_nothing_after_it():
    reader = Reader()
    reader.cursor.subscribe()
    reader.cursor.await_snapshot()
    reader.cursor.unsubscribe()
    reader.happen()
    reader.cursor.give_snapshot(OrderList(1, 0, 0, 0, "snapshot", (order(1),)))
    reader.happen()
    reader.drain()
    assert reader.written == [("snapshot", 1, True)]


def test_what_happened_while_a_list_was_made_follows_it_even_when_it_was_stored_before():
    reader = Reader()
    reader.cursor.subscribe()
    reader.happen()
    reader._record()  # kept, and not told yet, when the list comes
    assert reader.cursor.hold()
    reader.account.reported_seq = 2
    assert not reader.cursor.is_live
    reader.happen()
    reader.drain()
    assert reader.numbers() == [1]
    reader.cursor.release()
    reader.drain()
    reader.happen()
    assert reader.numbers() == [1, 2, 3, 4]


def test_a_list_does_not_hold_what_is_under_way():
    reader = Reader(events=10)
    reader.cursor.replay(1, 10)
    assert not reader.cursor.hold()
    reader.cursor.release()
    reader.drain()
    assert reader.numbers("replay") == list(range(1, 11))


def test_a_stream_that_keeps_nothing_yet_after_a_restart_begins_with_the_next_number():
    reader = Reader()
    reader.last = reader.account.reported_seq = 1_000  # of the process before this one
    reader.cursor.subscribe()
    reader.cursor.hold()
    reader.happen()
    reader.cursor.release()
    reader.drain()
    assert reader.written == [("live", 1_001)]


def test_what_the_stream_does_not_keep_any_more_cannot_be_written():
    reader = Reader(retain=100, events=100)
    reader.cursor.subscribe()
    reader.cursor.replay(1, 100)
    reader.happen(1)
    reader.drain()
    assert reader.written == ["gone"]


STEPS = st.one_of(
    st.tuples(st.just("happen"), st.integers(1, 200)),
    st.tuples(st.just("drain"), st.integers(1, 3)),
    st.tuples(
        st.sampled_from(["subscribe", "unsubscribe", "replay", "snapshot", "told", "hold", "release"]), st.none()
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_whatever_is_asked_live_numbers_rise_and_who_stays_subscribed_misses_none(steps):
    reader = Reader(retain=100_000, events=10)
    cursor = reader.cursor
    since = None  # the first number that must come; None while unsubscribed
    for step, count in steps:
        if step == "happen":
            reader.happen(count)
        elif step == "drain":
            reader.drain(count)
        elif step == "subscribe":
            cursor.subscribe()
            since = since or reader.last + 1
        elif step == "unsubscribe":
            cursor.unsubscribe()
            since = None
            reader.written = [row for row in reader.written if row[0] != "live"]
        elif step == "replay" and cursor.is_settled:
            cursor.replay(max(reader.last - 99, 1), reader.last)
        elif step == "snapshot" and cursor.is_settled:
            cursor.await_snapshot()
        elif step == "told" and cursor.awaits_snapshot:
            cursor.give_snapshot(OrderList(1, reader.last, 0, 0, "snapshot", ()))
            since = since and reader.last + 1  # what came before is in it
            reader.written.clear()
        elif step == "hold":
            cursor.hold()
        elif step == "release":
            cursor.release()
    if cursor.awaits_snapshot:
        cursor.give_snapshot(OrderList(1, reader.last, 0, 0, "snapshot", ()))
        return
    cursor.release()
    reader.drain()
    assert reader.numbers() == ([] if since is None else list(range(since, reader.last + 1)))


# -- bytes that are shared, and long lists ---------------------------------------------------------------------------


class Named:
    """A session of that name under number 7."""

    def __init__(self):
        self.name = "bot"

    def name_of(self, session_id):
        return self.name if session_id == 7 else ""


def test_a_live_event_is_encoded_once_per_encoding_and_names_the_session_that_owns_the_order():
    shared = EncodedEvents(Instruments((BTC,)), Named())
    event = order(1, session=7)
    first = shared.live(event, JSON)
    assert shared.live(event, JSON) is first
    assert msgspec.json.decode(first)["data"]["session"] == "bot"
    assert msgspec.msgpack.decode(shared.live(event, MSGPACK)) == msgspec.json.decode(first)
    assert shared.live(order(2, session=8), JSON) != first


def test_an_event_sent_again_says_so_and_is_not_what_the_others_get():
    shared = EncodedEvents(Instruments((BTC,)), Named())
    event = order(1)
    assert msgspec.json.decode(shared.encode(event, JSON, True))["replay"] is True
    assert "replay" not in msgspec.json.decode(shared.live(event, JSON))


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_a_long_list_is_made_slice_by_slice_into_one_result(codec):
    orders = tuple(order(number) for number in range(1, 1_001))
    event = OrderList(1, 77, 0, 0, "", orders)
    assert ListCursor.is_long(event)
    listing = ListCursor(event, 1 << 20)
    slices = [listing.advance(codec, Instruments((BTC,))) for _ in range(10)]
    assert slices[:9] == [(100, None)] * 9
    rows, whole = slices[9]
    assert rows == 100
    result = (msgspec.json if codec is JSON else msgspec.msgpack).decode(codec.encode(whole))
    assert result["seq"] == 77
    assert [row["order_id"] for row in result["orders"]] == [str(number) for number in range(1, 1_001)]


@pytest.mark.parametrize("max_bytes", [10_000, 120_000])
def test_a_list_that_does_not_fit_in_what_a_connection_may_hold_is_refused(max_bytes):
    event = OrderList(1, 77, 0, 0, "", tuple(order(number) for number in range(1_000)))
    listing = ListCursor(event, max_bytes)
    told = None
    while told is None:
        _, told = listing.advance(JSON, Instruments((BTC,)))
    assert told.code == 3005
    assert "1000 open orders" in told.text
