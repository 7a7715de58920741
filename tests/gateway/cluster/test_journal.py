"""Commits of several gateways on a real Redis: who may write what of a session, and what another gateway then finds.

Modules: cluster.journal, cluster.store, cluster.scripts.
"""

import msgspec
import pytest

from gateway.cluster.journal import CommitsLost, NameTaken, run_of
from gateway.cluster.store import done_of
from gateway.recovery import records
from gateway.remote.keys import entry_id
from gateway.safety.cancel_on_disconnect import LinkState
from gateway.sessions.former_names import WsSessionRecord
from protocols.messages import Lane, NewOrder, OrdType, Origin, Side, Tif, pack_cmd_id
from tests.support.cluster_bench import KEYS, LEASE_MS, Writer
from tests.support.redis_server import RedisServer

S, ACCOUNT = 7, 1


@pytest.fixture(scope="module")
def server():
    with RedisServer() as running:
        yield running


@pytest.fixture
def redis(server):
    client = server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def a(redis):
    writer = Writer(redis, "a")
    assert writer.begin() == [b"ok"]
    return writer


@pytest.fixture
def b(redis):
    writer = Writer(redis, "b")
    assert writer.begin() == [b"ok"]
    return writer


def order(session, n):
    cmd_id = pack_cmd_id(session, Lane.ORDER, n)
    return NewOrder(cmd_id, ACCOUNT, session, Origin.FIX, 0, 0, f"o-{n}", 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 1, 1)


def sent(redis, session):
    runs = (run_of(entry_id(entry), fields) for entry, fields in redis.xrange(KEYS.sent(session)))
    return [(first + at, text) for first, messages in runs for at, text in enumerate(messages)]


def test_a_turn_writes_numbers_messages_and_commands_at_once(redis, a):
    a.claim(S, account=ACCOUNT)
    store = a.journal.store(S)
    store.next_in = 5
    store.put_run(1, (b"one", b"two"))
    store.put(3, b"three")
    store.next_out = 4
    a.core.latest[ACCOUNT] = 17
    a.core.hand_over(order(S, 1), order(S, 2))
    assert a.commit() == 1
    assert a.journal.durable == 1
    row = a.row(S)
    assert (row[b"in"], row[b"out"], row[b"at"], row[b"owner"], row[b"token"]) == (b"5", b"4", b"17", b"a", b"1")
    assert sent(redis, S) == [(1, b"one"), (2, b"two"), (3, b"three")]
    assert len(a.core.entries) == 1
    assert redis.xrange(KEYS.commands)[-1][1].keys() == {b"node", b"m"}


def test_a_session_with_nothing_to_report_for_long_says_so_before_its_successor_has_too_much_to_read(a):
    a.claim(S, account=ACCOUNT)
    a.commit()
    a.core.latest[ACCOUNT] = 1_000
    assert not a.journal.note_progress()
    a.core.latest[ACCOUNT] = 1_001
    assert a.journal.note_progress()
    a.commit()
    assert a.row(S)[b"at"] == b"1001"
    assert not a.journal.note_progress()


def test_a_turn_without_changes_writes_nothing(a):
    a.claim(S)
    assert a.commit() == 0
    a.journal.store(S).next_in = 1
    assert a.commit() == 0


def test_what_is_not_whole_here_is_not_whole_there(redis, a):
    """A message that waits in memory: its number is expected again, later ones that went on are not."""
    a.claim(S)
    store = a.journal.store(S)
    store.next_in = 9
    store.begin_wait(1, 6)
    a.commit()
    assert (a.row(S)[b"in"], done_of(a.row(S)[b"done"])) == (b"6", ((7, 9),))
    store.end_wait(1)
    a.commit()
    assert (a.row(S)[b"in"], done_of(a.row(S)[b"done"])) == (b"9", ())


def test_who_lost_a_session_writes_nothing_of_it_and_hands_nothing_over(redis, a, b):
    a.claim(S)
    a.claim(8)
    a.journal.store(S).next_in = 2
    a.commit()
    assert b.claim(S)[1] == b"2"
    before = redis.xlen(KEYS.commands)
    for session in (S, 8):
        a.journal.store(session).next_in = 3
        a.core.hand_over(order(session, 1))
    a.journal.store(S).put(1, b"a's")
    a.commit()
    assert (a.lost, a.dropped) == ({S}, [pack_cmd_id(S, Lane.ORDER, 1)])
    assert (a.row(S)[b"in"], a.row(8)[b"in"], sent(redis, S)) == (b"2", b"3", [])
    commands = [records.decode_waiting(each) for each in handed(redis, before)]
    assert [command.session for command in commands] == [8]
    b.journal.store(S).put(1, b"b's")
    b.commit()
    assert sent(redis, S) == [(1, b"b's")]


def handed(redis, before):
    """The commands in the stream since it had so many entries, one by one."""
    found = []
    for _, fields in redis.xrange(KEYS.commands)[before:]:
        found += [bytes(each) for each in msgspec.msgpack.decode(fields.get(b"m", b"\x90"), type=list[msgspec.Raw])]
    return found


def test_what_waited_for_a_turn_is_handed_over_though_nothing_else_of_its_session_changes(redis, a, b):
    a.claim(S)
    a.core.hand_over(order(S, 1))
    a.commit()
    assert len(handed(redis, 0)) == 1
    b.claim(S)
    a.core.hand_over(order(S, 2))
    a.commit()
    assert (len(handed(redis, 0)), a.lost) == (1, {S})


def test_commits_in_flight_behind_a_refused_one_are_written_after_all(redis, a, b):
    """Several turns are under way when the first is refused: the others must wait for it, or numbers were lost."""
    a.claim(S)
    a.claim(8)
    a.holds = True
    for number in (2, 3, 4):
        a.journal.store(S).next_in = number
        a.journal.store(8).next_in = number
        a.journal.store(8).put(number, b"%d" % number)
        a.commit()
    b.claim(S)
    flight = [a.ask(commit) for commit in a.journal.unanswered]
    assert [reply[0] for _, _, reply in flight] == [b"fenced", b"early", b"early"]
    a.holds = False
    assert [a.answer(*each) for each in flight] == [True, False, False]
    a.send_again()
    assert (a.row(8)[b"in"], a.journal.durable, list(a.journal.unanswered)) == (b"4", 3, [])
    assert [text for _, text in sent(redis, 8)] == [b"2", b"3", b"4"]


def test_two_commits_that_are_refused_for_one_session_lose_no_other(redis, a, b):
    """The first was written before, without an answer, so the second is no longer early: both are judged."""
    a.claim(S)
    a.claim(8)
    a.holds = True
    for number in (2, 3):
        a.journal.store(S).next_in = number
        a.journal.store(8).next_in = number
        a.commit()
    a.ask(a.journal.unanswered[0])
    b.claim(S)
    flight = [a.ask(commit) for commit in a.journal.unanswered]
    assert [reply for _, _, reply in flight] == [[b"fenced", 1, b"1"], [b"fenced", 1, b"1"]]
    a.holds = False
    assert [a.answer(*each) for each in flight] == [True, False]
    a.send_again()
    assert (a.lost, a.row(8)[b"in"], a.journal.durable, list(a.journal.unanswered)) == ({S}, b"3", 2, [])


def test_a_commit_whose_answer_was_lost_is_written_once(redis, a):
    a.claim(S)
    a.holds = True
    a.journal.store(S).put(1, b"one")
    a.core.hand_over(order(S, 1))
    a.commit()
    (commit,) = a.journal.unanswered
    a.ask(commit)  # its answer never comes
    a.holds = False
    a.send_again()
    assert (sent(redis, S), a.journal.durable) == ([(1, b"one")], 1)
    assert len(handed(redis, 0)) == 2, "the core drops the second: its number was executed"


def test_numbers_that_begin_anew_take_the_messages_with_them(redis, a):
    a.claim(S)
    store = a.journal.store(S)
    store.put(1, b"old")
    store.next_out = 2
    a.commit()
    store.reset()
    store.put(1, b"new")
    store.next_out = 2
    a.commit()
    assert sent(redis, S) == [(1, b"new")]
    assert (a.row(S).get(b"in", b"1"), a.row(S)[b"out"]) == (b"1", b"2")


def test_a_command_that_waits_is_in_the_row_until_it_leaves(a):
    a.claim(S)
    command = order(S, 1)
    a.journal.append(records.WAITS, 0, records.encode(command))
    a.commit()
    field = b"w%d" % command.cmd_id
    assert records.decode_waiting(a.row(S)[field]) == command
    a.journal.append(records.LEFT, 0, command.cmd_id.to_bytes(8, "big"))
    a.commit()
    assert field not in a.row(S)


def test_a_session_that_has_ended_is_forgotten_when_its_last_command_has_left(a):
    """Its cancel-on-disconnect may wait for a core that is away: it must not be dropped with the session."""
    a.journal.append(records.WS_SESSION, S, records.body(WsSessionRecord(S, "key", "ws-7")))
    command = order(S, 1)
    a.journal.append(records.WAITS, 0, records.encode(command))
    a.journal.append(records.WS_ENDED, S, b"")
    a.commit()
    assert a.journal.take_ended() == []
    a.journal.append(records.LEFT, 0, command.cmd_id.to_bytes(8, "big"))
    a.core.hand_over(command)
    a.commit()
    assert len(a.core.entries) == 1
    assert a.journal.take_ended() == [(S, 1)]
    assert (a.journal.owns(S), a.journal.take_ended()) == (False, [])


def test_as_many_messages_are_kept_as_may_be_asked_for_again(redis, a):
    a.claim(S)
    store = a.journal.store(S)
    for first in range(1, 20_001, 100):
        store.put_run(first, [b"%d" % number for number in range(first, first + 100)])
    a.commit()
    kept = [number for number, _ in sent(redis, S)]
    assert kept[-1] == 20_000
    assert 10_000 <= len(kept) < 20_000, "Redis trims in steps of a hundred entries"


def test_two_processes_under_one_name_the_older_one_ends(redis, a):
    a.claim(S)
    second = Writer(redis, "a", "b2")
    assert second.begin()[0] == b"taken"
    a.renew(lease_ms=0)
    assert second.begin() == [b"ok", b"a", b"0"], "with the sessions that the first has left"
    a.journal.store(S).next_in = 2
    a.commit()
    assert a.renew() == [b"gone"]
    with pytest.raises(NameTaken, match='"a"'):
        a.commit()


def test_a_redis_that_has_lost_commits_is_noticed_and_nothing_more_is_written(redis, a):
    a.claim(S)
    for number in (2, 3):
        a.journal.store(S).next_in = number
        a.commit()
    redis.hset(KEYS.gateway("a"), "commit", 1)  # as a replica would have it that lacks the last writes
    a.journal.store(S).next_in = 4
    a.commit()
    a.journal.store(S).next_in = 5
    with pytest.raises(CommitsLost, match="Redis has lost what it had acknowledged"):
        a.commit()
    assert a.row(S)[b"in"] == b"3"


class TestClaim:
    def test_a_living_client_keeps_its_session_where_the_newcomer_may_only_have_an_idle_one(self, a, b):
        a.claim(S)
        assert b.claim(S, "idle")[0] == b"ok", "its client is not connected"
        b.journal.append(records.LINK, S, records.body(LinkState(S, ACCOUNT, True, "off", 0, 0)))
        b.commit()
        told = a.claim(S, "idle")
        assert (told[:2], 0 < int(told[2]) <= LEASE_MS) == ([b"busy", b"b"], True)
        b.renew(lease_ms=0)
        assert a.claim(S, "idle")[0] == b"ok", "its gateway is dead"

    def test_only_one_survivor_takes_over_from_a_dead_gateway_and_none_from_a_living_one(self, redis, a, b):
        c = Writer(redis, "c")
        c.begin()
        a.claim(S)
        assert b.claim(S, "dead")[:2] == [b"busy", b"a"]
        a.renew(lease_ms=0)
        assert b.renew() == [b"ok", b"a", b"0"]
        assert b.claim(S, "dead")[0] == b"ok"
        assert c.claim(S, "dead")[:2] == [b"busy", b"b"]

    def test_who_ends_in_good_order_is_known_to_have_and_its_name_is_free_at_once(self, redis, a, b):
        a.claim(S)
        assert a.end() == [b"ok"]
        assert b.renew() == [b"ok", b"a", b"1"]
        again = Writer(redis, "a", "b2")
        assert again.begin() == [b"ok", b"a", b"1"]
        assert b.renew() == [b"ok"], "it lives again"

    def test_a_gateway_that_was_cut_off_for_longer_than_its_lease_goes_on(self, redis, a, b):
        a.renew(lease_ms=0)
        assert b.renew() == [b"ok"]
        assert a.renew() == [b"ok"]

    @pytest.mark.parametrize("is_planned", [True, False])
    def test_a_dead_gateway_without_sessions_is_forgotten_by_all_and_by_the_core(self, redis, a, b, is_planned):
        """At once if it ended in good order; else it may only have been cut off, for less than a minute."""
        if is_planned:
            a.end()
        else:
            a.renew(lease_ms=-60_000)
        assert b.renew() == [b"ok"]
        assert redis.smembers(KEYS.gateways) == {b"b"}
        assert redis.xrevrange(KEYS.commands)[0][1] == {b"node": b"a", b"bye": b"1"}

    def test_what_the_last_owner_wrote_comes_with_it_and_all_are_told(self, redis, a, b):
        a.claim(S)
        a.journal.store(S).next_in = 4
        a.commit()
        told = b.claim(S)
        assert told[:2] == [b"ok", b"2"]
        assert told[3] == b"a"
        row = dict(zip(told[4::2], told[5::2], strict=True))
        assert (row[b"in"], row[b"owner"]) == (b"4", b"b")
        moved = {b"moved": b"7", b"token": b"2", b"from": b"a", b"for_client": b"1"}
        assert redis.xrange(KEYS.control)[-1][1] == moved
        assert entry_id(told[2]) == entry_id(redis.xrevrange(KEYS.commands)[0][0])
