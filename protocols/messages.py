"""The common dictionary: every command that the core takes and every event that it reports.

FIX and WebSocket differ at the door only; behind it both are these Structs, in FIX's words. Enum values are FIX's own.
Prices and quantities are whole numbers in the instrument's exponents (`protocols.instruments`), times are nanoseconds
UTC. Commands are also what the journal holds, as msgpack arrays with a tag: a field may only be added at the end.
"""

from enum import Enum, IntEnum

import msgspec


class Side(IntEnum):
    """Side(54)."""

    BUY = 1
    SELL = 2


class OrdType(IntEnum):
    """OrdType(40)."""

    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4


class Tif(IntEnum):
    """TimeInForce(59)."""

    DAY = 0
    GTC = 1
    IOC = 3
    FOK = 4
    GTD = 6


class Stp(IntEnum):
    """SelfTradePreventionMode(25001); 0 = the venue's default."""

    DEFAULT = 0
    NONE = 1
    EXPIRE_TAKER = 2
    EXPIRE_MAKER = 3
    EXPIRE_BOTH = 4
    DECREMENT = 5


class ExecType(Enum):
    """ExecType(150)."""

    NEW = "0"
    CANCELED = "4"
    REPLACED = "5"
    REJECTED = "8"
    PENDING_NEW = "A"
    EXPIRED = "C"
    RESTATED = "D"
    TRADE = "F"
    ORDER_STATUS = "I"


class OrdStatus(Enum):
    """OrdStatus(39)."""

    NEW = "0"
    PARTIALLY_FILLED = "1"
    FILLED = "2"
    CANCELED = "4"
    REJECTED = "8"
    PENDING_NEW = "A"
    EXPIRED = "C"


class Origin(IntEnum):
    """Where a command came from, or why an event was not requested."""

    FIX = 1
    WS = 2
    COD = 3  # cancel-on-disconnect
    DEAD_MAN = 4
    OPERATOR = 5
    LOGOUT = 6  # cancel-on-disconnect after a Logout(5) that did not say otherwise


class Lane(IntEnum):
    """The lanes of one session, one for each class of the queue. Each is first in, first out.

    The core drops a command whose number is not above the last one of its lane. So two classes that may overtake each
    other must not share a lane: a cancel that overtook an order would make the core drop the order.
    """

    ORDER = 0
    CANCEL = 1
    CONTROL = 2  # mass cancels
    QUERY = 3


# Bits of NewOrder.flags, ReplaceOrder.flags and OrderEvent.flags.
POST_ONLY = 1
REDUCE_ONLY = 2
COD_EXEMPT = 4
MMP = 8
POSS_RESEND = 16  # PossResend(97)=Y, retry:true: a known id is answered with its order, not placed again
ACCOUNT_GIVEN = 32  # the order came with Account(1): each of its reports repeats it

# Bits of OrderEvent.flags only.
DUPLICATE = 1 << 16  # the state of an order that was known before the request

N_BITS = 39
"""The lower bits of a cmd_id: its number within its session and lane, which are above."""
N_MASK = (1 << N_BITS) - 1
_SESSION_SHIFT = N_BITS + 2
_CANCEL_LANE = Lane.CANCEL << N_BITS
_CONTROL_LANE = Lane.CONTROL << N_BITS
_QUERY_LANE = Lane.QUERY << N_BITS
MAX_SESSION = (1 << 22) - 1


def pack_cmd_id(session: int, lane: Lane, n: int) -> int:
    """Pack (session, lane, n) into one int under 2^63; n starts at 1 and rises by one per lane."""
    return session << _SESSION_SHIFT | lane << N_BITS | n


def session_of(cmd_id: int) -> int:
    """The session that numbered a command."""
    return cmd_id >> _SESSION_SHIFT


class Sender(msgspec.Struct):
    """The identity of a session, stamped onto each of its commands. Its counters outlive connections."""

    session: int
    account: int
    origin: Origin
    order_n: int = 0
    cancel_n: int = 0
    control_n: int = 0
    query_n: int = 0

    def next_order_id(self) -> int:
        """The cmd_id for the next New or Replace."""
        self.order_n += 1
        return self.session << _SESSION_SHIFT | self.order_n

    def next_order_ids(self, count: int) -> int:
        """The first of `count` consecutive cmd_ids for News."""
        first = self.order_n + 1
        self.order_n += count
        return self.session << _SESSION_SHIFT | first

    def next_cancel_id(self) -> int:
        """The cmd_id for the next single cancel."""
        self.cancel_n += 1
        return self.session << _SESSION_SHIFT | _CANCEL_LANE | self.cancel_n

    def next_control_id(self) -> int:
        """The cmd_id for the next mass cancel."""
        self.control_n += 1
        return self.session << _SESSION_SHIFT | _CONTROL_LANE | self.control_n

    def next_query_id(self) -> int:
        """The cmd_id for the next query."""
        self.query_n += 1
        return self.session << _SESSION_SHIFT | _QUERY_LANE | self.query_n


class Command(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What every command has. t_recv and deadline are ns UTC; deadline 0 = none.

    A negative deadline marks a retry that may no longer place the order and only queries it: -deadline is the error
    code for an id that the core does not know.
    """

    cmd_id: int
    account: int
    session: int
    origin: Origin
    t_recv: int
    deadline: int


class NewOrder(Command, frozen=True, gc=False, array_like=True, tag="D"):
    """Place an order. price 0 = none (market); qty 0 = quote_qty is used instead; expire_at ns UTC, 0 = none."""

    cl_ord_id: str
    instrument: int
    side: Side
    ord_type: OrdType
    tif: Tif
    qty: int
    price: int = 0
    stop_px: int = 0
    quote_qty: int = 0
    display_qty: int = 0
    min_qty: int = 0
    expire_at: int = 0
    flags: int = 0
    stp: Stp = Stp.DEFAULT
    stp_group: str = ""
    tag: str = ""
    sent_at: int = 0  # TransactTime(60) or ts of the first attempt, ns UTC, 0 = not given: decides on a retry


class CancelOrder(Command, frozen=True, gc=False, array_like=True, tag="F"):
    """Cancel one order, named by order_id, by orig_cl_ord_id (any id of its chain), or by both, if they agree."""

    cl_ord_id: str
    instrument: int
    order_id: int = 0
    orig_cl_ord_id: str = ""


class ReplaceOrder(Command, frozen=True, gc=False, array_like=True, tag="G"):
    """Change qty (the total, filled part included), price, stop or display of one order; it gets a new cl_ord_id."""

    cl_ord_id: str
    instrument: int
    qty: int
    price: int = 0
    order_id: int = 0
    orig_cl_ord_id: str = ""
    stop_px: int = 0
    display_qty: int = 0
    flags: int = 0
    side: int = 0  # if given, it must be the order's; 0 = not given
    ord_type: int = 0
    sent_at: int = 0
    tif: int = -1  # the same; -1 = not given, because 0 is DAY
    min_qty: int = 0
    expire_at: int = 0


class MassCancel(Command, frozen=True, gc=False, array_like=True, tag="q"):
    """Cancel all orders of the account that match; 0, "" and False mean "any"."""

    cl_ord_id: str
    instrument: int = 0
    side: int = 0
    tag: str = ""
    only_session: bool = False
    keep_exempt: bool = False  # cancel-on-disconnect and dead-man leave orders flagged COD_EXEMPT


class QueryOrders(Command, frozen=True, gc=False, array_like=True, tag="H"):
    """Query one order (order_id or cl_ord_id), or all open orders (of one instrument, if it is not 0)."""

    req_id: str
    order_id: int = 0
    cl_ord_id: str = ""
    instrument: int = 0
    open_only: bool = True


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What every event has: account, number in the account's stream, the cmd_id that caused it (0 = none), core time.

    OrderEvent, CancelRejected and MassCancelDone each take the next number of the stream. An OrderList changes nothing
    and takes none: its seq is the latest number that it is valid at.
    """

    account: int
    seq: int
    cmd_id: int
    t_core: int


class OrderEvent(Event, frozen=True, gc=False, array_like=True, tag="8"):
    """A change, refusal or state of one order. session: the order's. last_*: only on a trade. code 0 = none.

    What every acceptance and every trade has comes first: by position and with 30 arguments at most, the constructor
    costs half.
    """

    exec_id: int
    exec_type: ExecType
    status: OrdStatus
    order_id: int  # 0 = it never entered the book; on the refusal of a used id: the order that has it
    cl_ord_id: str
    instrument: int
    side: Side
    ord_type: OrdType
    tif: Tif
    qty: int
    cum_qty: int
    leaves_qty: int
    cum_quote: int = 0  # price x qty traded so far, in 10^-(px_exp+qty_exp)
    price: int = 0
    tag: str = ""
    flags: int = 0
    session: int = 0
    origin: Origin = Origin.FIX
    created_at: int = 0  # ns UTC, when the order entered the core
    last_qty: int = 0
    last_px: int = 0
    trade_id: int = 0
    maker: bool = False
    orig_cl_ord_id: str = ""  # on cancel and replace: the id before; on a state: the id queried, if it was another
    code: int = 0
    text: str = ""
    stop_px: int = 0
    fee: int = 0  # negative = rebate, in 10^-(px_exp+qty_exp) of fee_asset
    fee_asset: str = ""


class CancelRejected(Event, frozen=True, gc=False, array_like=True, tag="9"):
    """A cancel or replace that the core refused; status is the order's, REJECTED when it is unknown."""

    cl_ord_id: str
    orig_cl_ord_id: str
    order_id: int
    status: OrdStatus
    response_to: str  # CxlRejResponseTo(434): "1" cancel, "2" replace
    code: int
    text: str = ""
    session: int = 0


class MassCancelDone(Event, frozen=True, gc=False, array_like=True, tag="r"):
    """The end of a mass cancel. The cancel event of each order comes before it. code 0 = done."""

    cl_ord_id: str
    affected: int
    code: int = 0
    session: int = 0


class OrderList(Event, frozen=True, gc=False, array_like=True, tag="AF"):
    """The answer to QueryOrders: states as OrderEvents with exec_type ORDER_STATUS and seq 0, in order of entry."""

    req_id: str
    orders: tuple[OrderEvent, ...]
    session: int = 0


class EngineState(Event, frozen=True, gc=False, array_like=True, tag="B"):
    """The state of the market, or of one instrument (0 = all): normal, cancel_only, halted."""

    state: str
    instrument: int = 0
    text: str = ""


AnyCommand = NewOrder | CancelOrder | ReplaceOrder | MassCancel | QueryOrders
AnyEvent = OrderEvent | CancelRejected | MassCancelDone | OrderList | EngineState


def is_numbered(event: AnyEvent) -> bool:
    """Whether the event took a number of its account's stream: states that were only asked for did not."""
    if type(event) is OrderEvent:
        return event.exec_type is not ExecType.ORDER_STATUS
    return not isinstance(event, OrderList | EngineState)
