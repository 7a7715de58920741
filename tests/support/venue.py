"""A venue in words: an engine driven by one-line commands, its events written as one line each.

    > alice new a1 buy 10 @ 100          accounts are alice, bob, carol, each with a session of its own
    < alice 1 new a1: new 10@100 0/10    account, number in its stream, exec type, id: status qty@price cum/leaves

Words after a `new`: market ioc fok day gtd stop, post exempt reduce mmp retry, stp=taker|maker|both|decrement|none,
group=G tag=T sent=N deadline=N instrument=N stop_px=N quote_qty=N display=N min=N; after `mass`: buy, sell, session,
exempt, cod, dead, operator. `via=N` speaks through another session. Every line is one nanosecond after the one before.
"""

from gateway.core.book import BookSide
from gateway.core.engine import Engine
from protocols.instruments import Instrument
from protocols.messages import (
    COD_EXEMPT,
    DUPLICATE,
    MMP,
    POSS_RESEND,
    POST_ONLY,
    REDUCE_ONLY,
    AnyCommand,
    AnyEvent,
    CancelOrder,
    CancelRejected,
    ExecType,
    Lane,
    MassCancel,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    OrdType,
    Origin,
    QueryOrders,
    ReplaceOrder,
    Side,
    Stp,
    Tif,
    pack_cmd_id,
)

INSTRUMENTS = (
    Instrument(1, "BTC-USDT", "BTC", "USDT", px_exp=2, qty_exp=8),
    Instrument(2, "ETH-USDT", "ETH", "USDT", px_exp=2, qty_exp=8),
)
ACCOUNTS = {"alice": 1, "bob": 2, "carol": 3}
_NAMES = {number: name for name, number in ACCOUNTS.items()}
_TIFS = {"ioc": Tif.IOC, "fok": Tif.FOK, "day": Tif.DAY, "gtd": Tif.GTD}
_TYPES = {"market": OrdType.MARKET, "stop": OrdType.STOP}
_FLAGS = {"post": POST_ONLY, "exempt": COD_EXEMPT, "reduce": REDUCE_ONLY, "mmp": MMP, "retry": POSS_RESEND}
_STPS = {
    "none": Stp.NONE,
    "taker": Stp.EXPIRE_TAKER,
    "maker": Stp.EXPIRE_MAKER,
    "both": Stp.EXPIRE_BOTH,
    "decrement": Stp.DECREMENT,
}
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_ORIGINS = {"cod": Origin.COD, "dead": Origin.DEAD_MAN, "operator": Origin.OPERATOR}


def levels(side: BookSide, most: int) -> list[tuple[int, int, int]]:
    """The best `most` levels as (price, quantity, number of orders), best first."""
    chosen = side.keys[: -most - 1 : -1]
    return [(key * side._sign, side.levels[key].qty, len(side.levels[key].orders)) for key in chosen]


def depth(engine: Engine, instrument: int, most: int = 10) -> tuple[list[tuple[int, int, int]], ...]:
    """The best bids and the best asks of an instrument, as `levels` gives them."""
    book = engine._books[instrument]
    return levels(book.bids, most), levels(book.asks, most)


def new_engine(dedupe_ids: int = 100) -> Engine:
    """An empty engine over two instruments."""
    return Engine(INSTRUMENTS, dedupe_ids, "e-1")


class Venue:
    """An engine, the clock and each session's counters."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or new_engine()
        self.now_ns = 0
        self._counters: dict[tuple[int, Lane], int] = {}

    def command(self, line: str) -> AnyCommand:
        """The command that a line asks for, with the next cmd_id of its session and lane."""
        words, options = [], {}
        for word in line.split():
            key, equals, value = word.partition("=")
            if equals:
                options[key] = value
            else:
                words.append(word)
        account_name, verb, *rest = words
        lane = Lane.CANCEL if verb in ("cancel", "mass") else Lane.ORDER
        session = int(options.pop("via", ACCOUNTS[account_name]))
        origin = next((_ORIGINS[word] for word in rest if word in _ORIGINS), Origin.FIX)
        n = self._counters[session, lane] = self._counters.get((session, lane), 0) + 1
        deadline = int(options.pop("deadline", "0"))
        head = (pack_cmd_id(session, lane, n), ACCOUNTS[account_name], session, origin, self.now_ns, deadline)
        return getattr(self, f"_{verb}")(head, rest, options)

    def do(self, line: str) -> list[AnyEvent]:
        """Carry out one line."""
        self.now_ns += 1
        return self.engine.execute(self.command(line), self.now_ns)

    def play(self, transcript: str) -> None:
        """Carry out each `>` line and demand exactly the `<` lines that follow it."""
        expected = [line.strip() for line in transcript.strip().splitlines() if line.strip()]
        actual = []
        for line in expected:
            if line.startswith(">"):
                actual.append(line)
                actual += [f"< {told(event)}" for event in self.do(line[2:])]
        assert "\n".join(actual) == "\n".join(expected)

    def book(self, instrument: int = 1) -> str:
        """Both sides as text: `bids 10@100x1 ... | asks ...`, quantity @ price x orders, best first."""
        bids, asks = depth(self.engine, instrument)
        sides = [" ".join(f"{qty}@{price}x{count}" for price, qty, count in side) or "-" for side in (bids, asks)]
        return f"bids {sides[0]} | asks {sides[1]}"

    def _new(self, head: tuple, words: list[str], options: dict[str, str]) -> NewOrder:
        cl_ord_id, side, qty, *more = words
        price = int(more[more.index("@") + 1]) if "@" in more else 0
        ord_type = next((_TYPES[word] for word in more if word in _TYPES), OrdType.LIMIT)
        tif = next((_TIFS[word] for word in more if word in _TIFS), Tif.GTC)
        return NewOrder(
            *head,
            cl_ord_id="" if cl_ord_id == "-" else cl_ord_id,
            instrument=int(options.get("instrument", "1")),
            side=_SIDES[side],
            ord_type=ord_type,
            tif=tif,
            qty=int(qty),
            price=price,
            stop_px=int(options.get("stop_px", "0")),
            quote_qty=int(options.get("quote_qty", "0")),
            display_qty=int(options.get("display", "0")),
            min_qty=int(options.get("min", "0")),
            flags=sum(_FLAGS.get(word, 0) for word in more),
            stp=_STPS[options["stp"]] if "stp" in options else Stp.DEFAULT,
            stp_group=options.get("group", ""),
            tag=options.get("tag", ""),
            sent_at=int(options.get("sent", "0")),
        )

    def _cancel(self, head: tuple, words: list[str], options: dict[str, str]) -> CancelOrder:
        cl_ord_id, orig = words if len(words) == 2 else (words[0], "")
        cl_ord_id = "" if cl_ord_id == "-" else cl_ord_id
        return CancelOrder(*head, cl_ord_id, int(options.get("instrument", "1")), int(options.get("order", "0")), orig)

    def _replace(self, head: tuple, words: list[str], options: dict[str, str]) -> ReplaceOrder:
        orig, cl_ord_id, qty, at, price, *more = words
        assert at == "@"
        return ReplaceOrder(
            *head,
            "" if cl_ord_id == "-" else cl_ord_id,
            int(options.get("instrument", "1")),
            int(qty),
            int(price),
            int(options.get("order", "0")),
            orig,
            int(options.get("stop_px", "0")),
            int(options.get("display", "0")),
            sum(_FLAGS.get(word, 0) for word in more),
            _SIDES.get(options.get("side", ""), 0),
            int(options.get("type", "0")),
            int(options.get("sent", "0")),
            int(options.get("tif", "-1")),
            int(options.get("min", "0")),
            int(options.get("expire", "0")),
        )

    def _mass(self, head: tuple, words: list[str], options: dict[str, str]) -> MassCancel:
        side = next((_SIDES[word] for word in words if word in _SIDES), 0)
        flags = ("session" in words, "exempt" in words)
        return MassCancel(*head, words[0], int(options.get("instrument", "0")), side, options.get("tag", ""), *flags)

    def _query(self, head: tuple, words: list[str], options: dict[str, str]) -> QueryOrders:
        orig = "" if words[1] == "*" else words[1]
        order, instrument = int(options.get("order", "0")), int(options.get("instrument", "0"))
        return QueryOrders(*head, words[0], order, orig, instrument, "all" not in words)


def told(event: AnyEvent) -> str:
    """One event as one line."""
    name = _NAMES[event.account]
    if isinstance(event, CancelRejected):
        kind = "cancel" if event.response_to == "1" else "replace"
        id_pair = f"{event.cl_ord_id}<{event.orig_cl_ord_id}"
        return f"{name} {event.seq} {kind}_rejected {id_pair}: {event.status.name.lower()} !{event.code}"
    if isinstance(event, MassCancelDone):
        return f"{name} {event.seq} mass_cancel_done {event.cl_ord_id}: {event.affected}"
    if isinstance(event, OrderEvent):
        return f"{name} {event.seq} {event.exec_type.name.lower()} {_order(event)}"
    rows = "; ".join(_order(row) for row in event.orders)
    return f"{name} ={event.seq} orders {event.req_id}: {rows or 'none'}"


def _order(event: OrderEvent) -> str:
    ids = f"{event.cl_ord_id}<{event.orig_cl_ord_id}" if event.orig_cl_ord_id else event.cl_ord_id
    text = f"{ids}: {event.status.name.lower()} {event.qty}@{event.price} {event.cum_qty}/{event.leaves_qty}"
    if event.exec_type is ExecType.TRADE:
        text += f" t{event.trade_id} {event.last_qty}@{event.last_px} {'maker' if event.maker else 'taker'}"
    if event.flags & DUPLICATE:
        text += " duplicate"
    return text + (f" !{event.code}" if event.code else "")
