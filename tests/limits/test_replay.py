"""`limits simulate`: recorded traffic against a file that is not in force yet."""

import pytest

from limits.replay import replay
from tests.support.shared_limits import START_NS, policy_of

TEXT = """
[plans.standard]
orders = { rate = "1/s", burst = 2 }
orders_per_instrument = { rate = "1/s", burst = 1, mode = "shadow" }
"""


def line(message: str, at_ms: int = 0, instrument: int = 0) -> bytes:
    text = f'{{"at_ns": {START_NS + at_ms * 1_000_000}, "account": "A", "session": "S", "message": "{message}"'
    return f'{text}, "instrument": {instrument}}}\n'.encode()


def test_each_message_is_charged_as_the_road_charges_it():
    outcomes = replay(policy_of(TEXT), [line("D"), line("D"), line("D"), b"\n", line("F"), line("D", 1_500)])
    orders, msgs, cancels = (outcomes["A", name] for name in ("orders", "msgs", "cancels"))
    assert (orders.admitted, orders.refused, orders.longest_wait_us) == (3, 1, 1_000_000)
    assert (msgs.admitted, msgs.refused) == (4, 0)
    assert cancels.admitted == 1


def test_shadow_limits_show_what_they_would_have_refused():
    outcomes = replay(policy_of(TEXT), [line("D", instrument=7), line("D", instrument=7)])
    assert (outcomes["A", "orders"].admitted, outcomes["A", "orders"].shadow_refused) == (2, 1)


def test_a_line_that_is_no_traffic_is_named():
    with pytest.raises(ValueError, match=r"line 2: .*at_ns"):
        replay(policy_of(TEXT), [line("D"), b'{"at_ns": "now"}'])
