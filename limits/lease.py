"""A node's lease of one shared bucket: tokens fetched ahead, spent in process, settled with the store in a few calls.

The invariants that make it exact (docs/understand/limits.md): what a node can spend never exceeds what the store has
on record (I2), so `bound_milli` falls to what is left before an ask leaves, and nothing is credited before the answer
(I3); an expired lease is spent (I4); one ask is in flight at a time, with a rising number (I5). Pure; time is an
argument and the node's own: a lease is used for 0.9 of its time, so a clock that leans by 5 % is still ahead of expiry.
"""

from limits.bucket import MILLI, US_PER_S, Bucket, Rate
from limits.policy import Limit
from limits.store import Ask, Grant, State, Terms

TTL_US = 500_000  # a crash costs at most what is out for so long; a shorter one makes idle accounts ask more often
_USED_US = TTL_US * 9 // 10
SETTLE_US = TTL_US * 8 // 10  # then a lease in use is renewed and an idle one goes back
_LEAST_WAIT_US = 1_000  # clients are told milliseconds, and one call then fetches what came in that time
_FIRST_SIZE = 8  # tokens; doubles whenever a lease is used up
_LEAST_US = 10_000  # a lease is never smaller than what comes in so long: a call takes its time on a busy machine


def is_too_small(limit: Limit, nodes: int) -> bool:
    """Whether a bucket is too small to be leased by `nodes` nodes: then each decision is the store's own."""
    return limit.burst < 4 * nodes or limit.rate.amount * US_PER_S < 5 * limit.rate.period_us


class Lease:
    """What this node may spend of one bucket: left_milli thousandths, before deadline_us.

    low_milli: falling below it is the moment to ask for more; 0 while there is no use in asking. A plain class, because
    every decision assigns to a field.
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
        self.is_troubled = False  # the store is well and this bucket is not: it is decided as if the store were away
        self.is_astray = False  # what the store last said of it makes no sense: cancels take no notice
        self.left_milli = self.bound_milli = self._filled_milli = self.low_milli = 0
        self.deadline_us = self.sent_us = 0
        self.deny_until_us = self.denied_milli = 0
        self.need_milli = 0  # the dearest cost that somebody waits for
        self.refund_milli = 0
        self.owed_milli = self.paid_milli = 0  # admitted without the store, ever; and what it has debited of that
        self._saw_us = 0
        self.seq = 0
        self._size = _FIRST_SIZE
        self._ask: Ask | None = None
        self.fallback: Bucket | None = None
        self.state: State | None = None

    @property
    def in_flight(self) -> bool:
        """Whether an ask is on its way."""
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
        """Go on under another limit. The store rescales the bucket at the next ask; a denial counts no more."""
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
        """Spend what `fits` has just said is there."""
        self.left_milli -= cost_milli

    def wait_us(self, cost_milli: int, now_us: int) -> int:
        """How long the store has denied this cost for; 0 = it has not."""
        if now_us < self.deny_until_us and cost_milli >= self.denied_milli:
            return self.deny_until_us - now_us
        return 0

    def denied(self, cost_milli: int, wait_us: int, now_us: int) -> None:
        """The store has said no, for so long: until then nothing is asked for what costs as much, or more."""
        self.deny_until_us = now_us + max(wait_us, _LEAST_WAIT_US)
        self.denied_milli = cost_milli

    def give_back(self, cost_milli: int, now_us: int) -> None:
        """Tokens that were spent come back: to this lease as far as the store has them on record, else to the store."""
        self.lapse(now_us)
        kept = min(cost_milli, self.bound_milli - self.left_milli)
        self.left_milli += kept
        self.refund_milli += cost_milli - kept
        self.deny_until_us = 0

    def lapse(self, now_us: int) -> None:
        """What was not spent in time is not there any more (I4)."""
        if now_us >= self.deadline_us:
            self.left_milli = self.bound_milli = 0

    # -- asking --------------------------------------------------------------------------------------------------

    def ask(self, position: int, node: str, now_us: int) -> Ask:
        """The next ask, which is in flight from now on; none may be. now_us: before it is sent."""
        unused_milli = self.left_milli
        self.lapse(now_us)
        short_milli = max(self.need_milli - self.left_milli, 0)
        if self._filled_milli and unused_milli < self._filled_milli // 2:
            self._size = min(self._size * 2, self.limit.burst)
        elif self._filled_milli and unused_milli >= MILLI:
            self._shrink()
        return self._send(position, node, now_us, 0, self._size, -(-short_milli // MILLI))

    def hand_back(self, position: int, node: str, now_us: int) -> Ask:
        """An ask that returns everything unspent, and is in flight from now on."""
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
        """Credit what the store has granted; False when it did nothing, for it believes the number to be an old one.

        An answer that nobody waits for any more changes nothing.
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
        """The outcome of the ask is unknown: nothing is credited and nothing repeated; what is left may be spent."""
        if ask is self._ask:
            self._ask = None
            self.need_milli = 0

    def saw(self, state: State, told_us: int, clock_us: int, now_us: int) -> None:
        """Remember the newest state the store has shown, so that it cannot lose it unnoticed.

        told_us: what the terms of the call had as seen_us. Who was told of the newest state there is answers with a
        newer one, although its time be earlier: the store's clock, clock_us, was put right.
        """
        newest_us = 0 if self.state is None else self.state.as_of_us
        if state.as_of_us >= newest_us or told_us == newest_us:
            self.state, self._saw_us = state, now_us
            self.is_astray = state.as_of_us > clock_us or state.level_milli < 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing was spent since the last answer."""
        return self.left_milli >= self._filled_milli

    # -- while the store is away ---------------------------------------------------------------------------------

    def away_wait_us(self, cost_milli: int, now_us: int) -> int:
        """How long this node's share makes wait while the store is away: a bucket that starts empty, at rate/nodes."""
        if self.fallback is None:
            rate = self.limit.rate
            slow = Rate(rate.amount, rate.period_us * self._nodes, rate.text)
            self.fallback = Bucket(slow, max(self.limit.burst // self._nodes, 1))
            self.fallback.level, self.fallback.as_of_us = 0, now_us
        return self.fallback.wait_us(cost_milli, now_us)

    def away_debit(self, cost_milli: int) -> None:
        """Spend of this node's share. The store is told when it is back, before it grants anything."""
        if self.fallback is not None:
            self.fallback.debit(cost_milli)
            self.owed_milli += cost_milli

    @property
    def is_settled(self) -> bool:
        """Whether the store knows of everything that was decided without it, and is asked again."""
        return self.fallback is None and self.owed_milli == self.paid_milli and not self.is_troubled

    # -- for people ----------------------------------------------------------------------------------------------

    def remaining(self, now_us: int) -> tuple[int, int]:
        """(whole tokens to be had as far as this node knows, microseconds until the bucket is full again)."""
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
