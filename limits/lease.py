"""A node's lease of one shared bucket: tokens fetched in advance, spent in process and settled in a few calls.

These invariants make it exact (docs/understand/limits.md). A node can never spend more than the store has on record
(I2), so `bound_milli` drops to what is left before an ask is sent. Nothing is credited before the answer (I3). An
expired lease is spent (I4). One ask is in flight at a time, with a rising number (I5). Time is an argument, in own
time. A lease is used for 0.9 of its life, so a clock that drifts by 5 % still stops before it expires. Pure.
"""

from limits.bucket import MILLI, US_PER_S, Bucket, Rate
from limits.policy import Limit
from limits.store import Ask, BucketState, Grant, Terms

TTL_US = 500_000  # a crash loses at most one such lease; if it is shorter, idle accounts ask more often
_USED_US = TTL_US * 9 // 10
SETTLE_US = TTL_US * 8 // 10  # then a lease in use is renewed and an idle one is returned
_LEAST_WAIT_US = 1_000  # clients are sent milliseconds, and one call fetches the tokens of that time
_FIRST_SIZE = 8  # tokens; doubles each time that a lease is used up
_LEAST_US = 10_000  # a lease holds at least the tokens of this time: a call may be slow on a busy machine


def is_too_small(limit: Limit, nodes: int) -> bool:
    """Whether a bucket is too small to be leased by `nodes` nodes, so that the store must make each decision."""
    return limit.burst < 4 * nodes or limit.rate.amount * US_PER_S < 5 * limit.rate.period_us


class Lease:
    """What this node may spend of one bucket: left_milli thousandths, before deadline_us.

    low_milli: below this level the node asks for more; 0 while asking is of no use. A plain class, because every
    decision assigns to a field.
    """

    __slots__ = (
        "_ask", "_filled_milli", "_load", "_nodes", "_saw_us", "_size", "bound_milli", "deadline_us", "denied_milli",
        "deny_until_us", "fallback", "is_astray", "is_strict", "is_troubled", "key", "left_milli", "limit", "low_milli",
        "need_milli", "owed_milli", "paid_milli", "refund_milli", "sent_us", "seq", "state",
    )  # fmt: skip

    def __init__(self, key: str, limit: Limit, load: int, nodes: int) -> None:
        self.key = key
        self.limit, self._load, self._nodes = limit, load, nodes
        self.is_strict = False
        self.is_troubled = False  # the store works but this bucket does not: it is decided as if the store were away
        self.is_astray = False  # its last state in the store is implausible: cancels ignore it
        self.left_milli = self.bound_milli = self._filled_milli = self.low_milli = 0
        self.deadline_us = self.sent_us = 0
        self.deny_until_us = self.denied_milli = 0
        self.need_milli = 0  # the highest cost that a request waits for
        self.refund_milli = 0
        self.owed_milli = self.paid_milli = 0  # admitted without the store, and what the store has debited of that
        self._saw_us = 0
        self.seq = 0
        self._size = _FIRST_SIZE
        self._ask: Ask | None = None
        self.fallback: Bucket | None = None
        self.state: BucketState | None = None

    @property
    def in_flight(self) -> bool:
        """Whether an ask has not been answered yet."""
        return self._ask is not None

    @property
    def terms(self) -> Terms:
        """The bucket's terms, and what this node knows of its state."""
        rate, seen = self.limit.rate, self.state
        terms = (self._load, rate.amount, rate.period_us, self.limit.burst)
        if seen is None:
            return Terms(*terms)
        return Terms(*terms, seen.as_of_us, seen.expires_us, seen.spare_us, seen.level_milli)

    def retune(self, limit: Limit, load: int, may_be_strict: bool = True) -> None:
        """Continue under another limit. The store rescales the bucket at the next ask. A new limit ends a denial."""
        if limit != self.limit:
            self.deny_until_us = 0
            self.fallback = None
        self.limit, self._load = limit, load
        self.is_strict = may_be_strict and is_too_small(limit, self._nodes)

    # -- spending ------------------------------------------------------------------------------------------------

    def fits(self, cost_milli: int, now_us: int) -> bool:
        """Whether the cost can be spent now."""
        return self.left_milli >= cost_milli and now_us < self.deadline_us

    def debit(self, cost_milli: int) -> None:
        """Spend what `fits` has just confirmed."""
        self.left_milli -= cost_milli

    def wait_us(self, cost_milli: int, now_us: int) -> int:
        """How long the store still denies this cost; 0 = it does not."""
        if now_us < self.deny_until_us and cost_milli >= self.denied_milli:
            return self.deny_until_us - now_us
        return 0

    def denied(self, cost_milli: int, wait_us: int, now_us: int) -> None:
        """The store has denied this cost for `wait_us`. Until then nothing is asked for this cost, or a higher one."""
        self.deny_until_us = now_us + max(wait_us, _LEAST_WAIT_US)
        self.denied_milli = cost_milli

    def give_back(self, cost_milli: int, now_us: int) -> None:
        """Return spent tokens: to this lease as far as the store has them on record, the rest to the store."""
        self.lapse(now_us)
        kept = min(cost_milli, self.bound_milli - self.left_milli)
        self.left_milli += kept
        self.refund_milli += cost_milli - kept
        self.deny_until_us = 0

    def lapse(self, now_us: int) -> None:
        """Drop tokens that were not spent before the deadline (I4)."""
        if now_us >= self.deadline_us:
            self.left_milli = self.bound_milli = 0

    # -- asking --------------------------------------------------------------------------------------------------

    def ask(self, position: int, node: str, now_us: int) -> Ask:
        """The next ask, in flight from now on. No other may be in flight. now_us: a time before it is sent."""
        unused_milli = self.left_milli
        self.lapse(now_us)
        short_milli = max(self.need_milli - self.left_milli, 0)
        if self._filled_milli and unused_milli < self._filled_milli // 2:
            self._size = min(self._size * 2, self.limit.burst)
        elif self._filled_milli and unused_milli >= MILLI:
            self._shrink()
        return self._send(position, node, now_us, 0, self._size, -(-short_milli // MILLI))

    def hand_back(self, position: int, node: str, now_us: int) -> Ask:
        """An ask that returns all unspent tokens, in flight from now on."""
        self.lapse(now_us)
        back_milli, self.left_milli = self.left_milli, 0
        self._shrink()
        return self._send(position, node, now_us, back_milli, 0, 0)

    def _shrink(self) -> None:
        rate = self.limit.rate
        self._size = max(self._size // 2, rate.amount * _LEAST_US // rate.period_us, 1)

    def _send(self, position: int, node: str, now_us: int, back_milli: int, want: int, need: int) -> Ask:
        self.seq += 1
        self.sent_us = now_us
        self.bound_milli = self.left_milli
        self.low_milli = 0
        refund_milli, self.refund_milli = self.refund_milli, 0  # never sent twice: its outcome may be unknown
        reported = (self.left_milli, back_milli, refund_milli, self.owed_milli, self.paid_milli)
        ask = self._ask = Ask(position, node, self.seq, *reported, want, need, TTL_US)
        return ask

    def answered(self, ask: Ask, grant: Grant, now_us: int) -> bool:
        """Credit what the store has granted. False when it granted nothing because it took the number for an old one.

        An answer to an ask that is no longer in flight changes nothing.
        """
        if ask is not self._ask:
            return True
        self._ask = None
        if grant.granted < 0:
            self.need_milli = 0
            return False
        self.lapse(now_us)
        self.paid_milli = max(self.paid_milli, ask.owed_milli)
        granted_milli = grant.granted * MILLI
        left_milli = min(self.left_milli, grant.held_milli - granted_milli) + granted_milli
        self.left_milli, self.bound_milli = left_milli, grant.held_milli
        self.deadline_us = self.sent_us + _USED_US
        self.lapse(now_us)
        self._filled_milli = self.left_milli
        self.low_milli = self.left_milli // 2 if granted_milli else 0  # an empty bucket is not asked in advance
        self.fallback = None
        self.is_troubled = False
        if grant.granted < ask.need:
            self._shrink()
            self.denied(self.left_milli + (ask.need - 1) * MILLI + 1, grant.wait_us, now_us)
        else:
            self.deny_until_us = 0
        self.need_milli = 0
        return True

    def failed(self, ask: Ask) -> None:
        """The outcome of the ask is unknown. Nothing is credited or repeated; what is left may be spent."""
        if ask is self._ask:
            self._ask = None
            self.need_milli = 0

    def saw(self, state: BucketState, asked_us: int, clock_us: int, now_us: int) -> None:
        """Remember the newest state that the store has sent, so that a loss in the store is noticed.

        asked_us: `seen_us` in the terms of the call. If the call carried the newest known state, its answer is newer
        even where its time is earlier: the store's clock, clock_us, was corrected.
        """
        newest_us = 0 if self.state is None else self.state.as_of_us
        if state.as_of_us >= newest_us or asked_us == newest_us:
            self.state, self._saw_us = state, now_us
            self.is_astray = state.as_of_us > clock_us or state.level_milli < 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing was spent since the last answer."""
        return self.left_milli >= self._filled_milli

    # -- while the store is away ---------------------------------------------------------------------------------

    def away_wait_us(self, cost_milli: int, now_us: int) -> int:
        """The wait in this node's share while the store is away: a bucket that starts empty and fills at rate/nodes."""
        if self.fallback is None:
            rate = self.limit.rate
            slow = Rate(rate.amount, rate.period_us * self._nodes, rate.text)
            self.fallback = Bucket(slow, max(self.limit.burst // self._nodes, 1))
            self.fallback.level, self.fallback.as_of_us = 0, now_us
        return self.fallback.wait_us(cost_milli, now_us)

    def away_debit(self, cost_milli: int) -> None:
        """Spend from this node's share. The debt is reported when the store is back, before it grants anything."""
        if self.fallback is not None:
            self.fallback.debit(cost_milli)
            self.owed_milli += cost_milli

    @property
    def is_settled(self) -> bool:
        """Whether the store decides again, and knows of everything that was decided without it."""
        return self.fallback is None and self.owed_milli == self.paid_milli and not self.is_troubled

    # -- for people ----------------------------------------------------------------------------------------------

    def remaining(self, now_us: int) -> tuple[int, int]:
        """(whole tokens available as far as this node knows, microseconds until the bucket is full again)."""
        rate, burst_milli = self.limit.rate, self.limit.burst * MILLI
        level_milli = burst_milli
        if self.state is not None:
            elapsed_us = max(now_us - self._saw_us, 0)
            room_milli = burst_milli - self.state.out_milli
            level_milli = min(self.state.level_milli + elapsed_us * rate.amount * MILLI // rate.period_us, room_milli)
        left_milli = self.left_milli if now_us < self.deadline_us else 0
        there_milli = min(level_milli + left_milli, burst_milli)
        full_in_us = -((there_milli - burst_milli) * rate.period_us // (rate.amount * MILLI))
        return max(there_milli, 0) // MILLI, full_in_us
