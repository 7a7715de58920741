"""One command on its way along the order path: what the doors hand in and the reports find again. Pure.

A request lives from the moment its command was decoded until its one final answer. It carries nothing of a socket.
"""

from enum import IntEnum
from typing import Protocol

import msgspec

from gateway.sessions.reply import Endpoint
from gateway.sessions.session import Session
from gateway.telemetry.tracing import OrderTrace
from limits.limiter import ShadowDebit
from protocols.messages import POSS_RESEND, AnyCommand, CancelOrder, MassCancel, NewOrder, QueryOrders, ReplaceOrder
from protocols.runs import NewOrders


class Class(IntEnum):
    """What goes first when something must wait. Priority never reorders effects: see `gateway.orders.queue`."""

    CONTROL = 0
    CANCEL = 1
    ORDER = 2
    QUERY = 3


class RequestState(IntEnum):
    """Where a request is on its way; see `_NEXT`."""

    QUEUED = 0  # it waits: for tokens, or for its turn
    HANDED_OVER = 1  # the core has it
    UNKNOWN = 2  # "outcome unknown" was sent; the core's answer is still to come, if it ever comes
    ASKING = 3  # after "outcome unknown" it waits again: as a question what became of the first attempt
    WITHDRAWN = 4  # it left the queue before its turn
    ANSWERED = 5  # its final answer was sent: what the core says of it after this is a report


# From which state to which:
#
#   QUEUED -----> HANDED_OVER -----> ANSWERED      the usual way
#     |               `--> UNKNOWN -----^          no answer in time; the core's report follows
#     |------------------> UNKNOWN                 a retry that is not handed over, whose first attempt may live
#     |--> WITHDRAWN --> ANSWERED or UNKNOWN       overtaken by a cancel, or it waited too long
#     `--> ANSWERED                                refused
#   ASKING --> UNKNOWN --> ANSWERED                a copy of a late retry, see `CoreLink.expire`
_NEXT = {
    RequestState.QUEUED: frozenset(
        (RequestState.HANDED_OVER, RequestState.UNKNOWN, RequestState.WITHDRAWN, RequestState.ANSWERED)
    ),
    RequestState.HANDED_OVER: frozenset((RequestState.UNKNOWN, RequestState.ANSWERED)),
    RequestState.UNKNOWN: frozenset((RequestState.ANSWERED,)),
    RequestState.ASKING: frozenset((RequestState.UNKNOWN,)),
    RequestState.WITHDRAWN: frozenset((RequestState.UNKNOWN, RequestState.ANSWERED)),
    RequestState.ANSWERED: frozenset[RequestState](),
}
_WAITING = (RequestState.QUEUED, RequestState.ASKING)
_REPORTED = (RequestState.UNKNOWN, RequestState.ASKING)


def is_retry(command: AnyCommand) -> bool:
    """Whether a first attempt may be live: then only the core can say what became of it."""
    return isinstance(command, NewOrder | ReplaceOrder) and bool(command.flags & POSS_RESEND)


class Request(msgspec.Struct, eq=False):
    """One command, its session, and what it was charged.

    source: what the endpoint needs to answer it (a FIX message, a WebSocket request). size_bytes: its cost on the wire,
    counted against the queue. kind: its wire name. endpoint: who asked; another connection of the same session is not
    answered for it. bucket, cost_milli, shadow: what a refund returns. is_counted: its place among the messages is
    paid. has_place: it counts as an open order. arrived_ns: own time of its arrival, which the command has as UTC
    (t_recv). handed_ns: 0 = not handed over. asks_with: not 0 = a retry that may place no order: it asks what became of
    the first attempt, and where there was none it is refused with this code. joined: repeats of a mass cancel, answered
    with it. is_followed: a mass cancel after which an order of the account came. has_overtaken: see `Reply`.
    """

    command: AnyCommand
    session: Session
    source: object
    size_bytes: int
    kind: str = ""
    endpoint: Endpoint | None = None
    arrived_ns: int = 0
    trace: OrderTrace | None = None
    state: RequestState = RequestState.QUEUED
    bucket: str = ""
    cost_milli: int = 0
    shadow: ShadowDebit | None = None
    is_counted: bool = False
    has_place: bool = False
    handed_ns: int = 0
    asks_with: int = 0
    has_overtaken: bool = False
    is_followed: bool = False
    joined: "list[Request]" = []

    def move_to(self, state: RequestState) -> None:
        """Its next state.

        Raises:
            RuntimeError: there is no way from the one it is in; our own mistake.
        """
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"a request that is {self.state.name} cannot become {state.name}")
        self.state = state

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the queue, or waits for tokens."""
        return self.state in _WAITING

    @property
    def is_reported(self) -> bool:
        """Whether its client knows that its outcome is unknown, and has had no final answer."""
        return self.state in _REPORTED

    @property
    def is_settled(self) -> bool:
        """Whether its client has an answer, be it that the outcome is unknown."""
        return self.state is RequestState.ANSWERED or self.state in _REPORTED

    @property
    def expires_ns(self) -> int:
        """When its validity window ends, in own time; 0 = never."""
        command = self.command
        return self.arrived_ns + command.deadline - command.t_recv if command.deadline else 0

    @property
    def queue_class(self) -> Class:
        kind = type(self.command)
        if kind is MassCancel:
            return Class.CONTROL
        if kind is CancelOrder:
            return Class.CANCEL
        return Class.QUERY if kind is QueryOrders else Class.ORDER


class RunSources(Protocol):
    """What the endpoint needs to answer each order of a run, made only when it is needed."""

    def source(self, index: int) -> object:
        """See `Request.source`."""

    def size_bytes(self, index: int) -> int:
        """See `Request.size_bytes`."""


class RequestRun(msgspec.Struct, eq=False):
    """News of one session that came in one read: admitted, handed over and reported together.

    Only as long as nothing tells them apart. Then `split` makes requests of them, and each goes its own way. sources,
    kind, endpoint, arrived_ns: as of a `Request`. bucket, cost_milli: what each was charged beside a message. counts:
    by instrument. size_bytes: of all. trace: of the one order among them that is traced, if any. shows_limits: the
    answers show what is left of them, so what an answer gives back must be given back right before it. waiting: its
    orders, once each of them waits for its own answer of the core. handed_ns: as of a `Request`.
    """

    commands: NewOrders
    session: Session
    sources: RunSources
    size_bytes: int
    kind: str
    endpoint: Endpoint | None
    arrived_ns: int
    counts: dict[int, int]
    shows_limits: bool = False
    bucket: str = ""
    cost_milli: int = 0
    trace: OrderTrace | None = None
    traced: int = 0
    waiting: list[Request] = []
    handed_ns: int = 0

    def split(self) -> list[Request]:
        """The same as single requests: charged, counted, and with places among the open orders."""
        return [
            Request(
                command,
                self.session,
                self.sources.source(index),
                self.sources.size_bytes(index),
                self.kind,
                self.endpoint,
                self.arrived_ns,
                self.trace if index == self.traced else None,
                bucket=self.bucket,
                cost_milli=self.cost_milli,
                is_counted=True,
                has_place=True,
            )
            for index, command in enumerate(self.commands)
        ]
