"""What a dialogue finds: a promise is kept, broken or not tested; and events in a few words for that. Pure."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from protocols.messages import AnyCommand, AnyEvent, CancelRejected, MassCancelDone, OrderEvent, OrderList

WITHOUT_RESTART = "give --restart COMMAND, which kills the core and starts it again"
"""Why a promise about restarts was not tested."""


class NotRestarted(Exception):
    """The core was not killed and started again; the text says why."""


class Broken(Exception):
    """A promise is broken. expected: what the contract says. seen: what the core did, with entries and names."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(expected, seen)
        self.expected = expected
        self.seen = seen


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one promise. why: it was not tested."""

    promise: str
    sentence: str
    state: Literal["kept", "broken", "not tested"]
    expected: str = ""
    seen: str = ""
    why: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the core cannot be said to keep the contract."""
        return self.state == "broken" or (self.state == "not tested" and self.why != WITHOUT_RESTART)


def demand(is_so: bool, expected: str, seen: str) -> None:
    """See that it is so.

    Raises:
        Broken: it is not.
    """
    if not is_so:
        raise Broken(expected, seen)


def words(event: AnyEvent) -> str:
    """An event as a verdict names it."""
    if isinstance(event, OrderEvent):
        code = f", code {event.code}" if event.code else ""
        state = f"exec_type {event.exec_type.value}, status {event.status.value}{code}"
        return f"`8` of {event.cl_ord_id} ({state}, seq {event.seq}, cmd_id {event.cmd_id})"
    if isinstance(event, CancelRejected):
        return f"`9` of {event.cl_ord_id} (code {event.code}, seq {event.seq}, cmd_id {event.cmd_id})"
    if isinstance(event, MassCancelDone):
        return f"`r` of {event.cl_ord_id} (affected {event.affected}, seq {event.seq}, cmd_id {event.cmd_id})"
    if isinstance(event, OrderList):
        return f"`AF` of {event.req_id} ({len(event.orders)} orders, cmd_id {event.cmd_id})"
    return "`B`"


def all_words(events: Sequence[AnyEvent]) -> str:
    """The first few of these events."""
    told = "; ".join(words(event) for event in events[:4])
    return f"{told}; and {len(events) - 4} more" if len(events) > 4 else told or "no event"


def of_command(events: Sequence[AnyEvent], command: AnyCommand) -> list[AnyEvent]:
    """The events that name this command as their cause."""
    return [event for event in events if event.cmd_id == command.cmd_id]
