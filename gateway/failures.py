"""What becomes of our own mistakes: one in a session's code ends that session, any other ends the process.

What all sessions share has no half-way state that one could go on from: the core, what it records, a snapshot. So such
a mistake, and memory that ended, which may stop anything half-way, end the process before anything of that turn is
recorded or told. The next one goes on from the last commit, which can always be restored.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from gateway.journal.record import JournalFailed


class Records(Protocol):
    """The journal, as it is given up."""

    def give_up(self, error: Exception) -> None:
        """Nothing more is recorded."""
        ...


class Link(Protocol):
    """A connection, as it is cut."""

    def abort(self) -> None:
        """Drop the link now."""
        ...


class GatewayFailed(Exception):
    """What all sessions share went wrong, the disk apart; the process ends. The text is for the operator."""


class Failures:
    """Told of every exception that nothing else expects."""

    def __init__(self, log: Callable[..., None], journal: Records, links: Callable[[], Iterable[Link]]) -> None:
        """log: see `gateway.telemetry.logs.log_event`. links: all connections that there are."""
        self._log = log
        self._journal = journal
        self._links = links
        self._has_ended = False
        self.failure: asyncio.Future[Exception] | None = None
        """Why the process must end, once it must. None until `watch`."""

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell of the end by `failure`, and hear what callbacks of this loop raise outside of every guard."""
        self.failure = loop.create_future()
        loop.set_exception_handler(self._on_unhandled)

    def session_failed(self, error: Exception) -> None:
        """Its connection is cut by whoever caught this; the others go on, and the log has everything."""
        if isinstance(error, MemoryError):
            self.gateway_failed(error)
        elif not self._has_ended:  # else this is what became of that
            self._log("session.failed", error=type(error).__name__, exc_info=True)

    def gateway_failed(self, error: Exception) -> None:
        """Record and send nothing more, cut every connection, and let `failure` end the process."""
        if self._has_ended:
            return
        self._has_ended = True
        self._journal.give_up(error)
        is_known = isinstance(error, JournalFailed)
        with suppress(Exception):  # memory may be what is missing
            self._log("gateway.failed", error=str(error) or repr(error), exc_info=not is_known)
        for link in self._links():
            with suppress(Exception):
                link.abort()
        if self.failure is not None:
            text = f"{error!r} in what all sessions share: nothing of that turn was recorded or told; start again"
            self.failure.set_result(error if is_known else GatewayFailed(text))

    def _on_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self.gateway_failed(error)
        else:
            loop.default_exception_handler(context)
