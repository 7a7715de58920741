"""The only way in which shared code calls an endpoint. Pure.

Invariant: whatever an endpoint raises costs its own session the connection. It never reaches the caller, which has
others to serve: an event goes to 50 sessions, and a mistake in the third must not cost the other 47 their report.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple

from gateway.sessions.session import Pause, Session

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class Fallible(Protocol):
    """Code of one session."""

    def failed(self, now_ns: int) -> None:
        """It raised something: end this session's connection."""


class EndpointCalls:
    """Calls methods of endpoints for the order path, the server and the doors' shared parts."""

    def __init__(self, report_bug: Callable[[Exception], None]) -> None:
        """report_bug: gets what an endpoint raised."""
        self._report_bug = report_bug

    def call(self, endpoint: Fallible, method: Callable[[*Args], Result], *args: *Args) -> Result | None:
        """Call a method of the endpoint; the last argument is now_ns, as in all of them.

        None when it raised: that is a bug of ours, and ends that session's connection.
        """
        try:
            return method(*args)
        except Exception as error:
            self._report_bug(error)
            try:
                endpoint.failed(args[-1])  # type: ignore[misc]
            except Exception as another:  # not even its end works; the caller has others to serve all the same
                self._report_bug(another)
            return None

    def pause(self, session: Session, why: Pause, now_ns: int) -> None:
        """Stop reading the session, for one more reason."""
        if session.add_pause(why) and session.endpoint is not None:
            self.call(session.endpoint, session.endpoint.pause_reading, now_ns)

    def resume(self, session: Session, why: Pause, now_ns: int) -> None:
        """One reason is gone; read on when it was the last one."""
        if session.end_pause(why) and session.endpoint is not None:
            self.call(session.endpoint, session.endpoint.resume_reading, now_ns)
