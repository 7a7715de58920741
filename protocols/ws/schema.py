"""What a WebSocket client may send: the envelope, and a Struct of params for each method.

JSON and msgpack share these Structs. Unknown members of the envelope are ignored; unknown fields of params are refused.
An absent field of params must be `None` and have no other default: the check for repeated keys counts the fields that
are not None (`protocols.ws.codec`). Money is text: a JSON number is refused by its type.
"""

from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from protocols.errors import Refusal

Micros = Annotated[int, Meta(ge=0, le=1 << 53, description="microseconds UTC")]
SentAt = Annotated[int, Meta(ge=1, le=1 << 53, description="microseconds UTC, when the client sent it first")]
RequestId = Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)] | None
Text = Annotated[str, Meta(min_length=1, max_length=64)]
StreamName = Literal["orders", "limits", "system"]
Streams = Annotated[tuple[StreamName, ...], Meta(max_length=8)]
HeartbeatMs = Annotated[int, Meta(ge=1_000, le=60_000)]
LimitsMode = Literal["always", "near", "never"]
Reply = Literal["accepted", "queued", "none"]

STREAMS: tuple[StreamName, ...] = ("orders", "limits", "system")
NO_PARAMS = Raw()


class RequestEnvelope(Struct, frozen=True, gc=False):
    """The envelope of every request. id null or absent = no answer on success. params is decoded by method."""

    method: str
    id: RequestId = None
    params: Raw = NO_PARAMS
    traceparent: str = ""


class Cod(Struct, frozen=True, forbid_unknown_fields=True):
    """Cancel-on-disconnect: whose orders, and how long to wait for the client to reconnect."""

    scope: Literal["off", "session", "account"] = "session"
    grace_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0


class Resume(Struct, frozen=True, forbid_unknown_fields=True):
    """The last event that the client received."""

    epoch: Text
    seq: Annotated[int, Meta(ge=0, le=1 << 53)]


class Params(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The base of all params, and those of a method without any."""


class LogonParams(Params, frozen=True, gc=False):
    """`session.logon`. sig: base64 of the signature over `protocols.signing.ws_logon_text`; challenge "" = not used."""

    api_key: Text
    ts: Micros
    sig: Annotated[str, Meta(min_length=1, max_length=1_024)]
    challenge: Annotated[str, Meta(max_length=64)] | None = None
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}$")] | None = None
    heartbeat_ms: HeartbeatMs | None = None
    cod: Cod | None = None
    limits: LimitsMode | None = None
    streams: Streams | None = None
    resume: Resume | None = None


class LogoutParams(Params, frozen=True, gc=False):
    """`session.logout`."""

    cancel_orders: bool | None = None


class ConfigureParams(Params, frozen=True, gc=False):
    """`session.configure`: an absent field does not change."""

    limits: LimitsMode | None = None
    cod: Cod | None = None
    streams: Streams | None = None
    heartbeat_ms: HeartbeatMs | None = None


class PlaceParams(Params, frozen=True, gc=False):
    """`order.place`."""

    symbol: Text
    side: Literal["buy", "sell"]
    type: Literal["market", "limit", "stop", "stop_limit"]
    cl_ord_id: Text
    qty: str | None = None
    quote_qty: str | None = None
    price: str | None = None
    stop_price: str | None = None
    tif: Literal["day", "gtc", "ioc", "fok", "gtd"] | None = None
    expire_at: Micros | None = None
    post_only: bool | None = None
    display_qty: str | None = None
    stp: Literal["default", "none", "expire_taker", "expire_maker", "expire_both", "decrement"] | None = None
    stp_group: Text | None = None
    cod: Literal["exempt"] | None = None
    tag: Text | None = None
    retry: bool | None = None
    ts: SentAt | None = None
    valid_for_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    resp: Reply | None = None


class CancelParams(Params, frozen=True, gc=False):
    """`order.cancel`: order_id, orig_cl_ord_id, or both, if they agree."""

    symbol: Text
    order_id: str | None = None
    orig_cl_ord_id: str | None = None


class ReplaceParams(Params, frozen=True, gc=False):
    """`order.replace`. qty is the total, including what is filled."""

    symbol: Text
    cl_ord_id: Text
    qty: str
    price: str
    order_id: str | None = None
    orig_cl_ord_id: str | None = None
    post_only: bool | None = None
    ts: SentAt | None = None
    valid_for_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None


class CancelAllParams(Params, frozen=True, gc=False):
    """`order.cancel_all`: an absent field means any; scope is the account unless `session`."""

    symbol: Text | None = None
    side: Literal["buy", "sell"] | None = None
    tag: Text | None = None
    scope: Literal["account", "session"] | None = None


class CancelAfterParams(Params, frozen=True, gc=False):
    """`order.cancel_after`, the dead-man's switch: 0 = off, else 1,000 to 300,000 ms (checked by `translate`)."""

    timeout_ms: Annotated[int, Meta(ge=0, le=300_000)]


class LegWire(Struct, frozen=True, forbid_unknown_fields=True):
    """One leg of a batch as received; its params are decoded by op."""

    op: Literal["place", "cancel", "replace"]
    params: Raw


class BatchWire(Params, frozen=True):
    """`order.batch` as received."""

    legs: Annotated[tuple[LegWire, ...], Meta(min_length=1, max_length=20)]
    resp: Reply | None = None


LegParams = PlaceParams | CancelParams | ReplaceParams


class BatchParams(Struct, frozen=True):
    """`order.batch` decoded: the params of each leg, or its refusal. A bad leg does not affect the others."""

    legs: tuple[LegParams | Refusal, ...]
    resp: Reply | None = None


class StatusParams(Params, frozen=True, gc=False):
    """`order.status`: order_id or cl_ord_id."""

    order_id: str | None = None
    cl_ord_id: str | None = None
    symbol: Text | None = None


class ListParams(Params, frozen=True, gc=False):
    """`order.list`: all open orders, of one symbol if it is given."""

    symbol: Text | None = None


class SubscribeParams(Params, frozen=True, gc=False):
    """`subscribe` and `unsubscribe`."""

    streams: Streams


class ReplayParams(Params, frozen=True, gc=False):
    """`stream.replay`: begin to end, both included; without end, to the latest event."""

    epoch: Text
    begin: Annotated[int, Meta(ge=1, le=1 << 53)]
    end: Annotated[int, Meta(ge=1, le=1 << 53)] | None = None


LEGS: dict[str, type[LegParams]] = {"place": PlaceParams, "cancel": CancelParams, "replace": ReplaceParams}
"""The operations that a leg of a batch may have, each with the params of its own method."""
