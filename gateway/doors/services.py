"""The parts of the gateway that every endpoint and every operator's command uses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.auth.authenticator import Authenticator, Client
from gateway.config import schema
from gateway.orders.path import OrderPath
from gateway.safety.cancel_on_disconnect import CancelOnDisconnect
from gateway.safety.kill_switch import KillSwitch
from gateway.sessions.registry import Sessions
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tracing import OrderTracer
from limits.limiter import Limiter
from protocols.instruments import Instruments
from protocols.known_numbers import KnownNumbers
from protocols.wall import WallClock
from protocols.ws.order_reader import PlaceReader

Asked = Callable[[str, int], None]
"""Takes why something is not possible, "" if it is, and the time."""


class Moves(Protocol):
    """How sessions and accounts come to this gateway, where several share them. Each call is answered, perhaps now."""

    def owns(self, session: int) -> bool:
        """Whether the session is here."""

    def claim(self, session: int, may_disturb: bool, asked: Asked, now_ns: int) -> None:
        """Have a FIX session here. may_disturb: also if its client is connected elsewhere."""

    def prepare(self, client: Client, name: str, asked: Asked, now_ns: int) -> None:
        """Have here what a WebSocket logon needs: the client's account, and its session of that name, if any."""


@dataclass(frozen=True, slots=True)
class Services:
    """Built once by the server, complete, before any door.

    now_ns: own time, for output made between turns of the event loop. wall: converts own time to UTC. log: logs one
    declared event, with its fields. wake: runs a turn soon.
    """

    settings: schema.Config
    instruments: Instruments
    authenticator: Authenticator
    sessions: Sessions
    limiter: Limiter
    orders: OrderPath
    cancel_on_disconnect: CancelOnDisconnect
    kill_switch: KillSwitch
    metrics: Metrics
    tracing: OrderTracer
    wall: WallClock
    now_ns: Callable[[], int]
    log: Callable[..., None]
    wake: Callable[[], None]
    moves: Moves | None = None  # None = no other gateway has any of them
    known_numbers: KnownNumbers = field(default_factory=KnownNumbers)
    place_reader: PlaceReader = field(init=False)

    def __post_init__(self) -> None:
        deadline_ms = self.settings.core.order_deadline_ms
        reader = PlaceReader(self.instruments, self.known_numbers, deadline_ms)
        object.__setattr__(self, "place_reader", reader)  # frozen for everybody else
