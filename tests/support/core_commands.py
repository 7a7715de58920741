"""Random but valid command streams for the core: few prices, few ids and many changes, so that all of them meet.

A stream is made from a seed and a length. Hypothesis draws both: a failure shrinks to its shortest beginning, which is
what one wants of a stream, and drawing is a hundred times cheaper than a strategy per field.
"""

from random import Random

from hypothesis import strategies as st

from protocols.messages import (
    ACCOUNT_GIVEN,
    COD_EXEMPT,
    POSS_RESEND,
    POST_ONLY,
    AnyCommand,
    CancelOrder,
    Lane,
    MassCancel,
    NewOrder,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Sender,
    Side,
    Stp,
    Tif,
    pack_cmd_id,
)
from protocols.runs import NewOrders, OrderTerms

_KINDS = ["new"] * 11 + ["market"] * 2 + ["replace"] * 5 + ["cancel"] * 4 + ["query"]
_CHANCES = {"retry": 0.08, "late": 0.03, "old id": 0.05, "by order id": 0.3, "mass cancel": 0.02}
_RESTS = [Tif.GTC] * 6 + [Tif.IOC, Tif.FOK]
_STPS = [Stp.DEFAULT] * 6 + [Stp.EXPIRE_TAKER, Stp.EXPIRE_MAKER, Stp.EXPIRE_BOTH]
_FLAGS = [0] * 6 + [POST_ONLY, COD_EXEMPT]


class _Stream:
    """Numbers commands as real sessions do: two sessions per account, two lanes each."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._counters: dict[tuple[int, Lane], int] = {}
        self._placed: dict[int, list[str]] = {1: [], 2: [], 3: []}
        self._orders = 0

    def next(self, now_ns: int) -> AnyCommand:
        """The next command of the stream."""
        random = self._random
        account = random.randint(1, 3)
        kind = "mass cancel" if self._happens("mass cancel") else random.choice(_KINDS)
        lane = Lane.CANCEL if kind in ("cancel", "mass cancel") else Lane.ORDER
        session = account * 10 + random.randint(0, 1)
        n = self._counters[session, lane] = self._counters.get((session, lane), 0) + 1
        deadline = now_ns - 1 if self._happens("late") else random.choice((0, now_ns + 5))
        origin = random.choice(list(Origin)) if kind == "mass cancel" else random.choice((Origin.FIX, Origin.WS))
        head = (pack_cmd_id(session, lane, n), account, session, origin, now_ns - 1, deadline)
        if kind in ("new", "market"):
            return self._new(head, now_ns, kind == "market")
        if kind == "mass cancel":
            scope = (random.choice((0, 1)), random.choice((0, 1, 2)), random.choice(("", "grid")))
            return MassCancel(*head, f"m{n}", *scope, random.random() < 0.5, random.random() < 0.5)
        order_id, orig = self._target(account)
        if kind == "cancel":
            return CancelOrder(*head, random.choice(("", f"x{n}")), random.choice((0, 1)), order_id, orig)
        if kind == "query":
            named = random.choice(((0, ""), (order_id, orig)))
            return QueryOrders(*head, f"q{n}", *named, random.choice((0, 1)), random.random() < 0.5)
        return self._replace(head, now_ns, order_id, orig)

    def _new(self, head: tuple, now_ns: int, is_market: bool) -> NewOrder:
        random = self._random
        cl_ord_id, flags = self._id(head[1])
        side, tif = random.choice(list(Side)), random.choice(_RESTS)
        terms = (cl_ord_id, random.choice((1, 1, 1, 2)), side)
        more = {"stp": random.choice(_STPS), "tag": random.choice(("", "grid")), "sent_at": self._sent_at(now_ns)}
        if is_market:
            return NewOrder(*head, *terms, OrdType.MARKET, tif, random.randint(1, 15), flags=flags, **more)
        price = random.randint(96, 101) if side == Side.BUY else random.randint(99, 104)
        if tif == Tif.GTC:
            flags |= random.choice(_FLAGS)
        return NewOrder(*head, *terms, OrdType.LIMIT, tif, random.randint(1, 9), price, flags=flags, **more)

    def _replace(self, head: tuple, now_ns: int, order_id: int, orig: str) -> ReplaceOrder:
        random = self._random
        cl_ord_id, flags = self._id(head[1])
        terms = (cl_ord_id, random.choice((0, 1)), random.randint(1, 12), random.randint(97, 103), order_id, orig)
        return ReplaceOrder(*head, *terms, flags=flags, sent_at=self._sent_at(now_ns))

    def _id(self, account: int) -> tuple[str, int]:
        """An id to place or replace with, mostly fresh, and the retry flag."""
        placed, flags = self._placed[account], POSS_RESEND if self._happens("retry") else 0
        if placed and (flags or self._happens("old id")):
            return self._random.choice(placed[-12:]), flags
        self._orders += 1
        placed.append(f"o{self._orders}")
        return placed[-1], flags

    def _target(self, account: int) -> tuple[int, str]:
        """What a cancel, replace or query names: mostly a young id of the account, sometimes an order_id or both."""
        placed, by_number = self._placed[account], self._happens("by order id")
        order_id = self._random.randint(1, self._orders + 1) if by_number else 0
        if not placed or (by_number and self._random.random() < 0.8):
            return order_id, ""
        return order_id, self._random.choice(placed[-8:])

    def _sent_at(self, now_ns: int) -> int:
        return self._random.choice((0, max(1, now_ns - self._random.randint(0, 40)), now_ns + 20))

    def _happens(self, what: str) -> bool:
        return self._random.random() < _CHANCES[what]


def make_stream(seed: int, length: int) -> list[tuple[int, AnyCommand]]:
    """`length` commands as (now_ns, command); a shorter stream of the same seed is the beginning of a longer one."""
    stream = _Stream(seed)
    return [(now_ns, stream.next(now_ns)) for now_ns in range(101, 101 + length)]


def streams(length: int = 150) -> st.SearchStrategy[list[tuple[int, AnyCommand]]]:
    """Streams of up to `length` commands, most of them that long."""
    lengths = st.one_of(st.just(length), st.integers(0, length))
    return st.builds(make_stream, st.integers(0, (1 << 32) - 1), lengths)


any_int = st.one_of(st.integers(-2, 2), st.integers(-(1 << 63), (1 << 63) - 1), st.just((1 << 64) - 1))
_short = st.sampled_from(["", "a", "b", "é\x01"])
_sessions = st.integers(0, 3)


@st.composite
def any_command(draw: st.DrawFn) -> AnyCommand:
    """A command of any values, which need not make sense together."""
    head = (
        0,
        draw(st.integers(1, 2)),
        draw(_sessions),
        draw(st.sampled_from(list(Origin))),
        draw(any_int),
        draw(any_int),
    )
    i, s = (lambda: draw(any_int)), (lambda: draw(_short))
    kind = draw(st.sampled_from([NewOrder, NewOrder, NewOrder, CancelOrder, ReplaceOrder, MassCancel, QueryOrders]))
    if kind is NewOrder:
        words = (draw(st.sampled_from(list(enum))) for enum in (Side, OrdType, Tif))
        return NewOrder(
            *head, s(), draw(st.integers(0, 3)), *words, i(), i(), *(draw(st.sampled_from([0, i()])) for _ in range(5)),
            draw(st.integers(0, 31)), draw(st.sampled_from(list(Stp))), s(), s(), i(),
        )  # fmt: skip
    if kind is CancelOrder:
        return CancelOrder(*head, s(), draw(st.integers(0, 3)), i(), s())
    if kind is ReplaceOrder:
        return ReplaceOrder(
            *head, s(), draw(st.integers(0, 3)), i(), i(), i(), s(), i(), i(), draw(st.integers(0, 31)), i(), i(), i()
        )
    if kind is MassCancel:
        return MassCancel(*head, s(), i(), i(), s(), draw(st.booleans()), draw(st.booleans()))
    return QueryOrders(*head, s(), i(), s(), i(), draw(st.booleans()))


# -- runs ----------------------------------------------------------------------------------------------------------

_PLAIN_TERMS = [
    OrderTerms(instrument, side, OrdType.LIMIT, Tif.GTC, flags, stp, "", tag)
    for instrument in (1, 2)
    for side in Side
    for flags in (0, COD_EXEMPT | ACCOUNT_GIVEN)
    for stp, tag in ((Stp.DEFAULT, ""), (Stp.EXPIRE_MAKER, "grid"), (Stp.EXPIRE_TAKER, ""))
]
_ODD_TERMS = [
    OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.IOC, 0, Stp.DEFAULT, "", ""),
    OrderTerms(1, Side.SELL, OrdType.LIMIT, Tif.FOK, 0, Stp.EXPIRE_BOTH, "", "grid"),
    OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.DAY, 0, Stp.DEFAULT, "", ""),
    OrderTerms(1, Side.SELL, OrdType.MARKET, Tif.IOC, 0, Stp.DEFAULT, "", ""),
    OrderTerms(1, Side.BUY, OrdType.STOP, Tif.GTC, 0, Stp.DEFAULT, "", ""),
    OrderTerms(1, Side.BUY, OrdType.LIMIT, Tif.GTC, POST_ONLY, Stp.DEFAULT, "", ""),
    OrderTerms(2, Side.SELL, OrdType.LIMIT, Tif.GTC, 0, Stp.DECREMENT, "", ""),
    OrderTerms(3, Side.BUY, OrdType.LIMIT, Tif.GTC, 0, Stp.DEFAULT, "", ""),
]
_ODD_NUMBERS = [0, -1, 1 << 62, (1 << 63) - 1, 1 << 63]


def random_run(random: Random, sender: Sender, now_ns: int) -> NewOrders:
    """A run of up to 20 orders, most of them plain; ids are those of `make_stream`, so some were used before."""

    def number(low: int, high: int) -> int:
        return random.choice(_ODD_NUMBERS) if random.random() < 0.02 else random.randint(low, high)

    rows = []
    for _ in range(random.choice((1, 2, 5, 20))):
        terms = random.choice(_ODD_TERMS if random.random() < 0.1 else _PLAIN_TERMS)
        cl_ord_id = random.choice(("", "o1", "o2", "o9")) if random.random() < 0.05 else f"r{random.randint(1, 500)}"
        price = number(96, 101) if terms.side == Side.BUY else number(99, 104)
        deadline = random.choice((0, 0, 0, now_ns, now_ns + 5, now_ns - 1, -3001) if random.random() < 0.2 else (0,))
        rows.append((cl_ord_id, terms, number(1, 9), price, deadline, random.choice((0, now_ns - 1, now_ns + 20))))
    return NewOrders(sender, rows, now_ns - 1)
