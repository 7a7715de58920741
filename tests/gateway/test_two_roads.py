"""A run of orders through the fast passes is what its orders would be one by one: the general road is the oracle.

Modules: doors.fix.requests, orders.admission, orders.charging, orders.core_link, orders.dispatch, orders.queue, server.
"""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.road_steps import PLANS, Traffic, scripts

EVERY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def test_runs_are_what_their_orders_would_be_one_by_one():
    """Whatever comes, cut anywhere, between orders and beside them, all that can be seen of both gateways is equal."""
    taken = []

    @EVERY
    @given(
        window=st.sampled_from((48, 256, 1_024)),
        most=st.sampled_from((64, 8_192)),
        plan=st.integers(0, len(PLANS) - 1),
        script=scripts,
    )
    def compare(window, most, plan, script):
        with tempfile.TemporaryDirectory() as name:
            traffic = Traffic(Path(name), window, most, plan)
            for burst, event in script:
                traffic.play(burst)
                traffic.play(event)
            traffic.roads.check()
            assert not traffic.roads.general.runs
            taken.append(traffic.roads.quick.longest_run)

    compare()
    assert max(taken) > 8, "the examples have runs"
