"""What one request brings about, on both doors: it is written whole, in order, and costs a connection no memory.

Modules: doors.connection, doors.fix.lists, doors.ws.stream_cursor.
"""

import pytest

from gateway.doors.fix.lists import STATES
from gateway.doors.ws.stream_cursor import EncodedEvents
from protocols.messages import NewOrder, OrdType, Origin, Side, Tif
from tests.support.fix_room import desks, session
from tests.support.fix_text import pipes
from tests.support.output import all_output
from tests.support.ws_frames import messages, request
from tests.support.ws_room import Desk as WsDesk
from tests.support.ws_room import answers, events, new_gateway

__all__ = ["new_gateway"]

ORDERS = 3_000
MOST_BYTES = 65_536 + 1_000  # of one connection, whatever it asks for


def fill_book(server, owner=0):
    """That many open orders of account 1, without a report to anyone."""
    for number in range(1, ORDERS + 1):
        row = NewOrder(
            number, 1, owner, Origin.FIX, 1, 0, f"o{number}", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 10, 100_00
        )
        server.core.engine.execute(row, server.now_ns())


def ask(desk, kind, body):
    """One request, and nothing of what it brings about is read yet."""
    desk.endpoint.receive(desk.frame(kind, body), desk.now)
    desk.server.orders.tick(desk.now)


def messages_of(desk):
    """Everything that waits for a FIX client, with no gap in its numbers and never much of it ready."""
    read, most = [], 0
    while desk.endpoint.has_output:
        most = max(most, desk.endpoint.pending_bytes)
        if desk.endpoint.must_read:
            desk.endpoint.read_on(desk.now)
        for text in pipes(desk.endpoint.take_output(65_536)):
            read.append(dict(field.split("=", 1) for field in text.split("|")))
    assert most < MOST_BYTES
    expected = int(read[0]["34"])
    for message in read:
        assert int(message["34"]) == expected
        expected = int(message.get("36", expected + 1))
    return [message for message in read if message["35"] != "4"]


@pytest.fixture
def desk(tmp_path):
    (desk,) = desks(tmp_path, session(1, "A"))
    fill_book(desk.server, 1)
    desk.logon()
    return desk


def tick(server):
    """One turn; whether more was left for the next one."""
    server.orders.tick(server.now_ns())
    return server.orders.next_deadline_ns is not None


def test_the_states_of_thousands_of_orders_wait_in_the_store_and_come_whole(desk):
    ask(desk, "AF", "584=all|585=7|")
    turns = 1
    while tick(desk.server):
        turns += 1
        assert desk.endpoint.pending_bytes < MOST_BYTES
    assert turns == -(-ORDERS // STATES)
    told = messages_of(desk)
    assert [message["11"] for message in told] == [f"o{number}" for number in range(1, ORDERS + 1)]
    assert {message["911"] for message in told} == {str(ORDERS)}
    assert [message["11"] for message in told if message.get("912") == "Y"] == [f"o{ORDERS}"]


def test_a_long_list_has_its_part_of_each_turn_and_tells_each_order_as_it_is_by_then(desk):
    """
    AF of 3,000 orders, and in the turns that it takes: F of the first and of the last, D
    each is answered in its turn; the list says of the last that it is canceled, and nothing of the one that came later
    """
    ask(desk, "AF", "584=all|585=7|")
    assert messages_of_turn(desk) == []
    ask(desk, "F", "11=c1|41=o1|55=BTC-USDT|")
    told = messages_of_turn(desk)
    assert [each["11"] for each in told if each.get("584")] == [f"o{number}" for number in range(1, STATES + 1)]
    assert [(each["11"], each["39"]) for each in told if "584" not in each] == [("c1", "4")]
    ask(desk, "F", f"11=c2|41=o{ORDERS}|55=BTC-USDT|")
    ask(desk, "D", "11=later|55=BTC-USDT|54=1|38=1|40=2|44=100.00|")
    told += messages_of_turn(desk)
    assert [each["11"] for each in told if "584" not in each] == ["c1", "c2", "later"]
    while tick(desk.server):
        pass
    rows = [each for each in told + messages_of(desk) if "584" in each]
    assert [each["37"] for each in rows] == [str(number) for number in range(1, ORDERS + 1)]
    assert (rows[0]["39"], rows[1]["39"], rows[-1]["39"], rows[-1]["912"]) == ("0", "0", "4", "Y")
    assert {each["911"] for each in rows} == {str(ORDERS)}
    assert len({each["17"] for each in rows}) == ORDERS
    assert (rows[0]["20105"], rows[-1]["20105"]) == (str(ORDERS), str(ORDERS + 3))


def messages_of_turn(desk):
    """What a turn has made ready."""
    texts = pipes(all_output(desk.endpoint, desk.now))
    return [dict(field.split("=", 1) for field in text.split("|")) for text in texts]


@pytest.fixture
def pair(tmp_path):
    mine, other = desks(tmp_path, session(1, "A"), session(2, "B", last_msg_seq_num_processed=True))
    fill_book(mine.server, 1)
    mine.logon()
    other.logon()
    return mine, other


def test_the_long_lists_of_all_sessions_share_what_a_turn_may_tell(pair):
    for desk in pair:
        desk.endpoint.receive(desk.frame("AF", "584=all|585=7|"), desk.now)
    server = pair[0].server
    tick(server)
    told = [0, 0]
    for turn in range(1, 7):
        assert tick(server)
        for which, desk in enumerate(pair):
            told[which] += len(messages_of_turn(desk))
        assert sum(told) == turn * STATES
    assert told == [3 * STATES, 3 * STATES]


def test_a_session_may_have_four_long_lists_on_their_way_and_is_told_of_a_fifth_when_to_ask(desk):
    for number in range(5):
        ask(desk, "AF", f"584=q{number}|585=7|")
    (refused,) = [each for each in messages_of_turn(desk) if each["35"] == "j"]
    assert (refused["379"], refused["25016"], refused["20102"]) == ("q4", "4006", "0")
    assert int(refused["20101"]) > 0
    while tick(desk.server):
        pass
    ask(desk, "AF", "584=again|585=7|")
    assert desk.server.orders.next_deadline_ns is not None


def test_a_logout_waits_for_a_long_list(desk):
    ask(desk, "AF", "584=all|585=7|")
    desk.endpoint.receive(desk.frame("5", ""), desk.now)
    told = messages_of_turn(desk)
    while tick(desk.server):
        told += messages_of_turn(desk)
    for _ in range(2):
        told += messages_of_turn(desk)
        desk.server.orders.tick(desk.now)
    assert [each["35"] for each in told] == ["8"] * ORDERS + ["5"]
    assert told[-2]["912"] == "Y"


def test_whoever_is_cut_in_a_long_list_has_the_rest_when_it_is_back(desk):
    ask(desk, "AF", "584=all|585=7|")
    tick(desk.server)
    first = messages_of_turn(desk)
    desk.endpoint.lost(desk.now)
    while tick(desk.server):
        pass
    desk.logon()
    rest = [each for each in desk.send("2", f"7={int(first[-1]['34']) + 1}|16=0|") if each["35"] == "8"]
    assert len(first) + len(rest) == ORDERS
    assert rest[-1]["912"] == "Y"


@pytest.mark.parametrize("how", ["141", "schedule"])
def test_a_reset_discards_what_is_left_of_a_long_list(desk, how):
    ask(desk, "AF", "584=all|585=7|")
    tick(desk.server)
    messages_of_turn(desk)
    if how == "141":
        desk.seq = 0
        desk.endpoint.receive(desk.frame("A", "98=0|108=30|141=Y|"), desk.now)
    else:
        desk.endpoint.reset(desk.now, 0)
        messages_of_turn(desk)
    while tick(desk.server):
        pass
    assert [each for each in messages_of_turn(desk) if each["35"] == "8"] == []


def test_a_long_list_is_processed_when_it_is_told(pair):
    """LastMsgSeqNumProcessed(369), and so what is asked for again after a crash."""
    _, other = pair
    ask(other, "AF", "584=all|585=7|")
    (beat,) = other.send("1", "112=x|")[-1:]
    numbers = other.endpoint.machine.store.intake
    assert (beat["369"], numbers.without_memory()[0]) == ("1", 2)
    while tick(other.server):
        pass
    assert (numbers.processed, numbers.without_memory()) == (3, (4, ()))


def test_the_reports_of_a_mass_cancel_too_and_what_happens_meanwhile_comes_behind_them(desk):
    ask(desk, "q", "11=mc|530=7|")
    ask(desk, "D", "11=later|55=BTC-USDT|54=1|38=1|40=2|44=100.00|")
    told = messages_of(desk)
    assert [message["35"] for message in told] == ["8"] * ORDERS + ["r", "8"]
    assert (told[-2]["533"], told[-1]["11"], told[-1]["150"]) == (str(ORDERS), "later", "0")
    assert [int(message["20105"]) for message in told] == list(range(ORDERS + 1, 2 * ORDERS + 3))


def test_a_client_that_is_cut_in_the_middle_reads_why_and_has_the_rest_when_it_is_back(desk):
    ask(desk, "q", "11=mc|530=7|")
    first = pipes(desk.endpoint.take_output(10_000))
    desk.endpoint.too_slow(desk.now)
    rest = pipes(all_output(desk.endpoint, desk.now))
    assert len(rest) < 400
    assert "58=too slow to read" in rest[-1]
    goodbye = int(rest[-1].partition("34=")[2].partition("|")[0])
    desk.endpoint.lost(desk.now)
    desk.logon()
    missed = [message for message in desk.send("2", f"7={goodbye + 1}|16=0|") if message["35"] in "8r"]
    reports = [text for text in (*first, *rest) if text.startswith("35=8|")]
    assert len(reports) + len(missed) == ORDERS + 1


def wire_of(desk):
    """Everything that waits for a WebSocket client, never much of it ready; the frames."""
    wire, most = b"", 0
    while desk.endpoint.has_output:
        most = max(most, desk.endpoint.pending_bytes)
        if desk.endpoint.must_read:
            desk.endpoint.read_on(desk.now)
        wire += desk.endpoint.take_output(65_536)
    assert most < MOST_BYTES
    return wire


def heard_by(desk):
    """The same, as messages."""
    return messages(wire_of(desk))


def test_the_events_of_a_mass_cancel_wait_in_the_stream_for_whoever_hears_them(new_gateway):
    server = new_gateway()
    fill_book(server)
    asker, other, silent = WsDesk(server), WsDesk(server), WsDesk(server)
    asker.logon()
    other.logon()
    silent.logon(streams=[])
    asker.endpoint.receive(request("order.cancel_all", {}, 7), asker.now)
    server.orders.tick(asker.now)
    assert max(desk.endpoint.pending_bytes for desk in (asker, other)) < MOST_BYTES
    assert not silent.endpoint.has_output
    other.place("later")
    told = heard_by(asker)
    assert told[0]["id"] == 7, "the answer goes before the events that it caused"
    assert told[0]["result"]["canceled"] == ORDERS
    numbers = [event["seq"] for event in events(told)]
    assert numbers == [*range(ORDERS + 1, 2 * ORDERS + 1), 2 * ORDERS + 2]
    assert asker.endpoint.behind == 0
    assert [event["seq"] for event in events(asker.place("live"))] == [2 * ORDERS + 3]


def test_an_event_that_many_read_late_is_encoded_once(new_gateway, monkeypatch):
    made = []
    real = EncodedEvents.encode

    def encode(self, event, codec, is_replay):
        made.append(event.seq)
        return real(self, event, codec, is_replay)

    monkeypatch.setattr(EncodedEvents, "encode", encode)
    server = new_gateway()
    fill_book(server)
    shared = EncodedEvents(server.instruments, server.sessions)
    crowd = [WsDesk(server) for _ in range(10)]
    for desk in crowd:
        desk.logon()
        desk.endpoint.writer._shared = shared
    crowd[0].endpoint.receive(request("order.cancel_all", {}, 7), crowd[0].now)
    server.orders.tick(crowd[0].now)
    while any(desk.endpoint.has_output for desk in crowd):
        for desk in crowd:
            if desk.endpoint.must_read:
                desk.endpoint.read_on(desk.now)
            desk.endpoint.take_output(65_536)
    assert len(made) < 1.2 * ORDERS


def test_events_that_are_unwritten_when_a_slow_reader_is_cut_are_dropped_by_whole_frames(new_gateway):
    server = new_gateway()
    fill_book(server)
    slow = WsDesk(server)
    slow.logon()
    slow.endpoint.receive(request("order.cancel_all", {}, 7), slow.now)
    server.orders.tick(slow.now)
    slow.endpoint.take_output(65_536)
    slow.endpoint.read_on(slow.now)
    slow.endpoint.too_slow(slow.now)
    assert heard_by(slow) == ["close 4008 too slow to read"]


def test_who_unsubscribes_while_events_wait_is_behind_no_more(new_gateway):
    server = new_gateway()
    fill_book(server)
    desk = WsDesk(server)
    desk.logon()
    desk.endpoint.receive(request("order.cancel_all", {}, 7), desk.now)
    server.orders.tick(desk.now)
    assert desk.endpoint.behind > 2_000
    desk.endpoint.receive(request("unsubscribe", {"streams": ["orders"]}, 8), desk.now)
    assert desk.endpoint.behind == 0
    told = heard_by(desk)
    assert len(answers(told, 8)) == 1
    assert len(events(told)) < 300


def test_a_list_is_made_though_events_wait_and_both_come_whole(new_gateway):
    server = new_gateway()
    fill_book(server)
    desk = WsDesk(server)
    desk.logon()
    other = WsDesk(server)
    other.logon()
    other.endpoint.receive(request("order.cancel_all", {"side": "sell"}, 1), other.now)
    desk.endpoint.receive(request("order.list", {}, 2), desk.now)
    server.orders.tick(desk.now)
    desk.endpoint.receive(request("order.cancel_all", {}, 3), desk.now)
    server.orders.tick(desk.now)
    wire = b""
    while desk.endpoint.has_output:
        if desk.endpoint.must_read:
            desk.endpoint.read_on(desk.now)
        wire += desk.endpoint.take_output(65_536)
    told = messages(wire)
    (listed,) = answers(told, 2)
    assert len(listed["result"]["orders"]) == ORDERS
    assert [event["seq"] for event in events(told)] == list(range(ORDERS + 2, 2 * ORDERS + 2))
