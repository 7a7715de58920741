"""How a session comes to a gateway, step by step: what is asked, in which order, and what whoever waits is told.

`>` is what the gateway asks, `<` an answer, `=` what happens here.

Modules: cluster.ownership, cluster.row.
"""

import pytest

from gateway.cluster.ownership import Ownership
from gateway.recovery.records import encode
from gateway.safety.cancel_on_disconnect import LinkState

S, WS, ACCOUNT = 7, 70_000, 3
CLAIMED = [b"ok", b"4", b"9-0", b"b", b"in", b"5", b"out", b"8", b"at", b"20", b"epoch", b"e-1"]


class Bench:
    """Redis, the core and the gateway's parts, all of them the test."""

    epoch = "e-1"

    def __init__(self):
        self.told, self.asked, self.joining, self.owned = [], {}, {}, set()
        self.ownership = Ownership(self, self, self)

    # -- Redis and the core

    def claim(self, session, when, then):
        self._ask(f"claim {session} {when}", then)

    def token(self, session, then):
        self._ask(f"token {session}", then)

    def join(self, account, then):
        self._ask(f"join {account}", then)

    def leave(self, account):
        self.told.append(f"> leave {account}")

    def is_needed(self, account):
        return bool(self.owned)

    def closed(self, account):
        self.told.append(f"= account {account} is not delivered here")

    def sent(self, session, then):
        self._ask(f"sent {session}", then)

    def events(self, account, after, then):
        self._ask(f"events {account} after {after}", then)

    def tail(self, account, then):
        self._ask(f"tail {account}", then)

    def when_joined(self, entry, then, now_ns):
        self.joining[entry] = then

    def wait(self, ms, then):
        self._ask(f"wait {ms}", lambda *_: then())

    def _ask(self, what, then):
        self.told.append(f"> {what}")
        self.asked[what.split()[0]] = then

    def answer(self, what, value):
        self.told.append(f"< {what}")
        self.asked.pop(what)(value, 0)

    def core_answers(self, entry):
        self.told.append(f"< core {entry[0]}")
        self.joining.pop(entry)(0)

    # -- the gateway's parts

    def token_of(self, session):
        return 4 if session in self.owned else 0

    def lose(self, sessions, cmd_ids):
        self.owned -= set(sessions)
        self.told.append(f"= {sorted(sessions)} lost")

    def account_of(self, session):
        return ACCOUNT if session == S else 0

    def opened(self, account, now_ns):
        self.told.append(f"= account {account} is delivered here")

    def remember(self, account, events):
        self.told.append(f"= {len(events)} events of before")

    def adopt(self, adopted, now_ns):
        self.owned.add(adopted.session)
        row = adopted.row
        self.told.append(f"= {adopted.session} is here: in {row.next_in} out {row.next_out}, {len(adopted.runs)} runs")

    def want(self, session=S, when="any"):
        self.ownership.claim(session, when, lambda why, _: self.told.append(f"= asked: {why or 'yes'}"), 0)

    def take(self):
        told, self.told = self.told, []
        return told


@pytest.fixture
def bench():
    return Bench()


def come(bench, token=4):
    bench.want()
    bench.answer("claim", CLAIMED)
    bench.core_answers((9, 0))
    bench.answer("join", (10, 0))
    bench.core_answers((10, 0))
    bench.answer("tail", [])
    bench.answer("sent", [(1, [b"x"])])
    bench.answer("events", [])
    bench.answer("token", token)


def test_a_fix_session_comes_here(bench):
    come(bench)
    assert bench.take() == [
        "> claim 7 any",
        "< claim",
        "< core 9",  # all that its last owner handed over is executed
        "> join 3",
        "< join",
        "< core 10",
        "= account 3 is delivered here",
        "> tail 3",
        "< tail",
        "= 0 events of before",
        "> sent 7",
        "< sent",
        "> events 3 after 20",
        "< events",
        "> token 7",  # nobody has claimed it since its row was read: row and messages are of one time
        "< token",
        "= 7 is here: in 5 out 8, 1 runs",
        "= asked: yes",
    ]


def test_one_that_is_here_is_here_if_redis_says_so_too(bench):
    come(bench)
    bench.take()
    bench.want()
    bench.answer("token", 4)
    assert bench.take() == ["> token 7", "< token", "= asked: yes"]


def test_one_that_was_here_and_is_back_from_elsewhere_before_we_heard_of_it_is_claimed(bench):
    come(bench)
    bench.take()
    bench.want()
    bench.answer("token", 5)
    assert bench.take() == ["> token 7", "< token", "= [7] lost", "> claim 7 any"]


def test_one_that_was_here_is_not_served_while_redis_is_away(bench):
    come(bench)
    bench.take()
    bench.want()
    bench.answer("token", None)
    assert bench.take()[-1] == "= asked: Redis cannot be reached"


def test_the_second_session_of_an_account_does_not_ask_for_the_account_again(bench):
    come(bench)
    bench.owned.clear()
    bench.take()
    bench.want()
    bench.answer("claim", CLAIMED)
    bench.core_answers((9, 0))
    assert bench.take()[-1] == "> sent 7"


def test_an_account_without_a_session_here_is_given_up_after_a_while_and_asked_for_again(bench):
    come(bench)
    bench.take()
    bench.ownership.leave_idle()
    bench.owned.clear()
    bench.ownership.leave_idle()
    assert bench.take() == [], "its client may be back soon"
    bench.ownership.leave_idle()
    assert bench.take() == ["> leave 3", "= account 3 is not delivered here"]
    bench.want()
    bench.answer("claim", CLAIMED)
    bench.core_answers((9, 0))
    assert bench.take()[-1] == "> join 3"


def test_who_asks_while_it_is_on_its_way_waits_for_the_same_answer(bench):
    bench.want()
    bench.want()
    bench.answer("claim", [b"busy", b"b", b"0"])
    assert bench.take() == ["> claim 7 any", "< claim", *["= asked: its owner is b"] * 2]


def test_an_owner_that_may_have_died_just_now_is_given_the_time_to_show_that_it_lives(bench):
    bench.want(when="idle")
    bench.answer("claim", [b"busy", b"b", b"700"])
    assert bench.take()[-1] == "> wait 720"
    bench.answer("wait", None)
    assert bench.take()[-1] == "> claim 7 idle"
    bench.answer("claim", [b"busy", b"b", b"900"])
    assert bench.take()[-1] == "= asked: its owner is b"


def test_a_session_that_nobody_has_had_has_missed_nothing(bench):
    bench.want()
    bench.answer("claim", [b"ok", b"1", b"9-0", b""])
    bench.core_answers((9, 0))
    bench.answer("join", (10, 0))
    bench.core_answers((10, 0))
    bench.answer("tail", [])
    bench.answer("sent", [])
    bench.answer("token", 1)
    assert bench.take()[-2:] == ["= 7 is here: in 1 out 1, 0 runs", "= asked: yes"]


def test_one_that_was_claimed_by_another_gateway_while_it_was_on_its_way_stays_there(bench):
    """We stood still: its row is of before, and its messages are of now."""
    come(bench, token=5)
    assert (bench.take()[-1], bench.owned) == ("= asked: another gateway has it by now", set())


@pytest.mark.parametrize("step", ["claim", "join", "sent", "events", "token"])
def test_when_redis_is_lost_on_the_way_whoever_waits_hears_it_and_may_ask_again(bench, step):
    answers = {"claim": CLAIMED, "join": (10, 0), "tail": [], "sent": [], "events": [], "token": 4}
    bench.want()
    for each, answer in answers.items():
        if each == step:
            bench.answer(each, None)
            break
        bench.answer(each, answer)
        if each in ("claim", "join"):
            bench.core_answers((9, 0) if each == "claim" else (10, 0))
    assert bench.take()[-1] in ("= asked: Redis cannot be reached", "= asked: the core cannot be reached")
    assert bench.owned == set()
    bench.want()
    assert bench.take() == ["> claim 7 any"]


def test_without_the_latest_events_a_client_that_resumes_gets_a_snapshot_and_nothing_fails(bench):
    bench.want()
    bench.answer("claim", CLAIMED)
    bench.core_answers((9, 0))
    bench.answer("join", (10, 0))
    bench.core_answers((10, 0))
    bench.answer("tail", None)
    bench.answer("sent", [])
    bench.answer("events", [])
    bench.answer("token", 4)
    assert bench.take()[-1] == "= asked: yes"


def test_in_a_new_epoch_nothing_of_its_events_has_been_reported(bench):
    bench.epoch = "e-2"
    come(bench)
    assert "> events 3 after 0" in bench.take()


def test_a_row_that_cannot_be_read_is_told_and_left_alone(bench):
    bench.want()
    bench.answer("claim", [b"ok", b"4", b"9-0", b"b", b"in", b"five"])
    assert bench.take()[-1].startswith("= asked: its row cannot be read")


def test_a_websocket_session_has_no_numbers_and_its_account_is_that_of_its_link(bench):
    link = encode(LinkState(WS, ACCOUNT, False, "off", 0, 0))
    bench.want(WS, "dead")
    bench.answer("claim", [b"ok", b"2", b"9-0", b"b", b"link", link])
    bench.core_answers((9, 0))
    bench.answer("join", (10, 0))
    bench.core_answers((10, 0))
    bench.answer("tail", [])
    bench.answer("token", 2)
    assert bench.take()[-2:] == ["= 70000 is here: in 1 out 1, 0 runs", "= asked: yes"]


def test_what_another_redis_may_have_lost_is_asked_again_and_who_waits_goes_on_waiting(bench):
    """Its `join` was written to the Redis before, and no replica had it: the core would never answer it."""
    bench.want()
    bench.answer("claim", CLAIMED)
    bench.take()
    bench.ownership.ask_again()
    assert bench.take() == ["> claim 7 any"]
    bench.answer("claim", [b"ok", b"5", b"11-0", *CLAIMED[3:]])
    bench.core_answers((11, 0))
    bench.answer("join", (12, 0))
    bench.core_answers((12, 0))
    bench.answer("tail", [])
    bench.answer("sent", [])
    bench.answer("events", [])
    bench.answer("token", 5)
    assert bench.take()[-1] == "= asked: yes"
    bench.core_answers((9, 0))  # it was not lost
    assert bench.take() == ["< core 9"]


def test_an_account_that_is_asked_for_again_comes_once(bench):
    bench.want()
    bench.answer("claim", CLAIMED)
    bench.core_answers((9, 0))
    bench.answer("join", (10, 0))
    bench.take()
    bench.ownership.ask_again()
    assert bench.take() == ["> join 3", "> claim 7 any"]
    bench.answer("join", (12, 0))
    for entry in (10, 12):
        bench.core_answers((entry, 0))
    bench.answer("tail", [])
    assert bench.take() == [
        "< join",
        "< core 10",
        "= account 3 is delivered here",
        "> tail 3",
        "< core 12",
        "< tail",
        "= 0 events of before",
    ]
