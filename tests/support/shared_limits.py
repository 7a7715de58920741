"""Gateway nodes around one store of limits, in virtual time: nothing sleeps, and every call can be held up or lost."""

from collections.abc import Callable

from limits.bucket import MILLI
from limits.limiter import Decision
from limits.policy import Policy
from limits.policy_parse import parse
from limits.reload import built_in
from limits.shared import SharedLimiter
from limits.store import Batch, Outcome, Trouble
from tests.support.hooks import ignore
from tests.support.ledger import Ledgers

START_NS = 1_795_348_800_000_000_000
SECOND_NS = 1_000_000_000


def policy_of(text: str, version: int = 2) -> Policy:
    """The built-in limits with `text` on top."""
    parsed = parse(f"version = {version}\n{text}", built_in())
    assert parsed.policy is not None, parsed.errors
    return parsed.policy


class MemoryStore:
    """A `Store` of Python twins. A call waits until `deliver`; `lose` leaves its outcome unknown.

    odd: keys that it cannot use; a call with one of them ends as `trouble`.
    """

    def __init__(self, world: "World") -> None:
        self._world = world
        self.waiting: list[tuple[list[str], Batch, Callable[[Outcome], None]]] = []
        self.sent: list[Batch] = []
        self.odd: set[str] = set()
        self.trouble = Trouble("wrong_type", "WRONGTYPE", is_undone=True)
        self.is_away = False
        self.is_cluster = False

    def call(self, keys: list[str], batch: Batch, done: Callable[[Outcome], None]) -> None:
        self.sent.append(batch)
        self.waiting.append((keys, batch, done))

    def deliver(self) -> int:
        """Carry out what waits and hand out the answers; how many calls that were."""
        calls, self.waiting = self.waiting, []
        for keys, batch, done in calls:
            is_odd = not self.odd.isdisjoint(keys)
            done(self.trouble if is_odd else self._world.ledgers.run(keys, batch, self._world.store_us))
        return len(calls)

    def lose(self) -> None:
        """Nobody answers what waits, and from now on every call fails at once."""
        self.is_away = True
        calls, self.waiting = self.waiting, []
        for _, _, done in calls:
            done(None)


class Node:
    """One gateway's limiter, its own end of tick, and its link to the store."""

    def __init__(self, world: "World", policy: Policy, name: str, nodes: int) -> None:
        self._ends: list[Callable[[], None]] = []
        self.store = MemoryStore(world)
        self.limiter = SharedLimiter(policy, self.store, name, nodes, lambda: world.now_ns, self._ends.append)
        self._world = world
        self.ready = 0
        self.limiter.connect(self._count_ready, ignore, ignore)

    def _count_ready(self) -> None:
        self.ready += 1

    def end_tick(self) -> None:
        """The tick is over: what it wanted is sent."""
        ends, self._ends[:] = list(self._ends), []
        for end in ends:
            end()

    def settle(self) -> None:
        """End ticks and deliver calls until nothing is under way."""
        self.end_tick()
        while self.store.deliver():
            self.end_tick()

    def take(self, path: object, name: str = "orders", cost_milli: int = MILLI, instrument: int = 0) -> Decision:
        """A decision, asked again for as long as it is pending and the store answers."""
        for _ in range(10):
            decision = self.limiter.take(path, name, cost_milli, self._world.now_ns, instrument)
            if not decision.pending:
                return decision
            self.settle()
        return decision

    def taken(self, path: object, name: str = "orders", tries: int = 100) -> int:
        """How many whole tokens of `tries` are allowed at this instant."""
        return sum(self.take(path, name).allowed for _ in range(tries))


class World:
    """The store's buckets and the time; `node` adds a gateway."""

    def __init__(self, text: str = "", nodes: int = 1) -> None:
        self.now_ns = START_NS
        self.ahead_us = 0  # the store's clock
        self.ledgers = Ledgers()
        self.policy = policy_of(text)
        self.nodes = [Node(self, self.policy, f"node-{number}", nodes) for number in range(nodes)]

    @property
    def store_us(self) -> int:
        """The store's clock."""
        return self.now_ns // 1000 + self.ahead_us

    def run(self, seconds: float, step_ns: int = 10_000_000) -> None:
        """Let time pass, with every node's housekeeping."""
        until_ns = self.now_ns + int(seconds * SECOND_NS)
        while self.now_ns < until_ns:
            self.now_ns = min(self.now_ns + step_ns, until_ns)
            for node in self.nodes:
                node.limiter.tick(self.now_ns)
                node.settle()
