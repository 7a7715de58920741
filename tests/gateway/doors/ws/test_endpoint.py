"""One WebSocket connection's business with the gateway, without a socket: frames of the client in, frames out."""

from functools import partial
from itertools import pairwise

import msgspec
import pytest

from gateway.auth.authenticator import MAX_SIGNATURES
from gateway.client import ws
from gateway.config import schema
from gateway.doors.ws.answers import Source
from gateway.doors.ws.endpoint import WsEndpoint
from gateway.doors.ws.logon import MAX_CONNECTIONS_PER_KEY, ConnectionInfo
from gateway.doors.ws.stream_cursor import EncodedEvents
from gateway.orders.queue import CANCEL_CREDIT, CONTROL_CREDIT, Stage
from gateway.sessions.registry import MAX_NAMES_PER_KEY
from gateway.sessions.request import Request
from protocols.messages import EngineState, NewOrder, OrderList, OrdType, Origin, QueryOrders, Side, Tif
from tests.support.fix_room import Link
from tests.support.hooks import ignore
from tests.support.order_path import Stuck
from tests.support.venue_rows import seed_of
from tests.support.ws_frames import close, messages, request
from tests.support.ws_room import FEW, MS, OPEN, ORDER, Desk, answers, events, log_out, new_gateway

__all__ = ["new_gateway"]


def test_connections_that_want_no_events_are_not_even_woken_by_them_and_those_that_begin_to_hear_all(new_gateway):
    server = new_gateway()
    busy, *idle = (Desk(server) for _ in range(50))
    for number, desk in enumerate((busy, *idle)):
        desk.logon(streams=[], name=f"bot-{number}")
    woken = [desk.link.woken for desk in idle]
    assert [message.get("ev") for message in busy.place("a")] == [None]
    assert [desk.link.woken for desk in idle] == woken
    idle[0].call("subscribe", {"streams": ["orders"]})
    idle[1].call("session.configure", {"streams": ["orders"]})
    busy.place("b")
    assert [[event["seq"] for event in events(desk.read())] for desk in idle[:3]] == [[2], [2], []]
    idle[0].call("unsubscribe", {"streams": ["orders"]})
    idle[1].endpoint.lost(busy.now)
    busy.place("c")
    assert [events(desk.read()) for desk in idle] == [[]] * 49
    assert server.sessions.account(1).listeners == ()


# -- requests and their one answer -----------------------------------------------------------------------------------


def test_an_order_is_answered_and_then_its_event_comes(new_gateway):
    desk = Desk(new_gateway())
    assert desk.logon()[0]["status"] == 200
    answer, event = desk.place("a")
    assert (answer["status"], answer["result"]["status"], answer["result"]["seq"]) == (200, "new", 1)
    assert (event["ev"], event["seq"], event["data"]["cl_ord_id"]) == ("order", 1, "a")


def test_a_queued_order_is_answered_on_hand_over_and_never_again(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    (handed,) = desk.place("q", resp="queued")
    assert (handed["status"], handed["result"]) == (202, {"cl_ord_id": "q"})
    assert desk.tick(ms=3_000) == []
    core.answer(desk.now)
    assert [message["ev"] for message in desk.tick()] == ["order"]


def test_a_queued_batch_is_answered_when_all_its_legs_are_handed_over_or_refused(new_gateway):
    desk = Desk(new_gateway(core=Stuck()))
    desk.logon()
    bad = {**ORDER, "cl_ord_id": "b", "qty": "0.00001"}
    legs = [{"op": "place", "params": {**ORDER, "cl_ord_id": "a"}}, {"op": "place", "params": bad}]
    (answer,) = desk.call("order.batch", {"legs": legs, "resp": "queued"})
    assert (answer["status"], [leg["status"] for leg in answer["result"]["legs"]]) == (202, [202, 422])


def test_a_batch_that_wants_no_answers_is_answered_when_a_leg_failed_and_only_then(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    good = {"op": "place", "params": {**ORDER, "cl_ord_id": "a"}}
    used = {"op": "place", "params": {**ORDER, "cl_ord_id": "a"}}
    bad = {"op": "place", "params": {**ORDER, "cl_ord_id": "b", "qty": "0.00001"}}
    assert answers(desk.call("order.batch", {"legs": [good], "resp": "none"})) == []
    (answer,) = answers(desk.call("order.batch", {"legs": [bad, used], "resp": "none"}))
    assert (answer["status"], answer["result"]["ok"], answer["result"]["failed"]) == (200, 0, 2)
    assert [leg["error"]["code"] for leg in answer["result"]["legs"]] == [2005, 4003]


def test_a_retry_of_a_known_id_is_told_the_orders_state_whatever_answers_it_wants(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    first = {"ts": desk.now // 1_000}
    desk.place("a", **first)
    for resp, statuses in (("accepted", [200]), ("none", [200]), ("queued", [202, 200])):
        told = desk.place("a", retry=True, resp=resp, **first)
        assert [message["status"] for message in told] == statuses
        state = told[-1]["result"]
        assert (state["cl_ord_id"], state["status"], state["duplicate"]) == ("a", "new", True)
    assert answers(desk.place("b", retry=True, resp="none", **first)) == []
    assert [answer["status"] for answer in answers(desk.place("c", retry=True, resp="queued", **first))] == [202]


def test_a_used_id_is_refused_with_the_order_that_has_it_and_the_event_names_no_live_order(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    (first,) = answers(desk.place("a"))
    change = {"symbol": "BTC-USDT", "orig_cl_ord_id": "a", "cl_ord_id": "b", "qty": "2", "price": "101"}
    desk.call("order.replace", change)
    told = desk.place("a")
    (refused,) = answers(told)
    (event,) = [message for message in told if message.get("ev") == "order"]
    order = refused["error"]["data"]["order"]
    assert (refused["status"], refused["error"]["code"]) == (409, 4003)
    assert [order[key] for key in ("order_id", "cl_ord_id", "orig_cl_ord_id", "status", "qty")] == [
        first["result"]["order_id"], "b", "a", "new", "2.0000",
    ]  # fmt: skip
    assert (event["data"]["exec"], event["data"].get("order_id")) == ("rejected", None)
    (asked,) = answers(desk.call("order.status", {"cl_ord_id": "a"}))
    assert (asked["result"]["cl_ord_id"], asked["result"]["orig_cl_ord_id"]) == ("b", "a")


def test_the_limits_list_how_many_orders_may_be_open(new_gateway):
    desk = Desk(new_gateway())
    (logon,) = answers(desk.logon())
    desk.place("a")
    (answer,) = answers(desk.call("limits.get"))
    gauge = answer["result"]["limits"][-1]
    assert (gauge["name"], gauge["scope"], gauge["rate"]) == ("open_orders", "account", 0)
    assert gauge["remaining"] == gauge["capacity"] - 1
    assert "full_in_ms" not in gauge, "nothing fills by itself"
    assert "open_orders" in [limit["name"] for limit in logon["result"]["limits"]]


def test_an_order_on_its_way_is_not_unknown_to_whoever_asks_for_it(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    desk.place("a")
    for name, told in (("a", (504, 5004, "unknown")), ("z", (404, 4002, "not_executed"))):
        source = Source(7, "order.status", desk.now)
        query = QueryOrders(1, 1, desk.endpoint.session.id, Origin.WS, desk.now, 0, "", cl_ord_id=name, open_only=False)
        desk.endpoint.answers.open.add(source)
        desk.endpoint.answer(Request(query, desk.endpoint.session, source, 0), OrderList(1, 0, 1, 0, "", ()), desk.now)
        (answer,) = answers(desk.read(), 7)
        assert (answer["status"], answer["error"]["code"], answer["error"]["outcome"]) == told


def test_a_batch_of_retries_tells_the_state_of_the_known_orders(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    ts = desk.now // 1_000
    desk.place("a", ts=ts)
    legs = [{"op": "place", "params": {**ORDER, "cl_ord_id": "a", "ts": ts, "retry": True}}]
    (answer,) = desk.call("order.batch", {"legs": legs, "resp": "none"})
    assert answer["result"]["legs"][0]["result"]["duplicate"]
    handed, state = desk.call("order.batch", {"legs": legs, "resp": "queued"})
    assert (handed["status"], state["status"]) == (202, 200)
    assert (state["result"]["cl_ord_id"], state["result"]["duplicate"]) == ("a", True)


def test_a_known_leg_is_told_in_its_batch_while_another_leg_still_waits(new_gateway):
    core = Stuck()
    core.window = CANCEL_CREDIT + CONTROL_CREDIT + 1  # one order at a time
    desk = Desk(new_gateway(core=core))
    desk.logon()
    ts = desk.now // 1_000
    desk.place("a", ts=ts)
    core.answer(desk.now)
    desk.read()
    known = {"op": "place", "params": {**ORDER, "cl_ord_id": "a", "ts": ts, "retry": True}}
    new = {"op": "place", "params": {**ORDER, "cl_ord_id": "b"}}
    assert desk.call("order.batch", {"legs": [known, new], "resp": "queued"}) == []
    core.answer(desk.now)
    (answer,) = desk.tick()
    assert [leg["status"] for leg in answer["result"]["legs"]] == [200, 202]
    assert answer["result"]["legs"][0]["result"]["duplicate"]


def test_a_late_answer_to_a_question_comes_after_504_and_an_orders_late_outcome_is_told_by_its_events(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    desk.call("order.list", {}, id=1)
    desk.place("a", id=2)
    assert sorted((message["id"], message["status"]) for message in desk.tick(ms=3_000)) == [(1, 504), (2, 504)]
    core.answer(desk.now)
    told = desk.tick()
    assert [(message["id"], message["status"]) for message in told if "id" in message] == [(1, 200)]
    assert [event["data"]["cl_ord_id"] for event in events(told)] == ["a"]


def test_the_legs_of_a_padded_batch_fill_the_queue_by_its_size_once(new_gateway):
    server = new_gateway(core=Stuck())
    desk = Desk(server)
    desk.logon()
    legs = [{"op": "place", "params": {**ORDER, "cl_ord_id": f"b{n}"}} for n in range(20)]
    frame = request("order.batch", {"legs": legs, "resp": "none"})
    desk.endpoint.receive(frame, desk.now)
    assert server.orders.queue.commands == 20
    assert 0.9 * len(frame) < server.orders.queue.size_bytes <= len(frame)


def test_a_read_only_key_may_not_arm_the_dead_mans_switch(new_gateway):
    desk = Desk(new_gateway(key_more={"permissions": ("read",)}))
    desk.logon()
    (refused,) = desk.call("order.cancel_after", {"timeout_ms": 5_000})
    assert refused["error"]["code"] == 1005


def test_an_order_that_is_shed_is_told_that_we_are_busy(new_gateway):
    server = new_gateway()
    desk = Desk(server)
    desk.logon()
    ingress = server.orders.queue
    ingress.stage, ingress.since_ns = Stage.SHEDDING, server.now_ns()
    (answer,) = desk.place("a")
    assert (answer["status"], answer["error"]["code"], answer["error"]["data"]) == (503, 5001, {"state": "busy"})


# -- logging out -----------------------------------------------------------------------------------------------------


def test_a_logout_behind_an_order_is_answered_after_it_and_the_orders_stay(new_gateway):
    server = new_gateway()
    desk = Desk(server)
    desk.logon(cod={"scope": "session"})
    told = desk.write(request("order.place", {**ORDER, "cl_ord_id": "a"}, 1), request("session.logout", {}, 2))
    assert [message.get("id") if isinstance(message, dict) else message for message in told] == [
        1, None, 2, "close 1000 logged out"
    ]  # fmt: skip
    server.cancel_on_disconnect.tick(desk.now + 120_000 * MS)
    server.orders.tick(desk.now)
    assert [order.cl_ord_id for order in server.core.engine.open_orders(1)] == ["a"]
    assert server.metrics.ws.disconnects == {"logout": 1}


def test_a_logout_waits_for_a_silent_core_no_longer_than_any_answer(new_gateway):
    desk = Desk(new_gateway(core=Stuck()))
    desk.logon()
    assert desk.write(request("order.place", {**ORDER, "cl_ord_id": "a"}, 1), request("session.logout", {}, 2)) == []
    assert desk.endpoint.next_deadline_ns <= desk.now + 2_000 * MS
    desk.endpoint.tick(desk.now + 1_900 * MS)
    assert desk.read() == []
    desk.endpoint.tick(desk.now + 2_001 * MS)
    assert desk.read()[-1] == "close 1000 logged out"


def test_after_a_logout_nothing_more_is_taken(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    told = desk.write(request("session.logout", {}, 1), request("order.place", {**ORDER, "cl_ord_id": "a"}, 2))
    assert [(message["id"], message["status"]) for message in told[:2]] == [(2, 401), (1, 200)]


def test_a_logout_that_cancels_withdraws_what_still_waits_and_answers_it(new_gateway):
    server = new_gateway()
    desk = Desk(server)
    desk.logon()
    desk.place("old", id=9)
    told = desk.write(
        request("order.place", {**ORDER, "cl_ord_id": "a"}, 1), request("session.logout", {"cancel_orders": True}, 2)
    )
    assert answers(told, 1)
    assert answers(told, 2)[0]["status"] == 200
    assert server.core.engine.open_orders(1) == []


# -- the stream ------------------------------------------------------------------------------------------------------


def test_subscriptions_changed_during_a_replay_leave_its_numbers_in_order(new_gateway):
    desk = Desk(new_gateway())
    epoch = desk.hello["epoch"]
    desk.logon()
    for number in range(200):
        desk.place(f"o{number}")
    told = desk.write(
        request("stream.replay", {"epoch": epoch, "begin": 1}, 1),
        request("unsubscribe", {"streams": ["orders"]}, 2),
        request("subscribe", {"streams": ["orders"]}, 3),
        request("order.place", {**ORDER, "cl_ord_id": "live"}, 4),
    )
    assert [answers(told, id)[0]["status"] for id in (1, 2, 3, 4)] == [200] * 4
    orders = events(told)
    assert [event["seq"] for event in orders] == list(range(1, 202))
    assert [event.get("replay", False) for event in orders] == [True] * 200 + [False]
    assert events(told, "resumed")[0]["data"] == {"epoch": epoch, "begin": 1, "end": 200}


def test_a_second_replay_waits_for_the_first(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    desk.place("a")
    replay = request("stream.replay", {"epoch": desk.hello["epoch"], "begin": 1}, 2)
    told = desk.write(replay, replay)
    assert [answer["status"] for answer in answers(told, 2)] == [200, 409]
    assert answers(told, 2)[1]["error"]["retry_after_ms"] == 100


def test_what_was_missed_is_replayed_on_resume_and_live_goes_on_behind_it(new_gateway):
    server = new_gateway()
    other, desk = Desk(server), Desk(server)
    other.logon()
    for number in range(100):
        other.place(f"o{number}")
    told = desk.logon(resume={"epoch": desk.hello["epoch"], "seq": 40})
    assert told[0]["result"]["resume"] == {"status": "replayed", "begin": 41, "end": 100}
    other.place("live")
    told += desk.read()
    assert [event["seq"] for event in events(told)] == list(range(41, 102))


def test_a_resume_of_another_epoch_gets_a_snapshot_in_pieces_and_then_what_came_after_it(new_gateway):
    server = new_gateway()
    other, desk = Desk(server), Desk(server)
    other.logon()
    for number in range(250):
        other.place(f"o{number}")
    told = desk.logon(resume={"epoch": "another", "seq": 3})
    assert told[0]["result"]["resume"] == {"status": "snapshot", "reason": "epoch_changed"}
    other.place("live")
    told += desk.read()
    pieces = events(told, "snapshot")
    assert [(len(piece["data"]["orders"]), piece["data"]["last"]) for piece in pieces] == [
        (100, False), (100, False), (50, True)
    ]  # fmt: skip
    assert {piece["seq"] for piece in pieces} == {250}
    assert [event["seq"] for event in events(told)] == [251]


def test_a_snapshot_asked_for_on_one_connection_never_comes_on_the_next(new_gateway):
    core = Stuck()
    server = new_gateway(core=core)
    first, second = Desk(server), Desk(server)
    first.logon(name="bot", resume={"epoch": "another", "seq": 3})
    second.logon(name="bot")
    assert first.read() == ["close 4001 superseded"]
    core.answer(second.now)
    assert second.tick() == []


@pytest.mark.parametrize(("for_client", "word"), [(False, "1012 the session is at another"), (True, "4001 superseded")])
def test_once_another_gateway_has_the_session_nothing_that_waits_is_sent(new_gateway, for_client, word):
    """What waits for its record will not be recorded; what waits behind that would come after a gap."""
    desk = Desk(new_gateway())
    desk.logon(name="bot")
    desk.endpoint.receive(request("order.place", {**ORDER, "cl_ord_id": "o1"}, 7), desk.now)
    desk.server.orders.tick(desk.now)
    desk.endpoint.abandon(for_client, desk.now)
    (told,) = desk.read()
    assert told.startswith(f"close {word}")
    desk.place("o2")
    assert desk.read() == []


def test_a_snapshot_that_the_core_does_not_give_is_asked_for_again_and_the_connection_lives(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon(resume={"epoch": "another", "seq": 3})
    core.handed.clear()  # lost on the way
    assert desk.tick(ms=3_000) == []
    assert core.handed == []
    desk.endpoint.tick(desk.now + 10_000 * MS)
    desk.tick()
    assert len(core.handed) == 1
    core.answer(desk.now)
    assert [piece["data"]["last"] for piece in events(desk.tick(), "snapshot")] == [True]


def test_a_snapshot_that_comes_late_and_again_is_told_once(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon(resume={"epoch": "another", "seq": 3})
    desk.tick(ms=3_000)  # no answer in time
    desk.endpoint.tick(desk.now + 10_000 * MS)
    desk.tick()
    assert len(core.handed) == 2
    core.answer(desk.now)
    assert len(events(desk.tick(), "snapshot")) == 1


def test_the_replay_of_what_retention_has_dropped_ends_with_4008_and_no_hole(new_gateway):
    server = new_gateway(stream=schema.Stream(retain_events=100))
    other, desk = Desk(server), Desk(server)
    other.logon()
    for number in range(100):
        other.place(f"o{number}")
    desk.logon()
    desk.endpoint.receive(request("stream.replay", {"epoch": desk.hello["epoch"], "begin": 1}, 1), desk.now)
    for number in range(50):
        other.place(f"p{number}")
    told = desk.read()
    assert told[-1] == "close 4008 too slow to read"
    assert events(told) == []


def test_a_long_list_is_one_answer_made_between_the_turns_of_others(new_gateway):
    server = new_gateway()
    desk = Desk(server)
    for number in range(1_000):  # of the time before this connection
        server.core.engine.execute(
            NewOrder(number + 1, 1, 0, Origin.FIX, 1, 0, f"e{number}", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 10, 100_00),
            desk.now,
        )
    desk.logon()
    desk.endpoint.receive(request("order.list", {}, 1), desk.now)
    server.orders.tick(desk.now)
    assert [(desk.endpoint.read_on(desk.now), desk.endpoint.take_output(1 << 20)) for _ in range(3)] == [(100, b"")] * 3
    told = desk.place("later", id=2)
    assert [message.get("id") for message in told] == [2, 1, None]  # the event is younger than the list
    assert len(told[1]["result"]["orders"]) == 1_000
    assert told[2]["seq"] == 1_001


def test_each_event_reaches_every_connection_and_names_the_session_that_owns_the_order(new_gateway):
    server = new_gateway()
    shared = EncodedEvents(server.instruments, server.sessions)
    desks = [Desk(server) for _ in range(3)]
    for number, desk in enumerate(desks):
        desk.endpoint._event_bytes = shared
        desk.logon(name=f"bot-{number}")
    desks[0].place("a")
    told = [events([*desk.read()])[0] for desk in desks[1:]]
    assert told[0] == told[1]
    assert told[0]["data"]["session"] == "bot-0"


# -- who may be here, and for how long -------------------------------------------------------------------------------


def test_a_key_has_so_many_connections_and_a_takeover_is_not_one_more(new_gateway):
    server = new_gateway()
    for number in range(MAX_CONNECTIONS_PER_KEY):
        assert Desk(server).logon(name=f"bot-{number}")[0]["status"] == 200
    answer, closing = Desk(server).logon()
    assert answer["error"]["code"] == 1007
    assert closing == "close 1013 retry_after_ms=1000"
    assert server.metrics.ws.failed_logons == {"too_many_connections": 1}
    assert Desk(server).logon(name="bot-7")[0]["status"] == 200
    assert Desk(server, "OTHER").logon()[0]["status"] == 200


def test_a_logon_costs_a_token_only_where_it_takes_over(new_gateway):
    server = new_gateway(limits=OPEN.replace('"1000/s", burst = 1000', '"1/min", burst = 2'))
    for _ in range(20):
        desk = Desk(server)
        assert desk.logon(name="bot")[0]["status"] == 200
        desk.endpoint.lost(desk.now)
    answers = [Desk(server).logon(name="bot")[0] for _ in range(4)]
    assert [answer["status"] for answer in answers] == [200, 200, 200, 429]
    assert server.metrics.ws.failed_logons == {"rate": 1}


def test_whoever_comes_after_the_end_of_a_connection_adds_none_and_takes_nothing_over(new_gateway):
    server = new_gateway(limits=OPEN.replace('"1000/s", burst = 1000', '"1/min", burst = 1'))
    desks = [Desk(server) for _ in range(MAX_CONNECTIONS_PER_KEY)]
    for number, desk in enumerate(desks):
        desk.logon(**({"name": "bot"} if number == 0 else {}))
    assert Desk(server).logon()[0]["error"]["code"] == 1007
    for desk in desks[:2]:
        desk.link.has_ended = True  # its end was read; that its socket is closed is told some turns later
    assert [Desk(server).logon(**more)[0]["status"] for more in ({"name": "bot"}, {})] == [200, 200]
    assert Desk(server).logon(name="bot")[0]["status"] == 200, "the token is there for the first that takes over"
    assert Desk(server).logon(name="bot")[0]["status"] == 429


NEWCOMERS = {
    "signature": lambda desk: desk.logon(name="bot", sig="AAAA"),
    "challenge": lambda desk: desk.logon(name="bot", challenge="another's"),
    "resume": lambda desk: desk.logon(name="bot", resume={"epoch": "e", "seq": -1}),
    "resume of nothing": lambda desk: desk.logon(name="bot", resume={"seq": 1}),
    "name": lambda desk: desk.logon(name="bot/1"),
    "cod": lambda desk: desk.logon(name="bot", cod={"scope": "all"}),
    "another's key": lambda desk: desk.logon(name="bot", api_key="key-OTHER"),
    "sent too much ahead": lambda desk: desk.write(
        request("session.logon", desk.proof(name="bot", cod={"scope": "off"})),
        *[request("ping", {"pad": "x" * 3_000})] * 30,
    ),
}


@pytest.mark.parametrize("newcomer", NEWCOMERS.values(), ids=NEWCOMERS)
def test_a_refused_newcomer_changes_nothing_for_the_living_session_of_its_name(new_gateway, newcomer):
    server = new_gateway()
    living, late = Desk(server), Desk(server)
    living.logon(name="bot", cod={"scope": "session"})
    living.place("a")
    session = living.endpoint.session
    before = (session.endpoint, session.client, session.connected, session.cancel_on_disconnect, session.path)
    told = newcomer(late)
    assert not [message for message in answers(told) if message["status"] == 200]
    late.endpoint.lost(late.now)
    after = (session.endpoint, session.client, session.connected, session.cancel_on_disconnect, session.path)
    assert after == before
    server.cancel_on_disconnect.tick(server.now_ns() + 120_000 * MS)
    assert living.tick() == []
    answer, event = living.place("b")
    assert (answer["status"], event["data"]["cl_ord_id"]) == (200, "b")
    assert len(server.core.engine.open_orders(1)) == 2


def timed(desk, number):
    """A logon that signs no challenge of ours, but the time."""
    ts = desk.now // 1_000 - number
    identity = ws.WsIdentity(f"key-{desk.account}", seed_of(desk.account))
    return desk.logon(challenge="", ts=ts, sig=ws.signature(identity, "", ts))


def test_a_bot_that_logs_on_too_often_to_be_remembered_is_told_when_to_come_again(new_gateway):
    """
    session.logon x 1,025 in a moment, each signed, none with our challenge -> 429 1007, close 1013: never "refused"
    with the challenge -> in, for nothing has to be remembered
    """
    server = new_gateway()
    for number in range(MAX_SIGNATURES):
        desk = Desk(server)
        assert timed(desk, number)[0]["status"] == 200
        desk.endpoint.lost(desk.now)
    answer, closing = timed(Desk(server), MAX_SIGNATURES)
    error = answer["error"]
    assert (answer["status"], error["code"], error["retry"]) == (429, 1007, True)
    assert closing == f"close 1013 retry_after_ms={error['retry_after_ms']}"
    assert 1 <= error["retry_after_ms"] <= 5_000
    assert server.metrics.ws.failed_logons == {"too_many_logons": 1}
    assert Desk(server).logon()[0]["status"] == 200


@pytest.mark.parametrize("cause", ["rate", "draining"])
def test_a_newcomer_that_proved_itself_and_must_wait_changes_nothing_either(new_gateway, cause):
    server = new_gateway(limits=OPEN.replace('"1000/s", burst = 1000', '"1/min", burst = 1'))
    for _ in range(2):  # the second takes over, which costs the token
        living = Desk(server)
        living.logon(name="bot", cod={"scope": "session"})
    living.place("a")
    late = Desk(server)
    server.orders.venue.draining = cause == "draining"
    assert late.logon(name="bot")[0]["error"]["code"] in {1007, 5005}
    assert server.metrics.ws.failed_logons == {cause: 1}
    late.endpoint.lost(late.now)
    server.cancel_on_disconnect.tick(server.now_ns() + 120_000 * MS)
    assert living.tick() == []
    assert living.endpoint.session.endpoint is living.endpoint
    assert len(server.core.engine.open_orders(1)) == 1


def test_who_fails_again_and_again_is_told_a_second_later_and_not_before(new_gateway):
    server = new_gateway()
    for _ in range(5):
        answer, closing = Desk(server).logon(sig="AAAA")
        assert (answer["error"]["code"], closing) == (1002, "close 4003 logon refused")
    desk = Desk(server)
    assert desk.logon(sig="AAAA") == []
    due_ns = desk.endpoint.next_deadline_ns
    desk.endpoint.tick(due_ns - 1)
    assert desk.read() == []
    desk.endpoint.tick(due_ns)
    answer, closing = desk.read()
    assert (answer["error"]["code"], closing) == (1002, "close 4003 logon refused")
    assert server.metrics.ws.failed_logons == {"signature": 6}
    assert Desk(server).logon()[0]["status"] == 200


def test_whoever_admits_strangers_is_told_who_has_logged_on_and_who_was_refused(new_gateway):
    server, heard = new_gateway(), []
    right, wrong = Desk(server), Desk(server)
    for desk in (right, wrong):
        proved, failed = (partial(heard.append, (word, desk is right)) for word in ("proved", "failed"))
        info = msgspec.structs.replace(desk.endpoint._info, proved=proved, failed=failed)
        desk.endpoint._info = desk.endpoint._logon._info = info
    wrong.logon(sig="AAAA")
    assert right.logon()[0]["status"] == 200
    assert heard == [("failed", False), ("proved", True)]


def test_a_key_never_runs_out_of_names_and_the_one_that_was_away_longest_is_forgotten_first(new_gateway):
    server, ids = new_gateway(), {}
    names = [f"pod-{number}" for number in range(MAX_NAMES_PER_KEY)]
    for name in [*names, "pod-0", "one-more"]:
        desk = Desk(server)
        assert desk.logon(name=name)[0]["status"] == 200
        ids[name] = desk.endpoint.session.id
        log_out(desk)
    assert len(server.sessions.by_id) == MAX_NAMES_PER_KEY
    again = {}
    for name in ("pod-2", "pod-0", "pod-1"):
        desk = Desk(server)
        desk.logon(name=name)
        again[name] = desk.endpoint.session.id
        log_out(desk)
    assert {name: again[name] == ids[name] for name in again} == {"pod-2": True, "pod-0": True, "pod-1": False}
    assert len({*ids.values(), *again.values()}) == MAX_NAMES_PER_KEY + 2, "no id is given twice"


def connect(desk):
    return lambda: log_out(desk)


def leave_an_order(desk):
    desk.place(f"o-{desk.endpoint.session.id}")
    log_out(desk)

    def release():
        other = Desk(desk.server)
        other.logon()
        other.call("order.cancel_all", {})
        log_out(other)

    return release


def wait_to_cancel(desk):
    desk.call("session.configure", {"cod": {"scope": "session", "grace_ms": 60_000}})
    desk.endpoint.lost(desk.now)
    return lambda: desk.server.cancel_on_disconnect.tick(desk.now + 60_000 * MS)


def wait_for_the_dead_man(desk):
    desk.call("order.cancel_after", {"timeout_ms": 60_000})
    log_out(desk)
    return lambda: desk.server.cancel_on_disconnect.tick(desk.now + 60_000 * MS)


@pytest.mark.parametrize("own", [connect, leave_an_order, wait_to_cancel, wait_for_the_dead_man])
def test_a_name_that_owns_something_is_not_forgotten_until_it_does_not(new_gateway, own):
    server = new_gateway()
    for number in range(MAX_NAMES_PER_KEY - 1):
        desk = Desk(server)
        desk.logon(name=f"pod-{number}")
        wait_to_cancel(desk)
    last = Desk(server)
    last.logon(name="last")
    release = own(last)
    answer, closing = Desk(server).logon(name="one-more")
    assert (answer["error"]["code"], closing) == (1007, "close 1013 retry_after_ms=60000")
    assert "use one of them" in answer["error"]["msg"]
    for number in range(MAX_NAMES_PER_KEY - 1):
        Desk(server).logon(name=f"pod-{number}")  # so that they keep theirs
    release()
    server.orders.tick(server.now_ns())
    assert Desk(server).logon(name="one-more")[0]["status"] == 200
    assert server.metrics.ws.failed_logons == {"too_many_sessions": 1}


def test_sessions_without_a_name_share_the_message_bucket_of_their_key(new_gateway):
    server = new_gateway(limits=FEW)
    first, second = Desk(server), Desk(server)
    first.logon()
    for _ in range(5):
        assert first.call("session.status")[0]["status"] == 200
    second.logon()
    assert second.call("session.status")[0]["error"]["code"] == 3003
    named = Desk(server)
    named.logon(name="bot")
    assert named.call("session.status")[0]["status"] == 200


def test_a_flood_of_refused_messages_ends_with_4029_and_cancels_like_a_disconnect(new_gateway):
    server = new_gateway(limits=FEW)
    desk = Desk(server)
    desk.logon(cod={"scope": "session"})
    desk.place("a")
    told = desk.write(*(request("time", None, number) for number in range(54)))
    assert len(told) == 54  # 4 within the limit and 50 that are refused: not yet a flood
    told = desk.write(request("time"), request("time"), request("time"))
    assert [message for message in told if isinstance(message, str)] == [
        "close 4029 limit_abuse: far too many messages over the limit"
    ]
    assert server.metrics.ws.disconnects == {"limit_abuse": 1}
    server.cancel_on_disconnect.tick(desk.now)
    server.orders.tick(desk.now)
    assert server.core.engine.open_orders(1) == []


def test_refused_orders_count_towards_the_flood_and_refused_cancels_never_do(new_gateway):
    limits = FEW.replace("[assign]", 'cancels = { rate = "1/s", burst = 1 }\n[assign]')
    desk = Desk(new_gateway(limits=limits))
    desk.logon()
    cancel = request("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": "x"})
    told = desk.write(*[cancel] * 200)
    assert not any(isinstance(message, str) for message in told)
    told = desk.write(*(request("order.place", {**ORDER, "cl_ord_id": f"o{n}"}) for n in range(60)))
    assert told[-1].startswith("close 4029")


def test_of_a_batch_that_ends_in_a_flood_nothing_is_sent_behind_the_leg_that_was_too_much(new_gateway):
    server = new_gateway(limits=FEW, core=Stuck())
    desk = Desk(server)
    desk.logon()
    legs = [{"op": "place", "params": {**ORDER, "cl_ord_id": f"o{n}"}} for n in range(19)]
    legs.append({"op": "cancel", "params": {"symbol": "BTC-USDT", "orig_cl_ord_id": "x"}})
    batch = request("order.batch", {"legs": legs})
    assert desk.write(*[batch] * 3)[-1].startswith("close 4029")
    assert len(server.core.handed) == 5 + 2  # what the limit allowed, and the cancels of the first two batches


def shown(answer):
    """The buckets in its limits block."""
    return [block["name"] for block in answer.get("limits", ())]


def bursts(**sizes):
    """OPEN with a few small buckets that hardly fill."""
    limits = OPEN
    for name, burst in sizes.items():
        limits = limits.replace(f'{name} = {{ rate = "100000/s", burst = 100000 }}', "")
        limits = limits.replace("[assign]", f'{name} = {{ rate = "1/min", burst = {burst} }}\n[assign]')
    return limits


@pytest.mark.parametrize(
    ("mode", "from_order"), [("near", 7), ("always", 1), ("never", None)]
)  # of 8: two left are a quarter, and one is less
def test_an_answer_shows_the_limits_that_it_touched_by_the_clients_mode(new_gateway, mode, from_order):
    desk = Desk(new_gateway(bursts(msgs=100, orders=8)))
    desk.logon(limits=mode)
    told = [shown(answers(desk.place(f"o{n}"))[0]) for n in range(1, 9)]
    first = 9 if from_order is None else from_order
    assert told == [[]] * (first - 1) + [["orders", "msgs"]] * (9 - first)


@pytest.mark.parametrize("mode", ["near", "always"])
def test_a_refusal_by_limit_shows_the_bucket_that_refused(new_gateway, mode):
    desk = Desk(new_gateway(bursts(msgs=100, orders=1, queries=6, cancels=1)))
    desk.logon(limits=mode)
    cancel = {"symbol": "BTC-USDT", "orig_cl_ord_id": "x"}
    replay = {"epoch": desk.hello["epoch"], "begin": 1}
    desk.place("a")
    desk.call("order.cancel", cancel)
    desk.call("order.list", {})
    desk.call("stream.replay", replay)
    refused = {
        "order.place": answers(desk.place("b"))[0],
        "order.cancel": answers(desk.call("order.cancel", cancel))[0],
        "order.list": answers(desk.call("order.list", {}))[0],
        "stream.replay": answers(desk.call("stream.replay", replay))[0],
    }
    assert [(answer["error"]["code"], shown(answer)) for answer in refused.values()] == [
        (3001, ["orders", "cancels", "msgs"]),
        (3002, ["cancels"]),
        (3004, ["queries", "msgs"]),
        (3004, ["queries", "msgs"]),
    ]


def test_a_refused_message_shows_the_messages_whatever_it_was(new_gateway):
    desk = Desk(new_gateway(bursts(msgs=1)))
    desk.logon()
    desk.call("limits.get")
    for method, params in (
        ("limits.get", {}),
        ("order.list", {}),
        ("order.place", {**ORDER, "cl_ord_id": "a"}),
        ("stream.replay", {"epoch": desk.hello["epoch"], "begin": 1}),
    ):
        (answer,) = desk.call(method, params)
        assert (answer["error"]["code"], shown(answer)) == (3003, ["msgs"])


@pytest.mark.parametrize("method", ["ping", "time", "no.such", "D"])
def test_the_cheapest_request_is_refused_too_when_the_messages_have_run_out(new_gateway, method):
    desk = Desk(new_gateway(bursts(msgs=2, orders=1)))
    desk.logon()
    (first,), (second,) = desk.call(method), desk.call(method)
    assert first["status"] == second["status"] == (200 if method in ("ping", "time") else 404)
    (refused,) = desk.call(method)
    assert (refused["status"], refused["error"]["code"], shown(refused)) == (429, 3003, ["msgs"])


def test_a_cost_over_the_burst_shows_its_bucket(new_gateway):
    desk = Desk(new_gateway(bursts(queries=2)))
    desk.logon()
    (answer,) = desk.call("stream.replay", {"epoch": desk.hello["epoch"], "begin": 1})
    assert (answer["error"]["code"], shown(answer)) == (3007, ["queries", "msgs"])


def test_who_always_wants_limits_sees_each_bucket_that_was_charged_and_no_other(new_gateway):
    desk = Desk(new_gateway(bursts(cancels=100, orders=100)))
    desk.logon(limits="always")
    legs = [
        {"op": "place", "params": {**ORDER, "cl_ord_id": "b"}},
        {"op": "cancel", "params": {"symbol": "BTC-USDT", "orig_cl_ord_id": "b"}},
    ]
    seen = {
        method: shown(answers(desk.call(method, params))[0])
        for method, params in (
            ("order.place", {**ORDER, "cl_ord_id": "a"}),
            ("order.cancel", {"symbol": "BTC-USDT", "orig_cl_ord_id": "a"}),
            ("order.batch", {"legs": legs}),
            ("order.list", {}),
            ("limits.get", {}),
            ("order.cancel_after", {"timeout_ms": 0}),
        )
    }
    assert seen == {
        "order.place": ["orders", "msgs"],
        "order.cancel": ["cancels"],
        "order.batch": ["orders", "cancels", "msgs"],
        "order.list": ["queries", "msgs"],
        "limits.get": ["msgs"],
        "order.cancel_after": [],
    }


def test_limits_are_shown_near_the_end_of_any_bucket_that_was_touched(new_gateway):
    desk = Desk(new_gateway(bursts(msgs=4)))
    desk.logon()
    assert [shown(desk.call("session.status")[0]) for _ in range(4)] == [[], [], [], ["msgs"]]


def test_nobody_logs_on_while_the_gateway_drains(new_gateway):
    server = new_gateway()
    desk = Desk(server)
    server.orders.venue.draining = True
    answer, closing = desk.logon()
    assert (answer["status"], answer["error"]["code"]) == (503, 5005)
    assert closing == "close 1012 the gateway is draining, reconnect"


def test_a_drain_is_announced_and_ends_with_1012_and_the_end_of_the_process_with_1001(new_gateway):
    server = new_gateway()
    drained, ended = Desk(server), Desk(server)
    drained.logon()
    ended.logon()
    ended.endpoint.log_out("bye", ended.now)
    assert ended.read() == ["close 1001 bye"]
    server.orders.venue.draining = True
    now = drained.now
    drained.endpoint.draining(now + 10_000 * MS, "soon", now)
    drained.endpoint.log_out("bye", now)
    announced, closing = drained.read()
    assert announced["data"] == {
        "state": "draining", "reconnect_by": (now + 10_000 * MS) // 1_000, "cod_suspended_ms": 10_000, "text": "soon"
    }  # fmt: skip
    assert closing == "close 1012 bye"


def test_the_time_to_log_on_counts_from_the_accept(new_gateway):
    server = new_gateway()
    events_of = EncodedEvents(server.instruments, server.sessions)
    now = server.now_ns()
    caller = ConnectionInfo("c-1", "challenge", "127.0.0.1", now - 4_000 * MS, ignore, ignore)
    endpoint = WsEndpoint(server.services, server.settings.ws, events_of, Link(), caller)
    endpoint.opened(None, now)
    endpoint.tick(now + 900 * MS)
    assert len(messages(endpoint.take_output(1 << 20))) == 1
    endpoint.tick(now + 1_000 * MS)
    assert messages(endpoint.take_output(1 << 20)) == ["close 4002 no logon in time"]


def test_a_bug_of_ours_ends_this_connection_with_1011(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    desk.endpoint.failed(desk.now)
    assert desk.read() == ["close 1011 internal error"]
    assert desk.link.is_closing
    assert desk.server.metrics.ws.disconnects == {"failed": 1}


def test_a_closed_client_is_counted_once_with_the_reason_that_came_first(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    assert desk.write(close(1000)) == ["close 1000"]
    desk.endpoint.lost(desk.now)
    assert desk.server.metrics.ws.disconnects == {"peer": 1}


# -- what the operators change ---------------------------------------------------------------------------------------


def test_the_profile_is_the_plan_with_its_version_wherever_it_is_told(new_gateway):
    server = new_gateway()
    desk = Desk(server)
    desk.logon()
    assert desk.call("limits.get")[0]["result"]["profile"] == "mm v3"
    views = server.limiter.view(desk.endpoint.session.path, desk.now)
    desk.endpoint.limits_changed(views, 3, desk.now)
    assert events(desk.read(), "limits")[0]["data"]["profile"] == "mm v3"


def test_the_state_of_the_queue_is_told_to_who_hears_the_system(new_gateway):
    server = new_gateway()
    deaf, desk = Desk(server), Desk(server)
    deaf.logon(streams=["orders"])
    desk.logon()
    for state in ("busy", "normal"):
        for each in (deaf, desk):
            each.endpoint.notice(EngineState(0, 0, 0, desk.now, state), desk.now)
    assert [event["data"]["state"] for event in events(desk.read(), "system")] == ["busy", "normal"]
    assert deaf.read() == []


def test_numbers_are_dense_for_a_client_that_stays(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    seen = [event["seq"] for number in range(50) for event in events(desk.place(f"o{number}"))]
    assert all(later == earlier + 1 for earlier, later in pairwise(seen))
