"""The operators' door around a real order path and engine, and the application to ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from gateway.admin.access import Access, Token, digest_of
from gateway.admin.app import build_admin
from gateway.admin.health import Health
from gateway.admin.mode_control import ModeControl
from gateway.admin.modes_file import ModesFile
from gateway.admin.operations import Operations
from gateway.admin.scrape import build_registry
from gateway.auth.authenticator import Authenticator
from gateway.doors.services import Services
from gateway.orders.trading_modes import Modes
from gateway.safety.kill_switch import KillSwitch
from gateway.telemetry.metrics import Metrics
from protocols.instruments import Instruments
from tests.support.order_path import BTC, World

VIEWER, OPERATOR = "v" * 20, "o" * 20
TOKENS = (Token("sam", "viewer", digest_of(VIEWER)), Token("kim", "operator", digest_of(OPERATOR)))
ACCOUNTS = {"A1": 1, "A2": 2}


class OperatedGateway:
    """The gateway as operators' commands find it: the order path and the services that the server would give them.

    put: every snapshot of the modes that was put in force. logged: (event, fields) in order. drained: how often it was
    asked to.
    """

    def __init__(self, window: int = 256) -> None:
        self.world = world = World(window=window)
        self.sessions = world.sessions
        self.wall = world.wall
        self.logged: list[tuple[str, dict[str, object]]] = []
        self.put: list[Modes] = []
        self.drained = 0
        self._change = world.orders.venue.change
        world.orders.venue.change = self._put  # type: ignore[method-assign]
        instruments = Instruments((BTC,))
        self.services = Services(
            settings=world.settings,
            instruments=instruments,
            authenticator=Authenticator(world.settings, instruments, {}, world.wall),
            sessions=world.sessions,
            limiter=world.limiter,
            orders=world.orders,
            cancel_on_disconnect=world.cancel_on_disconnect,
            kill_switch=KillSwitch(world.orders, world.now_ns),
            metrics=world.metrics,
            tracing=world.tracing,
            wall=world.wall,
            now_ns=self.now_ns,
            log=self._log,
            wake=world.tick,
        )

    @property
    def modes(self) -> Modes:
        """Those in force."""
        return self.world.orders.venue.modes

    def drain(self) -> dict[str, object]:
        """Only count it."""
        self.drained += 1
        return {}

    def now_ns(self) -> int:
        """The world's time."""
        return self.world.now_ns

    def _put(self, modes: Modes, now_ns: int) -> None:
        self.put.append(modes)
        self._change(modes, now_ns)

    def _log(self, name: str, **fields: object) -> None:
        self.logged.append((name, fields))


@asynccontextmanager
async def admin(
    gateway: OperatedGateway, file: ModesFile | None = None, tokens: tuple[Token, ...] = (), host: str = "127.0.0.1"
) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    """The whole admin application over real HTTP; `host` is where it believes to listen. Its `.desk` is the desk."""
    desk = ModeControl(gateway.services, ACCOUNTS, ACCOUNTS.values(), file)
    operations = Operations(gateway.services, desk, Access(tokens, host), gateway.drain)
    app = build_admin(Health(), build_registry(Metrics()), dict, operations)
    async with TestClient(TestServer(app)) as client:
        client.desk = desk  # type: ignore[attr-defined]
        yield client
