"""What the road asks of a matching core, wherever it runs.

Hand-over is in order; answers come through the sink, in order per account. Credit is how a slow core is felt: the road
never has more than `window` commands unanswered, and `credit` says how many it may hand over now.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from protocols.messages import AnyCommand, AnyEvent, OrderEvent, OrdStatus

EventSink = Callable[[Sequence[AnyEvent], int], None]
"""Takes whole batches of events, and the moment of own time at which they are told."""


class MatchingCore(Protocol):
    """One ordered command stream in, numbered events out."""

    @property
    def epoch(self) -> str:
        """The incarnation of the event streams: changes only when the core lost or rebuilt its history."""
        ...

    @property
    def credit(self) -> int:
        """How many commands may be handed over now."""
        ...

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """Hand over one tick's commands, in order; at most `credit` of them. Idempotent by cmd_id.

        now_ns: the gateway's own time (`protocols.wall`); the times in commands and events are UTC.
        """
        ...

    def subscribe(self, sink: EventSink) -> None:
        """Set the one receiver of events. It is called with whole batches, after `submit` or later."""
        ...

    def latest_seq(self, account: int) -> int:
        """The number of the account's latest event, 0 when there is none."""
        ...

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        """What became of the order of that name (any id of its chain goes before order_id; "" and 0 = not given).

        An ORDER_STATUS event as of now. REJECTED: there is no such order; PENDING_NEW: that cannot be said now.
        Asked on refusals only; a core far away answers from the events that it has told.
        """
        ...
