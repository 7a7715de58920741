"""The bounded queue: first in, first out until something must wait; then classes, turns, and cancels that withdraw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import schema
from gateway.orders.queue import OrderQueue, Stage
from protocols.messages import (
    CancelOrder,
    MassCancel,
    NewOrder,
    OrdType,
    Origin,
    Side,
    Tif,
)
from tests.support.queue_requests import cancel, new, query, replace, request

ROOMY = 1_000
HOLD = 100
NOW = 1_000


def mass_cancel(account=1, session=1, **scope):
    return request(MassCancel(3, account, session, Origin.FIX, 0, 0, "m", **scope))


def queue(*requests, **knobs):
    ingress = OrderQueue(schema.Ingress(**knobs), HOLD)
    for each in requests:
        ingress.put(each)
    return ingress


def test_with_credit_for_all_requests_leave_in_the_order_they_came():
    rows = [new("a"), query(), cancel("a"), mass_cancel(), new("b")]
    taken, withdrawn = queue(*rows).take(ROOMY, NOW)
    assert taken == rows
    assert withdrawn == []


def test_when_something_must_wait_control_goes_before_cancels_before_orders_before_queries():
    rows = [query(), new("a"), cancel("x"), mass_cancel(only_session=True, session=9)]
    ingress = queue(*rows)
    assert ingress.take(10, NOW) == (
        [rows[3], rows[2]],
        [],
    )  # 10: the shares of control and a few cancels, none for orders
    assert ingress.take(41, NOW) == ([rows[1]], [])
    assert ingress.take(41, NOW) == ([rows[0]], [])
    assert ingress.commands == 0


def test_a_cancel_that_overtakes_its_waiting_order_withdraws_it_and_goes_on_for_an_older_one_may_live_under_the_name():
    order, overtaking = new("a"), cancel("a")
    assert queue(order, overtaking).take(20, NOW) == ([overtaking], [order])
    assert overtaking.has_overtaken


def test_a_cancel_in_another_symbol_or_by_order_id_does_not_withdraw_a_waiting_order_of_that_name():
    order = new("a")
    elsewhere = request(CancelOrder(2, 1, 1, Origin.FIX, 0, 0, "c", 8, orig_cl_ord_id="a"))
    by_id = cancel("a", order_id=812)
    assert queue(order, elsewhere, by_id).take(20, NOW) == ([elsewhere, by_id], [])


def test_repeats_of_a_waiting_mass_cancel_join_it_unless_an_order_came_in_between():
    first, repeat, other_scope, later = mass_cancel(), mass_cancel(), mass_cancel(side=1), mass_cancel()
    ingress = queue(first, repeat, other_scope)
    assert first.joined == [repeat]
    ingress.put(new("a"))
    ingress.put(later)
    assert ingress.commands == 5
    assert [row for row in ingress.take(ROOMY, NOW)[0] if row in (first, other_scope, later)] == [
        first,
        other_scope,
        later,
    ]


def test_repeats_that_joined_a_mass_cancel_leave_the_queue_with_it():
    first, repeats = mass_cancel(), [mass_cancel(), mass_cancel()]
    ingress = queue(new("a"), first, *repeats, new("b"))
    assert ingress.commands == 5
    taken, withdrawn = ingress.take(41, NOW)  # one order; the rest is kept for cancels and control
    assert first in taken
    assert first.joined == repeats
    left = 5 - len(taken) - len(withdrawn) - len(repeats)
    assert (ingress.commands, ingress.size_bytes) == (left, 100 * left)


@pytest.mark.parametrize("are_handed_at_once", [True, False])
def test_mass_cancels_that_the_core_has_are_counted_however_they_were_handed_over(are_handed_at_once):
    """Eight are control's own part of the window: more of them wait, and the cancels have theirs."""
    sweeps = [mass_cancel(account=number) for number in range(1, 9)]
    ingress = queue(*sweeps, *([] if are_handed_at_once else [new(f"o{n}") for n in range(ROOMY)]))
    taken, _ = ingress.take(ROOMY if are_handed_at_once else 40, NOW)
    assert [row for row in taken if row in sweeps] == sweeps
    for each in sweeps:
        each.handed_ns = NOW
    for number in range(9, 20):
        ingress.put(mass_cancel(account=number))
    for number in range(50):
        ingress.put(cancel(f"o{number}"))
    taken, _ = ingress.take(32, NOW)
    assert [type(row.command) for row in taken] == [CancelOrder] * 32
    for each in sweeps:
        ingress.settle(each)
    taken, _ = ingress.take(8, NOW)
    assert [type(row.command) for row in taken] == [MassCancel] * 8


def test_what_has_waited_too_long_is_taken_out_but_never_control():
    windowed = request(NewOrder(1, 1, 1, Origin.FIX, 0, 50, "w", 7, Side.BUY, OrdType.LIMIT, Tif.GTC, 10, 5))
    rows = [new("a"), windowed, cancel("x"), query(), mass_cancel(side=2)]
    ingress = queue(*rows)
    assert ingress.expire(50, is_away=True) == ([], [])
    late, _ = ingress.expire(100, is_away=True)
    assert set(map(id, late)) == {id(row) for row in rows[:4]}
    assert ingress.take(ROOMY, NOW) == ([rows[4]], [])
    assert (ingress.commands, ingress.size_bytes) == (0, 0)


def test_a_cancel_withdraws_waiting_replaces_of_a_live_order_and_goes_on():
    first, second, overtaking = replace("b", orig="a"), replace("c", orig="b"), cancel("a")
    taken, withdrawn = queue(first, second, overtaking).take(20, NOW)
    assert taken == [overtaking]
    assert set(map(id, withdrawn)) == {id(first), id(second)}


def test_a_cancel_by_order_id_finds_the_waiting_replace_by_order_id():
    changing, overtaking = replace("b", order_id=812), cancel(order_id=812)
    assert queue(changing, overtaking).take(20, NOW) == ([overtaking], [changing])


def test_a_cancel_of_one_account_never_touches_another_with_the_same_ids():
    other, overtaking = new("a", account=2), cancel("a", account=1)
    taken, withdrawn = queue(other, overtaking).take(20, NOW)
    assert (taken, withdrawn) == ([overtaking], [])


@pytest.mark.parametrize(
    ("scope", "withdrawn_ids"),
    [
        ({}, ["buy", "sell", "exempt", "tagged", "elsewhere"]),
        ({"side": 1}, ["buy", "exempt", "tagged", "elsewhere"]),
        ({"only_session": True}, ["buy", "sell", "exempt", "tagged"]),
        ({"keep_exempt": True}, ["buy", "sell", "tagged", "elsewhere"]),
        ({"tag": "grid"}, ["tagged"]),
        ({"instrument": 8}, []),
    ],
)
def test_a_mass_cancel_first_withdraws_every_waiting_order_of_its_scope(scope, withdrawn_ids):
    rows = [
        new("buy"),
        new("sell", side=Side.SELL),
        new("exempt", flags=4),
        new("tagged", tag="grid"),
        new("elsewhere", session=2),
        new("foreign", account=2),
    ]
    later = new("later")
    sweep = mass_cancel(**scope)
    taken, withdrawn = queue(*rows, sweep, later).take(8, NOW)
    assert taken == [sweep]
    assert [row.command.cl_ord_id for row in withdrawn] == withdrawn_ids


def test_a_mass_cancel_of_one_side_takes_along_each_waiting_replace_that_may_be_of_that_side():
    rows = [replace("buys", side=Side.BUY), replace("sells", side=Side.SELL), replace("either")]
    _, withdrawn = queue(*rows, mass_cancel(side=Side.BUY)).take(8, NOW)
    assert [row.command.cl_ord_id for row in withdrawn] == ["buys", "either"]


def test_the_queue_is_calm_whenever_nothing_waits_whatever_it_was_before():
    ingress = queue(*(new(str(n)) for n in range(60)), max_commands=64)
    assert (ingress.stage, ingress.is_calm) == (Stage.SHEDDING, False)
    assert len(ingress.take(ROOMY, NOW)[0]) == 60
    assert (ingress.stage, ingress.is_calm) == (Stage.OPEN, True)
    ingress.put(new("a"))
    assert ingress.is_calm, "it may leave in this tick"
    ingress.take(0, NOW)
    assert (ingress.stage, ingress.is_calm) == (Stage.OPEN, False)
    ingress.take(ROOMY, NOW)
    assert ingress.is_calm


def test_nothing_is_kept_of_the_names_of_what_has_left():
    ingress = queue(new("a"), replace("c", orig="b", order_id=5), new("d"), cancel("d"))
    ingress.take(0, NOW)
    ingress.take(ROOMY, NOW)
    assert (ingress._by_id, ingress._waits._slots) == ({}, {})


def test_accounts_take_turns_so_one_flood_does_not_starve_another_client():
    flood = [new(f"f{n}", account=1) for n in range(50)]
    polite = [new("p1", account=2), new("p2", account=2)]
    ingress = queue(*flood, *polite)
    taken, _ = ingress.take(44, NOW)
    assert [row.command.cl_ord_id for row in taken] == ["f0", "f1", "p1", "p2"]


def test_stages_are_entered_at_60_80_95_and_100_percent_and_left_ten_points_lower():
    ingress = OrderQueue(schema.Ingress(max_commands=100), HOLD)
    seen = []
    for n in range(100):
        ingress.put(new(str(n)))
        seen.append(ingress.stage)
    assert [seen.index(stage) + 1 for stage in Stage if stage] == [60, 80, 95, 100]
    falling = []
    while ingress.commands:
        ingress.take(41, NOW)
        falling.append((ingress.commands, ingress.stage))
    assert (90, Stage.BRIM) in falling
    assert (89, Stage.FULL) in falling
    assert (84, Stage.SHEDDING) in falling
    assert (69, Stage.PAUSING) in falling
    assert (49, Stage.OPEN) in falling


def test_bytes_fill_the_queue_as_well_as_commands():
    ingress = OrderQueue(schema.Ingress(max_bytes=65_536), HOLD)
    ingress.put(request(new("a").command, size_bytes=60_000))
    assert ingress.stage == Stage.SHEDDING


@given(
    st.lists(
        st.one_of(
            st.builds(new, st.sampled_from("abc"), account=st.integers(1, 2)),
            st.builds(replace, st.sampled_from("def"), orig=st.sampled_from("abcdef"), account=st.integers(1, 2)),
            st.builds(cancel, st.sampled_from("abcdef"), account=st.integers(1, 2)),
            st.builds(mass_cancel, account=st.integers(1, 2)),
            st.builds(query, account=st.integers(1, 2)),
        ),
        max_size=40,
    ),
    st.lists(st.integers(1, 60), max_size=60),
)
def test_every_request_leaves_exactly_once_and_counts_return_to_zero(rows, credits_given):
    ingress = queue(*rows)
    left = []
    for credit in [*credits_given, *[100] * 100]:
        taken, withdrawn = ingress.take(credit, NOW)
        assert len(taken) <= credit
        left += taken + withdrawn
        left += [joined for row in taken for joined in row.joined]
    assert sorted(map(id, left)) == sorted(map(id, rows))
    assert (ingress.commands, ingress.size_bytes, ingress.stage) == (0, 0, Stage.OPEN)


@given(
    st.lists(st.integers(1, 3_000), min_size=30, max_size=60), st.lists(st.integers(1, 3_000), min_size=30, max_size=60)
)
def test_two_clients_that_both_wait_get_equal_bytes_whatever_their_requests_weigh(left, right):
    """Within a quantum and one request each; and each client's own requests stay in order."""
    ingress = queue()
    for account, sizes in ((1, left), (2, right)):
        for number, size_bytes in enumerate(sizes):
            ingress.put(request(new(f"{account}-{number}", account=account).command, size_bytes))
    taken, _ = ingress.take(40 + 24, NOW)  # 24 orders; the rest of the credit is kept for cancels
    weights = {
        account: [max(row.size_bytes, 64) for row in taken if row.command.account == account] for account in (1, 2)
    }
    heaviest = max(max(weights[1], default=0), max(weights[2], default=0))
    assert abs(sum(weights[1]) - sum(weights[2])) <= 2 * (200 + heaviest)
    for account in (1, 2):
        ids = [row.command.cl_ord_id for row in taken if row.command.account == account]
        assert ids == [f"{account}-{number}" for number in range(len(ids))]
