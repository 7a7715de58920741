"""In which order a WebSocket client reads: an answer before the events of its request, and a logout's last of all.

Modules: doors.ws.endpoint, doors.ws.answers.
"""

import pytest

from protocols.messages import CancelOrder
from tests.support.order_path import Stuck
from tests.support.ws_frames import request
from tests.support.ws_room import MS, ORDER, Desk, answers, events, new_gateway

__all__ = ["new_gateway"]


def place(cl_ord_id, **more):
    return {"op": "place", "params": {**ORDER, "cl_ord_id": cl_ord_id, **more}}


def batch(*legs, id="b", **more):
    return request("order.batch", {"legs": list(legs), **more}, id)


def order_of(told):
    """Ids of answers and numbers of events, as they were read."""
    return [message["seq"] if "seq" in message else message["id"] for message in told if isinstance(message, dict)]


@pytest.mark.parametrize("resp", ["accepted", "queued"])
def test_a_batch_is_answered_before_the_events_of_its_legs(new_gateway, resp):
    desk = Desk(new_gateway())
    desk.logon()
    cancel = {"op": "cancel", "params": {"symbol": "BTC-USDT", "orig_cl_ord_id": "a"}}
    told = desk.write(batch(place("a"), place("b"), cancel, place("c"), resp=resp))
    assert order_of(told) == ["b", 1, 2, 3, 4]
    assert order_of(desk.place("d", id="d")) == ["d", 5], "and live again"


def test_a_batch_of_which_a_leg_failed_is_answered_before_the_events_though_it_wants_no_answer(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    told = desk.write(batch(place("a"), place("a"), place("c"), resp="none"))
    assert order_of(told) == ["b", 1, 2, 3]
    told = desk.write(batch(place("d"), place("e"), resp="none"))
    assert order_of(told) == [4, 5], "nothing failed: there is no answer, and nothing waits for it"


def test_a_leg_that_the_core_is_late_with_keeps_the_events_of_the_others_back_until_it_is_told_of(new_gateway):
    core = Stuck()
    desk, other = (Desk(server := new_gateway(core=core)), Desk(server))
    desk.logon()
    other.logon()
    assert desk.write(batch(place("a"), place("b"))) == []
    core.answer(desk.now, 1)
    assert desk.read() == []
    assert order_of(other.read()) == [1], "whose answer it is not, does not wait"
    core.answer(desk.now)
    assert order_of(desk.read()) == ["b", 1, 2]
    assert order_of(other.read()) == [2]


def test_events_of_others_are_kept_in_order_while_a_batch_waits_and_none_is_lost(new_gateway):
    core = Stuck()
    desk, other = (Desk(server := new_gateway(core=core)), Desk(server))
    desk.logon()
    other.logon()
    desk.write(batch(place("a"), place("b")))
    other.write(request("order.place", {**ORDER, "cl_ord_id": "x"}, "x"))
    core.handed.insert(1, core.handed.pop())  # a, x, b
    core.answer(desk.now, 2)
    assert desk.read() == []
    core.answer(desk.now)
    assert order_of(desk.read()) == ["b", 1, 2, 3]


def test_a_batch_without_an_answer_in_time_is_told_so_and_its_events_follow(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    desk.write(batch(place("a"), place("b")))
    core.answer(desk.now, 1)
    (answer, event) = desk.tick(ms=2_001)
    assert [leg["status"] for leg in answer["result"]["legs"]] == [200, 504]
    assert event["seq"] == 1
    core.answer(desk.now)
    assert order_of(desk.read()) == [2]


def test_of_two_batches_at_once_each_goes_before_its_own_events(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    cancel = {"op": "cancel", "params": {"symbol": "BTC-USDT", "orig_cl_ord_id": "zz"}}
    desk.write(batch(place("a"), cancel, id="one") + batch(place("c"), place("d"), id="two"))
    core.handed.sort(key=lambda command: isinstance(command, CancelOrder))  # a, c, d, and only then the cancel
    core.answer(desk.now, 2)
    assert desk.read() == []
    core.answer(desk.now, 1)
    assert order_of(desk.read()) == ["two"], "the events wait for the first batch, whose leg came first"
    core.answer(desk.now)
    assert order_of(desk.read()) == ["one", 1, 2, 3, 4]


def test_a_batch_during_a_replay_is_answered_before_its_events_too(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    epoch = desk.logon()[0]["result"]["epoch"]
    core.is_quick = True
    for n in range(3):
        desk.place(f"o-{n}")
    core.is_quick = False
    desk.endpoint.receive(request("stream.replay", {"epoch": epoch, "begin": 1, "end": 3}, "r"), desk.now)
    desk.endpoint.receive(batch(place("a"), place("b")), desk.now)
    desk.server.orders.tick(desk.now)
    core.answer(desk.now, 1)
    assert order_of(message for message in desk.read() if message.get("ev") != "resumed") == ["r", 1, 2, 3]
    core.answer(desk.now)
    assert order_of(desk.read()) == ["b", 4, 5]


def test_a_replay_that_ends_while_a_batch_waits_lets_none_of_its_events_through(new_gateway):
    """The first leg has no event of its own, so that nothing waits when the replay ends."""
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    epoch = desk.logon()[0]["result"]["epoch"]
    core.is_quick = True
    desk.place("known")
    core.is_quick = False
    desk.endpoint.receive(request("stream.replay", {"epoch": epoch, "begin": 1, "end": 1}, "r"), desk.now)
    known = place("known", retry=True, ts=desk.now // 1_000)
    desk.endpoint.receive(batch(known, place("a"), place("b")), desk.now)
    desk.server.orders.tick(desk.now)
    core.answer(desk.now, 1)
    assert order_of(message for message in desk.read() if message.get("ev") != "resumed") == ["r", 1]
    core.answer(desk.now, 1)
    assert desk.read() == []
    core.answer(desk.now)
    assert order_of(desk.read()) == ["b", 2, 3]


def test_a_subscription_changed_while_a_batch_waits_breaks_no_order(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    desk.write(batch(place("a"), place("b"), place("c")))
    core.answer(desk.now, 1)
    desk.call("unsubscribe", {"streams": ["orders"]}, "u")
    desk.call("subscribe", {"streams": ["orders"]}, "s")
    core.answer(desk.now, 1)
    assert desk.read() == []
    core.answer(desk.now)
    assert order_of(desk.read()) == ["b", 2, 3], "from the next event on, and behind the answer"
    core.is_quick = True
    assert order_of(desk.place("d", id="d")) == ["d", 4]


@pytest.mark.parametrize("scope", ["account", "session"])
def test_a_mass_cancel_is_answered_before_the_events_that_it_caused(new_gateway, scope):
    desk = Desk(new_gateway())
    desk.logon()
    for n in range(5):
        desk.place(f"o-{n}")
    told = desk.call("order.cancel_all", {"scope": scope}, "m")
    assert order_of(told) == ["m", 6, 7, 8, 9, 10, 11]
    assert answers(told, "m")[0]["result"]["canceled"] == 5


def test_an_order_that_trades_at_once_is_answered_before_all_its_events(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    for n in range(3):
        desk.place(f"o-{n}")
    told = desk.call("order.place", {**ORDER, "side": "sell", "qty": "3", "cl_ord_id": "s"}, "s")
    assert order_of(told)[0] == "s"
    assert len(events(told)) > 3


def test_a_queued_request_is_answered_when_it_is_handed_over_though_the_core_is_silent(new_gateway):
    core = Stuck()
    core.handed = [None] * core.window
    desk = Desk(new_gateway(core=core))
    desk.logon()
    assert desk.write(request("order.place", {**ORDER, "cl_ord_id": "a", "resp": "queued"}, 1)) == []
    core.handed, woken = [], desk.link.woken
    assert [answer["status"] for answer in desk.tick()] == [202]
    assert desk.link.woken > woken


def test_a_logout_is_answered_behind_a_replay_that_is_being_written(new_gateway):
    desk = Desk(new_gateway())
    epoch = desk.logon()[0]["result"]["epoch"]
    for n in range(200):
        desk.place(f"o-{n}")
    asked = request("stream.replay", {"epoch": epoch, "begin": 1, "end": 200}, "r") + request("session.logout", {}, "x")
    told = desk.write(asked)
    assert told[-1] == "close 1000 logged out"
    read = [message for message in told[:-1] if message.get("ev") != "resumed"]
    assert order_of(read) == ["r", *range(1, 201), "x"]


def test_a_logout_behind_a_batch_is_answered_behind_its_events(new_gateway):
    desk = Desk(new_gateway())
    desk.logon()
    told = desk.write(batch(place("a"), place("b")) + request("session.logout", {}, "x"))
    assert order_of(told[:-1]) == ["b", 1, 2, "x"]


def test_a_logout_waits_no_longer_for_a_batch_than_for_any_answer(new_gateway):
    core = Stuck()
    desk = Desk(new_gateway(core=core))
    desk.logon()
    desk.write(batch(place("a"), place("b")) + request("session.logout", {}, "x"))
    core.answer(desk.now, 1)
    assert desk.read() == []
    desk.endpoint.tick(desk.now + 2_001 * MS)
    assert desk.read()[-1] == "close 1000 logged out"
