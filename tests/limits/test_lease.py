"""A node's lease on its own, and many nodes around one bucket in the worst of networks: the window bound holds."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limits.bucket import MILLI, parse_rate
from limits.lease import SETTLE_US, TTL_US, Lease, is_too_small
from limits.policy import Limit
from limits.store import Answer, Ask, Batch, BucketState, Grant, Terms
from tests.support.ledger import Ledgers

KEY = "gw:{A}:account::orders"
START_US = 1_795_348_800_000_000


def limit(rate: str = "10/s", burst: int = 20) -> Limit:
    return Limit(parse_rate(rate), burst)


def lease_of(rate: str = "10/s", burst: int = 20) -> Lease:
    return Lease(KEY, limit(rate, burst), 1, 1)


def granted(lease: Lease, tokens: int, now_us: int, held_milli: int | None = None) -> Ask:
    """Let the lease ask, and answer with so many tokens."""
    ask = lease.ask(0, "n", now_us)
    held = lease.left_milli + tokens * MILLI if held_milli is None else held_milli
    lease.answered(ask, Grant(tokens, 0, held), now_us)
    return ask


def heard(lease: Lease, ask: Ask, answer: Answer, now_us: int, told_us: int | None = None) -> None:
    """The answer to a call with this one ask has come; told_us: the state that the call knew of, if not the newest."""
    told_us = lease.terms.seen_us if told_us is None else told_us
    lease.saw(answer.states[0], told_us, answer.clock_us, now_us)
    lease.answered(ask, answer.granted[0], now_us)


def test_nothing_can_be_spent_before_the_answer():
    lease = lease_of()
    lease.need_milli = MILLI
    ask = lease.ask(0, "n", START_US)
    assert lease.in_flight
    assert not lease.fits(1, START_US)
    lease.answered(ask, Grant(3, 0, 3000), START_US)
    assert lease.fits(3000, START_US)
    assert not lease.fits(3001, START_US)


def test_it_ends_before_the_store_may_count_it_as_spent_counted_from_before_the_send():
    lease = lease_of()
    ask = lease.ask(0, "n", START_US)
    lease.answered(ask, Grant(3, 0, 3000), START_US + 40_000)
    assert lease.fits(1, START_US + TTL_US * 9 // 10 - 1)
    assert not lease.fits(1, START_US + TTL_US * 9 // 10)


def test_an_answer_that_comes_after_its_lease_has_ended_brings_nothing():
    lease = lease_of()
    ask = lease.ask(0, "n", START_US)
    late_us = START_US + TTL_US
    lease.answered(ask, Grant(3, 0, 3000), late_us)
    assert not lease.fits(1, late_us)


def test_the_answer_to_an_ask_that_was_given_up_is_not_credited():
    lease = lease_of()
    lost = lease.ask(0, "n", START_US)
    lease.failed(lost)
    newer = lease.ask(0, "n", START_US + 60_000)
    assert newer.seq == lost.seq + 1
    lease.answered(lost, Grant(8, 0, 8000), START_US + 61_000)
    assert not lease.fits(1, START_US + 61_000)
    assert lease.in_flight


def test_what_the_store_has_already_counted_as_spent_is_not_spent_again():
    lease = lease_of()
    granted(lease, 5, START_US)
    ask = lease.ask(0, "n", START_US + SETTLE_US)
    lease.answered(ask, Grant(2, 0, 2000), START_US + SETTLE_US)
    assert lease.left_milli == 2000


def test_tokens_given_back_stay_here_only_as_far_as_they_are_on_record():
    lease = lease_of()
    granted(lease, 5, START_US)
    lease.debit(3000)
    lease.give_back(1000, START_US)
    assert (lease.left_milli, lease.refund_milli) == (3000, 0)
    assert lease.ask(0, "n", START_US).left_milli == 3000  # from here on the store records 3 and not 5
    lease.debit(1000)
    lease.give_back(3000, START_US)
    assert (lease.left_milli, lease.refund_milli) == (3000, 2000)


def test_a_refund_is_sent_once_even_when_its_outcome_is_unknown_and_a_debt_until_it_is_paid():
    lease = lease_of()
    lease.refund_milli, lease.owed_milli = 700, 900
    ask = lease.ask(0, "n", START_US)
    assert (ask.refund_milli, ask.owed_milli, ask.paid_milli) == (700, 900, 0)
    lease.failed(ask)
    again = lease.ask(0, "n", START_US)
    assert (again.refund_milli, again.owed_milli, again.paid_milli) == (0, 900, 0)
    lease.owed_milli += 100  # meanwhile
    lease.answered(again, Grant(0, 0, 0), START_US)
    later = lease.ask(0, "n", START_US)
    assert (later.owed_milli, later.paid_milli) == (1000, 900)


def test_what_is_handed_back_cannot_be_spent_any_more():
    lease = lease_of()
    granted(lease, 5, START_US)
    ask = lease.hand_back(0, "n", START_US)
    assert (ask.left_milli, ask.back_milli) == (0, 5000)
    assert not lease.fits(1, START_US)


def test_a_lease_that_is_used_up_grows_and_one_that_is_refused_shrinks():
    lease, sizes = lease_of("1000/s", 1000), []
    for _ in range(5):
        lease.need_milli = lease.left_milli + MILLI
        ask = granted(lease, 8, START_US)
        sizes.append(ask.want)
        lease.debit(lease.left_milli)
    assert sizes == [8, 16, 32, 64, 128]
    lease.need_milli = MILLI
    ask = lease.ask(0, "n", START_US)
    lease.answered(ask, Grant(0, 5_000, 0), START_US)
    lease.need_milli = MILLI
    assert lease.ask(0, "n", START_US).want <= 128


def test_a_denial_is_kept_until_its_time_for_what_costs_as_much():
    lease = lease_of()
    lease.need_milli = 2 * MILLI
    ask = lease.ask(0, "n", START_US)
    assert ask.need == 2
    lease.answered(ask, Grant(0, 150_000, 0), START_US)
    assert lease.wait_us(2 * MILLI, START_US + 50_000) == 100_000
    assert lease.wait_us(MILLI, START_US) == 0  # one token may well be there
    assert lease.wait_us(2 * MILLI, START_US + 150_000) == 0


@pytest.mark.parametrize(
    ("rate", "burst", "nodes", "strict"),
    [
        ("50/s", 100, 1, False),
        ("50/s", 3, 1, True),
        ("50/s", 31, 8, True),
        ("50/s", 32, 8, False),
        ("4/s", 99, 1, True),
    ],
)
def test_what_is_too_small_to_lease_is_decided_by_the_store(rate, burst, nodes, strict):
    assert is_too_small(limit(rate, burst), nodes) is strict


# -- the worst of networks ---------------------------------------------------------------------------------------------


GRAINS = 7_000  # in a thousandth of a token: every rate below brings a whole number of them in a microsecond


def grains_per_us(plan: Limit) -> int:
    grains, rest = divmod(plan.rate.amount * MILLI * GRAINS, plan.rate.period_us)
    assert rest == 0
    return grains


class Network(RuleBasedStateMachine):
    """Three nodes, one bucket, and a bag of messages that arrive late, twice, out of order or never.

    Each node's clock starts where it likes and runs up to 5 % wrong, and the store's is set back now and then. `excess`
    follows the worst window there has been: net admissions less rate x dt, above their lowest point so far. It may
    never exceed the burst.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_us = START_US
        self.behind_us = 0  # the store's clock, now
        self.ledgers = Ledgers()
        self.leases: list[Lease] = []
        self.clocks: list[tuple[int, int]] = []
        self.names: list[str] = []
        self.bag: list[tuple[str, int, Lease, Batch, Ask]] = []
        self.answers: list[tuple[int, Lease, Ask, int, Answer]] = []
        self.burst = self.rate = self.net_milli = self.lowest = 0
        self.started_us = START_US

    @initialize(rate=st.sampled_from(["10/s", "2/s", "100/s"]), burst=st.integers(2, 24))
    def start(self, rate, burst):
        self._plan, self._version = limit(rate, burst), 1
        self.burst, self.rate = burst, grains_per_us(self._plan)
        for number, (offset_us, drift) in enumerate([(0, 1000), (7_000_000, 950), (-3_000_000, 1050)]):
            self.leases.append(Lease(KEY, self._plan, 1, 3))
            self.clocks.append((offset_us, drift))
            self.names.append(f"n{number}")

    def local_us(self, node: int) -> int:
        offset_us, drift = self.clocks[node]
        return START_US + offset_us + (self.now_us - START_US) * drift // 1000

    @property
    def line(self) -> int:
        """Net admissions less what the rate has brought, in grains."""
        return self.net_milli * GRAINS - self.rate * (self.now_us - self.started_us)

    def count(self, milli: int) -> None:
        self.lowest = min(self.lowest, self.line)
        self.net_milli += milli
        assert self.line - self.lowest <= self.burst * MILLI * GRAINS

    def carry_out(self, key: str, batch: Batch) -> Answer:
        """At the store. What is refunded by it counts as given back from now on, and not before."""
        answer = self.ledgers.run([key], batch, self.now_us - self.behind_us)
        if answer.granted[0].granted >= 0:
            self.count(-batch.asks[0].refund_milli)
        return answer

    nodes = st.integers(0, 2)

    @rule(elapsed_us=st.one_of(st.integers(0, 5_000), st.integers(0, 700_000), st.just(SETTLE_US)))
    def time_passes(self, elapsed_us):
        self.now_us += elapsed_us

    @rule(node=nodes, milli=st.sampled_from([200, 1000, 1000, 3000]), times=st.integers(1, 30))
    def spend(self, node, milli, times):
        lease, now_us = self.leases[node], self.local_us(node)
        for _ in range(times):
            if not lease.fits(milli, now_us):
                lease.need_milli = min(max(lease.need_milli, milli), lease.limit.burst * MILLI)
                break
            lease.debit(milli)
            self.count(milli)

    @rule(node=nodes, milli=st.sampled_from([200, 1000]))
    def give_back(self, node, milli):
        if self.net_milli >= milli:
            lease = self.leases[node]
            on_its_way = -lease.refund_milli
            lease.give_back(milli, self.local_us(node))
            self.count(on_its_way + lease.refund_milli - milli)

    @rule(node=nodes, back=st.booleans())
    def ask(self, node, back):
        lease = self.leases[node]
        if lease.in_flight:
            return
        make = lease.hand_back if back else lease.ask
        ask = make(0, self.names[node], self.local_us(node))
        self.bag.append((KEY, node, lease, Batch([lease.terms], [ask], []), ask))

    @precondition(lambda self: self.bag)
    @rule(data=st.data(), keep=st.booleans(), lose_answer=st.booleans())
    def a_message_arrives(self, data, keep, lose_answer):
        place = data.draw(st.integers(0, len(self.bag) - 1))
        key, node, lease, batch, ask = self.bag[place]
        if not keep:
            del self.bag[place]
        answer = self.carry_out(key, batch)
        if not lose_answer:
            self.answers.append((node, lease, ask, batch.terms[0].seen_us, answer))

    @precondition(lambda self: self.answers)
    @rule(data=st.data(), keep=st.booleans())
    def an_answer_arrives(self, data, keep):
        place = data.draw(st.integers(0, len(self.answers) - 1))
        node, lease, ask, told_us, answer = self.answers[place]
        if not keep:
            del self.answers[place]
        heard(lease, ask, answer, self.local_us(node), told_us)

    @rule(node=nodes)
    def a_call_times_out(self, node):
        lease = self.leases[node]
        for _, _, each, _, ask in self.bag:
            if each is lease:
                lease.failed(ask)

    @rule(node=nodes)
    def all_goes_well(self, node):
        """Ask, arrive and answer at once: without it the bag alone would rarely let anybody trade."""
        lease = self.leases[node]
        if not lease.in_flight:
            lease.need_milli = min(max(lease.need_milli, MILLI), lease.limit.burst * MILLI)
            ask = lease.ask(0, self.names[node], self.local_us(node))
            answer = self.carry_out(KEY, Batch([lease.terms], [ask], []))
            heard(lease, ask, answer, self.local_us(node))

    @rule()
    def everybody_takes_all_there_is(self):
        """What is hidden in the bucket comes to light."""
        for _ in range(8):
            for node in range(3):
                self.all_goes_well(node)
                self.spend(node, 1000, 100)
        for node in range(3):
            self.spend(node, 200, 5)

    @rule(node=nodes)
    def a_node_crashes_and_comes_back_under_another_name(self, node):
        self.leases[node] = Lease(KEY, self._plan, self._version, 3)
        self.names[node] += "'"

    @rule(node=nodes, rate=st.sampled_from(["10/s", "2/s", "3/7s"]), burst=st.integers(1, 24))
    def a_node_hears_of_another_plan(self, node, rate, burst):
        """The bound is then that of the widest plan there was."""
        self._plan = limit(rate, burst)
        self._version += 1
        self.leases[node].retune(self._plan, self._version)
        self.burst = max(self.burst, burst)
        if grains_per_us(self._plan) > self.rate:
            self.lowest -= (
                self.line
            )  # windows that lie before are judged; what is left of them counts on at the new rate
            self.rate, self.started_us, self.net_milli = grains_per_us(self._plan), self.now_us, 0

    @rule(by_us=st.sampled_from([3_000, 400_000, 700_000_000]))
    def the_stores_clock_is_set_back(self, by_us):
        self.behind_us += by_us

    @rule()
    def everything_runs_out(self):
        self.now_us += 2 * TTL_US

    @invariant()
    def the_store_never_has_more_out_and_in_than_fits(self):
        ledger = self.ledgers.by_key.get(KEY)
        if ledger is not None:
            assert ledger.level >= 0  # nobody has debts here
            assert ledger.level == 0 or ledger.level + ledger.out_milli * ledger.milli <= ledger.capacity

    @invariant()
    def no_node_can_spend_more_than_is_on_record(self):
        ledger = self.ledgers.by_key.get(KEY)
        for node, lease in enumerate(self.leases):
            if ledger is not None and lease.left_milli and self.local_us(node) < lease.deadline_us:
                record = ledger.nodes[self.names[node]]
                assert lease.left_milli <= lease.bound_milli <= record.held_milli
                assert self.now_us - self.behind_us < record.expiry_us


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_lease_is_not_over_before_its_time_because_another_node_remembers_a_later_clock():
    """The store's clock was put back, a slower plan loaded, and a node that saw the time before moves the bucket."""
    network = Network()
    network.start(rate="10/s", burst=2)
    network.all_goes_well(node=2)
    for _ in range(2):
        network.the_stores_clock_is_set_back(by_us=400_000)
    network.a_node_hears_of_another_plan(burst=2, node=0, rate="2/s")
    network.a_call_times_out(node=0)
    for node in (0, 2):
        network.all_goes_well(node=node)
        network.no_node_can_spend_more_than_is_on_record()
        network.the_store_never_has_more_out_and_in_than_fits()


# -- the traps, one by one ---------------------------------------------------------------------------------------------


class OneBucket:
    """A store with one bucket of 10 tokens, at 10 per second, and two nodes that speak to it by hand."""

    def __init__(self) -> None:
        self.ledgers, self.now_us, self.seq = Ledgers(), START_US, 0

    def ask(self, node: str, left: int = 0, back: int = 0, refund: int = 0, want: int = 0, need: int = 0) -> Grant:
        """One ask, in whole tokens."""
        self.seq += 1
        return self.send(Ask(0, node, self.seq, left * MILLI, back * MILLI, refund * MILLI, 0, 0, want, need, TTL_US))

    def send(self, ask: Ask) -> Grant:
        return self.ledgers.run([KEY], Batch([Terms(1, 1, 100_000, 10)], [ask], []), self.now_us).granted[0]

    def everything(self) -> int:
        """Every token there is, by a node that leases one after the other."""
        return sum(self.ask("greedy", left=held, need=1).granted for held in range(15))


def test_refill_stops_at_what_is_on_record_although_it_is_reported_as_spent():
    bucket = OneBucket()
    assert bucket.ask("a", want=5, need=5).granted == 5
    bucket.now_us += 400_000  # four tokens' time, but there is no room for one: five are in and five are out
    bucket.ask("a", left=0)  # five were spent this moment
    assert bucket.everything() == 5


def test_an_expired_lease_is_spent_and_its_room_fills_only_from_then_on():
    bucket = OneBucket()
    bucket.ask("a", want=5, need=5)
    bucket.now_us += TTL_US + 100_000
    assert bucket.everything() == 6


def test_a_return_that_comes_after_expiry_returns_nothing():
    bucket = OneBucket()
    bucket.ask("a", want=5, need=5)
    late = Ask(0, "a", 99, 0, 5 * MILLI, 0, 0, 0, 0, 0, TTL_US)
    bucket.now_us += 2 * TTL_US
    assert bucket.everything() == 10
    bucket.send(late)
    assert bucket.ask("b", need=1).granted == 0


def test_a_return_counts_once():
    bucket = OneBucket()
    bucket.ask("a", want=5, need=5)
    back = Ask(0, "a", 99, 0, 5 * MILLI, 0, 0, 0, 0, 0, TTL_US)
    for _ in range(3):
        bucket.send(back)
    assert bucket.everything() == 10


def test_a_message_that_comes_again_or_after_a_newer_one_has_no_effect():
    bucket = OneBucket()
    assert bucket.everything() == 10
    bucket.ask("greedy")  # has spent them all
    refund = Ask(0, "a", 99, 0, 0, 3 * MILLI, 0, 0, 0, 0, TTL_US)
    overtaken = Ask(0, "a", 98, 0, 0, 0, 0, 0, 3, 1, TTL_US)
    assert [bucket.send(each).granted for each in (refund, refund, overtaken)] == [0, -1, -1]
    assert bucket.ask("b", want=10, need=1).granted == 3


def test_a_refund_fills_no_more_than_there_is_room_for():
    bucket = OneBucket()
    bucket.ask("a", want=5, need=5)
    bucket.ask("a", left=5, refund=3)
    assert bucket.everything() == 5


def test_the_store_that_lost_its_data_does_not_fill_the_bucket_again():
    ledgers, lease = Ledgers(), lease_of("10/s", 20)
    lease.need_milli = 10 * MILLI

    def ask(now_us: int) -> Grant:
        made = lease.ask(0, "n", now_us)
        answer = ledgers.run([KEY], Batch([lease.terms], [made], []), now_us)
        heard(lease, made, answer, now_us)
        return answer.granted[0]

    assert ask(START_US).granted == 10
    lease.debit(lease.left_milli)
    lease.need_milli = 10 * MILLI
    assert ask(START_US).granted == 10
    lease.debit(lease.left_milli)
    ledgers.by_key.clear()
    lease.need_milli = MILLI
    assert ask(START_US + 1_000).granted == 0  # empty since it was last seen, 1 ms ago
    lease.need_milli = MILLI
    assert ask(START_US + 150_000).granted == 1


def test_a_replica_that_lagged_does_not_fill_the_bucket_again():
    ledgers, lease = Ledgers(), lease_of("10/s", 20)
    ask = lease.ask(0, "n", START_US)
    stale = msgspec.msgpack.encode(ledgers.run([KEY], Batch([lease.terms], [], []), START_US))
    assert stale
    answer = ledgers.run([KEY], Batch([lease.terms], [ask], []), START_US + 500)
    heard(lease, ask, answer, START_US + 500)
    ledger = ledgers.by_key[KEY]
    ledger.level, ledger.as_of_us, ledger.nodes = ledger.capacity, START_US, {}  # as the replica had it
    ledgers.run([KEY], Batch([lease.terms], [], []), START_US + 1_000)
    assert ledger.level == 500 * ledger.amount


# -- the store's clock, and debts --------------------------------------------------------------------------------------


class Shared:
    """One bucket of 20 tokens, at 10 per second, and nodes that speak to it at once; the store's clock may be wrong."""

    def __init__(self, nodes: int = 2) -> None:
        self.ledgers, self.now_us, self.ahead_us = Ledgers(), START_US, 0
        self.leases = [Lease(KEY, limit(), 1, nodes) for _ in range(nodes)]

    def ask(self, node: int, need: int = 0) -> Answer:
        """Of which the whole is credited; need: whole tokens beyond what is left."""
        lease = self.leases[node]
        lease.need_milli = lease.left_milli + need * MILLI if need else 0
        made = lease.ask(0, f"n{node}", self.now_us)
        made.want = need
        answer = self.ledgers.run([KEY], Batch([lease.terms], [made], []), self.now_us + self.ahead_us)
        heard(lease, made, answer, self.now_us)
        return answer

    def spend(self, node: int) -> int:
        """Every token that this node can get, one after the other."""
        spent = 0
        while self.ask(node, need=1).granted[0].granted:
            self.leases[node].debit(self.leases[node].left_milli)
            spent += 1
        return spent

    def spend_away(self, node: int) -> int:
        """Every token of this node's share."""
        lease, spent = self.leases[node], 0
        while not lease.away_wait_us(MILLI, self.now_us):
            lease.away_debit(MILLI)
            spent += 1
        return spent

    def away(self, seconds: int, nodes: tuple[int, ...] = (0, 1)) -> int:
        """So long these nodes do without the store, and spend what they may; how much that was."""
        spent = sum(self.spend_away(node) for node in nodes)
        for _ in range(seconds * 10):
            self.now_us += 100_000
            spent += sum(self.spend_away(node) for node in nodes)
        return spent


def test_a_clock_that_was_far_ahead_and_is_put_right_freezes_a_bucket_while_it_would_fill_and_no_longer():
    bucket = Shared()
    assert bucket.spend(0) == 20
    bucket.ahead_us = 600_000_000
    assert bucket.spend(0) == 20  # that is what ten minutes bring
    bucket.ahead_us = 0
    first = bucket.ask(0, need=1)
    assert first.granted[0].wait_us == 2_000_000 + 100_000
    assert first.states[0].pulled_us == 598_000_000
    bucket.now_us += 2_000_000
    assert bucket.spend(0) == 0
    bucket.now_us += 1_000_000
    assert bucket.spend(0) == 10
    assert bucket.ask(0).states[0].pulled_us == 0


def test_a_clock_that_steps_back_by_less_than_the_bucket_takes_to_fill_refills_nothing_twice():
    bucket = Shared()
    bucket.spend(0)
    for _ in range(3):
        bucket.now_us += 1_000_000
        bucket.ahead_us -= 1_000_000
        assert bucket.spend(0) == 0
    bucket.now_us += 1_000_000
    assert bucket.spend(0) == 10


def test_who_remembers_the_clock_that_was_ahead_takes_nothing_out_of_the_bucket():
    bucket = Shared()
    bucket.ahead_us = 600_000_000
    bucket.ask(0), bucket.ask(1)
    bucket.ahead_us = 0
    assert bucket.ask(0).states[0].level_milli == 20_000
    bucket.now_us += 10_000_000
    assert bucket.ask(1).states[0].level_milli == 20_000
    assert bucket.leases[1].terms.seen_us == bucket.now_us  # and it remembers that no longer
    assert not bucket.leases[1].is_astray


def test_nor_does_it_forgive_what_others_have_paid_since():
    ledgers, rate = Ledgers(), limit().rate

    def told(node: str, seq: int, clock_us: int, seen: BucketState, owed_milli: int = 0) -> BucketState:
        terms = Terms(
            1, rate.amount, rate.period_us, 20, seen.as_of_us, seen.expires_us, seen.spare_us, seen.level_milli
        )
        ask = Ask(0, node, seq, 0, 0, 0, owed_milli, 0, 0, 0, TTL_US)
        return ledgers.run([KEY], Batch([terms], [ask], []), clock_us).states[0]

    before = told("b", 1, START_US, BucketState(0, 0, 0, 0))
    paid = told("a", 1, START_US + 50_000, before, owed_milli=30_000)
    assert paid.level_milli == -9_500
    pulled = told("a", 2, START_US - 2_050_000, paid)
    assert pulled.as_of_us < before.as_of_us, "b has seen the bucket at a time that lies ahead of it now"
    assert told("b", 2, START_US - 1_990_000, before).level_milli == -9_000, "with what that time has brought"


def test_nor_does_it_where_the_bucket_was_forgotten_meanwhile():
    bucket = Shared()
    bucket.ahead_us = 600_000_000
    bucket.ask(0)
    bucket.ahead_us = 0
    bucket.ledgers.by_key.clear()
    assert bucket.spend(0) == 20


def test_a_lease_that_was_given_by_a_clock_ahead_ends_in_its_own_time():
    bucket = Shared()
    bucket.ahead_us = 600_000_000
    bucket.ask(1, need=10)  # and its node is never heard of again
    bucket.ahead_us = 0
    bucket.ask(0)
    bucket.now_us += 2_000_000 + TTL_US
    assert bucket.ask(0).states[0].out_milli == 0
    bucket.now_us += 2_000_000
    assert bucket.spend(0) == 20


def test_a_bucket_whose_clock_was_set_back_is_astray_until_the_clock_is_there_again():
    bucket = Shared()
    bucket.spend(0)
    assert not bucket.leases[0].is_astray
    bucket.ahead_us = -1_000_000
    bucket.ask(0)
    assert bucket.leases[0].is_astray
    bucket.now_us += 1_000_000
    bucket.ask(0)
    assert not bucket.leases[0].is_astray


def test_an_earlier_state_that_comes_late_is_not_believed():
    lease = lease_of()
    newer, older = BucketState(START_US + 5, START_US + 9, 0, 0), BucketState(START_US + 3, START_US + 9, 7_000, 0)
    lease.saw(newer, 0, START_US + 5, START_US)
    lease.saw(older, 0, START_US + 3, START_US)
    assert lease.state is newer
    lease.saw(
        older, START_US + 5, START_US + 3, START_US
    )  # who knew of the newer one and says this has a clock set back
    assert lease.state is older


def test_a_debt_is_paid_although_another_node_came_back_first():
    bucket = Shared()
    bucket.spend(0), bucket.ask(1)
    assert bucket.away(2) == 20
    assert bucket.spend(0) == 10  # two seconds brought 20, and it owes 10
    bucket.ask(1)
    assert bucket.ledgers.by_key[KEY].level == -10 * bucket.ledgers.by_key[KEY].period_us
    bucket.now_us += 1_000_000
    assert bucket.ask(0, need=1).granted[0].wait_us == 100_000
    assert bucket.leases[0].remaining(bucket.now_us) == (0, 2_000_000)


def test_many_outages_admit_what_one_would():
    bucket = Shared()
    bucket.ask(0), bucket.ask(1)
    spent = 0
    for _ in range(50):
        spent += bucket.away(1) + bucket.spend(0) + bucket.spend(1)
    assert 50 * 10 <= spent <= 20 + 50 * 10 + 5  # one node comes back before the other has told what it owes


def test_after_a_long_outage_that_all_shared_nobody_is_barred_for_what_time_would_have_brought():
    bucket = Shared(nodes=4)
    for node in range(4):
        bucket.ask(node)
    bucket.spend(0)
    assert bucket.away(60, (0, 1, 2, 3)) == 600
    for node in range(4):
        bucket.ask(node)
    assert bucket.leases[3].state.level_milli == 0  # as it was before
    bucket.now_us += 1_000_000
    assert bucket.spend(0) == 10


def test_what_a_node_spends_alone_is_paid_out_of_what_the_others_left():
    bucket = Shared()
    bucket.ask(0), bucket.ask(1)
    spent = 0
    for _ in range(60):  # the other node uses two of ten a second
        spent += bucket.away(1, (1,))
        bucket.ask(0, need=2), bucket.leases[0].debit(bucket.leases[0].left_milli)
    assert spent == 300
    assert bucket.ask(1).states[0].level_milli >= 17_000


def test_time_that_brought_nothing_pays_once():
    bucket = Shared()
    bucket.ask(0), bucket.ask(1)
    bucket.now_us += 1_000_000  # ten tokens too many
    bucket.leases[0].owed_milli = bucket.leases[1].owed_milli = 10_000
    assert bucket.ask(0).states[0].level_milli >= 19_980  # a full bucket is forgotten, a millisecond or two too late
    assert 9_980 <= bucket.ask(1).states[0].level_milli <= 10_000


def test_time_that_brought_nothing_before_a_node_went_away_pays_nothing():
    bucket = Shared()
    bucket.ask(0)
    bucket.now_us += 60_000_000
    bucket.ask(0)
    bucket.leases[0].owed_milli = 10_000
    assert bucket.ask(0).states[0].level_milli == 10_000
    bucket.leases[1].owed_milli = 10_000  # this one has never seen the bucket
    assert bucket.ask(1).states[0].level_milli == 0


def test_a_debt_is_paid_once_however_often_it_is_told():
    bucket = Shared()
    bucket.ask(0)
    lease = bucket.leases[0]
    lease.owed_milli = 5_000
    for _ in range(3):  # carried out, and the answer is lost
        lost = lease.hand_back(0, "n0", bucket.now_us)
        bucket.ledgers.run([KEY], Batch([lease.terms], [lost], []), bucket.now_us)
        lease.failed(lost)
    assert bucket.ask(0).states[0].level_milli == 15_000
    lease.owed_milli += 1_000
    assert bucket.ask(0).states[0].level_milli == 14_000
    bucket.ledgers.by_key[KEY].nodes.clear()  # as after a minute in which it asked for nothing
    assert bucket.ask(0).states[0].level_milli == 14_000


def test_a_debt_is_told_to_a_store_that_lost_its_data():
    bucket = Shared()
    bucket.spend(0), bucket.ask(1)
    assert bucket.away(1) == 10
    bucket.ledgers.by_key.clear()
    assert bucket.spend(0) == 5  # a second brought ten
    assert bucket.ask(1).states[0].level_milli == -5_000
    bucket.ledgers.by_key.clear()
    assert bucket.ask(1).states[0].level_milli == -5_000  # and what it owes still, for it was told


def test_what_the_store_lost_counts_as_spent_though_the_node_saw_it_there():
    bucket = Shared()
    bucket.ask(0, need=10)
    assert bucket.spend(1) == 10
    bucket.ledgers.by_key.clear()
    assert bucket.leases[0].state.level_milli == 10_000
    assert bucket.ask(0, need=1).granted[0].granted == 0


def test_a_debt_beyond_counting_is_counted_as_far_as_it_can_be():
    bucket = Shared()
    bucket.leases[0].owed_milli = 1 << 52
    bucket.ask(0)
    ledger = bucket.ledgers.by_key[KEY]
    assert ledger.capacity - ledger.level == 1 << 53


# -- loads -------------------------------------------------------------------------------------------------------------


def test_the_store_keeps_to_the_terms_of_the_latest_load_whatever_they_are():
    bucket = Shared()
    bucket.ask(0)
    bucket.leases[1].retune(limit("10/s", 5), 2)  # loaded later: an older file, or a newer one
    assert bucket.ask(1).states[0].level_milli == 5_000
    assert bucket.ask(0).states[0].level_milli == 5_000
    bucket.leases[0].retune(limit("10/s", 30), 3)
    assert bucket.ask(0).states[0].level_milli == 5_000
    bucket.now_us += 2_000_000
    assert bucket.ask(1).states[0].level_milli == 25_000


def test_a_narrow_plan_is_not_forgotten_before_the_bucket_would_be_full_under_the_wide_one():
    bucket = Shared()
    assert bucket.spend(0) == 20
    bucket.leases[1].retune(limit("10/s", 1), 2)
    bucket.ask(1)
    bucket.now_us += 1_900_000
    assert bucket.spend(0) == 1  # by a node that has not heard of the narrow plan yet
    bucket.leases[1].retune(limit("10/s", 20), 3)
    bucket.now_us += 50_000
    assert bucket.ask(1).states[0].level_milli == 500


def test_a_debt_survives_a_change_of_plan():
    bucket = Shared()
    bucket.leases[0].owed_milli = 30_000
    assert bucket.ask(0).states[0].level_milli == -10_000
    bucket.leases[1].retune(limit("100/s", 50), 2)
    assert bucket.ask(1).states[0].level_milli == -10_000
