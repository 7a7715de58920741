"""The admin port: few connections at a time, none idle for long, with descriptors of its own.

No one logs on here, so a new connection always finds a place: if all are taken, the oldest connection of the address
that has most of them is closed.
"""

from collections.abc import Callable
from functools import partial

from aiohttp import web

from gateway.config import schema
from gateway.doors.batch import EventLoopTurn
from gateway.doors.crowd import Crowd
from gateway.doors.listening import Door, Listener, ListenSettings
from gateway.doors.ws.http_upgrade import HttpPhase, PendingUpgrades, http_log
from gateway.telemetry.metrics import Metrics

PLACES = 32
_BACKLOG = 128
_HEADER_TIMEOUT_S = 5.0
_REQUEST_TIMEOUT_S = 30.0  # from the head of a request to that of the next one
_IDLE_S = 20.0  # between requests of one connection: a scraper comes every 15 s


class AdminDoor:
    """The listener of the admin port, and its connections."""

    def __init__(
        self, settings: schema.Admin, app: web.Application, metrics: Metrics, log: Callable[..., None]
    ) -> None:
        """app: answers the requests; not started yet."""
        self._settings = settings
        app.middlewares.append(_heard)
        self._runner = web.AppRunner(app, access_log=None, logger=http_log(), keepalive_timeout=_IDLE_S)
        self._count_end = partial(metrics.count_disconnect, "admin")
        self._log = partial(log, door="admin")
        self._listener: Listener | None = None
        self.crowd = Crowd(PLACES)

    async def start(self, turn: EventLoopTurn) -> int:
        """Listen; returns the port."""
        await self._runner.setup()
        assert self._runner.server is not None
        pending = PendingUpgrades(self._runner.server, _HEADER_TIMEOUT_S, self._count_end, "before_request", turn)
        door = Door(
            crowd=self.crowd,
            make=pending,
            turn_away=self._turn_away,
            count_end=self._count_end,
            log=self._log,
            now_ns=turn.now_ns,
            accepting=lambda: True,
        )
        self._listener = Listener(ListenSettings("admin", self._settings.host, self._settings.port, _BACKLOG), door)
        return await self._listener.open()

    def _turn_away(self) -> bytes:
        self._count_end("full")
        return b""

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()


@web.middleware
async def _heard(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
    """The head of a request is complete: give its connection the time for an answer."""
    phase = request.transport.get_protocol() if request.transport is not None else None
    if isinstance(phase, HttpPhase):
        phase.request_received(_REQUEST_TIMEOUT_S, "request_timeout")
    answer: web.StreamResponse = await handler(request)  # type: ignore[misc]
    return answer
