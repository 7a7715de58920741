"""Long answers of FIX: thousands of order states, sent a slice per turn, all sessions together.

An OrderMassStatusRequest(AF) brings one report for each open order. Each report is numbered and recorded like any
other, so slices are made in the first part of a turn, before the journal is written. A report gives its order as it is
at that moment, not as of the request: events that happened meanwhile were already sent. Pure.
"""

from typing import Protocol

import msgspec

from gateway.orders.endpoint_calls import Fallible
from gateway.orders.path import OrderPath
from gateway.orders.standing import Standing
from protocols.fix.events import AppMessage
from protocols.fix.translate import Answer, Translator
from protocols.messages import OrderList

STATES = 64  # sent per turn: half a millisecond
MOST = 4  # long answers in progress that one session may have


def is_long(event: OrderList) -> bool:
    """Whether it is more than one turn may send."""
    return len(event.orders) > STATES


class ListReply:
    """One long answer in progress. source: the request."""

    def __init__(self, event: OrderList, source: AppMessage, t_recv: int) -> None:
        self.source = source
        self._event = event
        self._t_recv = t_recv
        self._sent = 0

    @property
    def is_done(self) -> bool:
        return self._sent >= len(self._event.orders)

    def advance(self, most: int, translator: Translator, standing: Standing, latest_seq: int) -> list[Answer]:
        """The next reports, `most` at most. latest_seq: number of the account's latest event, which they are as of."""
        event, first = self._event, self._sent
        orders = tuple(standing.now(order) for order in event.orders[first : first + most])
        self._sent = first + len(orders)
        part = msgspec.structs.replace(event, orders=orders, seq=latest_seq)
        return translator.states(part, self.source, self._t_recv, first + 1, len(event.orders))


class ListSender(Fallible, Protocol):
    """A session with long answers in progress."""

    def continue_list(self, most: int, now_ns: int) -> int:
        """Send `most` more states at most; how many were sent. 0 = all are sent."""


class Lists:
    """The sessions with long answers in progress, the next one first."""

    def __init__(self, orders: OrderPath) -> None:
        self._orders = orders
        self._senders: dict[ListSender, None] = {}

    def begin(self, sender: ListSender) -> None:
        """A long answer of this session begins."""
        if not self._senders:
            self._orders.later(self._go_on)
        self._senders[sender] = None

    def _go_on(self, now_ns: int) -> None:
        left, senders = STATES, self._senders
        while senders and left > 0:
            sender = next(iter(senders))
            del senders[sender]
            sent = self._orders.calls.call(sender, sender.continue_list, left, now_ns)
            if sent:
                left -= sent
                senders[sender] = None
        if senders:
            self._orders.later(self._go_on)
