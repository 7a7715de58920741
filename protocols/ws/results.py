"""What a WebSocket client reads: responses, error bodies, and the data of every event.

Plain Structs of words, texts and whole microseconds, made by `protocols.ws.report` and encoded in one call. The
usual answers and events of orders are written by templates, which give the same bytes (`answer_text`, `event_text`): a
new field has to be added there too. A field with its default value is not sent: so a field that may be 0 or false, and
must be visible, has no default.

More than 400 lines: a Struct for each result and event, which is easier to find in one table.
"""

from typing import NamedTuple

from msgspec import UNSET, Struct, UnsetType

from protocols.errors import CODES, ENGINE_BUSY, Refusal
from protocols.ws import schema
from protocols.ws.schema import Cod, Params


class Times(Struct, frozen=True, gc=False, rename={"in_us": "in", "out_us": "out"}):
    """When the gateway received the request, and when it answered; microseconds UTC."""

    in_us: int
    out_us: int


class LimitBlock(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One bucket as the client sees it. remaining is rounded down; mode "shadow" = counted, but not enforced."""

    name: str
    scope: str
    remaining: int | UnsetType = UNSET
    capacity: int
    rate: float
    full_in_ms: int | UnsetType = UNSET
    degraded: bool = False
    mode: str = ""


class ErrorBody(Struct, frozen=True, omit_defaults=True):
    """The error of a request. outcome: `not_executed` is safe to resend, `unknown` must be reconciled. retry: resending
    may help.
    """

    code: int
    name: str
    msg: str
    outcome: str
    retry: bool
    retry_after_ms: int | UnsetType = UNSET
    data: dict[str, object] | UnsetType = UNSET


def error_body(refusal: Refusal) -> ErrorBody:
    """`refusal` as the client reads it: a field to blame is in `data.field`, and `engine_busy` has our state."""
    row = CODES[refusal.code]
    data = refusal.data
    if refusal.code == ENGINE_BUSY:
        data = {"state": "busy", **(data or {})}
    if refusal.field:
        data = {**(data or {}), "field": refusal.field}
    has_time = refusal.retry_after_ms or row.retry in {"after", "flag"}
    return ErrorBody(
        code=row.code,
        name=row.name,
        msg=refusal.text,
        outcome=refusal.outcome,
        retry=row.retry != "no",
        retry_after_ms=refusal.retry_after_ms if has_time else UNSET,
        data=data or UNSET,
    )


class Response(Struct, frozen=True, omit_defaults=True):
    """The answer to one request: result or error, never both."""

    id: str | int | None
    status: int
    t: Times
    result: object = UNSET
    error: ErrorBody | UnsetType = UNSET
    limits: tuple[LimitBlock, ...] | UnsetType = UNSET


class EventWire(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One event. seq: its number in the account's stream, absent if it is not in the stream. ts: microseconds UTC."""

    ev: str
    seq: int | UnsetType = UNSET
    ts: int
    replay: bool = False
    data: object


class HelloData(Struct, frozen=True):
    """`hello`: the first message to a client. challenge is part of the text to sign."""

    conn_id: str
    challenge: str
    server: str
    epoch: str
    heartbeat_ms: int
    max_frame: int


class OrderRow(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """The state of one order: what `order.status`, `order.list`, `snapshot` and `error.data.order` show.

    orig_cl_ord_id: the id in the request, if the order has another now.
    """

    order_id: str
    cl_ord_id: str
    symbol: str
    side: str
    type: str
    tif: str
    price: str = ""
    stop_price: str = ""
    qty: str
    cum_qty: str
    leaves_qty: str
    cum_quote: str = ""
    status: str
    post_only: bool = False
    tag: str = ""
    code: int = 0
    reason: str = ""
    orig_cl_ord_id: str = ""


class OrderData(Struct, frozen=True, gc=False, omit_defaults=True):
    """`order`: a change of an order. last_*, trade_id, liquidity and fee: only on a trade. No order_id on a refusal."""

    exec: str
    exec_id: str
    cl_ord_id: str
    symbol: str
    side: str
    type: str
    tif: str
    qty: str
    cum_qty: str
    leaves_qty: str
    status: str
    order_id: str = ""
    price: str = ""
    stop_price: str = ""
    cum_quote: str = ""
    orig_cl_ord_id: str = ""
    last_qty: str = ""
    last_px: str = ""
    trade_id: str = ""
    liquidity: str = ""
    fee: str = ""
    fee_asset: str = ""
    post_only: bool = False
    tag: str = ""
    session: str = ""
    origin: str = ""
    code: int = 0
    reason: str = ""
    text: str = ""


class CancelRejectedData(Struct, frozen=True, gc=False, omit_defaults=True):
    """`cancel_rejected`: a cancel or replace that the core refused; status is the order's."""

    response_to: str
    status: str
    code: int
    reason: str
    order_id: str = ""
    cl_ord_id: str = ""
    orig_cl_ord_id: str = ""
    text: str = ""


class MassCanceledData(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """`mass_canceled`: the end of a mass cancel; the event of each order comes before it."""

    canceled: int
    cl_ord_id: str = ""
    code: int = 0
    reason: str = ""


class LimitsData(Struct, frozen=True, omit_defaults=True):
    """`limits`: an operator changed them; they are in force from from_ts on."""

    profile: str
    changed: tuple[LimitBlock, ...]
    from_ts: int


class SystemData(Struct, frozen=True, omit_defaults=True):
    """`system`: normal, busy, cancel_only, halted or draining. symbol: if only one instrument is concerned."""

    state: str
    reconnect_by: int | UnsetType = UNSET
    cod_suspended_ms: int | UnsetType = UNSET
    queue_ms: int | UnsetType = UNSET
    symbol: str = ""
    text: str = ""


class SnapshotData(Struct, frozen=True):
    """`snapshot`: all open orders as of the event's seq, in several events if there are many. last: the final one."""

    epoch: str
    orders: tuple[OrderRow, ...]
    last: bool


class ResumedData(Struct, frozen=True):
    """`resumed`: the replay of begin to end is complete; the events that follow are live."""

    epoch: str
    begin: int
    end: int


class ResumeResult(Struct, frozen=True, omit_defaults=True):
    """The outcome of `resume`: replayed (begin to end follow), none (nothing missed) or snapshot (with the reason)."""

    status: str
    begin: int | UnsetType = UNSET
    end: int | UnsetType = UNSET
    reason: str = ""


class LogonResult(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Result of `session.logon`, `session.status` and `session.configure`: the settings in force."""

    session: str
    account: str
    permissions: tuple[str, ...]
    epoch: str
    resume: ResumeResult | UnsetType = UNSET
    cod: Cod
    heartbeat_ms: int
    streams: tuple[str, ...]
    limits: tuple[LimitBlock, ...]


class PlaceResult(Struct, frozen=True, gc=False, omit_defaults=True):
    """Result of `order.place` and `order.replace`. duplicate: the order was known before this request.

    orig_cl_ord_id: the id in a retry, if the order has another now.
    """

    order_id: str
    cl_ord_id: str
    status: str
    qty: str
    cum_qty: str
    leaves_qty: str
    engine_ts: int
    seq: int
    duplicate: bool = False
    code: int = 0
    reason: str = ""
    orig_cl_ord_id: str = ""


class QueuedResult(Struct, frozen=True, gc=False):
    """Result (202) of a request with `resp:"queued"`: handed over; the rest arrives as events."""

    cl_ord_id: str


class CancelResult(Struct, frozen=True, gc=False):
    """Result of `order.cancel`."""

    order_id: str
    status: str
    seq: int


class CancelAllResult(Struct, frozen=True, gc=False):
    """Result of `order.cancel_all`. coalesced: it joined a mass cancel of the same scope that was in progress."""

    canceled: int
    pending: int
    coalesced: bool


class CancelAfterResult(Struct, frozen=True, gc=False, omit_defaults=True):
    """Result of `order.cancel_after`."""

    armed: bool
    fires_at: int | UnsetType = UNSET


class LegResult(Struct, frozen=True, omit_defaults=True):
    """One leg of a batch, answered like a separate request."""

    status: int
    result: object = UNSET
    error: ErrorBody | UnsetType = UNSET


class BatchResult(Struct, frozen=True):
    """Result of `order.batch`: one entry for each leg, in their order."""

    ok: int
    failed: int
    legs: tuple[LegResult, ...]


class OrderListResult(Struct, frozen=True):
    """Result of `order.list`: open orders as of seq."""

    seq: int
    orders: tuple[OrderRow, ...]


class LimitsResult(Struct, frozen=True):
    """Result of `limits.get`."""

    profile: str
    limits: tuple[LimitBlock, ...]


class InstrumentInfo(Struct, frozen=True, omit_defaults=True):
    """One instrument. A bound that is absent does not apply."""

    symbol: str
    base: str
    quote: str
    tick: str
    lot: str
    min_qty: str = ""
    max_qty: str = ""
    min_notional: str = ""
    max_notional: str = ""
    band_low: str = ""
    band_high: str = ""


class InstrumentsResult(Struct, frozen=True):
    """Result of `instruments.list`."""

    instruments: tuple[InstrumentInfo, ...]


class StreamsResult(Struct, frozen=True):
    """Result of `subscribe` and `unsubscribe`: the streams subscribed now."""

    streams: tuple[str, ...]


class ReplayResult(Struct, frozen=True):
    """Result of `stream.replay`: begin to end follow as events with `replay:true`."""

    begin: int
    end: int


class TimeResult(Struct, frozen=True):
    """Result of `time`: the gateway's clock, microseconds UTC."""

    ts: int


EVENTS: dict[str, type[Struct]] = {
    "hello": HelloData,
    "order": OrderData,
    "cancel_rejected": CancelRejectedData,
    "mass_canceled": MassCanceledData,
    "limits": LimitsData,
    "system": SystemData,
    "snapshot": SnapshotData,
    "resumed": ResumedData,
}
"""Every event with the Struct of its data."""


class Method(NamedTuple):
    """The params and the result of a method. result None: an empty object. is_big: see `BIG_METHODS`."""

    params: type[Params]
    result: type[Struct] | None = None
    is_big: bool = False


METHODS: dict[str, Method] = {
    "session.logon": Method(schema.LogonParams, LogonResult),
    "session.logout": Method(schema.LogoutParams),
    "session.status": Method(Params, LogonResult),
    "session.configure": Method(schema.ConfigureParams, LogonResult),
    "time": Method(Params, TimeResult),
    "ping": Method(Params),
    "order.place": Method(schema.PlaceParams, PlaceResult),
    "order.cancel": Method(schema.CancelParams, CancelResult),
    "order.replace": Method(schema.ReplaceParams, PlaceResult),
    "order.cancel_all": Method(schema.CancelAllParams, CancelAllResult),
    "order.cancel_after": Method(schema.CancelAfterParams, CancelAfterResult),
    "order.batch": Method(schema.BatchWire, BatchResult, is_big=True),
    "order.status": Method(schema.StatusParams, OrderRow),
    "order.list": Method(schema.ListParams, OrderListResult),
    "limits.get": Method(Params, LimitsResult),
    "instruments.list": Method(Params, InstrumentsResult),
    "subscribe": Method(schema.SubscribeParams, StreamsResult),
    "unsubscribe": Method(schema.SubscribeParams, StreamsResult),
    "stream.replay": Method(schema.ReplayParams, ReplayResult),
}
"""Every method served. What is known of methods elsewhere (decoders, `COMMANDS`, the reference) follows from here."""

BIG_METHODS = frozenset(name for name, method in METHODS.items() if method.is_big)
"""Methods whose messages may be four times as large as those of the others."""
