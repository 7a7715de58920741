"""What an endpoint needs to answer a request, and what the order path needs of an endpoint. Pure.

`Reply` is the part of a request that its answer needs; the rest of it (`request.py`) belongs to the order path.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from limits.limiter import BucketView
from protocols import errors
from protocols.errors import Refusal
from protocols.messages import (
    AnyCommand,
    AnyEvent,
    CancelRejected,
    EngineState,
    MassCancel,
    MassCancelDone,
    OrderEvent,
)
from protocols.runs import NewOrders


class Reply(Protocol):
    """A request, as the endpoint that answers it sees it.

    source: what the endpoint gave with it (a FIX message, a WebSocket request). bucket, is_counted: the limits that it
    was charged to. has_overtaken: a cancel that withdrew a waiting New of its name.
    """

    @property
    def command(self) -> AnyCommand: ...
    @property
    def source(self) -> object: ...
    @property
    def bucket(self) -> str: ...
    @property
    def is_counted(self) -> bool: ...
    @property
    def has_overtaken(self) -> bool: ...


class RunReply(Protocol):
    """A run of orders, as the endpoint that answers them sees it. sources: what the endpoint gave with it."""

    @property
    def commands(self) -> NewOrders: ...
    @property
    def sources(self) -> object: ...
    @property
    def bucket(self) -> str: ...


class Endpoint:
    """One session, as the order path calls it: the pure half of a door. What a door does not care for does nothing."""

    @property
    def has_living_link(self) -> bool:
        """Whether it has a connection whose end was neither read nor begun by us."""
        return False

    def handed_over(self, reply: Reply, now_ns: int) -> None:
        """The core has the command; not an answer, and most sessions stay silent."""

    def answer(self, reply: Reply, event: AnyEvent, now_ns: int) -> None:
        """The final answer to a request: `event` is the last state that the command caused."""

    def report(self, event: AnyEvent, reply: Reply | None, now_ns: int) -> None:
        """An event of the account's stream; `reply` when this session's request caused it.

        Sent to the session that asked for it, to the owner of the order, and to those that receive everything.
        """

    def report_all(self, events: Sequence[OrderEvent], now_ns: int) -> None:
        """Several events of the account's stream, in order, that no request of this session caused."""
        for event in events:
            self.report(event, None, now_ns)

    def report_run(self, run: RunReply, events: Sequence[OrderEvent], now_ns: int) -> None:
        """The events of a run that this session sent, in order: the final answer to each of its orders.

        Those with a cmd_id answer its orders; others are of orders that it has, changed by the run.
        """

    def refuse(self, source: object, refusal: Refusal, now_ns: int) -> None:
        """The gateway itself says no (or: outcome unknown) to what `source` asked."""

    def notice(self, state: EngineState, now_ns: int) -> None:
        """The state of the market changed."""

    def limits_changed(self, views: list[BucketView], version: int, now_ns: int) -> None:
        """Operators changed these buckets."""

    def draining(self, reconnect_by_ns: int, text: str, now_ns: int) -> None:
        """A planned end is near."""

    def log_out(self, text: str, now_ns: int) -> None:
        """We end the session in order."""

    def failed(self, now_ns: int) -> None:
        """Our own bug: end this session's connection; no other is touched."""

    def waits(self, source: object, now_ns: int) -> None:
        """What `source` asked waits in memory, in the order of arrival, for tokens that are being fetched."""

    def goes_on(self, source: object, now_ns: int) -> None:
        """It waits no more: it was refused, or is on its way."""

    def pause_reading(self, now_ns: int) -> None:
        """Stop reading this session's connection: we are slow, and its silence is not its fault."""

    def resume_reading(self, now_ns: int) -> None:
        """Read on."""


def answer_to(reply: Reply, event: AnyEvent) -> AnyEvent:
    """What the core answered, as this request is answered.

    A cancel that withdrew the New of its name was too late for it, though the core never had that order. A repeat of a
    mass cancel is answered with the event of the one it joined, which is no event of its own.
    """
    if reply.has_overtaken and isinstance(event, CancelRejected) and event.code == errors.UNKNOWN_ORDER:
        return msgspec.structs.replace(event, code=errors.TOO_LATE, text="withdrawn before it reached the engine")
    command = reply.command
    if isinstance(event, MassCancelDone) and isinstance(command, MassCancel) and event.cmd_id != command.cmd_id:
        return msgspec.structs.replace(event, cmd_id=command.cmd_id, cl_ord_id=command.cl_ord_id, seq=0)
    return event
