"""Sessions that wait while tokens are fetched from the shared store: they are not read, and keep their order. Pure.

What waits is a step, which is tried again when the store has answered. While the first step of a session waits, so do
the steps after it; other sessions are not held up.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from gateway.orders.endpoint_calls import EndpointCalls
from gateway.sessions.request import Request, is_retry
from gateway.sessions.session import Pause, Session


class Parked(msgspec.Struct, eq=False):
    """One step of a session. attempt: takes the time; False = it waits on. request: what it is about, if a command."""

    attempt: Callable[[int], bool]
    request: Request | None = None


class TokenWait:
    """The steps that wait, by session."""

    def __init__(self, calls: EndpointCalls) -> None:
        self._calls = calls
        self.rows: dict[Session, deque[Parked]] = {}  # nearly always empty

    def __len__(self) -> int:
        return sum(len(row) for row in self.rows.values())

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __contains__(self, session: Session) -> bool:
        return session in self.rows

    def park(self, session: Session, parked: Parked, now_ns: int) -> None:
        """Wait with this step, after those of the session that wait already. The session is not read meanwhile."""
        self.rows.setdefault(session, deque()).append(parked)
        request = parked.request
        if request is not None and (endpoint := request.endpoint) is not None:
            self._calls.call(endpoint, endpoint.waits, request.source, now_ns)
        self._calls.pause(session, Pause.TOKENS, now_ns)

    def requests(self) -> Iterator[Request]:
        return (each.request for row in self.rows.values() for each in row if each.request is not None)

    def retry(self, now_ns: int) -> None:
        """Try every session's steps again, as far as they go."""
        for session, row in list(self.rows.items()):
            while row and row[0].attempt(now_ns):
                self._go_on(row.popleft().request, now_ns)
            if not row:
                del self.rows[session]
                self._calls.resume(session, Pause.TOKENS, now_ns)

    def forget(self, session: Session) -> list[Request]:
        """Take out what waits of a session that another gateway has."""
        session.end_pause(Pause.TOKENS)
        return [each.request for each in self.rows.pop(session, ()) if each.request is not None]

    def withdraw(
        self, is_meant: Callable[[Request], bool], ask: Callable[[Request, int], bool], now_ns: int
    ) -> list[Request]:
        """Take out the commands that are meant; those after them move up.

        A retry stays, in its turn, as a question, for its first attempt may be in the book: `ask` puts it into the
        queue.
        """
        gone = []
        for session, row in self.rows.items():
            left = deque[Parked]()
            for each in row:
                request = each.request
                if request is None or not is_meant(request):
                    left.append(each)
                elif is_retry(request.command):
                    left.append(Parked(partial(ask, request), request))
                else:
                    gone.append(request)
            self.rows[session] = left
        for request in gone:
            self._go_on(request, now_ns)
        return gone

    def _go_on(self, request: Request | None, now_ns: int) -> None:
        if request is not None and (endpoint := request.endpoint) is not None:
            self._calls.call(endpoint, endpoint.goes_on, request.source, now_ns)
