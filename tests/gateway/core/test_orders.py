"""Ids are remembered within their bound, and what was forgotten is never placed again by a retry."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.orders import AccountOrders, order_of
from protocols.messages import (
    POSS_RESEND,
    AnyCommand,
    CancelOrder,
    ExecType,
    Lane,
    NewOrder,
    OrderEvent,
    OrdStatus,
    OrdType,
    Origin,
    ReplaceOrder,
    Side,
    Tif,
    pack_cmd_id,
)
from tests.support.venue import Venue, new_engine


def new(n: int, cl_ord_id: str, account: int = 1, flags: int = 0, sent_at: int = 0) -> NewOrder:
    head = (pack_cmd_id(account, Lane.ORDER, n), account, account, Origin.FIX, 0, 0)
    terms = (cl_ord_id, 1, Side.BUY, OrdType.LIMIT, Tif.GTC, 5, 100)
    return NewOrder(*head, *terms, flags=flags, sent_at=sent_at)


def cancel(n: int, cl_ord_id: str) -> CancelOrder:
    return CancelOrder(pack_cmd_id(1, Lane.CANCEL, n), 1, 1, Origin.FIX, 0, 0, f"x{n}", 1, 0, cl_ord_id)


def test_the_ids_of_open_orders_and_of_the_last_finished_ones_are_remembered() -> None:
    venue = Venue(new_engine(dedupe_ids=2))
    venue.do("alice new open buy 1 @ 90")
    for cl_ord_id in ("a1", "a2", "a3"):
        venue.do(f"alice new {cl_ord_id} buy 1 @ 100")
        venue.do(f"alice cancel x-{cl_ord_id} {cl_ord_id}")
    codes = {
        cl_ord_id: venue.do(f"alice new {cl_ord_id} buy 1 @ 80")[0].code for cl_ord_id in ("open", "a1", "a2", "a3")
    }
    assert codes == {"open": 4003, "a1": 0, "a2": 4003, "a3": 4003}


def test_a_forgotten_order_is_unknown_by_its_number_too() -> None:
    venue = Venue(new_engine(dedupe_ids=1))
    venue.play("""
        > alice new a1 buy 1 @ 100
        < alice 1 new a1: new 1@100 0/1
        > alice cancel x1 a1
        < alice 2 canceled x1<a1: canceled 1@100 0/0
        > alice cancel x2 order=1
        < alice 3 cancel_rejected x2<a1: canceled !4004
        > alice new a2 buy 1 @ 100 ioc
        < alice 4 new a2: new 1@100 0/1
        < alice 5 canceled a2: canceled 1@100 0/0 !4008
        > alice cancel x3 order=1
        < alice 6 cancel_rejected x3<: rejected !4002
    """)


def test_an_order_replaced_without_end_costs_no_more_than_the_bound() -> None:
    venue = Venue(new_engine(dedupe_ids=10))
    venue.do("alice new r0 buy 1 @ 100")
    for turn in range(300):
        venue.do(f"alice replace r{turn} r{turn + 1} 1 @ {100 + turn % 2}")
    size = len(venue.engine.snapshot())
    for turn in range(300, 900):
        venue.do(f"alice replace r{turn} r{turn + 1} 1 @ {100 + turn % 2}")
    assert len(venue.engine.snapshot()) < size + 40
    venue.play("""
        > alice cancel x1 r889
        < alice 902 cancel_rejected x1<r889: rejected !4002
        > alice cancel x2 r890
        < alice 903 canceled x2<r900: canceled 1@101 0/0
    """)


def test_a_retry_is_doubted_only_when_its_id_may_have_been_forgotten() -> None:
    venue = Venue(new_engine(dedupe_ids=1))
    venue.play("""
        > alice new a1 buy 1 @ 100 retry
        < alice 1 new a1: new 1@100 0/1
        > alice cancel x1 a1
        < alice 2 canceled x1<a1: canceled 1@100 0/0
        > alice new a2 buy 1 @ 100 ioc
        < alice 3 new a2: new 1@100 0/1
        < alice 4 canceled a2: canceled 1@100 0/0 !4008
        > alice new a1 buy 1 @ 100 retry
        < alice 5 rejected a1: rejected 1@100 0/0 !2010
        > alice new a1 buy 1 @ 100 retry sent=2
        < alice 6 rejected a1: rejected 1@100 0/0 !2010
        > alice new a9 buy 1 @ 100 retry sent=3
        < alice 7 new a9: new 1@100 0/1
        > alice replace a9 a8 2 @ 100 retry sent=2
        < alice 8 replace_rejected a8<a9: new !2010
        > bob new b1 buy 1 @ 100 retry
        < bob 1 new b1: new 1@100 0/1
    """)


_attempt = st.tuples(st.just("place"), st.integers(0, 8))
_finish = st.tuples(st.just("finish"), st.integers(0, 8))
_change = st.tuples(st.just("change"), st.integers(0, 8), st.integers(0, 8))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(_attempt, _attempt, _finish, _change), min_size=20, max_size=60),
    st.lists(st.integers(-30, 30), min_size=9, max_size=9),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_retry_never_places_an_id_twice_whatever_the_clients_clock_says(
    steps: list[tuple], skews: list[int], dedupe_ids: int, tells_time: bool
) -> None:
    """Each id is attempted any number of times, always with the retry flag and the time of its first attempt."""
    engine = new_engine(dedupe_ids)
    first_sent: dict[int, int] = {}
    used: list[str] = []
    for n, (kind, number, *other) in enumerate(steps, 1):
        now_ns = 100 + n
        fresh = other[0] if other else number
        sent_at = first_sent.setdefault(fresh, now_ns + skews[fresh]) if tells_time else 0
        if kind == "finish":
            command: AnyCommand = cancel(n, f"o{number}")
        elif kind == "place":
            command = new(n, f"o{number}", flags=POSS_RESEND, sent_at=sent_at)
        else:
            head = (pack_cmd_id(1, Lane.ORDER, n), 1, 1, Origin.FIX, 0, 0)
            terms = (f"o{fresh}", 1, 5, 100, 0, f"o{number}")
            command = ReplaceOrder(*head, *terms, flags=POSS_RESEND, sent_at=sent_at)
        for event in engine.execute(command, now_ns):
            if isinstance(event, OrderEvent) and event.exec_type in (ExecType.NEW, ExecType.REPLACED):
                used.append(event.cl_ord_id)
    assert len(used) == len(set(used))


def retire(ledger: AccountOrders, account: int, numbers: range) -> None:
    """Place and finish one order a number, at that time."""
    for number in numbers:
        order = order_of(new(number, f"o{number}", account), number, now_ns=number)
        ledger.account(account).admit(order)
        ledger.finish(order, OrdStatus.CANCELED, now_ns=number)


def test_over_the_bound_of_all_accounts_the_largest_gives_up_its_oldest_ids() -> None:
    ledger = AccountOrders(dedupe_ids=5_000, max_retired=3_000)
    retire(ledger, 1, range(1, 2_501))
    retire(ledger, 2, range(2_501, 3_002))
    largest, other = ledger.accounts[1], ledger.accounts[2]
    assert (len(largest.retired), largest.retired[0].cl_ord_id, len(other.retired)) == (2_500 - 1_024, "o1025", 501)
    assert largest.forgotten_until == 1_024
    assert "o1024" not in largest.by_cl_ord_id
    assert 1_024 not in largest.by_order_id


def test_what_an_account_forgets_by_its_own_bound_counts_no_more_in_the_sum_of_all() -> None:
    ledger = AccountOrders(dedupe_ids=100, max_retired=200)
    retire(ledger, 1, range(1, 1_000))
    retire(ledger, 2, range(1_000, 1_100))
    assert [len(account.retired) for account in ledger.accounts.values()] == [100, 100]


def test_accounts_from_a_snapshot_count_in_the_sum_of_all() -> None:
    first, second = AccountOrders(dedupe_ids=100, max_retired=200), AccountOrders(dedupe_ids=100, max_retired=120)
    retire(first, 1, range(1, 101))
    second.adopt(first.accounts[1])
    retire(second, 2, range(101, 122))
    assert [len(account.retired) for account in second.accounts.values()] == [0, 21]
