"""What a bug does: one in a session's code ends that session, any other ends the process.

What all sessions share (the core, its records, a snapshot) cannot continue from half a step. So an error there, and
running out of memory, which may stop anything half-way, end the process before anything of that turn is recorded or
sent. The next process continues from the last commit, which can always be restored.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

from gateway.journal.record import JournalFailed


class Abortable(Protocol):
    """A connection that can be cut."""

    def abort(self) -> None: ...


class GatewayFailed(Exception):
    """What all sessions share has failed, not because of the disk; the process ends. The text is for the operator."""


class Failures:
    """Gets every exception that no other code expects."""

    def __init__(
        self,
        log: Callable[..., None],
        give_up: Callable[[Exception], None],
        connections: Callable[[], Iterable[Abortable]],
    ) -> None:
        """log: see `gateway.telemetry.logs.log_event`. give_up: that of the journal. connections: all that are open."""
        self._log = log
        self._give_up = give_up
        self._connections = connections
        self._has_ended = False
        self.failure: asyncio.Future[Exception] | None = None
        """Why the process must end; set once it must. None until `watch`."""

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report through `failure` from now on, and catch what callbacks of this loop raise unexpectedly."""
        self.failure = loop.create_future()
        loop.set_exception_handler(self._on_unhandled)

    def session_failed(self, error: Exception) -> None:
        """Log the bug; the caller cuts that session's connection, and the others continue."""
        if isinstance(error, MemoryError):
            self.gateway_failed(error)
        elif not self._has_ended:  # otherwise this is a consequence
            self._log("session.failed", error=type(error).__name__, exc_info=True)

    def gateway_failed(self, error: Exception, is_refusal: bool = False) -> None:
        """Record and send nothing more, cut every connection, and end the process through `failure`. is_refusal: it is
        no bug, and its text says what to do.
        """
        if self._has_ended:
            return
        self._has_ended = True
        self._give_up(error)
        is_known = is_refusal or isinstance(error, JournalFailed)
        with suppress(Exception):  # there may be no memory left for it
            self._log("gateway.failed", error=str(error) or repr(error), exc_info=not is_known)
        for connection in self._connections():
            with suppress(Exception):
                connection.abort()
        if self.failure is not None:
            text = f"{error!r} in code that all sessions share. Nothing of that turn was recorded or sent. Start again."
            self.failure.set_result(error if is_known else GatewayFailed(text))

    def _on_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self.gateway_failed(error)
        else:
            loop.default_exception_handler(context)
