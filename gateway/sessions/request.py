"""One command on its way through the road: what the doors hand in and the reports find again.

A request lives from the moment its command was decoded until its one terminal answer. It carries nothing of a socket,
so the road stays pure; `source` is whatever the endpoint needs to answer (a FIX message, a WebSocket request).
"""

from enum import IntEnum
from typing import TYPE_CHECKING

import msgspec

from gateway.telemetry.tracing import OrderTrace
from limits.limiter import ShadowDebit
from protocols import errors
from protocols.messages import (
    POSS_RESEND,
    AnyCommand,
    AnyEvent,
    CancelOrder,
    CancelRejected,
    EngineState,
    ExecType,
    MassCancel,
    MassCancelDone,
    NewOrder,
    OrderEvent,
    OrderList,
    QueryOrders,
    ReplaceOrder,
)

if TYPE_CHECKING:
    from gateway.sessions.registry import Endpoint, Session


class Class(IntEnum):
    """Who goes first when something must wait. Priority never reorders effects: see `gateway.orders.queue`."""

    CONTROL = 0
    CANCEL = 1
    ORDER = 2
    QUERY = 3


def is_retry(command: AnyCommand) -> bool:
    """Whether a first attempt may be live: then nobody but the core can say what became of it."""
    return isinstance(command, NewOrder | ReplaceOrder) and bool(command.flags & POSS_RESEND)


class Request(msgspec.Struct, eq=False):
    """One command, its session, and what it was charged.

    size_bytes: what it cost on the wire, counted against the queue. kind: its wire name. bucket, cost_milli, shadow:
    what a refund gives back. is_counted: its place among the messages is paid. has_place: it counts as an open order.
    answered: it had its terminal answer; late events for it are reports, not answers. handed_ns: 0 = not handed over.
    arrived_ns: own time of its arrival, which the command has as UTC (t_recv).
    """

    command: AnyCommand
    session: "Session"
    source: object
    size_bytes: int
    kind: str = ""
    bucket: str = ""
    cost_milli: int = 0
    shadow: ShadowDebit | None = None
    is_counted: bool = False
    has_place: bool = False
    endpoint: "Endpoint | None" = None  # who asked: another connection of the same session is not answered for it
    answered: bool = False
    unknown_told: bool = False  # the client was told "outcome unknown"; the real report still follows
    handed_ns: int = 0
    arrived_ns: int = 0
    trace: OrderTrace | None = None
    asks_with: int = 0  # a retry that may not place an order: it asks what became of the first; else is refused so
    is_withdrawn: bool = False  # left the queue before its turn
    has_overtaken: bool = False  # a cancel that withdrew a waiting New of its name
    is_followed: bool = False  # a mass cancel behind which an order of the account came
    joined: "list[Request]" = []  # repeats of a mass cancel, answered with it

    @property
    def expires_ns(self) -> int:
        """When its validity window ends, in own time; 0 = never."""
        command = self.command
        return self.arrived_ns + command.deadline - command.t_recv if command.deadline else 0

    @property
    def is_told(self) -> bool:
        """Whether its client has been told what became of it, be it that nobody knows yet."""
        return self.answered or self.unknown_told

    @property
    def queue_class(self) -> Class:
        """Its class in the queue."""
        kind = type(self.command)
        if kind is MassCancel:
            return Class.CONTROL
        if kind is CancelOrder:
            return Class.CANCEL
        return Class.QUERY if kind is QueryOrders else Class.ORDER


def answer_to(request: Request, event: AnyEvent) -> AnyEvent:
    """What the core said, as it is told to this request.

    A cancel that withdrew the New of its name was too late for it, though the core has never heard of it. A repeat of a
    mass cancel is answered with the event of the one it joined, which is no event of its own.
    """
    if request.has_overtaken and isinstance(event, CancelRejected) and event.code == errors.UNKNOWN_ORDER:
        return msgspec.structs.replace(event, code=errors.TOO_LATE, text="withdrawn before it reached the engine")
    command = request.command
    if isinstance(event, MassCancelDone) and isinstance(command, MassCancel) and event.cmd_id != command.cmd_id:
        return msgspec.structs.replace(event, cmd_id=command.cmd_id, cl_ord_id=command.cl_ord_id, seq=0)
    return event


def is_numbered(event: AnyEvent) -> bool:
    """Whether the event took a number of its account's stream: states that were only asked for did not."""
    if type(event) is OrderEvent:
        return event.exec_type is not ExecType.ORDER_STATUS
    return not isinstance(event, OrderList | EngineState)
