"""A run of orders through the fast passes is what its orders would be one by one: the general road is the oracle.

Modules: doors.fix.requests, orders.admission, orders.charging, orders.core_link, orders.dispatch, orders.queue, server.
"""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.road_clients import Say
from tests.support.road_steps import PLANS, Traffic, scripts
from tests.support.two_roads import ALL

EVERY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


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
    def compare(window, most, plan, is_heard, script):
        with tempfile.TemporaryDirectory() as name:
            traffic = Traffic(Path(name), window, most, plan, is_heard)
            for burst, event in script:
                traffic.play(burst)
                traffic.play(event)
            traffic.roads.check()
            assert not traffic.roads.general.runs
            taken.append(traffic.roads.quick.longest_run)

    compare()
    assert max(taken) > 8, "the examples have runs"


A1, A2, B1, B2, B3, W1 = 0, 1, 2, 3, 4, 7
FOUND = {
    "an order without a SendingTime": [(A1, [Say(twist="sent", at=0)])],
    "half a message follows the end of a session": [
        (A1, [Say(twist="value", at=5), Say(twist="long")]),
        (A1, [Say()] * 5),
    ],
    "a session that hears all, alone in that, trades with another one": [
        (W1, [Say("jump")]),
        (A1, [Say()]),
        (A2, [Say(kind=1)]),
    ],
}


@pytest.mark.parametrize("bursts", FOUND.values(), ids=FOUND)
def test_what_was_found_once(tmp_path, bursts):
    traffic = Traffic(tmp_path)
    traffic.play(("bursts", [(client, says, []) for client, says in bursts]))
    traffic.roads.check()


@pytest.mark.parametrize("step", [("piece", 1), ("piece", 3), ("hold", 3), ("hold", 0)], ids=str)
def test_a_core_may_answer_a_part_of_a_run_in_a_batch(tmp_path, step):
    traffic = Traffic(tmp_path)
    traffic.play(step)
    traffic.play(("bursts", [(A1, [Say()] * 8, []), (B1, [Say(kind=1)] * 9, []), (A2, [Say()] * 2, [])]))
    traffic.play(("hold", ALL))
    traffic.roads.check()
    assert traffic.roads.quick.longest_run >= 8
