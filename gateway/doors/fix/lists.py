"""The long answers of FIX: thousands of order states, some of them in each tick, all sessions together.

An OrderMassStatusRequest(AF) has a report for each open order. Each of them is numbered and recorded like any other, so
they are made in the tick's first part, before the journal is written; and each tells its order as it is by then, for
what has happened meanwhile was told before. Pure.
"""

from typing import Protocol

import msgspec

from gateway.orders.endpoint_calls import Fallible
from gateway.orders.path import OrderPath
from gateway.orders.standing import Standing
from protocols.fix.events import AppMessage
from protocols.fix.translate import Answer, Translator
from protocols.messages import OrderList

STATES = 64  # told in a tick: half a millisecond
MOST = 4  # long answers that one session may have on their way


def is_long(event: OrderList) -> bool:
    """Whether it is more than one tick may tell."""
    return len(event.orders) > STATES


class ListReply:
    """One long answer on its way. source: the request."""

    def __init__(self, event: OrderList, source: AppMessage, t_recv: int) -> None:
        self.source = source
        self._event = event
        self._t_recv = t_recv
        self._sent = 0

    @property
    def is_done(self) -> bool:
        """Whether all of it is told."""
        return self._sent >= len(self._event.orders)

    def advance(self, most: int, translator: Translator, standing: Standing, latest_seq: int) -> list[Answer]:
        """The next reports, so many at most. latest_seq: the account's latest event, which they are as of."""
        event, first = self._event, self._sent
        orders = tuple(standing.now(order) for order in event.orders[first : first + most])
        self._sent = first + len(orders)
        part = msgspec.structs.replace(event, orders=orders, seq=latest_seq)
        return translator.states(part, self.source, self._t_recv, first + 1, len(event.orders))


class ListSender(Fallible, Protocol):
    """A session with long answers on their way."""

    def continue_list(self, most: int, now_ns: int) -> int:
        """Tell so many states more, at most; how many there were. 0 = that was all."""
        ...


class Lists:
    """Whose long answers are on their way, the one whose turn it is first."""

    def __init__(self, orders: OrderPath) -> None:
        self._orders = orders
        self._senders: dict[ListSender, None] = {}

    def begin(self, sender: ListSender) -> None:
        """It has one, or one more."""
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
