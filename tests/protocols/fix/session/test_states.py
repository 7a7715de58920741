"""Every (state, call) pair: a legal one leads where the table says, an illegal one is refused and changes nothing.

Module: fix.session.machine.
"""

from collections.abc import Callable

import pytest

from protocols.errors import LocalProtocolError
from protocols.fix.session.machine import FixSession
from protocols.fix.session.settings import TRANSITIONS, Call, SessionState
from tests.support.dialogue import ORDER, Dialogue

LOGON = "35=A|34=1|98=0|108=30"


def stage_in(state: SessionState, role: str) -> Dialogue:
    """A session in `state`."""
    stage = Dialogue(role=role, answer_timeout_ms=1_000 if state is SessionState.LEAVING else 0)
    if state is SessionState.DISCONNECTED:
        return stage
    stage.connect()
    if state is SessionState.CONNECTED:
        return stage
    if role == "initiator":
        stage.session.logon(stage.now_ns)
        if state is SessionState.LOGON_SENT:
            return stage
    stage.hears(LOGON)
    if state is SessionState.LOGOUT_SENT:
        stage.session.logout(stage.now_ns, "bye")
    elif state is SessionState.AWAITING_LOGOUT:
        stage.hears("35=0|34=2|49=WT")
    elif state in (SessionState.LEAVING, SessionState.ENDED):
        stage.hears("35=5|34=2")
    return stage


CALLS: dict[Call, Callable[[FixSession, int], object]] = {
    Call.CONNECTED: lambda session, now_ns: session.connected(now_ns),
    Call.DISCONNECTED: lambda session, now_ns: session.disconnected(now_ns),
    Call.RECEIVE: lambda session, now_ns: session.receive(b"", now_ns),
    Call.TICK: lambda session, now_ns: session.tick(now_ns),
    Call.SEND: lambda session, now_ns: session.send("8", "37=1\x01", now_ns),
    Call.LOGON: lambda session, now_ns: session.logon(now_ns),
    Call.LOGOUT: lambda session, now_ns: session.logout(now_ns, "bye"),
    Call.LEAVE: lambda session, now_ns: session.leave(now_ns),
    Call.TERMINATE: lambda session, now_ns: session.terminate(now_ns, "over"),
    Call.PAUSE: lambda session, now_ns: session.pause(now_ns),
    Call.RESUME: lambda session, now_ns: session.resume(now_ns),
}
ROLES = dict.fromkeys(SessionState, ("acceptor", "initiator")) | {SessionState.LOGON_SENT: ("initiator",)}
PAIRS = [(state, call, role) for state in SessionState for call in Call for role in ROLES[state]]


def snapshot(stage: Dialogue) -> tuple[object, ...]:
    session = stage.session
    return session.state, stage.numbers, session.pending_bytes, session.next_deadline_ns


@pytest.mark.parametrize(("state", "call", "role"), PAIRS)
def test_a_call_leads_where_the_table_says_or_is_refused_without_a_trace(
    state: SessionState, call: Call, role: str
) -> None:
    stage = stage_in(state, role)
    assert stage.session.state is state
    before = snapshot(stage)
    legal = call in TRANSITIONS[state] and not (call is Call.LOGON and role == "acceptor")
    if legal:
        CALLS[call](stage.session, stage.now_ns)
        assert stage.session.state in TRANSITIONS[state][call]
    else:
        with pytest.raises(LocalProtocolError):
            CALLS[call](stage.session, stage.now_ns)
        assert snapshot(stage) == before


LINES = [
    LOGON,
    LOGON + "|141=Y",
    "35=A|34=9|98=0|108=30",
    "35=A|34=1|98=0|108=0",
    "35=0|34=2",
    "35=0|34=1",
    "35=0|34=7",
    "35=0|34=2|49=WT",
    "35=1|34=2|112=x",
    "35=2|34=2|7=1|16=0",
    "35=3|34=2|45=1",
    "35=4|34=2|36=9|123=Y",
    "35=5|34=2",
    f"35=D|34=2|{ORDER}",
    "35=ZZ|34=2",
    "8=FIX.4.4|9=5|35=0|10=000",
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(("state", "role"), [(state, role) for state in SessionState for role in ROLES[state]])
def test_what_a_peer_says_moves_a_session_only_along_the_table(state: SessionState, role: str, line: str) -> None:
    stage = stage_in(state, role)
    if Call.RECEIVE not in TRANSITIONS[state]:
        return
    stage.hears(line)
    assert stage.session.state in TRANSITIONS[state][Call.RECEIVE]
    reached = stage.session.state
    for _ in range(20):
        deadline_ns = stage.session.next_deadline_ns
        if deadline_ns is None:
            break
        stage.now_ns = max(deadline_ns, stage.now_ns)
        before = stage.session.state
        stage.session.tick(stage.now_ns)
        assert stage.session.state in TRANSITIONS[before][Call.TICK]
        stage.output()
    assert stage.session.state is SessionState.ENDED, f"alone, a session in {reached} comes to its end"


def test_every_state_can_be_reached_and_left() -> None:
    reached = {after for moves in TRANSITIONS.values() for states in moves.values() for after in states}
    assert reached == set(SessionState)
    assert all(
        any(after is not state for states in moves.values() for after in states) for state, moves in TRANSITIONS.items()
    )
