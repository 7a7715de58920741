"""What is recorded of a hand-over is the same whether its orders came as a run or one by one."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.recovery.records import CommandBatch, commands_body, decode_commands
from protocols.messages import CancelOrder, OrdType, Origin, QueryOrders, Sender, Side, Stp, Tif
from protocols.runs import HandOver, NewOrders, OrderTerms

TERMS = st.builds(
    OrderTerms,
    st.integers(1, 9),
    st.sampled_from(Side),
    st.sampled_from(OrdType),
    st.sampled_from(Tif),
    st.integers(0, 63),
    st.sampled_from(Stp),
    st.sampled_from(("", "g")),
    st.text("ab", max_size=3),
)
NUMBER = st.integers(0, (1 << 63) - 1)
IDS = st.text("abc-", min_size=1, max_size=9)
RUNS = st.lists(TERMS, min_size=1, max_size=3).flatmap(
    lambda terms: st.lists(
        st.tuples(IDS, st.sampled_from(terms), NUMBER, NUMBER, NUMBER, NUMBER), min_size=1, max_size=6
    )
)


def run_of(rows):
    return NewOrders(Sender(7, 2, Origin.FIX), rows, 1_795_348_800 * 10**9)


@given(RUNS, NUMBER)
def test_a_run_is_recorded_as_its_commands_would_be(rows, now_ns):
    run = run_of(rows)
    assert commands_body(run, now_ns) == commands_body(list(run), now_ns)
    assert decode_commands(commands_body(run, now_ns)) == CommandBatch(now_ns, tuple(run))


@given(RUNS, RUNS)
def test_runs_and_single_commands_are_recorded_in_the_order_of_their_hand_over_without_queries(first, second):
    cancel = CancelOrder(1, 2, 7, Origin.FIX, 0, 0, "c", 1, 0, "b")
    query = QueryOrders(1, 2, 7, Origin.FIX, 0, 0, "q", 0, "b", 1, False)
    parts = [run_of(first), [query, cancel], run_of(second)]
    recorded = decode_commands(commands_body(HandOver(parts), 5)).commands
    assert recorded == (*parts[0], cancel, *parts[2])


def test_a_hand_over_of_queries_has_no_record():
    query = QueryOrders(1, 2, 7, Origin.FIX, 0, 0, "q", 0, "b", 1, False)
    assert commands_body(HandOver([[query]]), 5) == b""
