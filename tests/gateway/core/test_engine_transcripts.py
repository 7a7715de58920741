"""What the engine answers, command by command, in the words of tests/support/venue.py. Module: core.engine."""

import pytest

from protocols.messages import Lane, Origin, QueryOrders, pack_cmd_id
from tests.support.venue import Venue


@pytest.fixture
def venue() -> Venue:
    return Venue()


# -- new orders ----------------------------------------------------------------------------------------------------


def test_a_limit_order_rests_and_its_account_hears_of_it(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 10 @ 100
        < alice 1 new a1: new 10@100 0/10
    """)
    assert venue.book() == "bids 10@100x1 | asks -"


def test_a_trade_is_reported_to_the_taker_first_and_happens_at_the_makers_price(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 10 @ 101
        < alice 1 new a1: new 10@101 0/10
        > bob new b1 sell 4 @ 100
        < bob 1 new b1: new 4@100 0/4
        < bob 2 trade b1: filled 4@100 4/0 t1 4@101 taker
        < alice 2 trade a1: partially_filled 10@101 4/6 t1 4@101 maker
    """)
    assert venue.book() == "bids 6@101x1 | asks -"


def test_better_prices_trade_first_then_older_orders(venue: Venue) -> None:
    venue.play("""
        > alice new a1 sell 5 @ 101
        < alice 1 new a1: new 5@101 0/5
        > bob new b1 sell 5 @ 100
        < bob 1 new b1: new 5@100 0/5
        > alice new a2 sell 5 @ 100
        < alice 2 new a2: new 5@100 0/5
        > carol new c1 buy 12 @ 101
        < carol 1 new c1: new 12@101 0/12
        < carol 2 trade c1: partially_filled 12@101 5/7 t1 5@100 taker
        < bob 2 trade b1: filled 5@100 5/0 t1 5@100 maker
        < carol 3 trade c1: partially_filled 12@101 10/2 t2 5@100 taker
        < alice 3 trade a2: filled 5@100 5/0 t2 5@100 maker
        < carol 4 trade c1: filled 12@101 12/0 t3 2@101 taker
        < alice 4 trade a1: partially_filled 5@101 2/3 t3 2@101 maker
    """)


def test_the_rest_of_a_taker_that_went_through_its_limit_rests_there(venue: Venue) -> None:
    venue.play("""
        > alice new a1 sell 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > bob new b1 buy 8 @ 100
        < bob 1 new b1: new 8@100 0/8
        < bob 2 trade b1: partially_filled 8@100 5/3 t1 5@100 taker
        < alice 2 trade a1: filled 5@100 5/0 t1 5@100 maker
    """)
    assert venue.book() == "bids 3@100x1 | asks -"


def test_what_ioc_and_market_orders_cannot_trade_is_cancelled_with_no_liquidity(venue: Venue) -> None:
    venue.play("""
        > alice new a1 sell 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > bob new b1 buy 3 @ 99 ioc
        < bob 1 new b1: new 3@99 0/3
        < bob 2 canceled b1: canceled 3@99 0/0 !4008
        > bob new b2 buy 7 @ 100 ioc
        < bob 3 new b2: new 7@100 0/7
        < bob 4 trade b2: partially_filled 7@100 5/2 t1 5@100 taker
        < alice 2 trade a1: filled 5@100 5/0 t1 5@100 maker
        < bob 5 canceled b2: canceled 7@100 5/0 !4008
        > bob new b3 sell 1 market
        < bob 6 new b3: new 1@0 0/1
        < bob 7 canceled b3: canceled 1@0 0/0 !4008
    """)
    assert venue.book() == "bids - | asks -"


def test_a_market_order_takes_any_price_and_never_rests_whatever_its_time_in_force(venue: Venue) -> None:
    venue.play("""
        > alice new a1 sell 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice new a2 sell 5 @ 900
        < alice 2 new a2: new 5@900 0/5
        > bob new b1 buy 6 market day
        < bob 1 new b1: new 6@0 0/6
        < bob 2 trade b1: partially_filled 6@0 5/1 t1 5@100 taker
        < alice 3 trade a1: filled 5@100 5/0 t1 5@100 maker
        < bob 3 trade b1: filled 6@0 6/0 t2 1@900 taker
        < alice 4 trade a2: partially_filled 5@900 1/4 t2 1@900 maker
        > bob new b2 buy 6 market
        < bob 4 new b2: new 6@0 0/6
        < bob 5 trade b2: partially_filled 6@0 4/2 t3 4@900 taker
        < alice 5 trade a2: filled 5@900 5/0 t3 4@900 maker
        < bob 6 canceled b2: canceled 6@0 4/0 !4008
    """)


def test_fill_or_kill_trades_whole_or_not_at_all(venue: Venue) -> None:
    venue.play("""
        > alice new a1 sell 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice new a2 sell 5 @ 102
        < alice 2 new a2: new 5@102 0/5
        > bob new b1 buy 6 @ 101 fok
        < bob 1 new b1: new 6@101 0/6
        < bob 2 canceled b1: canceled 6@101 0/0 !4008
        > bob new b2 buy 6 @ 102 fok
        < bob 3 new b2: new 6@102 0/6
        < bob 4 trade b2: partially_filled 6@102 5/1 t1 5@100 taker
        < alice 3 trade a1: filled 5@100 5/0 t1 5@100 maker
        < bob 5 trade b2: filled 6@102 6/0 t2 1@102 taker
        < alice 4 trade a2: partially_filled 5@102 1/4 t2 1@102 maker
    """)


def test_a_post_only_order_that_would_take_is_refused_and_leaves_no_order(venue: Venue) -> None:
    venue.play("""
        > alice new a1 sell 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > bob new b1 buy 1 @ 100 post
        < bob 1 rejected b1: rejected 1@100 0/0 !4005
        > bob new b1 buy 1 @ 99 post
        < bob 2 new b1: new 1@99 0/1
    """)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ("x buy 1 @ 100 instrument=9", 2003),
        ("x buy 0 @ 100", 2005),
        ("x buy -1 @ 100", 2005),
        ("x buy 9223372036854775808 market", 2005),
        ("x buy 1 @ 0", 2004),
        ("x buy 1 @ -5", 2004),
        ("x buy 4294967296 @ 4294967296", 2006),
        ("- buy 1 @ 100", 2002),
        ("x buy 1 @ 100 day", 2008),
        ("x buy 1 @ 100 gtd", 2008),
        ("x buy 1 stop", 2008),
        ("x buy 1 @ 100 stop_px=90", 2008),
        ("x buy 1 @ 100 display=1", 2008),
        ("x buy 1 @ 100 min=1", 2008),
        ("x buy 0 market quote_qty=5", 2008),
        ("x buy 1 @ 100 market", 2008),
        ("x buy 1 market post", 2008),
        ("x buy 1 @ 100 ioc post", 2008),
        ("x buy 1 @ 100 reduce", 2008),
        ("x buy 1 @ 100 mmp", 2008),
        ("x buy 1 @ 100 stp=decrement", 2008),
    ],
)
def test_what_the_engine_does_not_take_on_is_refused_by_code_and_takes_a_number(
    venue: Venue, order: str, code: int
) -> None:
    (event,) = venue.do(f"alice new {order}")
    assert (event.code, event.order_id, event.seq, event.leaves_qty) == (code, 0, 1, 0)
    assert venue.book() == "bids - | asks -"
    assert venue.engine.open_orders(1) == []


def test_an_order_first_seen_after_its_deadline_is_refused(venue: Venue) -> None:
    venue.now_ns = 99
    venue.play("""
        > alice new a1 buy 1 @ 100 deadline=100
        < alice 1 new a1: new 1@100 0/1
        > alice new a2 buy 1 @ 100 deadline=100
        < alice 2 rejected a2: rejected 1@100 0/0 !5003
        > alice replace a1 a3 2 @ 100 deadline=100
        < alice 3 replace_rejected a3<a1: new !5003
        > alice cancel x1 a1 deadline=100
        < alice 4 canceled x1<a1: canceled 1@100 0/0
    """)


def test_after_a_clock_was_corrected_orders_are_taken_again_and_events_keep_their_order_in_time(venue: Venue) -> None:
    """The clock of the last gateway was ahead."""
    venue.now_ns = 500
    venue.do("alice new a1 buy 1 @ 100")
    venue.now_ns = 10
    (taken,) = venue.do("alice new a2 buy 1 @ 100 deadline=400")
    (late,) = venue.do("alice new a3 buy 1 @ 100 deadline=11")
    assert [(event.code, event.t_core) for event in (taken, late)] == [(0, 501), (5003, 501)]


def test_a_question_leaves_no_trace_not_even_in_the_time(venue: Venue) -> None:
    """A query is not recorded: executed again without it, everything must come out the same."""
    venue.do("alice new a1 buy 1 @ 100")
    question = QueryOrders(pack_cmd_id(2, Lane.QUERY, 1), 2, 2, Origin.FIX, 900, 0, "q1")
    (listed,) = venue.engine.execute(question, 900)
    assert (listed.orders, listed.t_core) == ((), 900)
    assert 2 not in venue.engine._ledger.accounts
    (event,) = venue.do("bob new b1 buy 1 @ 100")
    assert event.t_core == 2


# -- ids -----------------------------------------------------------------------------------------------------------


def test_a_used_id_is_refused_with_the_first_orders_number_open_or_finished(venue: Venue) -> None:
    (first,) = venue.do("alice new a1 buy 1 @ 100")
    (again,) = venue.do("alice new a1 buy 7 @ 200")
    assert (again.code, again.order_id, again.qty) == (4003, first.order_id, 7)
    venue.do("alice cancel x1 a1")
    (again,) = venue.do("alice new a1 buy 7 @ 200")
    assert (again.code, again.order_id) == (4003, first.order_id)


def test_ids_of_one_account_mean_nothing_to_another(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > bob new a1 buy 1 @ 100
        < bob 1 new a1: new 1@100 0/1
        > bob cancel x1 order=1
        < bob 2 cancel_rejected x1<: rejected !4002
        > bob query q1 * order=1
        < bob =2 orders q1: none
    """)


def test_a_retry_of_a_known_id_gets_the_orders_state_and_takes_no_number(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > bob new b1 sell 2 @ 100
        < bob 1 new b1: new 2@100 0/2
        < bob 2 trade b1: filled 2@100 2/0 t1 2@100 taker
        < alice 2 trade a1: partially_filled 5@100 2/3 t1 2@100 maker
        > alice new a1 buy 5 @ 100 retry
        < alice 2 order_status a1: partially_filled 5@100 2/3 duplicate
        > alice new a2 buy 5 @ 100 retry
        < alice 3 new a2: new 5@100 0/5
    """)


def test_a_known_id_is_answered_from_what_is_known_even_late(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice new a1 buy 5 @ 100 retry deadline=1
        < alice 1 order_status a1: new 5@100 0/5 duplicate
        > alice new a1 buy 5 @ 100
        < alice 2 rejected a1: rejected 5@100 0/0 !4003
    """)


def test_a_retry_that_only_asks_places_nothing_and_is_refused_with_the_code_that_it_brings(venue: Venue) -> None:
    """A deadline below 0 is that code."""
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice new a1 buy 5 @ 100 retry deadline=-4011
        < alice 1 order_status a1: new 5@100 0/5 duplicate
        > alice new a2 buy 5 @ 100 retry deadline=-4011
        < alice 2 rejected a2: rejected 5@100 0/0 !4011
        > alice replace a1 a3 6 @ 100 retry deadline=-3001
        < alice 3 replace_rejected a3<a1: new !3001
    """)


# -- cancel --------------------------------------------------------------------------------------------------------


def test_a_cancel_finds_its_order_by_either_id_and_both_must_agree(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > alice new a2 buy 1 @ 100
        < alice 2 new a2: new 1@100 0/1
        > alice cancel x1 a1 order=2
        < alice 3 cancel_rejected x1<a1: new !4002
        > alice cancel x2 a1 order=1
        < alice 4 canceled x2<a1: canceled 1@100 0/0
        > alice cancel - order=2
        < alice 5 canceled a2<a2: canceled 1@100 0/0
        > alice cancel x3
        < alice 6 cancel_rejected x3<: rejected !4002
        > alice cancel x4 nope order=2
        < alice 7 cancel_rejected x4<nope: canceled !4002
    """)


def test_a_cancel_names_the_right_instrument_or_none(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > alice cancel x1 a1 instrument=2
        < alice 2 cancel_rejected x1<a1: new !4002
        > alice cancel x2 a1 instrument=0
        < alice 3 canceled x2<a1: canceled 1@100 0/0
    """)


def test_a_cancel_of_a_finished_order_is_too_late_and_reports_its_state(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > bob new b1 sell 1 @ 100
        < bob 1 new b1: new 1@100 0/1
        < bob 2 trade b1: filled 1@100 1/0 t1 1@100 taker
        < alice 2 trade a1: filled 1@100 1/0 t1 1@100 maker
        > alice cancel x1 a1
        < alice 3 cancel_rejected x1<a1: filled !4004
    """)


# -- replace -------------------------------------------------------------------------------------------------------


def test_a_replace_keeps_the_order_and_all_ids_of_its_chain_name_it(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice replace a1 a2 6 @ 100
        < alice 2 replaced a2<a1: new 6@100 0/6
        > alice replace a1 a3 7 @ 100
        < alice 3 replaced a3<a2: new 7@100 0/7
        > alice new a1 buy 1 @ 100
        < alice 4 rejected a1: rejected 1@100 0/0 !4003
        > alice cancel x1 a2
        < alice 5 canceled x1<a3: canceled 7@100 0/0
    """)
    assert venue.book() == "bids - | asks -"


def test_the_turn_is_kept_only_when_the_price_stays_and_the_quantity_falls(venue: Venue) -> None:
    for line in ("alice new a1 buy 5 @ 100", "bob new b1 buy 5 @ 100", "alice replace a1 a2 4 @ 100"):
        venue.do(line)
    assert [event.account for event in venue.do("carol new c1 sell 1 @ 100") if event.cmd_id == 0] == [1]
    venue.do("alice replace a2 a3 5 @ 100")
    assert [event.account for event in venue.do("carol new c2 sell 1 @ 100") if event.cmd_id == 0] == [2]
    venue.do("bob replace b1 b2 5 @ 100")
    assert [event.account for event in venue.do("carol new c3 sell 1 @ 100") if event.cmd_id == 0] == [1]


def test_the_quantity_of_a_replace_counts_what_is_filled(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > bob new b1 sell 3 @ 100
        < bob 1 new b1: new 3@100 0/3
        < bob 2 trade b1: filled 3@100 3/0 t1 3@100 taker
        < alice 2 trade a1: partially_filled 5@100 3/2 t1 3@100 maker
        > alice replace a1 a2 3 @ 100
        < alice 3 replace_rejected a2<a1: partially_filled !4004
        > alice replace a1 a2 4 @ 100
        < alice 4 replaced a2<a1: partially_filled 4@100 3/1
    """)
    assert venue.book() == "bids 1@100x1 | asks -"


def test_a_new_price_may_trade_unless_the_order_is_post_only(venue: Venue) -> None:
    venue.play("""
        > bob new b1 sell 3 @ 105
        < bob 1 new b1: new 3@105 0/3
        > alice new a1 buy 5 @ 100 post
        < alice 1 new a1: new 5@100 0/5
        > alice replace a1 a2 5 @ 105
        < alice 2 replace_rejected a2<a1: new !4005
        > alice new a3 buy 5 @ 100
        < alice 3 new a3: new 5@100 0/5
        > alice replace a3 a4 5 @ 105 post
        < alice 4 replace_rejected a4<a3: new !4005
        > alice replace a3 a4 5 @ 105
        < alice 5 replaced a4<a3: new 5@105 0/5
        < alice 6 trade a4: partially_filled 5@105 3/2 t1 3@105 taker
        < bob 2 trade b1: filled 3@105 3/0 t1 3@105 maker
    """)
    assert venue.book() == "bids 2@105x1 5@100x1 | asks -"


def test_post_only_comes_with_a_replace_and_does_not_lapse(venue: Venue) -> None:
    for line in ("bob new b1 sell 3 @ 105", "alice new a1 buy 5 @ 100", "alice replace a1 a2 5 @ 101 post"):
        venue.do(line)
    venue.play("""
        > alice replace a2 a3 5 @ 105
        < alice 3 replace_rejected a3<a2: new !4005
    """)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ("zz a2 5 @ 100", "rejected", 4002),
        ("a1 a2 5 @ 100 order=77", "new", 4002),
        ("a1 a2 5 @ 100 instrument=2", "new", 4002),
        ("a1 a1 5 @ 100", "new", 4003),
        ("a1 b0 5 @ 100", "new", 4003),
        ("b0 a2 5 @ 100", "canceled", 4004),
        ("a1 - 5 @ 100", "new", 2002),
        ("a1 a2 0 @ 100", "new", 2005),
        ("a1 a2 5 @ 0", "new", 2004),
        ("a1 a2 4294967296 @ 4294967296", "new", 2006),
        ("a1 a2 5 @ 100 side=sell", "new", 2008),
        ("a1 a2 5 @ 100 type=1", "new", 2008),
        ("a1 a2 5 @ 0 type=1", "new", 2008),
        ("a1 a2 5 @ 100 tif=3", "new", 2008),
        ("a1 a2 5 @ 100 tif=0", "new", 2008),
        ("a1 a2 5 @ 100 min=1", "new", 2008),
        ("a1 a2 5 @ 100 expire=9", "new", 2008),
        ("a1 a2 5 @ 100 stop_px=1", "new", 2008),
        ("a1 a2 5 @ 100 display=1", "new", 2008),
        ("a1 a2 5 @ 100 reduce", "new", 2008),
    ],
)
def test_a_refused_replace_leaves_the_order_as_it_was(venue: Venue, change: str, status: str, code: int) -> None:
    for line in ("alice new b0 buy 1 @ 90", "alice cancel x0 b0", "alice new a1 buy 5 @ 100"):
        venue.do(line)
    (event,) = venue.do(f"alice replace {change}")
    assert (event.code, event.status.name.lower(), event.response_to) == (code, status, "2")
    venue.play("""
        > alice query q1 *
        < alice =4 orders q1: a1: new 5@100 0/5
    """)
    assert venue.book() == "bids 5@100x1 | asks -"


def test_a_retried_replace_is_not_executed_twice(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice replace a1 a2 4 @ 99
        < alice 2 replaced a2<a1: new 4@99 0/4
        > alice replace a2 a3 3 @ 98
        < alice 3 replaced a3<a2: new 3@98 0/3
        > alice replace a1 a2 4 @ 99 retry
        < alice 3 order_status a3<a2: new 3@98 0/3 duplicate
        > alice new a1 buy 5 @ 100 retry
        < alice 3 order_status a3<a1: new 3@98 0/3 duplicate
        > alice replace a2 a3 3 @ 98 retry
        < alice 3 order_status a3: new 3@98 0/3 duplicate
        > alice query q1 a1
        < alice =3 orders q1: a3<a1: new 3@98 0/3
    """)


def test_a_retried_replace_is_never_answered_with_the_state_of_another_order(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 5 @ 100
        < alice 1 new a1: new 5@100 0/5
        > alice new b1 buy 7 @ 90
        < alice 2 new b1: new 7@90 0/7
        > alice replace a1 b1 4 @ 99 retry
        < alice 3 replace_rejected b1<a1: new !4003
        > alice replace a1 b1 4 @ 99 retry instrument=2
        < alice 4 replace_rejected b1<a1: new !4003
        > alice replace nope b2 4 @ 99
        < alice 5 replace_rejected b2<nope: rejected !4002
        > alice replace nope b1 4 @ 99
        < alice 6 replace_rejected b1<nope: rejected !4002
    """)


# -- mass cancel ---------------------------------------------------------------------------------------------------


def test_a_mass_cancel_reports_each_order_in_order_of_entry_and_then_the_count(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > alice new a2 sell 1 @ 110 instrument=2
        < alice 2 new a2: new 1@110 0/1
        > alice replace a1 a3 2 @ 99
        < alice 3 replaced a3<a1: new 2@99 0/2
        > bob new b1 buy 1 @ 100
        < bob 1 new b1: new 1@100 0/1
        > alice mass m1
        < alice 4 canceled a3: canceled 2@99 0/0
        < alice 5 canceled a2: canceled 1@110 0/0
        < alice 6 mass_cancel_done m1: 2
        > alice mass m2
        < alice 7 mass_cancel_done m2: 0
    """)
    assert venue.book() == "bids 1@100x1 | asks -"


@pytest.mark.parametrize(
    ("scope", "gone"),
    [
        ("m", {"a1", "a2", "a3", "a4"}),
        ("m buy", {"a1", "a3", "a4"}),
        ("m sell", {"a2"}),
        ("m instrument=2", {"a3"}),
        ("m tag=grid", {"a1", "a3"}),
        ("m session", {"a1", "a2", "a3"}),
        ("m session via=9", {"a4"}),
        ("m exempt", {"a1", "a3", "a4"}),
        ("m buy session tag=grid instrument=1", {"a1"}),
    ],
)
def test_the_filters_of_a_mass_cancel_all_have_to_match(venue: Venue, scope: str, gone: set[str]) -> None:
    venue.do("alice new a1 buy 1 @ 100 tag=grid")
    venue.do("alice new a2 sell 1 @ 110 exempt")
    venue.do("alice new a3 buy 1 @ 100 tag=grid instrument=2")
    venue.do("alice new a4 buy 1 @ 100 via=9")
    *cancelled, done = venue.do(f"alice mass {scope}")
    assert {event.cl_ord_id for event in cancelled} == gone
    assert done.affected == len(gone)
    assert {event.cl_ord_id for event in venue.engine.open_orders(1)} == {"a1", "a2", "a3", "a4"} - gone


@pytest.mark.parametrize(("origin", "code"), [("cod", 6001), ("dead", 6002), ("operator", 6003)])
def test_a_cancel_that_no_client_asked_for_says_why(venue: Venue, origin: str, code: int) -> None:
    venue.do("alice new a1 buy 1 @ 100")
    cancelled, done = venue.do(f"alice mass m {origin}")
    assert (cancelled.code, cancelled.cmd_id, cancelled.origin.name) == (
        code,
        done.cmd_id,
        {"cod": "COD", "dead": "DEAD_MAN", "operator": "OPERATOR"}[origin],
    )


# -- self-match prevention -----------------------------------------------------------------------------------------


def test_an_account_may_trade_with_itself_when_it_asks_for_nothing_else(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > alice new a2 sell 1 @ 100
        < alice 2 new a2: new 1@100 0/1
        < alice 3 trade a2: filled 1@100 1/0 t1 1@100 taker
        < alice 4 trade a1: filled 1@100 1/0 t1 1@100 maker
    """)


@pytest.mark.parametrize(
    ("mode", "events", "book"),
    [
        ("taker", ["trade a2", "trade b1", "canceled a2 !4007"], "bids 3@99x1 1@98x1 | asks -"),
        (
            "maker",
            ["trade a2", "trade b1", "canceled a1 !4007", "trade a2", "trade b2"],
            "bids - | asks 3@98x1",
        ),
        ("both", ["trade a2", "trade b1", "canceled a1 !4007", "canceled a2 !4007"], "bids 1@98x1 | asks -"),
    ],
)
def test_self_match_prevention_ends_the_side_that_was_chosen(
    venue: Venue, mode: str, events: list[str], book: str
) -> None:
    for line in ("bob new b1 buy 2 @ 100", "alice new a1 buy 3 @ 99", "bob new b2 buy 1 @ 98"):
        venue.do(line)
    first, *rest = venue.do(f"alice new a2 sell 6 @ 98 stp={mode}")
    told = [f"{e.exec_type.name.lower()} {e.cl_ord_id}" + (f" !{e.code}" if e.code else "") for e in rest]
    assert (first.exec_type.name, told) == ("NEW", events)
    assert venue.book() == book


def test_a_group_narrows_self_match_prevention_and_never_reaches_another_account(venue: Venue) -> None:
    for line in (
        "alice new a1 buy 1 @ 100 group=g1",
        "alice new a2 buy 1 @ 99 group=g2",
        "bob new b1 buy 1 @ 98 group=g2",
    ):
        venue.do(line)
    events = venue.do("alice new a3 sell 3 @ 98 stp=maker group=g2")
    assert [(e.exec_type.name, e.cl_ord_id) for e in events] == [
        ("NEW", "a3"),
        ("TRADE", "a3"),
        ("TRADE", "a1"),
        ("CANCELED", "a2"),
        ("TRADE", "a3"),
        ("TRADE", "b1"),
    ]


@pytest.mark.parametrize(("mode", "filled"), [("none", True), ("taker", False), ("both", False), ("maker", True)])
def test_fill_or_kill_counts_what_self_match_prevention_leaves(venue: Venue, mode: str, filled: bool) -> None:
    for line in ("bob new b1 buy 2 @ 100", "alice new a1 buy 3 @ 99", "bob new b2 buy 2 @ 98"):
        venue.do(line)
    events = venue.do(f"alice new a2 sell 4 @ 98 fok stp={mode}")
    assert ("TRADE" in [event.exec_type.name for event in events]) is filled
    if not filled:
        assert [event.exec_type.name for event in events] == ["NEW", "CANCELED"]
        assert venue.book() == "bids 2@100x1 3@99x1 2@98x1 | asks -"


# -- queries and states --------------------------------------------------------------------------------------------


def test_a_query_takes_no_number_and_a_named_order_is_reported_whatever_became_of_it(venue: Venue) -> None:
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > alice new a2 sell 2 @ 110 instrument=2
        < alice 2 new a2: new 2@110 0/2
        > alice cancel x1 a1
        < alice 3 canceled x1<a1: canceled 1@100 0/0
        > alice query q1 *
        < alice =3 orders q1: a2: new 2@110 0/2
        > alice query q2 a1
        < alice =3 orders q2: a1: canceled 1@100 0/0
        > alice query q3 a1 order=2
        < alice =3 orders q3: a1: canceled 1@100 0/0
        > alice query q7 a2 instrument=1
        < alice =3 orders q7: a2: new 2@110 0/2
        > alice query q8 nope
        < alice =3 orders q8: none
        > alice query q4 * instrument=1
        < alice =3 orders q4: none
        > alice query q5 * all
        < alice =3 orders q5: a1: canceled 1@100 0/0; a2: new 2@110 0/2
        > bob query q6 *
        < bob =0 orders q6: none
    """)


def test_events_name_the_command_that_they_answer_and_the_session_that_owns_the_order(venue: Venue) -> None:
    venue.do("alice new a1 buy 5 @ 100 via=7 tag=grid exempt")
    new, taker, maker = venue.do("bob new b1 sell 5 @ 100")
    assert new.cmd_id == taker.cmd_id != 0
    assert (maker.cmd_id, maker.session, maker.tag, taker.session) == (0, 7, "grid", 2)
    assert new.exec_id < taker.exec_id < maker.exec_id
    assert (taker.cum_quote, maker.cum_quote, maker.created_at, maker.t_core) == (500, 500, 1, 2)


@pytest.mark.parametrize(("tif", "trades"), [("", 1), ("fok", 0)])
def test_a_taker_ends_before_its_amount_outgrows_what_the_codecs_carry(venue: Venue, tif: str, trades: int) -> None:
    for cl_ord_id in ("a1", "a2"):
        venue.do(f"alice new {cl_ord_id} sell {1 << 61} @ 3")
    events = venue.do(f"bob new b1 buy {1 << 62} market {tif}")
    mine = [event for event in events if event.account == 2]
    assert [event.exec_type.name for event in mine] == ["NEW", *["TRADE"] * trades, "CANCELED"]
    assert mine[-1].code == (2006 if trades else 4008)
    assert mine[-1].cum_quote == trades * 3 << 61


def test_a_replace_may_not_raise_an_orders_amount_beyond_what_the_codecs_carry(venue: Venue) -> None:
    venue.do(f"alice new a1 buy {(1 << 61) + 1} @ 3")
    venue.do(f"bob new b1 sell {1 << 61} @ 3")
    (event,) = venue.do(f"alice replace a1 a2 {(1 << 63) - 1} @ 1")
    assert (event.code, event.status.name) == (2006, "PARTIALLY_FILLED")
