"""`protocols.ws.session`, `output`, `heartbeat`: hello, logon, heartbeat, answers, close; the clock is set by hand."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ENGINE_BUSY, RATE_LIMITED, TOO_MANY_CONNECTIONS, LocalProtocolError, Refusal
from protocols.ws.codec import MSGPACK
from protocols.ws.events import Answered, Closed, CloseTransport, LogonRequested, Requested, UnknownMethod
from protocols.ws.results import EventWire, LimitBlock, LogonResult, PlaceResult, SystemData
from protocols.ws.schema import CancelAllParams, Cod, LogoutParams
from protocols.ws.session import MAX_BEFORE_LOGON, WsSession
from protocols.ws.settings import TRANSITIONS, ConnectionState, WsSettings
from tests.support.ws_frames import close, frame, messages, read, request, text

T0 = 1_795_348_800_000_000_000
MS = 1_000_000
S = 1_000 * MS
CHALLENGE = "9f1c2ab07d5e4c33"
SETTINGS = WsSettings(
    heartbeat_ms=15_000, logon_timeout_ms=5_000, max_frame_bytes=8_192, server="gate/1.0", epoch="e-20261122-1"
)
RESULT = LogonResult(
    session="mm-bot-1",
    account="1001",
    permissions=("trade", "read"),
    epoch="e-20261122-1",
    cod=Cod("session", 3_000),
    heartbeat_ms=5_000,
    streams=("orders",),
    limits=(LimitBlock(name="orders", scope="account", capacity=200, rate=100.0),),
)
LOGON = {"api_key": "key-demo-1", "ts": 1_795_348_800_005_000, "challenge": CHALLENGE, "sig": "c2ln"}


def opened(settings: WsSettings = SETTINGS) -> WsSession:
    """A connection after its hello."""
    session = WsSession(settings, "c-7Q2M", CHALLENGE, T0)
    session.connected(T0)
    session.take_output()
    return session


def logged_on(settings: WsSettings = SETTINGS) -> WsSession:
    """A connection that logged on in its headers."""
    session = opened(settings)
    session.logged_on(T0)
    return session


def said(session: WsSession) -> list[Any]:
    return messages(session.take_output())


def code_of(session: WsSession) -> int:
    """The error code of the one answer that was written."""
    (answer,) = said(session)
    code: int = answer["error"]["code"]
    return code


# Hello and logon.


def test_the_first_frame_is_hello_with_the_challenge_to_sign() -> None:
    session = WsSession(SETTINGS, "c-7Q2M", CHALLENGE, T0)
    session.connected(T0)
    assert said(session) == [
        {
            "ev": "hello",
            "ts": 1_795_348_800_000_000,
            "data": {
                "conn_id": "c-7Q2M",
                "challenge": CHALLENGE,
                "server": "gate/1.0",
                "epoch": "e-20261122-1",
                "heartbeat_ms": 15_000,
                "max_frame": 8_192,
            },
        }
    ]


def test_the_owner_gets_a_logon_with_the_exact_text_to_verify() -> None:
    session = opened()
    (asked,) = session.receive(request("session.logon", LOGON), T0 + 10 * MS)
    assert isinstance(asked, LogonRequested)
    assert asked.signed == b"session.logon\nkey-demo-1\n9f1c2ab07d5e4c33\n1795348800005000"
    assert (asked.challenged, asked.t_in_ns, asked.params.api_key) == (True, T0 + 10 * MS, "key-demo-1")
    assert session.state is ConnectionState.DECIDING
    assert said(session) == []

    assert session.accept_logon(asked.request_id, RESULT, T0 + 12 * MS, RESULT.limits) == []
    (answer,) = said(session)
    assert (answer["id"], answer["status"]) == (1, 200)
    assert answer["t"] == {"in": 1_795_348_800_010_000, "out": 1_795_348_800_012_000}
    assert answer["result"]["session"] == "mm-bot-1"
    assert answer["limits"] == answer["result"]["limits"]
    assert session.is_logged_on
    assert session.next_deadline_ns == T0 + 10 * MS + 5 * S, "the heartbeat agreed at the logon"


def test_a_logon_without_challenge_says_so_that_its_time_must_be_judged() -> None:
    for params in (LOGON | {"challenge": ""}, {key: LOGON[key] for key in ("api_key", "ts", "sig")}):
        (asked,) = opened().receive(request("session.logon", params), T0)
        assert isinstance(asked, LogonRequested)
        assert not asked.challenged
        assert asked.signed == b"session.logon\nkey-demo-1\n\n1795348800005000"


def test_a_refused_logon_and_one_with_a_foreign_challenge_look_the_same_to_the_client() -> None:
    refused = opened()
    refused.receive(request("session.logon", LOGON), T0)
    refused.refuse_logon(1, T0)
    foreign = opened()
    events = foreign.receive(request("session.logon", LOGON | {"challenge": "another"}), T0)
    assert [type(event) for event in events] == [Closed]
    wire = refused.take_output()
    assert foreign.take_output() == wire
    answer, closing = messages(wire)
    assert (answer["status"], answer["error"]["code"], answer["error"]["msg"]) == (401, 1002, "logon refused")
    assert closing == "close 4003 logon refused"


def test_a_logon_that_may_come_later_is_closed_with_1013_and_a_hint() -> None:
    session = opened()
    session.receive(request("session.logon", LOGON), T0)
    session.refuse_logon(1, T0, Refusal(TOO_MANY_CONNECTIONS, "try later", 700), 1013, "retry_after_ms=700")
    answer, closing = said(session)
    assert (answer["status"], answer["error"]["retry_after_ms"]) == (429, 700)
    assert closing == "close 1013 retry_after_ms=700"


def test_what_is_sent_after_a_logon_waits_for_the_decision_and_keeps_its_order() -> None:
    session = opened()
    ahead = request("order.cancel_all", {}, id=2) + frame(0x9, b"p") + request("ping", id=3)
    events = session.receive(request("session.logon", LOGON) + ahead, T0)
    assert [type(event) for event in events] == [LogonRequested]
    assert session.receive(request("session.logout", {}, id=4), T0 + MS) == []
    assert said(session) == []
    events = session.accept_logon(1, RESULT, T0 + 2 * MS)
    asked = [event.method for event in events if isinstance(event, Requested)]
    assert asked == ["order.cancel_all", "ping", "session.logout"]
    logon, pong = said(session)
    assert (logon["id"], pong) == (1, "pong b'p'")


def test_a_method_that_does_not_exist_is_the_owners_to_refuse() -> None:
    session = logged_on()
    (event,) = session.receive(request("no.such", id=7), T0)
    assert isinstance(event, UnknownMethod)
    assert (event.request_id, event.refusal.code, event.t_in_ns) == (7, 1006, T0)
    assert said(session) == []


def test_what_is_sent_after_a_logon_is_bounded_and_dropped_when_it_is_refused() -> None:
    session = opened()
    session.receive(request("session.logon", LOGON) + request("ping", id=2), T0)
    session.refuse_logon(1, T0)
    assert [type(item) for item in said(session)] == [dict, str]

    session = opened()
    session.receive(request("session.logon", LOGON), T0)
    events = []
    for _ in range(4):
        events += session.receive(text(b"x" * 4_000), T0)
    assert [event.reason for event in events if isinstance(event, Closed)] == ["too_big"]
    assert said(session) == ["close 1009 too much before the logon was answered"]


def test_before_the_logon_only_time_and_ping_are_answered() -> None:
    session = opened()
    assert session.receive(request("time", id="a"), T0 + 7_000) == [Answered("time", 0, 29)]
    assert said(session) == [
        {
            "id": "a",
            "status": 200,
            "t": {"in": 1_795_348_800_000_007, "out": 1_795_348_800_000_007},
            "result": {"ts": 1_795_348_800_000_007},
        }
    ]
    session.receive(request("ping", id="b"), T0)
    assert said(session)[0]["result"] == {}
    (refused,) = session.receive(request("order.cancel_all", {}), T0)
    assert isinstance(refused, Answered)
    assert refused.code == 1001
    (answer,) = said(session)
    assert (answer["status"], answer["error"]["code"]) == (401, 1001)


def test_a_second_logon_on_a_connection_is_1003() -> None:
    session = logged_on()
    (event,) = session.receive(request("session.logon", LOGON), T0)
    assert isinstance(event, Answered)
    assert code_of(session) == 1003
    assert session.is_logged_on


def test_a_logon_with_bad_params_gets_the_field_to_blame_and_may_be_tried_again() -> None:
    session = opened()
    session.receive(request("session.logon", {"api_key": "k", "ts": 1}), T0)
    (answer,) = said(session)
    assert (answer["error"]["code"], answer["error"]["data"]) == (2002, {"field": "sig"})
    (asked,) = session.receive(request("session.logon", LOGON), T0)
    assert isinstance(asked, LogonRequested)


def test_the_messages_before_a_logon_are_few() -> None:
    session = opened()
    events = session.receive(request("ping", id=None) * (MAX_BEFORE_LOGON + 1), T0)
    assert events[-1] == Closed(4002, "no_logon", "over 16 messages before the logon", by_peer=False)
    assert said(session) == ["close 4002 over 16 messages before the logon"]


def test_before_the_logon_a_message_is_at_most_4_kib() -> None:
    session = opened()
    (event,) = session.receive(text(b"x" * 4_097), T0)
    assert event == Closed(1009, "too_big", "message over 4096 bytes", by_peer=False)


def test_a_connection_that_does_not_log_on_is_closed_with_4002_even_while_the_owner_decides() -> None:
    for ask in (b"", request("session.logon", LOGON)):
        session = opened()
        session.receive(ask, T0 + S)
        assert session.next_deadline_ns == T0 + 5 * S
        assert session.tick(T0 + 5 * S - 1) == []
        (event,) = session.tick(T0 + 5 * S)
        assert event == Closed(4002, "logon_timeout", "no logon in time", by_peer=False)
        assert said(session) == ["close 4002 no logon in time"]
        if ask:
            session.refuse_logon(1, T0 + 6 * S)
            assert session.accept_logon(1, RESULT, T0 + 6 * S) == []
            assert not session.is_logged_on
            assert said(session) == []


# Requests.


def test_a_request_comes_out_typed_with_its_size_and_its_trace() -> None:
    session = logged_on()
    wire = request("order.cancel_all", {"symbol": "BTC-USDT"}, id="a", traceparent="00-ab-cd-01")
    (event,) = session.receive(wire, T0 + 5)
    assert event == Requested(
        "a", "order.cancel_all", CancelAllParams("BTC-USDT"), len(wire) - 6, T0 + 5, "00-ab-cd-01"
    )
    assert said(session) == []


def test_answers_carry_both_times_and_a_request_without_id_is_answered_only_when_it_fails() -> None:
    session = logged_on()
    result = PlaceResult("1", "a", "new", "1", "0", "1", 5, 6)
    session.output.respond(None, result, T0, T0)
    assert said(session) == []
    session.output.respond("x", result, T0 + 402_000, T0 + 151_999, status=202)
    (answer,) = said(session)
    assert answer["t"] == {"in": 1_795_348_800_000_151, "out": 1_795_348_800_000_402}
    assert (answer["status"], "error" in answer, "limits" in answer) == (202, False, False)
    session.output.fail(None, Refusal(ENGINE_BUSY, "busy", 20, data={"state": "busy"}), T0, T0)
    assert said(session) == [
        {
            "id": None,
            "status": 503,
            "t": {"in": 1_795_348_800_000_000, "out": 1_795_348_800_000_000},
            "error": {
                "code": 5001,
                "name": "engine_busy",
                "msg": "busy",
                "outcome": "not_executed",
                "retry": True,
                "retry_after_ms": 20,
                "data": {"state": "busy"},
            },
        }
    ]


def test_a_limit_refusal_shows_the_buckets() -> None:
    session = logged_on()
    block = LimitBlock(name="orders", scope="account", remaining=0, capacity=200, rate=100.0, full_in_ms=2_000)
    session.output.fail("a2", Refusal(RATE_LIMITED, "slow down", 7), T0, T0, (block,))
    (answer,) = said(session)
    assert answer["limits"] == [
        {"name": "orders", "scope": "account", "remaining": 0, "capacity": 200, "rate": 100.0, "full_in_ms": 2_000}
    ]


def test_what_does_not_decode_is_answered_and_three_in_a_row_close_the_connection() -> None:
    session = logged_on()
    for _ in range(2):
        assert session.receive(text("{"), T0) == [Answered("", 1004, 1)]
        (answer,) = said(session)
        assert (answer["id"], answer["status"], answer["error"]["code"]) == (None, 400, 1004)
    session.receive(request("ping"), T0)
    said(session)
    events = session.receive(text("{") * 4, T0)
    assert [event.code for event in events] == [1004, 1004, 1004, 4000]
    assert [item if isinstance(item, str) else item["error"]["code"] for item in said(session)] == [
        1004,
        1004,
        1004,
        "close 4000 3 messages in a row do not decode",
    ]


def test_a_bad_field_is_no_reason_to_close_however_often() -> None:
    session = logged_on()
    events = session.receive(request("order.list", {"symbol": 5}) * 5, T0)
    assert [event.code for event in events if isinstance(event, Answered)] == [2001] * 5
    answers = said(session)
    assert [answer["error"]["data"] for answer in answers] == [{"field": "symbol"}] * 5
    assert session.is_logged_on


def test_a_frame_of_the_wrong_type_closes_at_once_with_1003() -> None:
    session = logged_on()
    (event,) = session.receive(frame(0x2, b"{}") + request("ping"), T0)
    assert event == Closed(1003, "wrong_type", "gate.json.v1 wants text frames", by_peer=False)
    assert said(session) == ["close 1003 gate.json.v1 wants text frames"]
    session = logged_on(msgspec.structs.replace(SETTINGS, codec="msgpack"))
    session.receive(text("{}"), T0)
    assert said(session) == ["close 1003 gate.msgpack.v1 wants binary frames"]


def test_msgpack_speaks_the_same_words_in_binary_frames() -> None:
    session = logged_on(msgspec.structs.replace(SETTINGS, codec="msgpack"))
    data = MSGPACK.encode({"id": 7, "method": "session.logout", "params": {"cancel_orders": True}})
    assert session.receive(frame(0x2, data), T0) == [
        Requested(7, "session.logout", LogoutParams(True), len(data), T0, "")
    ]
    session.output.respond(7, {}, T0, T0)
    ((opcode, payload),) = read(session.take_output())
    assert opcode == 0x2
    assert msgspec.msgpack.decode(payload)["id"] == 7


def test_only_batches_may_be_larger_than_a_frame() -> None:
    session = logged_on()
    params = {"legs": [{"op": "cancel", "params": {"symbol": "A", "order_id": "1" * 900}}] * 12}
    (event,) = session.receive(request("order.batch", params), T0)
    assert isinstance(event, Requested)
    (event,) = session.receive(request("order.list", {}, pad="x" * 8_192), T0)
    assert event == Closed(1009, "too_big", "message over 8192 bytes", by_peer=False)
    session = logged_on()
    (event,) = session.receive(frame(0x1, b"", claim=32_769), T0)
    assert event == Closed(1009, "too_big", "message over 32768 bytes", by_peer=False)


# Events.


def test_an_event_may_be_pushed_as_a_struct_or_as_bytes_made_once_for_many() -> None:
    first, second = logged_on(), logged_on()
    event = EventWire(ev="system", ts=5, data=SystemData("halted", symbol="BTC-USDT"))
    first.output.push(event, T0)
    second.output.push(second.codec.encode(event), T0)
    wire = first.take_output()
    assert second.take_output() == wire
    assert messages(wire) == [{"ev": "system", "ts": 5, "data": {"state": "halted", "symbol": "BTC-USDT"}}]


def test_replayed_events_say_so_and_numbered_ones_carry_their_number() -> None:
    session = logged_on()
    session.output.push(EventWire(ev="order", seq=7, ts=5, replay=True, data={}), T0)
    session.output.push(EventWire(ev="order", seq=8, ts=6, data={}), T0)
    assert said(session) == [
        {"ev": "order", "seq": 7, "ts": 5, "replay": True, "data": {}},
        {"ev": "order", "seq": 8, "ts": 6, "data": {}},
    ]


# Heartbeat.


def test_a_ping_that_goes_out_late_gives_the_peer_its_time_all_the_same() -> None:
    session = logged_on()
    assert session.tick(T0 + 60 * S) == []  # after a stall of ours: no ping was sent yet
    session.take_output()
    assert session.next_deadline_ns == T0 + 75 * S
    assert session.tick(T0 + 75 * S - 1) == []
    [event] = session.tick(T0 + 75 * S)
    assert isinstance(event, Closed)
    assert event.reason == "silence"


def test_silence_is_tested_with_a_ping_and_ends_with_4010() -> None:
    session = logged_on()
    assert session.next_deadline_ns == T0 + 15 * S
    assert session.tick(T0 + 15 * S - 1) == []
    assert session.take_output() == b""
    assert session.tick(T0 + 15 * S) == []
    assert said(session) == ["ping"]
    assert session.next_deadline_ns == T0 + 30 * S
    session.tick(T0 + 20 * S)
    assert session.take_output() == b"", "one ping is enough"
    (event,) = session.tick(T0 + 30 * S)
    assert event == Closed(4010, "silence", "no traffic for two heartbeats", by_peer=False)
    assert said(session) == ["close 4010 no traffic for two heartbeats"]


@pytest.mark.parametrize("traffic", [frame(0xA), request("ping", id=None), frame(0x1, b"", fin=False), b"\x89"])
def test_any_byte_of_the_peer_is_traffic(traffic: bytes) -> None:
    session = logged_on()
    session.tick(T0 + 15 * S)
    session.receive(traffic, T0 + 29 * S)
    assert session.next_deadline_ns == T0 + 44 * S
    assert session.tick(T0 + 43 * S) == []


def test_a_ping_is_answered_with_its_payload_and_counted() -> None:
    session = logged_on()
    assert session.receive(frame(0x9, b"abc") + frame(0xA, b"unasked"), T0) == [Answered("ping", 0, 3)]
    assert said(session) == ["pong b'abc'"]


def test_while_we_do_not_read_the_peer_is_not_silent_but_still_hears_us() -> None:
    session = logged_on()
    session.pause(T0 + 10 * S)
    for beat in range(1, 4):
        due = session.next_deadline_ns
        assert due == T0 + beat * 15 * S
        assert session.tick(due) == []
        assert said(session) == ["ping"]
    session.resume(T0 + 50 * S)
    assert session.next_deadline_ns == T0 + 55 * S, "40 s of pause do not count"
    assert session.tick(T0 + 55 * S) == []
    assert said(session) == ["ping"]
    (event,) = session.tick(T0 + 70 * S)
    assert isinstance(event, Closed)
    assert event.reason == "silence"


def test_pause_and_resume_may_be_called_twice_and_do_not_stretch_a_logon_unread() -> None:
    session = opened()
    session.resume(T0)
    session.pause(T0 + S)
    session.pause(T0 + 2 * S)
    session.resume(T0 + 3 * S)
    session.resume(T0 + 9 * S)
    assert session.next_deadline_ns == T0 + 7 * S


def test_the_heartbeat_may_be_changed_while_it_runs() -> None:
    session = logged_on()
    session.set_heartbeat(1_000)
    assert session.next_deadline_ns == T0 + S


# Close.


def test_the_peers_close_is_echoed_and_ends_everything() -> None:
    session = logged_on()
    assert session.receive(close(1000, b"bye") + request("ping"), T0) == [
        Closed(1000, "peer", "bye", by_peer=True),
        CloseTransport("closed"),
    ]
    assert said(session) == ["close 1000"]
    assert session.state is ConnectionState.CLOSED
    assert session.next_deadline_ns is None
    assert session.receive(request("ping"), T0) == []
    assert session.tick(T0 + 100 * S) == []


def test_a_close_without_code_is_echoed_without_one() -> None:
    session = logged_on()
    assert session.receive(close(), T0)[0] == Closed(1005, "peer", "", by_peer=True)
    assert said(session) == ["close 1005"]


def test_our_close_waits_a_second_for_the_peers_and_nothing_is_written_after_it() -> None:
    session = logged_on()
    session.close(1001, "shutting down", T0)
    session.close(4008, "again", T0)
    session.output.respond(1, {}, T0, T0)
    session.output.fail(1, Refusal(ENGINE_BUSY, ""), T0, T0)
    session.output.push(EventWire(ev="order", seq=1, ts=1, data={}), T0)
    assert said(session) == ["close 1001 shutting down"]
    assert session.receive(request("order.list", {}) + frame(0x9), T0 + MS) == []
    assert session.take_output() == b""
    assert session.next_deadline_ns == T0 + S
    assert session.receive(close(1001), T0 + 2 * MS) == [CloseTransport("closed")]
    assert session.take_output() == b""


def test_a_peer_that_never_answers_our_close_is_cut() -> None:
    session = logged_on()
    session.close(4008, "too slow", T0)
    assert session.tick(T0 + S - 1) == []
    assert session.tick(T0 + S) == [CloseTransport("close_timeout")]
    assert session.state is ConnectionState.CLOSED


@pytest.mark.parametrize(
    ("wire", "code", "reason"),
    [
        (frame(0x1, b"", rsv=4), 1002, "protocol"),
        (frame(0x1, b"", key=None), 1002, "protocol"),
        (text(b"\xed\xa0\x80"), 1007, "bad_utf8"),
        (frame(0x1, b"", claim=1 << 40), 1009, "too_big"),
    ],
)
def test_a_broken_frame_closes_at_once_in_every_state(wire: bytes, code: int, reason: str) -> None:
    for session in (opened(), logged_on()):
        (event,) = session.receive(wire + request("ping"), T0)
        assert isinstance(event, Closed)
        assert (event.code, event.reason, event.by_peer) == (code, reason, False)
        (closing,) = said(session)
        assert closing.startswith(f"close {code} ")
        assert session.receive(request("ping") * 10, T0) == []
        assert session.tick(T0 + S) == [CloseTransport("close_timeout")]


@pytest.mark.parametrize("wire", [frame(0x3, b"x"), frame(0x1, b"", key=None), text(b"\xed\xa0\x80"), frame(0x0)])
def test_after_a_broken_frame_the_peers_close_ends_the_connection_at_once(wire: bytes) -> None:
    for session in (opened(), logged_on()):
        session.receive(wire, T0)
        assert session.receive(request("ping"), T0) == []
        assert session.receive(close(1002), T0) == [CloseTransport("closed")]
        assert session.state is ConnectionState.CLOSED


def test_a_broken_frame_with_the_close_after_it_or_that_is_one_itself_is_answered_and_ends_at_once() -> None:
    for wire in (frame(0x3) + close(1000), frame(0x8, b"\x03"), close(1006)):
        session = logged_on()
        closed, ended = session.receive(wire, T0)
        assert isinstance(closed, Closed)
        assert ended == CloseTransport("closed")
        assert said(session)[0].startswith("close 1002")


def test_a_close_sent_after_a_refused_logon_is_not_awaited() -> None:
    session = opened()
    session.receive(request("session.logon", LOGON) + close(1000), T0)
    session.refuse_logon(1, T0)
    assert said(session)[-1].startswith("close 4003")
    assert session.tick(T0) == [CloseTransport("close_timeout")]


def test_a_broken_frame_and_a_close_that_wait_for_an_accepted_logon_end_the_connection_with_it() -> None:
    session = opened()
    session.receive(request("session.logon", LOGON) + frame(0x3) + close(1000), T0)
    closed, ended = session.accept_logon(1, RESULT, T0)
    assert isinstance(closed, Closed)
    assert ended == CloseTransport("closed")
    assert session.state is ConnectionState.CLOSED


def test_a_lost_transport_ends_the_machine() -> None:
    session = logged_on()
    session.output.push(EventWire(ev="order", seq=1, ts=1, data={}), T0)
    session.lost()
    assert session.pending_bytes == 0
    assert session.next_deadline_ns is None


# Our own mistakes.


def test_illegal_calls_are_refused_and_leave_the_state_alone() -> None:
    session = WsSession(SETTINGS, "c", CHALLENGE, T0)
    with pytest.raises(LocalProtocolError, match="new cannot become logged_on"):
        session.logged_on(T0)
    session.connected(T0)
    with pytest.raises(LocalProtocolError, match="open cannot become open"):
        session.connected(T0)
    with pytest.raises(LocalProtocolError, match="not logged on"):
        session.output.push(b"{}", T0)
    with pytest.raises(LocalProtocolError, match="no logon 1 waits"):
        session.accept_logon(1, RESULT, T0)
    session.receive(request("session.logon", LOGON), T0)
    with pytest.raises(LocalProtocolError, match="no logon 2 waits"):
        session.refuse_logon(2, T0)
    assert session.state is ConnectionState.DECIDING
    session.accept_logon(1, RESULT, T0)
    with pytest.raises(LocalProtocolError):
        session.accept_logon(1, RESULT, T0)
    assert session.is_logged_on


def test_every_state_is_in_the_table_and_ends_in_closed() -> None:
    assert set(TRANSITIONS) == set(ConnectionState)
    assert all(
        ConnectionState.CLOSED in after or state is ConnectionState.CLOSED for state, after in TRANSITIONS.items()
    )


# Anything at all.

_STEPS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            request("session.logon", LOGON),
            request("session.logon", LOGON | {"challenge": "other"}),
            request("order.list", {}),
            request("ping"),
            text("{"),
            frame(0x9, b"p"),
            frame(0xA),
            frame(0x1, b"{", fin=False),
            close(1000),
            b"tick",
            b"accept",
            b"refuse",
            b"pause",
            b"resume",
            b"close",
        ]
    ),
)


def play(steps: list[bytes], step: int) -> tuple[list[str], bytes]:
    """Kinds of events, and the bytes written. step 0 = each piece in one read."""
    session, now_ns, kinds, wire = opened(), T0, [], b""
    for piece in steps:
        now_ns += S
        events: list[Any] = []
        if piece == b"tick":
            events = session.tick(now_ns)
        elif piece == b"accept":
            events = session.accept_logon(1, RESULT, now_ns) if session.state is ConnectionState.DECIDING else []
        elif piece == b"refuse":
            if session.state is ConnectionState.DECIDING:
                session.refuse_logon(1, now_ns)
        elif piece in (b"pause", b"resume"):
            getattr(session, piece.decode())(now_ns)
        elif piece == b"close":
            session.close(1001, "end", now_ns)
        else:
            cuts = range(0, len(piece), step) if step and piece else (0,)
            for at in cuts:
                events += session.receive(piece[at : at + step] if step else piece, now_ns)
        kinds += [type(event).__name__ for event in events]
        deadline_ns = session.next_deadline_ns
        assert (deadline_ns is None) == (session.state is ConnectionState.CLOSED)
        wire += session.take_output()
    return kinds, wire


@settings(max_examples=200, deadline=None)
@given(st.lists(_STEPS, max_size=12))
def test_for_any_input_the_machine_writes_valid_frames_and_the_cut_does_not_matter(steps: list[bytes]) -> None:
    kinds, wire = play(steps, 0)
    assert play(steps, 1) == (kinds, wire)
    frames = read(wire)
    closes = [at for at, (opcode, _) in enumerate(frames) if opcode == 0x8]
    assert closes in ([], [len(frames) - 1]), "one Close, and nothing behind it"
    assert kinds.count("Closed") <= 1
    assert kinds.count("CloseTransport") <= 1
    for opcode, payload in frames:
        if opcode == 0x1:
            json.loads(payload)
