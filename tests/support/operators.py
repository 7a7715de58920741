"""The operators' door around a real road and engine: a house as the desk needs it, and the application to ask."""

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
from gateway.orders.trading_modes import Modes
from gateway.safety.kill_switch import KillSwitch
from gateway.telemetry.metrics import Metrics
from protocols.instruments import Instruments
from tests.support.order_path import BTC, World

VIEWER, OPERATOR = "v" * 20, "o" * 20
TOKENS = (Token("sam", "viewer", digest_of(VIEWER)), Token("kim", "operator", digest_of(OPERATOR)))
ACCOUNTS = {"A1": 1, "A2": 2}


class House:
    """What the desk works with. It is its own order path as far as modes go: `put` has every snapshot put in force."""

    def __init__(self, window: int = 256) -> None:
        self.world = World(window=window)
        self.sessions = self.world.sessions
        self.instruments = Instruments((BTC,))
        self.wall = self.world.wall
        self.kill_switch = KillSwitch(self.world.orders, self.world.now_ns)
        self.orders = self.venue = self
        self.modes = Modes()
        self.put: list[Modes] = []
        self.logged: list[tuple[str, dict[str, object]]] = []

    def change(self, modes: Modes, now_ns: int) -> None:
        self.modes = modes
        self.put.append(modes)

    def now_ns(self) -> int:
        return self.world.now_ns

    def log(self, name: str, **fields: object) -> None:
        self.logged.append((name, fields))

    def wake(self) -> None:
        self.world.tick()


@asynccontextmanager
async def admin(
    house: House, file: ModesFile | None = None, tokens: tuple[Token, ...] = (), host: str = "127.0.0.1"
) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    """The whole admin application over real HTTP; `host` is where it believes to listen. Its `.desk` is the desk."""
    desk = ModeControl(house, ACCOUNTS, ACCOUNTS.values(), file)
    operations = Operations(house, desk, Access(tokens, host))
    app = build_admin(Health(), build_registry(Metrics()), dict, operations)
    async with TestClient(TestServer(app)) as client:
        client.desk = desk  # type: ignore[attr-defined]
        yield client
