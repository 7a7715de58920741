"""What `make bench` measures: which contender under which load, and the order in which they take turns."""

import msgspec

from gateway.bench.load import Load
from tests.bench.contenders import BEFORE, LINKED, OURS

_ALL = (*OURS, BEFORE)
_FIX_PEERS = ("quickfix", "simplefix", "echo")
OPEN_RATE = 20_000
OPEN_SESSIONS = 20


class Shape(msgspec.Struct, frozen=True):
    """One load of a door, and who is measured under it. accounts: owners of the sessions; 0 = one each."""

    name: str
    door: str
    sessions: int
    in_flight: int
    contenders: tuple[str, ...]
    crossing: int = 0
    prices: int = 20
    accounts: int = 0

    def load(self, seconds: float, warm_up: float) -> Load:
        """As the load of one run."""
        return Load(self.sessions, self.in_flight, 0, seconds, warm_up, self.crossing, self.prices)


SHAPES = (
    Shape("1 x 64", "fix", 1, 64, (*_ALL, *LINKED, *_FIX_PEERS)),
    Shape("50 x 8", "fix", 50, 8, ("memory", BEFORE, *_FIX_PEERS)),
    Shape("200 x 8", "fix", 200, 8, (*_ALL, *LINKED, *_FIX_PEERS)),
    Shape("1 x 1", "fix", 1, 1, (*_ALL, *LINKED, *_FIX_PEERS)),
    Shape("1 x 64, each crosses", "fix", 1, 64, ("memory", BEFORE), crossing=100),
    Shape("1 x 64, 20,000 prices", "fix", 1, 64, ("memory", BEFORE), prices=10_000),
    Shape("1 x 8", "fix", 1, 8, ("memory", "echo")),
    Shape("10 x 8", "fix", 10, 8, ("memory", "echo")),
    Shape("100 x 8", "fix", 100, 8, ("memory", "echo")),
    Shape("1,000 x 8", "fix", 1_000, 8, ("memory", "echo")),
    Shape("1,000 x 8, one account", "fix", 1_000, 8, ("memory",), accounts=1),
    Shape("1 x 64", "ws", 1, 64, (*_ALL, "aiohttp", "aiohttp-orjson")),
    Shape("50 x 8", "ws", 50, 8, ("memory", BEFORE, "aiohttp", "aiohttp-orjson")),
    Shape("200 x 8", "ws", 200, 8, (*_ALL, "aiohttp", "aiohttp-orjson")),
    Shape("1 x 1", "ws", 1, 1, ("memory", BEFORE, "aiohttp", "aiohttp-orjson")),
)


class Cell(msgspec.Struct, frozen=True):
    """One contender under one shape in one round, from 1."""

    shape: Shape
    contender: str
    round: int

    @property
    def key(self) -> str:
        """Its name in the file of results."""
        return f"{self.shape.door} {self.shape.name} {self.contender} {self.round}"


def cells(rounds: int, with_before: bool) -> list[Cell]:
    """All cells, interleaved: a round of all before the next, and in it the contenders of a shape in turn."""
    return [
        Cell(shape, name, number)
        for number in range(1, rounds + 1)
        for shape in SHAPES
        for name in shape.contenders
        if with_before or name != BEFORE
    ]
