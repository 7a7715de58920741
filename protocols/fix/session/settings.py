"""The settings of a FIX session, its states, and which call is legal in which state.

`TRANSITIONS` is the only list of legal moves: the machine checks every call of its owner against it, tests cover all of
it, and the reference page is made from it. A call that is not in it raises LocalProtocolError and changes nothing.
"""

from enum import Enum
from typing import Literal

import msgspec

from protocols.fix.dictionary.tables import VERSIONS
from protocols.fix.tags import SESSION_MSG_TYPES

CLIENT_MSG_TYPES: frozenset[str] = SESSION_MSG_TYPES | {"D", "F", "G", "H", "AF", "q", "XLQ", "B", "j"}
"""What an acceptor accepts: requests, News(B), BusinessMessageReject(j). Any other message of the standard gets a
BusinessMessageReject(j) 380=3.
"""


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One session, seen from our side. Immutable: a change is a new value, used from the next connection on.

    resend_max_messages: numbers that one ResendRequest(2) of ours requests. A gap up to this size is requested with
        EndSeqNo(16)=0, as other engines do; a larger one in chunks of this size, each when the one before has come.
        0: never in chunks.
    held_max_messages, held_max_bytes: early messages kept while a gap is open; more are dropped, and requested again
        when the gap has closed up to them.
    answer_timeout_ms: how long our Logout(5) waits for the owner to answer what the peer sent before; 0 = not at all.
    plain: only tags of the session's own version. Otherwise 1409, 25016 and 20102 explain our refusals.
    time_digits: decimals of SendingTime(52) and OrigSendingTime(122): 3, 6 or 9.
    next_expected_msg_seq_num: as initiator, send NextExpectedMsgSeqNum(789); an acceptor always answers it.
    test_request_at_permille, give_up_at_permille: silence of the peer, in thousandths of HeartBtInt(108), after which
        a TestRequest(1) is sent, and after which the session is ended.

    Raises:
        ValueError: a BeginString(8) that is not served, or an empty CompID.
    """

    begin_string: str
    sender_comp_id: str
    target_comp_id: str
    role: Literal["acceptor", "initiator"] = "acceptor"
    heart_bt_int_s: int = 30
    heart_bt_int_min_s: int = 1
    heart_bt_int_max_s: int = 60
    appl_ver_id: str = "9"
    reset_on_logon: bool = False
    sending_time_tolerance_s: int = 120
    resend_max_messages: int = 10_000
    held_max_messages: int = 1_000
    held_max_bytes: int = 1_048_576
    max_message_bytes: int = 65_536
    logon_timeout_s: int = 10
    logout_timeout_s: int = 2
    answer_timeout_ms: int = 0
    last_msg_seq_num_processed: bool = False
    next_expected_msg_seq_num: bool = False
    time_digits: Literal[3, 6, 9] = 6
    plain: bool = False
    test_request_at_permille: int = 1_200
    give_up_at_permille: int = 2_400

    def __post_init__(self) -> None:
        if self.begin_string not in VERSIONS:
            raise ValueError(f"BeginString(8) {self.begin_string!r} is not served")
        if not self.sender_comp_id or not self.target_comp_id:
            raise ValueError("a CompID is empty")


class SessionState(Enum):
    """The states of a session, with or without a connection."""

    DISCONNECTED = "disconnected"
    CONNECTED = "connected"  # no Logon(A) yet
    LOGON_SENT = "logon sent"  # initiator: waiting for the answer
    LOGGED_ON = "logged on"
    LEAVING = "leaving"  # the session will end; the owner answers what came before, and nothing more is read
    LOGOUT_SENT = "logout sent"  # we requested the end; what the peer still sends is read
    AWAITING_LOGOUT = "awaiting logout"  # the peer broke a rule; only its Logout(5) is still read
    ENDED = "ended"  # nothing more is read; the owner writes the output and closes

    __hash__ = object.__hash__  # members are single objects; Enum's own hash is Python code, too slow per order


class Call(Enum):
    """The calls of the owner that depend on the state."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    RECEIVE = "receive"
    TICK = "tick"
    SEND = "send"
    LOGON = "logon"
    LOGOUT = "logout"
    LEAVE = "leave"
    TERMINATE = "terminate"
    PAUSE = "pause"
    RESUME = "resume"


States = tuple[SessionState, ...]
Moves = dict[Call, States]
S = SessionState  # the tables below are read by row


def _moves(state: SessionState, receive: States, tick: States, **more: States) -> Moves:
    """The moves of a state with a connection: each can read, wait, pause, store a message and lose the connection."""
    return {
        Call.DISCONNECTED: (S.DISCONNECTED,),
        Call.RECEIVE: (state, *receive),
        Call.TICK: (state, *tick),
        Call.SEND: (state,),
        Call.TERMINATE: (S.ENDED,),
        Call.PAUSE: (state,),
        Call.RESUME: (state,),
        **{Call(name): states for name, states in more.items()},
    }


TRANSITIONS: dict[SessionState, Moves] = {
    S.DISCONNECTED: {Call.CONNECTED: (S.CONNECTED,), Call.TICK: (S.DISCONNECTED,), Call.SEND: (S.DISCONNECTED,)},
    S.CONNECTED: _moves(S.CONNECTED, (S.LOGGED_ON, S.AWAITING_LOGOUT, S.ENDED), (S.ENDED,), logon=(S.LOGON_SENT,)),
    S.LOGON_SENT: _moves(S.LOGON_SENT, (S.LOGGED_ON, S.AWAITING_LOGOUT, S.ENDED), (S.ENDED,)),
    S.LOGGED_ON: _moves(
        S.LOGGED_ON,
        (S.LEAVING, S.AWAITING_LOGOUT, S.ENDED),
        (S.LEAVING, S.AWAITING_LOGOUT, S.ENDED),
        logout=(S.LOGOUT_SENT,),
    ),
    S.LEAVING: _moves(S.LEAVING, (), (S.AWAITING_LOGOUT, S.ENDED), leave=(S.AWAITING_LOGOUT, S.ENDED)),
    S.LOGOUT_SENT: _moves(S.LOGOUT_SENT, (S.AWAITING_LOGOUT, S.ENDED), (S.ENDED,)),
    S.AWAITING_LOGOUT: _moves(S.AWAITING_LOGOUT, (S.ENDED,), (S.ENDED,)),
    S.ENDED: _moves(S.ENDED, (), ()),
}
"""state -> call -> the states it may lead to. Only an initiator may call `logon`."""
