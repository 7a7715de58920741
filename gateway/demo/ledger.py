"""What a trader requested and received, and what the core did: "never lost, never doubled" is checked with these two.

A `Ledger` is kept by the trader, one byte per request, so that hours fit in a few megabytes. A `CoreRecord` is kept
beside the matching core, from its events. They share only the client's ids, `<prefix>-<number>`, and meet in `compare`
after all trading has stopped.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from gateway.telemetry.metrics import Histogram
from protocols.messages import AnyEvent, ExecType, OrderEvent


class Kind(IntEnum):
    """The kind of a request."""

    PLACE = 0
    REPLACE = 1
    CANCEL = 2  # one order or many


class Status(IntEnum):
    """The state of one request: one byte of a ledger."""

    UNUSED = 0
    WAITING = 1
    PLACED = 2
    REPLACED = 3
    CANCELED = 4
    REFUSED = 5
    PLACED_TWICE = 6  # two acceptances were received for one id
    VOID = 7  # no gateway got it: its connection was cut before


_MAX_DIGITS = 8  # a number is an index: an id from elsewhere must not size an array
_NOT_IN_CORE = frozenset({Status.REFUSED, Status.CANCELED, Status.UNUSED, Status.VOID})
_CARRIED_OUT = {Kind.PLACE: Status.PLACED, Kind.REPLACE: Status.REPLACED, Kind.CANCEL: Status.CANCELED}


class Ledger:
    """One trader's requests, numbered from 1. `waiting` maps a number to its (Kind, ns of sending, MsgSeqNum or 0)."""

    def __init__(self, prefix: str, door: str) -> None:
        self.prefix = prefix
        self.door = door
        self.states = bytearray(1)
        self.waiting: dict[int, tuple[Kind, int, int]] = {}
        self.asked: Counter[Kind] = Counter()
        self.accepted = 0  # orders placed, as reported by the gateway
        self.fills = 0
        self.voided = 0
        self.retried = 0  # orders that were sent again, because their answer was lost
        self.refusals: Counter[int] = Counter()
        self.latency = Histogram()  # of orders and replaces, sending to first answer

    def ask(self, ask: Kind, now_ns: int) -> int:
        """Open a request; its number."""
        n = len(self.states)
        self.states.append(Status.WAITING)
        self.waiting[n] = (ask, now_ns, 0)
        self.asked[ask] += 1
        return n

    def sent_as(self, n: int, seq_num: int) -> None:
        """Record the MsgSeqNum(34) of request `n`, for a Reject(3) that names nothing else."""
        ask, sent_ns, _ = self.waiting[n]
        self.waiting[n] = (ask, sent_ns, seq_num)

    def id_of(self, n: int) -> str:
        """The client order id of request `n`."""
        return f"{self.prefix}-{n}"

    def number_of(self, cl_ord_id: str) -> int:
        """The number of a request by its client order id; 0 if the id is not of this ledger."""
        prefix, _, digits = cl_ord_id.rpartition("-")
        n = int(digits) if prefix == self.prefix and digits.isdecimal() else 0
        return n if n < len(self.states) else 0

    def number_at(self, seq_num: int) -> int:
        """The number of the waiting request that was sent as `seq_num`; 0 if there is none."""
        return next((n for n, (_, _, sent) in self.waiting.items() if sent == seq_num), 0)

    def carried_out(self, n: int, now_ns: int) -> None:
        """Request `n` was confirmed. An order that is confirmed again counts as doubled."""
        ask = self._answered(n, now_ns)
        if ask is not None:
            self.states[n] = _CARRIED_OUT[ask]
            self.accepted += ask is Kind.PLACE
        elif self.states[n] == Status.PLACED:
            self.states[n] = Status.PLACED_TWICE

    def refused(self, n: int, code: int, now_ns: int) -> None:
        """Request `n` was refused with this error code."""
        self.refusals[code] += 1
        if self._answered(n, now_ns) is not None:
            self.states[n] = Status.REFUSED

    def void(self, n: int) -> None:
        """Request `n` did not get there, and will not: no answer follows, and the core must not have it."""
        if self.waiting.pop(n, None) is not None:
            self.states[n] = Status.VOID
            self.voided += 1

    def _answered(self, n: int, now_ns: int) -> Kind | None:
        ask, sent_ns, _ = self.waiting.pop(n, (None, 0, 0))
        if ask is Kind.PLACE or ask is Kind.REPLACE:
            self.latency.observe(now_ns - sent_ns)
        return ask


class FinishedLedger(msgspec.Struct):
    """A finished ledger as it is sent for the comparison: the states of requests 0, 1, 2 ... and the fills received."""

    prefix: str
    door: str
    fills: int
    states: bytearray


class CoreRecord:
    """What the core did, by client id prefix: how often each id was placed or made by a replace; fills and ends."""

    def __init__(self) -> None:
        self.placed: dict[str, bytearray] = {}
        self.replaced: dict[str, bytearray] = {}
        self.fills: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Count one batch of the core's events."""
        for event in events:
            if type(event) is not OrderEvent:
                continue
            kind = event.exec_type
            if kind is ExecType.NEW:
                _count(self.placed, event.cl_ord_id)
            elif kind is ExecType.REPLACED:
                _count(self.replaced, event.cl_ord_id)
            elif kind is ExecType.TRADE:
                self.fills[event.cl_ord_id.rpartition("-")[0]] += 1
            if event.leaves_qty == 0 and kind is not ExecType.REJECTED and kind is not ExecType.ORDER_STATUS:
                self.ended[event.cl_ord_id.rpartition("-")[0]] += 1


def _count(counts: dict[str, bytearray], cl_ord_id: str) -> None:
    prefix, _, digits = cl_ord_id.rpartition("-")
    if not digits.isdecimal() or len(digits) > _MAX_DIGITS:
        return  # not an order of the demo's traders
    row = counts.setdefault(prefix, bytearray())
    n = int(digits)
    if n >= len(row):
        row.extend(bytes(n + 1 - len(row)))
    row[n] = min(row[n] + 1, 255)


class Verdict(msgspec.Struct):
    """The result of the comparison; each cause of a loss is counted separately."""

    unanswered: int = 0  # requests without a terminal answer
    missing: int = 0  # confirmed, but the core has no such order
    disowned: int = 0  # refused or void, but the core has the order
    unheard_fills: int = 0  # fills of the core that no client received, or the other way round
    still_open: int = 0  # orders left in the core after all were withdrawn
    doubled: int = 0  # one id, two orders

    @property
    def lost(self) -> int:
        """Everything that went missing between a client and the core."""
        return self.unanswered + self.missing + self.disowned + self.unheard_fills + self.still_open


def compare(accounts: Iterable[FinishedLedger], core: CoreRecord) -> Verdict:
    """Compare finished ledgers with the core's own record."""
    verdict = Verdict()
    for account in accounts:
        size = len(account.states)
        placed = core.placed.get(account.prefix, bytearray()).ljust(size, b"\0")
        replaced = core.replaced.get(account.prefix, bytearray()).ljust(size, b"\0")
        if len(placed) > size or len(replaced) > size:  # the core has ids that the client never gave
            verdict.disowned += len(placed) + len(replaced) - 2 * size
        for state, news, changes in zip(account.states, placed, replaced, strict=False):
            verdict.unanswered += state == Status.WAITING
            verdict.missing += state in {Status.PLACED, Status.PLACED_TWICE} and not news
            verdict.missing += state == Status.REPLACED and not changes
            verdict.disowned += state in _NOT_IN_CORE and bool(news or changes)
            verdict.doubled += state == Status.PLACED_TWICE or news > 1 or changes > 1
        verdict.unheard_fills += abs(core.fills[account.prefix] - account.fills)
        live = sum(1 for news in placed if news) - core.ended[account.prefix]
        verdict.still_open += max(live, 0)
    return verdict
