"""A run of orders through the fast passes is what its orders would be one by one: the general road is the oracle.

Modules: doors.fix.requests, orders.admission, orders.charging, orders.core_link, orders.dispatch, orders.queue, server.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.road_clients import TWISTS, Say
from tests.support.road_steps import MODES, PLANS, Traffic, scripts
from tests.support.two_roads import ALL, Gateway

EVERY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


AT_MOST = 61  # variants of a twist: as many as scripts have
A1, A2, B1, B2, B3, W1, W2 = 0, 1, 2, 3, 4, 8, 9
FOUND = {
    "an order without a SendingTime": [(A1, [Say(twist="sent", at=0)])],
    "half a message follows the end of a session": [
        (A1, [Say(twist="value", at=5), Say(twist="long")]),
        (A1, [Say()] * 5),
    ],
    "a session that hears all, alone in that, trades with another one": [
        (W2, [Say("jump")]),
        (B1, [Say()]),
        (B2, [Say(kind=1)]),
    ],
}


@pytest.mark.parametrize("bursts", FOUND.values(), ids=FOUND)
def test_what_was_found_once(tmp_path, bursts):
    traffic = Traffic(tmp_path)
    traffic.play(("bursts", [(client, says, []) for client, says in bursts]))
    traffic.roads.check()


def test_a_run_is_received_at_the_time_that_the_clock_shows_when_all_of_the_read_is_parsed(tmp_path):
    traffic = Traffic(tmp_path)
    traffic.play(("clock", -3_000))
    traffic.play(("bursts", [(A1, [Say(), Say(), Say(twist="sent", at=1)], [])]))
    traffic.roads.check()


def test_orders_that_come_while_the_end_of_their_session_is_awaited_are_not_read(tmp_path):
    traffic = Traffic(tmp_path)
    client = traffic.clients[A1]
    traffic.play(("bursts", [(A1, [Say()] * 5, [])]))
    late = client.bytes_of(Say())
    traffic.play(("clock", 200_000), ("look",))
    traffic.roads.feed(client.name, late)  # it is rejected, and the session logged out
    traffic.play(("wait", 1))
    traffic.play(("bursts", [(A1, [Say()] * 3, [])]))
    traffic.roads.check()


def test_a_question_among_runs_of_one_hand_over_may_look_at_their_orders(tmp_path):
    """Its answer may need what is on its way to the core: the run behind it is then told order by order."""
    traffic = Traffic(tmp_path)
    for client in (A1, A2, W1):
        traffic.play(("bursts", [(client, [Say()] * 5, [])]))
        for at in range(AT_MOST):
            traffic.play(("bursts", [(client, [*[Say()] * 3, Say("status", at=at), *[Say()] * 3], [])]))
    traffic.roads.check()
    assert traffic.roads.quick.longest_run >= 3


def test_a_run_with_too_few_message_tokens_for_all_of_it_is_shed_order_by_order(tmp_path):
    traffic = Traffic(tmp_path, window=48, most=64, plan=2)
    for client in (A1, B1, B2, B3):
        traffic.play(("bursts", [(client, [Say()] * 5, [])]))
    traffic.play(("hold", 0))
    traffic.play(("bursts", [(client, [Say()] * 20, []) for client in (A1, B1, B2, B3)]))
    traffic.play(("wait", 60))  # its reading was paused for as long as it may be
    traffic.play(("bursts", [(A1, [Say()] * 26, [])]))
    traffic.play(("hold", ALL))
    traffic.roads.check()


def test_a_client_that_sends_nothing_but_runs_is_not_taken_for_silent(tmp_path):
    """Four minutes of orders: without the time of each run it would be sent a TestRequest(1) after the first."""
    traffic = Traffic(tmp_path)
    for _ in range(12):
        traffic.play(("bursts", [(A1, [Say()] * 2, [])]))
        traffic.play(("wait", 20_000))
    traffic.roads.check()
    assert traffic.roads.quick.runs > 8


@pytest.mark.parametrize("step", [("piece", 1), ("piece", 3), ("hold", 3), ("hold", 0)], ids=str)
def test_a_core_may_answer_a_part_of_a_run_in_a_batch(tmp_path, step):
    traffic = Traffic(tmp_path)
    traffic.play(step)
    traffic.play(("bursts", [(A1, [Say()] * 8, []), (B1, [Say(kind=1)] * 9, []), (A2, [Say()] * 2, [])]))
    traffic.play(("hold", ALL))
    traffic.roads.check()
    assert traffic.roads.quick.longest_run >= 8


@pytest.mark.parametrize("twist", TWISTS)
def test_each_broken_message_between_plain_ones(tmp_path, twist):
    """All that it can be, from sessions of every dialect; whoever is logged out for it comes back."""
    traffic = Traffic(tmp_path)
    for at in range(AT_MOST):
        for client in (A1, (A2, B1, B2, B3)[(at + at // 16) % 4], (W1, W2)[at % 2]):
            kind = at // 4 % 11
            traffic.play(("bursts", [(client, [Say(kind=kind, qty=2)] * 4, [])]))  # after a logon all is learned anew
            says = [Say(kind=kind, qty=2), Say(kind=kind, qty=2, twist=twist, at=at), Say(kind=kind, qty=2), Say()]
            traffic.play(("bursts", [(client, says, [])]))
            traffic.play(("wait", 1))
            traffic.play(("revive", client))
        traffic.roads.check_output()
    traffic.roads.check()
    assert traffic.roads.quick.runs > AT_MOST * 3


@pytest.mark.parametrize("plan", range(len(PLANS)))
def test_limits_bind_in_the_middle_of_a_run(tmp_path, plan):
    """Whichever limit it is, and refunds of orders with a known id come back to it."""
    traffic = Traffic(tmp_path, plan=plan)
    for count in (10, 30, 7, 1, 12):
        says = [Say(), Say(kind=2), *[Say(qty=2, kind=3)] * count, Say(twist="same id"), Say(kind=1)]
        traffic.play(("bursts", [(A1, says, []), (B1, says, []), (A2, says[1:], [])]))
        traffic.play(("wait", 130))
    traffic.roads.check()


@pytest.mark.parametrize("mode", range(len(MODES)))
@pytest.mark.parametrize("at_once", [0, 4, ALL])
def test_modes_change_while_runs_come_and_wait(tmp_path, mode, at_once):
    traffic = Traffic(tmp_path, window=48)
    traffic.play(("hold", at_once))
    says = [Say(kind=kind, qty=2) for kind in (0, 1, 3, 0, 1, 3, 0, 0, 1)]
    for which in (0, mode, 0):
        traffic.play(("bursts", [(client, says, []) for client in (A1, B1, B2, B3)]))
        traffic.play(("mode", which))
        traffic.play(("bursts", [(client, says, []) for client in (A1, B1)]))
        traffic.play(("answer", 9))
    traffic.play(("hold", ALL))
    traffic.roads.check()


@pytest.mark.parametrize(
    "step",
    [("journal", False, False), ("journal", True, True), ("reopen",), ("drain",), ("trace", 1), ("trace", 5)],
    ids=str,
)
def test_a_run_comes_while_the_gateway_is_not_as_usual(tmp_path, step):
    traffic = Traffic(tmp_path)
    traffic.play(step)
    for _ in range(4):
        traffic.play(("bursts", [(client, [Say(), Say(kind=1), Say()], []) for client in (A1, A2, B1, B2, W1)]))
        traffic.play(("wait", 20))
    traffic.roads.check()


@pytest.mark.parametrize("most", [64, 200])
def test_the_queue_fills_with_runs(tmp_path, most):
    """Some of them are shed, some expire in it, and a cancel and a mass cancel take some out again."""
    traffic = Traffic(tmp_path, window=48, most=most)
    traffic.play(("hold", 0))
    for which, more in ((A1, "cancel"), (B1, "sweep"), (A2, "list"), (B2, "replace")):
        says = [*[Say(qty=2)] * 12, Say(more), *[Say(kind=1)] * 6]
        traffic.play(("bursts", [(which, says, []), (B3, [Say()] * 5, []), (W1, [Say()] * 4, [])]))
        traffic.play(("answer", 5))
        traffic.play(("wait", 60))
    traffic.play(("wait", 2_100))
    traffic.play(("hold", ALL))
    traffic.roads.check()


def test_an_order_of_a_run_that_waits_ends_with_its_own_window(tmp_path):
    """The window of B1 is 150 ms from SendingTime(52), which is 120 ms ago."""
    traffic = Traffic(tmp_path, window=48)
    traffic.play(("hold", 0))
    traffic.play(("bursts", [(A1, [Say()] * 8, []), (B1, [Say(twist="sent", at=15)] * 3, []), (W1, [Say()] * 3, [])]))
    for _ in range(4):
        traffic.play(("wait", 20))
    traffic.play(("hold", ALL))
    traffic.roads.check()


def test_a_run_waits_for_its_turn_while_a_mode_or_the_clock_changes(tmp_path):
    """Of a run that was admitted, what is no longer to be handed over is refused order by order."""
    traffic = Traffic(tmp_path)
    pair = [Say(), Say(kind=1)]
    traffic.play(("bursts", [(A1, pair, []), (B1, pair, []), (W1, [Say()], [])]), ("mode", 1))
    traffic.play(("mode", 0))
    traffic.play(("bursts", [(A1, pair, []), (B1, pair, []), (W2, [Say()], [])]), ("mode", 3))
    traffic.play(("mode", 0))
    traffic.play(("bursts", [(B1, pair, []), (A1, pair, [])]), ("clock", 3_000), ("look",))
    traffic.play(("bursts", [(B1, pair, [])]), ("clock", -3_000), ("look",))
    traffic.roads.check()


def test_unknown_outcomes_are_told_in_the_order_of_the_hand_over(tmp_path):
    """A question between orders of one read is handed over between them, though they were two runs."""
    traffic = Traffic(tmp_path)
    traffic.play(("hold", 0))
    traffic.play(("bursts", [(A1, [Say(), Say(kind=1), Say("status"), Say()], []), (B1, [Say("cancel"), Say()], [])]))
    traffic.play(("wait", 2_100))
    traffic.play(("hold", ALL))
    traffic.roads.check()


def test_a_mass_cancel_after_a_run_joins_none_before_it(tmp_path):
    traffic = Traffic(tmp_path)
    traffic.play(("hold", 0))
    for sweeper, trader in ((A1, A2), (W1, A1), (B1, W2)):
        for says in ([Say("sweep")], [Say()] * 2, [Say("sweep")], [Say()]):
            traffic.play(("bursts", [(sweeper if says[0].what == "sweep" else trader, says, [])]))
        traffic.play(("bursts", [(sweeper, [Say("sweep")], [])]))
    traffic.play(("hold", ALL))
    traffic.roads.check()


def test_a_client_that_reads_nothing_finds_the_reports_of_runs_in_its_store(tmp_path):
    traffic = Traffic(tmp_path)
    for client in (A1, A2):
        traffic.play(("stick", client, True))
    for _ in range(22):
        traffic.play(("bursts", [(A1, [Say()] * 15, []), (A2, [Say(kind=1)] * 12, [])]))
    for client in (A1, A2):
        traffic.play(("stick", client, False))
    traffic.play(("wait", 50))
    traffic.play(("bursts", [(A1, [Say(), Say("resend", at=20), Say(), Say()], [])]))
    traffic.play(("leave", A1))
    traffic.play(("bursts", [(A2, [Say(kind=1)] * 9, [])]))
    traffic.play(("return", A1, False))
    traffic.play(("bursts", [(A1, [Say("resend", at=1), Say()], [])]))
    traffic.roads.check()


def test_numbers_of_commands_go_on_to_their_end(tmp_path):
    """Where 39 bits end, the counter runs into the next lane: by the run as one by one."""
    traffic = Traffic(tmp_path)
    traffic.roads.do(lambda gateway: setattr(gateway.server.sessions.by_id[1].sender, "order_n", (1 << 39) - 4))
    traffic.play(("bursts", [(A1, [Say()] * 9, [])]))
    traffic.roads.check()


def test_a_burst_is_the_same_wherever_it_is_cut(tmp_path):
    """A broken message and a question among orders, cut in each place once; each time with new ids and numbers."""
    traffic = Traffic(tmp_path)
    client = traffic.clients[A1]
    says = [Say(), Say(twist="sum"), Say(kind=1), Say("test"), Say(kind=3, qty=2)]
    size = sum(len(client.bytes_of(say)) for say in says)
    client.seq -= 4  # those were not sent
    for cut in range(size):
        traffic.play(("bursts", [(A1, says, [cut])]))
    traffic.roads.check()
    assert traffic.roads.quick.runs > size


@pytest.mark.timeout(200)
def test_runs_are_what_their_orders_would_be_one_by_one():
    """Whatever comes, cut anywhere, between orders and beside them, all that can be seen of both gateways is equal."""
    taken = []

    @EVERY
    @given(
        window=st.sampled_from((48, 256, 1_024)),
        most=st.sampled_from((64, 8_192)),
        plan=st.integers(0, len(PLANS) - 1),
        is_heard=st.booleans(),
        script=scripts,
    )
    @example(256, 8_192, 0, False, [(("bursts", [(A1, [Say()] * 24, [])]),)])  # a long run, whatever chance brings
    def compare(window, most, plan, is_heard, script):
        with tempfile.TemporaryDirectory() as name:
            traffic = Traffic(Path(name), window, most, plan, is_heard)
            for moment in script:
                traffic.play(*moment)
            traffic.roads.check()
            assert not traffic.roads.general.runs
            taken.append(traffic.roads.quick.longest_run)

    compare()
    assert max(taken) > 8, "the examples have runs"


@pytest.mark.timeout(200)
def test_a_restart_continues_from_the_records_of_runs_as_from_single_ones():
    """Numbers, stored messages, books, streams and counters: whatever a process that was killed leaves to the next."""

    @settings(EVERY, max_examples=15)
    @given(script=scripts)
    def compare(script):
        with tempfile.TemporaryDirectory() as name:
            traffic = Traffic(Path(name), durability="process")
            for moment in script:
                traffic.play(*moment)
            traffic.roads.restart()
            traffic.roads.check()
            traffic.roads.do(Gateway.kill)

    compare()
