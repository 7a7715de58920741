"""Who gets past the FIX door, without a socket: what a Logon(A) proves, what a refusal costs, and how many may come."""

import base64
import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import schema
from gateway.doors.fix.endpoint import FixEndpoint
from gateway.doors.fix.pre_logon import PreLogonPeer
from gateway.doors.listening import Arrival
from gateway.journal import JournalSettings
from gateway.orders.queue import Stage
from gateway.server import Server
from protocols.fix.message import encode
from protocols.fix.times import format_ns
from tests.support.fix_text import pipes

MS = 1_000_000
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"ACME").digest())
NEXT = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"NEXT").digest())
OPEN, CLOSED = schema.FixListener(name="open", insecure=True), schema.FixListener(name="closed", insecure=True)
ROW = schema.FixSessionRow(id=1, comp_id="MM1", account="ACME", listener="closed")
LOCAL = schema.FixSessionRow(id=2, comp_id="LOCAL", account="ACME", listener="open", auth="none")


class Line:
    """A connection as `PreLogonPeer` sees it."""

    peer_ip = "198.51.100.7"

    def __init__(self):
        self.peer = None
        self.is_aborted = self.is_closing = self.has_ended = False

    def wake(self):
        pass

    def abort(self):
        self.is_aborted = True

    def close(self):
        self.is_closing = self.has_ended = True


class Door:
    """A gateway's FIX door and the clock it is told; `knocks` counts what was asked of the judge of proofs."""

    def __init__(self, directory, row):
        public_key = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
        next_key = base64.b64encode(NEXT.public_key().public_bytes_raw()).decode()
        settings = schema.Config(
            fix=schema.Fix(listeners=(OPEN, CLOSED), sessions=(row, LOCAL)),
            accounts=(schema.Account(id=1, name="ACME"),),
            keys=(
                schema.Key(id="key-1", account="ACME", public_key=public_key),
                schema.Key(id="key-2", account="ACME", public_key=next_key),
            ),
            limits=schema.Limits(file=""),
            journal=JournalSettings(durability="memory"),
        )
        self.server = Server(settings, directory)
        self.door = self.server.fix
        self.now = self.server.now_ns()
        self.knocks = 0
        judge = self.server.services.authenticator.authenticate

        def count(*args):
            self.knocks += 1
            return judge(*args)

        self.server.services.authenticator.authenticate = count

    @property
    def causes(self):
        return self.server.metrics.fix.failed_logons

    def logon(self, comp_id="MM1", *, seq_num=1, version="FIX.4.4", more="", leave_out=(), seed=KEY, signed_in=554):
        """A signed Logon(A), a little later than the last."""
        self.now += MS
        fields = {
            35: "A",
            34: str(seq_num),
            49: comp_id,
            52: format_ns(self.now),
            56: "GATE",
            98: "0",
            108: "30",
            553: "key-1",
        }
        signed = "\x01".join(("A", fields[49], fields[56], fields[34], fields[52])).encode()
        signature = base64.b64encode(seed.sign(signed)).decode()
        fields |= {95: str(len(signature)), 96: signature} if signed_in == 96 else {554: signature}
        text = "".join(f"{tag}={value}\x01" for tag, value in fields.items() if tag not in leave_out)
        return encode(version, text + more)

    def arrival(self, listener=CLOSED):
        """Somebody who has connected."""
        tick = type("EventLoopTurn", (), {"now_ns": lambda _: self.now})()
        return Arrival(self.door.door_of(listener, None, tick), None, Line.peer_ip, self.now)

    def greet(self, data, listener=CLOSED):
        """Somebody calls and says this."""
        line = Line()
        line.peer = self.door.first_peer(listener, line, self.arrival(listener))
        line.peer.receive(data, self.now)
        return line


@pytest.fixture
def open_door(tmp_path):
    return lambda **changes: Door(tmp_path, msgspec.structs.replace(ROW, **changes))


STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
REFUSED = [
    pytest.param({"comp_id": "NOBODY"}, "unknown_session", id="unknown CompID"),
    pytest.param({"comp_id": "LOCAL"}, "unknown_session", id="a session of another listener"),
    pytest.param({"version": "FIX.4.2"}, "wrong_version", id="another version"),
    pytest.param({"seed": STRANGER}, "signature", id="a bad signature"),
    pytest.param({"leave_out": (34,)}, "signature", id="no MsgSeqNum"),
    pytest.param({"leave_out": (52,)}, "clock", id="no SendingTime"),
    pytest.param({"leave_out": (554,)}, "signature", id="no signature"),
]


def test_a_proven_logon_reaches_its_session(open_door):
    gateway = open_door()
    line = gateway.greet(gateway.logon())
    assert isinstance(line.peer, FixEndpoint)
    (answer,) = pipes(line.peer.take_output(1 << 20))
    assert answer.startswith("35=A|34=1|")


@pytest.mark.parametrize(("logon", "cause"), REFUSED)
def test_every_refused_logon_costs_one_look_at_its_proof_and_is_met_with_silence(open_door, logon, cause):
    gateway = open_door()
    line = gateway.greet(gateway.logon(**logon))
    assert (gateway.knocks, gateway.causes) == (1, {cause: 1})
    assert not line.is_aborted
    line.peer.tick(gateway.now + 200 * MS)
    assert line.is_aborted
    assert not line.peer.has_output


def test_where_nobody_needs_a_key_no_proof_is_looked_at(open_door):
    gateway = open_door()
    gateway.greet(gateway.logon("NOBODY"), OPEN)
    assert (gateway.knocks, gateway.causes) == (0, {"unknown_session": 1})


def test_whoever_tries_unknown_comp_ids_is_closed_later_like_whoever_tries_signatures(open_door):
    gateway = open_door()
    lines = [gateway.greet(gateway.logon(f"GUESS{n}")) for n in range(21)]
    waits = [
        line.peer.next_deadline_ns - gateway.now for line in (gateway.greet(gateway.logon(seed=STRANGER)), lines[20])
    ]
    assert waits == [1_200 * MS, 1_199 * MS]  # the second one came 1 ms earlier
    assert gateway.causes == {"unknown_session": 21, "signature": 1}
    assert isinstance(gateway.greet(gateway.logon()).peer, FixEndpoint), (
        "who signs rightly is judged, whatever others did"
    )


def test_coming_back_to_a_session_without_a_link_costs_no_token_and_taking_one_over_does(open_door):
    gateway = open_door()
    for _ in range(30):  # the built-in plan has 10
        line = gateway.greet(gateway.logon(more="141=Y\x01"))
        assert isinstance(line.peer, FixEndpoint)
        line.peer.lost(gateway.now)
    taken = [gateway.greet(gateway.logon(more="141=Y\x01")).peer for _ in range(12)]
    assert [isinstance(peer, FixEndpoint) for peer in taken] == [True] * 11 + [False]
    assert gateway.causes == {"rate": 1}


def test_of_two_keys_the_one_that_signed_is_whose_logon_it_is(open_door):
    gateway = open_door(version="FIX.4.2")
    # FIX.4.2 has no Username(553), and its signature is in RawData(96).
    for seed, key_id in ((KEY, "key-1"), (NEXT, "key-2"), (KEY, "key-1")):
        logon = gateway.logon(version="FIX.4.2", more="141=Y\x01", leave_out=(553, 554), seed=seed, signed_in=96)
        line = gateway.greet(logon)
        assert isinstance(line.peer, FixEndpoint), gateway.causes
        assert line.peer.session.client.key_id == key_id


@pytest.mark.parametrize(("logon", "cause"), [REFUSED[3].values, REFUSED[5].values])
def test_a_session_that_begins_anew_at_each_logon_may_be_told_no(open_door, logon, cause):
    gateway = open_door(refused_logon="logout", reset_on_logon=True)
    store = gateway.door.endpoints["MM1", "GATE"].machine.store
    store.next_out = 9
    line = gateway.greet(gateway.logon(**logon))
    assert line.peer.take_output(1 << 20) == b"", "the answer takes as long as silence"
    assert line.peer.next_deadline_ns == gateway.now + 200 * MS
    line.peer.tick(gateway.now + 200 * MS)
    (logout,) = pipes(line.peer.take_output(1 << 20))
    assert logout == f"35=5|34=1|49=GATE|52={format_ns(gateway.now + 200 * MS)}|56=MM1|58=logon refused"
    assert line.is_closing
    assert not line.is_aborted
    assert not line.peer.has_output
    assert store.next_out == 9


@pytest.mark.parametrize(
    ("changes", "logon"),
    [
        pytest.param({"refused_logon": "logout"}, {"seed": STRANGER}, id="its numbers go on"),
        pytest.param({"reset_on_logon": True}, {"seed": STRANGER}, id="not asked for"),
        pytest.param({"refused_logon": "logout", "reset_on_logon": True}, {"comp_id": "NOBODY"}, id="unknown"),
        pytest.param({"refused_logon": "logout", "reset_on_logon": True}, {"version": "FIX.4.2"}, id="version"),
    ],
)
def test_everybody_else_is_told_nothing(open_door, changes, logon):
    gateway = open_door(**changes)
    line = gateway.greet(gateway.logon(**logon))
    line.peer.tick(gateway.now + 200 * MS)
    assert line.is_aborted
    assert line.peer.take_output(1 << 20) == b""


def test_a_second_logon_during_a_drain_leaves_the_living_link_its_goodbye(open_door):
    gateway = open_door()
    first = gateway.greet(gateway.logon())
    gateway.server.orders.venue.draining = True
    second = gateway.greet(gateway.logon())
    assert gateway.causes == {"draining": 1}
    assert isinstance(second.peer, PreLogonPeer)
    assert gateway.door.endpoints["MM1", "GATE"].link is first


BESIDE = [
    pytest.param({"seq_num": 1}, "bad_sequence", id="34 too low"),
    pytest.param({"seq_num": 2, "more": "9999=1\x01"}, "bad_logon", id="a tag that nobody knows"),
    pytest.param({"seq_num": 2, "more": "789=99\x01"}, "bad_sequence", id="789 too high"),
    pytest.param({"seq_num": 2, "more": "141=Y\x01"}, "bad_logon", id="141=Y with another number than 1"),
    pytest.param({"seq_num": 2, "leave_out": (108,)}, "bad_logon", id="no 108"),
]


@pytest.mark.parametrize(("logon", "cause"), BESIDE)
def test_a_proven_logon_that_is_refused_beside_a_living_link_is_met_with_silence(open_door, logon, cause):
    gateway = open_door()
    first = gateway.greet(gateway.logon())
    endpoint = first.peer
    endpoint.take_output(1 << 20)
    second = gateway.greet(gateway.logon(**logon))
    assert gateway.causes == {cause: 1}
    assert not second.is_aborted
    second.peer.tick(gateway.now + 200 * MS)
    assert second.is_aborted
    assert not second.peer.has_output
    assert not endpoint.has_output
    assert endpoint.link is first
    assert not first.is_closing
    second.peer.lost(gateway.now)
    assert endpoint.session.connected


def test_a_proven_logon_whose_count_begins_anew_is_told_why_beside_a_living_link(open_door):
    gateway = open_door()
    first = gateway.greet(gateway.logon())
    first.peer.take_output(1 << 20)
    line = gateway.greet(gateway.logon(more="141=Y\x0120107=-1\x01"))
    assert gateway.causes == {"bad_logon": 1}
    line.peer.tick(gateway.now + 200 * MS)
    (logout,) = pipes(line.peer.take_output(1 << 20))
    assert logout.startswith("35=5|34=1|")
    assert logout.endswith("|1409=4|25016=2001")
    assert not first.peer.has_output
    assert not line.is_closing, "it may answer"
    line.peer.receive(b"8=FIX.4.4\x019=5\x0135=5\x01", gateway.now)
    assert line.is_closing
    late = gateway.greet(gateway.logon(more="141=Y\x0120107=-1\x01"))
    late.peer.tick(gateway.now + 200 * MS)
    late.peer.receive(b"8=FIX.4.4\x019=5\x0135=0\x01" * 10_000, gateway.now)
    assert not late.is_closing
    late.peer.tick(late.peer.next_deadline_ns)
    assert late.is_closing


def test_1S_b_a_refused_logon_that_waits_for_the_answer_to_our_logout_makes_nobody_a_duplicate(open_door):
    gateway = open_door()
    refused = gateway.greet(gateway.logon("LOCAL", leave_out=(108,)), OPEN)
    assert "HeartBtInt(108)" in pipes(refused.peer.take_output(1 << 20))[0]
    assert not refused.is_closing
    second = gateway.greet(gateway.logon("LOCAL"), OPEN)
    assert isinstance(second.peer, FixEndpoint)
    assert second.peer.session.connected
    assert refused.is_closing
    assert gateway.causes == {}


def test_a_proven_logon_that_is_accepted_supersedes_the_living_link(open_door):
    gateway = open_door()
    first = gateway.greet(gateway.logon())
    second = gateway.greet(gateway.logon(seq_num=2))
    assert isinstance(second.peer, FixEndpoint)
    assert first.is_closing
    assert "58=superseded" in pipes(first.peer.take_output(1 << 20))[-1]


@pytest.mark.parametrize(
    ("row", "comp_id", "listener"), [({}, "LOCAL", OPEN), ({"on_duplicate": "reject"}, "MM1", CLOSED)]
)
def test_1S_b_whoever_takes_nothing_over_is_refused_beside_a_living_link_and_let_in_after_its_end(
    open_door, row, comp_id, listener
):
    gateway = open_door(**row)
    first = gateway.greet(gateway.logon(comp_id), listener)
    gateway.greet(gateway.logon(comp_id, seq_num=2), listener)
    assert gateway.causes == {"duplicate": 1}
    first.has_ended = True  # its end was read; that its socket is closed is told some turns later
    second = gateway.greet(gateway.logon(comp_id, seq_num=2), listener)
    assert gateway.causes == {"duplicate": 1}
    endpoint = second.peer
    assert isinstance(endpoint, FixEndpoint)
    assert endpoint.link is second
    first.peer.lost(gateway.now)
    assert endpoint.session.connected
    assert first.is_closing


def test_a_stranger_whose_place_is_needed_is_cut_and_counted_and_one_that_was_refused_is_not_counted_twice(open_door):
    gateway = open_door()
    stranger, refused = Line(), gateway.greet(gateway.logon(seed=STRANGER))
    stranger.peer = gateway.door.first_peer(CLOSED, stranger, gateway.arrival())
    for line in (stranger, refused):
        line.peer.cut("crowded_out")
        line.peer.lost(gateway.now)
        assert line.is_aborted
    assert gateway.server.metrics.fix.disconnects == {"crowded_out": 1}
    assert gateway.causes == {"signature": 1}


def test_who_has_logged_on_is_no_stranger_any_more_and_who_was_refused_is_the_first_to_go(open_door):
    gateway = open_door()
    arrivals = []
    for seed in (KEY, KEY, STRANGER):
        line, arrival = Line(), gateway.arrival()
        gateway.door.crowd.enter(arrival, "198.51.100.7")
        arrivals.append(arrival)
        line.peer = gateway.door.first_peer(CLOSED, line, arrival)
        if len(arrivals) != 2:
            line.peer.receive(gateway.logon(seed=seed), gateway.now)
    assert gateway.door.crowd.strangers == 2
    assert gateway.door.crowd._first_to_go() is arrivals[2]


def test_the_time_to_log_on_counts_from_the_accept_whatever_the_handshake_took(open_door):
    gateway = open_door()
    arrival = gateway.arrival()
    gateway.now += 3_000 * MS
    assert gateway.door.first_peer(CLOSED, Line(), arrival).next_deadline_ns == gateway.now + 2_000 * MS


def test_while_the_queue_is_full_nobody_new_is_let_in(open_door):
    gateway = open_door()
    door = gateway.door.door_of(CLOSED, None, type("EventLoopTurn", (), {"now_ns": lambda _: gateway.now})())
    gateway.server.orders.queue.stage = Stage.FULL
    assert not door.accepting()
    gateway.server.orders.queue.stage = Stage.SHEDDING
    assert door.accepting()
    assert door.turn_away() == b""
    assert gateway.causes == {"too_many_connections": 1}


def test_a_flood_of_refused_logons_writes_few_lines_and_all_are_counted(open_door, caplog):
    gateway = open_door()
    for _ in range(50):
        gateway.greet(gateway.logon(seed=STRANGER))
    gateway.greet(gateway.logon("NOBODY"))
    told = [(row.penstock_fields["cause"], row.penstock_fields["key"]) for row in caplog.records]
    assert told == [("signature", "key-1")] * 20 + [("unknown_session", "key-1")]
    assert gateway.causes == {"signature": 50, "unknown_session": 1}
