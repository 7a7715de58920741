"""What waits for its tokens when the process ends has no record: the next one asks for it again, and takes it once.

The store of limits answers when the test says so; a crash takes what the last commit has put on disk to another
process. Modules: orders.token_wait, journal.store, doors.fix.endpoint.
"""

import shutil

import pytest

from gateway.config import schema
from gateway.journal import Journal, JournalSettings
from gateway.server import Server
from protocols import errors
from protocols.fix.times import format_ns
from tests.support import shared_limits
from tests.support.fix_room import BTC, ETH, Desk, session
from tests.support.server import let_go

STRICT = """
[plans.standard]
orders = { rate = "1/s", burst = 2 }
cancels = { rate = "1000/s", burst = 1000 }
"""
ROWS = (
    session(1, "A", last_msg_seq_num_processed=True),
    session(2, "B", account="OTHER"),
    session(3, "C"),
)


class FarLimits:
    """`gateway.limiting.service.Limiting` over a store that answers nothing by itself."""

    def __init__(self, _settings, _directory, _accounts, now_ns, _log):
        self.stores = shared_limits.World()
        self.stores.now_ns = now_ns()
        self.node = shared_limits.Node(self.stores, shared_limits.policy_of(STRICT), "n1", 1)
        self.limiter = self.node.limiter
        self.timed = (self.limiter,)

    def register(self, _metrics):
        """Nobody scrapes."""


class Lives:
    """Processes, each on what the one before it had recorded."""

    def __init__(self, path):
        self._path, self._count = path, 0
        path.mkdir()
        (path / "0").mkdir()
        self.server = self._start(path / "0")

    def _start(self, home):
        self.home = home
        settings = schema.Config(
            fix=schema.Fix(sessions=ROWS),
            accounts=(schema.Account(id=1, name="ACME"), schema.Account(id=2, name="OTHER")),
            instruments=(BTC, ETH),
            limits=schema.Limits(file=""),
            journal=JournalSettings(durability="process", segment_bytes=1_048_576),
            core=schema.Core(reopen_after_ms=0),
        )
        return Server(settings, home, limiting=FarLimits)

    def crash(self):
        """The next process."""
        self.commit()
        self._count += 1
        home = self._path / str(self._count)
        shutil.copytree(self.home, home)
        let_go(self.server)
        self.server = self._start(home)
        self.server.orders.tick(self.server.now_ns())
        return self.server

    def commit(self):
        self.server.journal.commit(self.server.now_ns())

    def answers_come(self):
        """Whatever was asked of the store of limits is answered."""
        limits, orders = self.server.limits, self.server.orders
        while len(orders.token_wait):
            limits.node.settle()
            orders.tick(self.server.now_ns())

    def desk(self, comp_id, seq=0):
        desk = Desk(self.server, comp_id)
        desk.seq = seq
        return desk

    def numbers(self, session_id=1):
        """NextIn as the journal has it, and what it knows to be done behind it."""
        self.commit()
        copy = self._path / "look"
        shutil.copytree(self.home / "journal", copy)
        journal = Journal(copy, JournalSettings(durability="process"))
        numbers = journal.recovery.sessions[session_id]
        journal.close()
        shutil.rmtree(copy)
        return numbers.next_in, numbers.done


@pytest.fixture
def lives(tmp_path):
    found = Lives(tmp_path / "lives")
    yield found
    let_go(found.server)


def again(desk, seq, body, msg_type="D"):
    """A message that was asked for again."""
    now, desk.seq = desk.seq, seq - 1
    sent = format_ns(desk.now)
    heard = desk.send(msg_type, body, header=f"43=Y|122={sent}|")
    desk.seq = max(now, desk.seq)
    return heard


def order(cl_ord_id, symbol="BTC-USDT"):
    return f"11={cl_ord_id}|55={symbol}|54=1|38=1|40=2|44=100.00|"


def test_an_order_that_waits_for_its_tokens_at_a_crash_is_asked_for_again_and_carried_out_once(lives):
    """
    in   34=2 D a1, its tokens are asked of the store; 34=3 Heartbeat
    --   kill -9
    in   34=4 Logon    out  ResendRequest 2 to the latest
    in   34=2 D a1 PossDup, gap fill over 3 and 4    out  accepted
    """
    desk = lives.desk("A")
    desk.logon()
    assert desk.place("a1") == []
    assert desk.send("0", "") == []
    assert lives.numbers() == (2, ((3, 4),))
    server = lives.crash()
    back = lives.desk("A", desk.seq)
    logon, asked = back.logon()
    assert (logon["35"], asked["35"], asked["7"], asked["16"]) == ("A", "2", "2", "0")
    assert again(back, 2, order("a1")) == []
    lives.answers_come()
    (report,) = back.read()
    assert (report["150"], report["11"]) == ("0", "a1")
    assert again(back, 3, "123=Y|36=5|", "4") == []
    assert lives.numbers() == (5, ())
    assert [each.cl_ord_id for each in server.core.engine.open_orders(1)] == ["a1"]


def test_a_logon_tells_by_789_that_the_order_is_still_expected(lives):
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    lives.crash()
    logon = lives.desk("A", desk.seq).logon("98=0|108=30|789=2|")[0]
    assert (logon["35"], logon["789"]) == ("A", "2")


def test_when_its_tokens_have_come_the_record_of_the_order_and_its_number_are_one_commit(lives):
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    lives.answers_come()
    assert lives.numbers() == (3, ())
    server = lives.crash()
    assert [each.cl_ord_id for each in server.core.engine.open_orders(1)] == ["a1"]
    assert [each["35"] for each in lives.desk("A", desk.seq).logon()] == ["A"]


def test_of_several_that_wait_those_that_went_on_are_not_asked_for_again(lives):
    """Two tokens: the third is refused once the store has answered for it."""
    desk = lives.desk("A")
    desk.logon()
    for cl_ord_id in ("a1", "a2", "a3"):
        desk.place(cl_ord_id)
    assert lives.numbers() == (2, ())
    lives.server.limits.node.settle()
    lives.server.orders.tick(desk.now)  # the first has its token; the second asks for its own now
    assert lives.numbers() == (3, ())
    lives.answers_come()
    heard = desk.read()
    assert [each.get("25016", each["150"]) for each in heard] == ["0", "0", str(errors.RATE_LIMITED)]
    assert lives.numbers() == (5, ())


def test_what_was_dealt_with_behind_a_waiting_order_is_not_done_twice(lives):
    """
    in   34=2 D a1 in BTC waits; 34=3 mass cancel of ETH passes by; 34=4 D without a symbol is refused
    --   kill -9; meanwhile another session of the account places an order in ETH
    in   all three again, PossDup    out  a1 is accepted; nothing else happens
    """
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    (swept,) = desk.send("q", "11=mc|530=1|55=ETH-USDT|")
    assert swept["35"] == "r"
    (refused,) = desk.send("D", "11=bad|55=NONE|54=1|38=1|40=2|44=100.00|")
    assert refused["25016"] == str(errors.UNKNOWN_SYMBOL)
    assert lives.numbers() == (2, ((3, 5),))
    server = lives.crash()
    other = lives.desk("C")
    other.logon()
    other.send("D", order("eth", "ETH-USDT"))
    lives.answers_come()
    back = lives.desk("A", desk.seq)
    assert [each["35"] for each in back.logon()] == ["A", "2"]
    heard = again(back, 2, order("a1"))
    heard += again(back, 3, "11=mc|530=1|55=ETH-USDT|", "q")
    heard += again(back, 4, "11=bad|55=NONE|54=1|38=1|40=2|44=100.00|")
    lives.answers_come()
    heard += back.read()
    assert [each.get("11") for each in heard] == ["a1"]
    assert [each.cl_ord_id for each in server.core.engine.open_orders(1)] == ["eth", "a1"]
    assert lives.numbers() == (6, ())


def test_a_second_crash_before_it_came_again_forgets_none_of_it(lives):
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    desk.send("q", "11=mc|530=1|55=ETH-USDT|")
    for _ in range(2):
        lives.crash()
        assert lives.numbers() == (2, ((3, 4),))
    back = lives.desk("A", desk.seq)
    assert back.logon()[1]["7"] == "2"


def test_a_mass_cancel_that_withdraws_it_answers_it_and_its_number_is_passed(lives):
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    told = desk.send("q", "11=mc|530=7|")
    assert [each.get("25016") for each in told] == [str(errors.WITHDRAWN), None]
    assert lives.numbers() == (4, ())


def test_a_reset_of_the_numbers_leaves_nothing_to_be_asked_for(lives):
    """The order of before goes on when its tokens come; its number belongs to another message by then."""
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    desk.endpoint.lost(desk.now)
    desk.seq = 0
    desk.logon("98=0|108=30|141=Y|")
    desk.send("0", "")
    desk.place("a2")
    assert lives.numbers() == (3, ())
    lives.answers_come()
    assert [each["11"] for each in desk.read()] == ["a1", "a2"]
    assert lives.numbers() == (4, ())


def test_a_message_that_waits_is_not_counted_as_processed(lives):
    """LastMsgSeqNumProcessed(369)."""
    desk = lives.desk("A")
    desk.logon()
    desk.place("a1")
    (beat,) = desk.send("1", "112=there?|")
    assert beat["369"] == "1"
    lives.answers_come()
    (report,) = desk.read()
    assert report["369"] == "3"


def test_nor_is_one_that_came_in_the_same_read_as_the_question_that_passes_it(lives):
    """
    in one read: D a1, 55=XRP-USDT | D a2 | 1     the Heartbeat is written before anybody knows that a2 waits
    8 of a1: 369=2 | 0: 369=1, and after a1 369=2 | 8 of a2: 369=4
    """
    desk = lives.desk("A")
    desk.logon()
    frames = [desk.frame("D", order("a1", "XRP-USDT")), desk.frame("D", order("a2")), desk.frame("1", "112=there?|")]
    desk.endpoint.receive(b"".join(frames), desk.now)
    assert [(each["35"], each["369"]) for each in desk.read()] == [("0", "1"), ("8", "2")]
    (beat,) = desk.send("1", "112=again?|")
    assert beat["369"] == "2"
    lives.answers_come()
    (report,) = desk.read()
    assert report["369"] == "5"
