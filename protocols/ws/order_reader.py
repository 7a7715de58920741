"""Reads runs of plain orders: consecutive `order.place`s of one read, limit orders with the usual fields.

The general road (codec, translate, admission) is the reference. A plain message is decoded in one step, and everything
that the general road would decide of it is checked here value by value, or was asked of it once per kind of order. A
message that is not plain in any respect ends the run; the general road takes it, and says what is wrong with it, if
anything. Reading has no effect but on memos, all of which are bounded.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from protocols.instruments import Instruments, rendered
from protocols.known_numbers import KnownNumbers
from protocols.messages import NewOrder, Origin, Sender
from protocols.order_terms import is_cl_ord_id, is_label
from protocols.units import NS_PER_MS, NS_PER_US
from protocols.wall import DOUBT_NS
from protocols.ws.codec import Codec
from protocols.ws.duplicate_keys import duplicate_in_json
from protocols.ws.events import Requested
from protocols.ws.framing import DataMessage, Frame
from protocols.ws.order_run import PlaceKind, PlaceRun, PlainPlace
from protocols.ws.schema import PlaceParams, SentAt, Text
from protocols.ws.translate import command

MAX_KINDS = 1_024  # of all connections; then all are learned anew, each with its next order
MAX_BYTES = 1_024  # of a plain message
_ENVELOPE_MEMBERS = 3
_NUMBERS_AND_TYPE = 4  # params that each plain order has beside its words
_NO_BOUND = 1 << 127


class _Plain(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Those params of `PlaceParams` that plain orders have. The first six are required."""

    symbol: Text
    side: Literal["buy", "sell"]
    type: Literal["limit"]
    cl_ord_id: Text
    qty: str
    price: str
    tif: Literal["day", "gtc", "ioc", "fok"] | None = None
    post_only: bool | None = None
    stp: Literal["default", "none", "expire_taker", "expire_maker", "expire_both", "decrement"] | None = None
    cod: Literal["exempt"] | None = None
    tag: Text | None = None
    ts: SentAt | None = None
    valid_for_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    resp: Literal["accepted", "none"] | None = None


class _Place(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A whole message with an id and nothing rare."""

    method: Literal["order.place"]
    id: Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]
    params: _Plain


_decode = msgspec.json.Decoder(_Place).decode
_Words = tuple[str, str, str | None, bool | None, str | None, str | None]


class PlaceReader:
    """Reads the runs of all connections, in JSON. What orders of a kind are depends on none of them."""

    __slots__ = ("_deadline_ns", "_instruments", "_kinds", "_known")

    def __init__(self, instruments: Instruments, known: KnownNumbers, order_deadline_ms: int) -> None:
        """order_deadline_ms: see `translate.command`."""
        self._instruments = instruments
        self._known = known
        self._deadline_ns = order_deadline_ms * NS_PER_MS
        self._kinds: dict[_Words, PlaceKind] = {}

    def read(self, frames: Sequence[Frame], begin: int, utc_ns: int) -> PlaceRun | None:
        """The plain orders from frames[begin] on; None when that is none. utc_ns: the time of the read."""
        orders: list[PlainPlace] = []
        messages: list[bytes | bytearray] = []
        resp = label = ""
        kinds, default_deadline = self._kinds, self._deadline_ns and utc_ns + self._deadline_ns
        for frame in islice(frames, begin, None):
            if type(frame) is not DataMessage or frame.binary or len(frame.data) > MAX_BYTES:
                break
            data = frame.data
            try:
                place = _decode(data)
            except (ValueError, RecursionError):
                break
            params = place.params
            words = (params.symbol, params.side, params.tif, params.post_only, params.stp, params.cod)
            kind = kinds.get(words) or self._learn(words, params)
            if kind is None:
                break
            price, quantity = kind.prices[params.price], kind.quantities[params.qty]
            if not kind.low <= price * quantity <= kind.high or not price or not quantity:
                break
            tag, ts, valid_for_ms, wanted = params.tag, params.ts, params.valid_for_ms, params.resp or "accepted"
            if not is_cl_ord_id(params.cl_ord_id):
                break
            if tag is not None and tag != label:
                if not is_label(tag):
                    break
                label = tag
            if wanted != resp:
                if resp:
                    break
                resp = wanted
            deadline, sent_at = default_deadline, 0
            if ts is not None:
                sent_at = ts * NS_PER_US
                if not -DOUBT_NS < sent_at - utc_ns < DOUBT_NS:
                    break
            if valid_for_ms is not None:
                deadline = (sent_at or utc_ns) + valid_for_ms * NS_PER_MS
                if deadline < utc_ns:
                    break
            members = _ENVELOPE_MEMBERS + kind.members + (tag is not None) + (ts is not None)
            members += (valid_for_ms is not None) + (params.resp is not None)
            if data.count(b":") != members and _has_duplicate(data, members, place):
                break
            orders.append((place.id, params.cl_ord_id, kind, quantity, price, deadline, tag or "", sent_at))
            messages.append(data)
        return PlaceRun(orders, messages, resp, utc_ns) if orders else None

    def _learn(self, words: _Words, plain: _Plain) -> PlaceKind | None:
        """What the general road makes of these words; None when it refuses them."""
        instrument = self._instruments.by_symbol.get(plain.symbol)
        if instrument is None:
            return None
        params = PlaceParams(
            plain.symbol, plain.side, plain.type, cl_ord_id="x", qty="1", price="1",
            tif=plain.tif, post_only=plain.post_only, stp=plain.stp, cod=plain.cod,
        )  # fmt: skip
        made = command("order.place", params, Sender(0, 0, Origin.WS), 0, self._instruments)
        if not isinstance(made, NewOrder):
            return None
        prices, quantities = self._known.of(instrument)
        if len(self._kinds) >= MAX_KINDS:
            self._kinds.clear()
        kind = self._kinds[words] = PlaceKind(
            instrument, made.side, made.ord_type, made.tif, made.flags, made.stp,
            len(words) + _NUMBERS_AND_TYPE - words.count(None), prices, quantities, rendered(instrument.qty_exp),
            instrument.min_notional, instrument.max_notional or _NO_BOUND,
        )  # fmt: skip
        return kind


def request_in(run: PlaceRun, index: int, codec: Codec) -> Requested:
    """One message of a run, as the general road would have handed it out."""
    data = bytes(run.messages[index])
    request = codec.request(data)
    params = codec.params(request, data)
    assert isinstance(params, PlaceParams)
    return Requested(request.id, request.method, params, len(data), run.t_in_ns, request.traceparent)


def _has_duplicate(data: bytes | bytearray, members: int, place: _Place) -> bool:
    values = msgspec.structs.astuple(place.params)
    return duplicate_in_json(bytes(data), members, (place.id, *values)) is not None
