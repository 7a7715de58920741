"""What the order path needs of a matching core, wherever that runs.

Commands are handed over in order; events come through the sink, in order per account. A slow core is noticed by its
credit: the order path never has more than `window` commands unanswered, and `credit` says how many it may send now.

What any core must keep to (`tests/gateway/core/test_embedded.py`):

- A command whose number is not above the last one of its session and lane is a repeat: it is dropped without
  an event.
- Each command causes at least one event with its cmd_id; the last of them is its answer.
- Events of an account are numbered 1, 2, 3, ... and reported in that order.
- More commands than credit are refused whole, and inside the sink there is no credit: no event overtakes another.
- What it is handed may have runs in it (`NewOrders`, `HandOver` in `protocols/runs.py`). It may answer them as such
  while they are handed over (`RunEvents`, `HandOverEvents`). To one that sees only commands, and reports only events,
  each order of a run is a command of its own.
- It keeps its own record. The gateway records and restores the embedded core only.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from protocols.messages import AnyCommand, AnyEvent, Lane, OrderEvent, OrdStatus

EventSink = Callable[[Sequence[AnyEvent], int], None]
"""Takes a batch of events, and the own time at which they are reported."""


class CoreState(Protocol):
    """What a start of the gateway asks of a core."""

    def highest(self, session: int, lane: Lane) -> int:
        """The last n of this session's lane that was executed, 0 = none: where its counter continues."""

    def open_orders(self, account: int) -> list[OrderEvent]:
        """The account's open orders in order of entry, as ORDER_STATUS events or as they were last reported."""

    def forget(self, session: int) -> None:
        """A session has ended for good: its counters begin at 1 if its id is ever used again."""


class MatchingCore(Protocol):
    """One ordered command stream in, numbered events out."""

    @property
    def epoch(self) -> str:
        """The incarnation of the event streams. It changes only if the core lost or rebuilt its history."""

    @property
    def credit(self) -> int:
        """How many commands may be handed over now."""

    def submit(self, commands: Sequence[AnyCommand], now_ns: int) -> None:
        """Hand over one turn's commands, in order; at most `credit` of them. Idempotent by cmd_id.

        now_ns: the gateway's own time (`protocols.wall`); the times in commands and events are UTC.
        """

    def subscribe(self, sink: EventSink) -> None:
        """Set the one receiver of events. It is called with batches, during `submit` or later."""

    def latest_seq(self, account: int) -> int:
        """The number of the account's latest event, 0 if there is none."""

    def order_state(self, account: int, order_id: int, cl_ord_id: str) -> OrderEvent | OrdStatus:
        """The state of the order of that name (any id of its chain wins over order_id; "" and 0 = not given).

        An ORDER_STATUS event as of now. REJECTED: there is no such order; PENDING_NEW: it is not known now. Called on
        refusals only; a remote core answers from the events that it has reported.
        """
