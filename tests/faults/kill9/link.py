"""A core in another process for kill9, and the Redis between: both are killed as well, and started again.

Redis syncs each write, so what a core or a gateway was told is in its file. A replica, when there is one, has it before
it is told, and takes over at times. Each of them reaches Redis through a network of its own, which may stand still,
lose what it carries, reset its connections, or be slow.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.config.load import CORE_REDIS_ENV
from tests.support.fault_proxy import FaultProxy
from tests.support.redis_server import RedisServer, redis_server
from tests.support.server import venue_toml, write_venue

# Starting again takes a second or more on a busy machine: then nothing may be refused for it.
_KNOBS = """
[core]
link = "redis"
redis = "{url}"
dedupe_ids = 4096
reopen_after_ms = 0
answer_timeout_ms = 20000
cancel_hold_ms = 20000
acked_by_replicas = {replicas}
"""
# Each life of the gateway is another one of the venue: all that it goes on from is in Redis.
_CLUSTER = """node = "g{life}"
[cluster]
lease_ms = 1000
"""
_GATEWAYS = 2  # that live at a time, at most
_Act = Callable[[FaultProxy], None]
Victim = Literal["gateway", "core", "redis"]
_LASTS_S = (0.1, 3.5)  # a fault of the network: from one that nobody notices to one after which all connect again
_SLOW_S = 0.05  # each way
_FAILOVERS = 0.7  # share of the deaths of a Redis that has a replica
_KEPT = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")
_LOOK_S = 0.01


class Fault(NamedTuple):
    """A fault of one network, or of all. gateways: the numbers of those that it hits."""

    name: str
    lasts_s: float
    begin: Callable[[], None]
    end: Callable[[], None]
    gateways: tuple[int, ...] = ()


class Networks:
    """The way to Redis of each gateway, and of each core. In a thread: the clients' loop stands still at times."""

    def __init__(self, port: int, count: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._gateways = [FaultProxy(port) for _ in range(_GATEWAYS)]
        self._cores = [FaultProxy(port) for _ in range(count)]
        self._proxies = [*self._gateways, *self._cores]
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.start(), self._loop).result()

    def of_gateway(self, number: int = 0) -> str:
        return self._gateways[number % _GATEWAYS].url

    def of_core(self, number: int) -> str:
        return self._cores[number].url

    def fault(self, rng: random.Random) -> Fault:
        """Any fault of the one gateway's network, or of a core's."""
        number = rng.randrange(1 + len(self._cores))
        if number:
            return self._fault_of(rng, "a core", self._cores[number - 1])
        return self._fault_of(rng, "the gateway", self._gateways[0])

    def fault_of_pair(self, rng: random.Random) -> Fault:
        """Any fault of the network of either gateway, of a core, or of Redis, which nobody reaches then."""
        whose = rng.randrange(4)
        if whose == 0:
            return self._fault_of(rng, "a core", rng.choice(self._cores))
        if whose == 1:
            return self._fault_of(rng, "Redis", *self._proxies)
        return self._fault_of(rng, "a gateway", self._gateways[whose - 2])

    def _fault_of(self, rng: random.Random, whose: str, *chosen: FaultProxy) -> Fault:
        lasts_s = rng.uniform(*_LASTS_S)
        kinds: dict[str, tuple[_Act, _Act]] = {
            "stands still": (FaultProxy.hold, FaultProxy.release),
            "loses what it carries": (FaultProxy.hold, _lose),
            "resets": (FaultProxy.cut, FaultProxy.cut),
            "is slow": (partial(_slow, delay_s=_SLOW_S), partial(_slow, delay_s=0)),
        }
        name = rng.choice(list(kinds))
        begin, end = (partial(self._loop.call_soon_threadsafe, _do, act, chosen) for act in kinds[name])
        hit = tuple(at for at, proxy in enumerate(self._gateways) if proxy in chosen)
        return Fault(f"{whose}'s network {name}", lasts_s, begin, end, hit)

    def lead_to(self, port: int) -> None:
        """From now on Redis is there."""
        for proxy in self._proxies:
            proxy.target_port = port

    def mend(self) -> None:
        """All of them carry, and at once."""
        for proxy in self._proxies:
            self._loop.call_soon_threadsafe(proxy.release)
            self._loop.call_soon_threadsafe(_slow, proxy, 0)

    def stop(self) -> None:
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _do(act: _Act, proxies: Iterable[FaultProxy]) -> None:
    for proxy in proxies:
        act(proxy)


def _lose(proxy: FaultProxy) -> None:
    proxy.cut()
    proxy.release()


def _slow(proxy: FaultProxy, delay_s: float) -> None:
    proxy.delay_s = delay_s


class RemoteCores:
    """`penstock core` processes, and their Redis."""

    def __init__(
        self, redis: RedisServer, limits: RedisServer, replica: RedisServer | None, directory: Path, count: int
    ) -> None:
        """limits: another Redis, which is not killed: here it is not asked what limits do then."""
        self.redis = redis
        self._limits = limits
        self._replica = replica
        if replica is not None:
            replica.copy(redis.port)
            while not replica.is_copy:
                time.sleep(_LOOK_S)
        self.networks = Networks(redis.port, count)
        self._directory = directory
        self._config = write_venue(directory, venue_toml(more=self.knobs))
        self._cores = [self._start(number) for number in range(count)]

    @property
    def knobs(self) -> str:
        """Their part of a gateway's configuration."""
        return _KNOBS.format(url=self.networks.of_gateway(), replicas=int(self._replica is not None))

    def cluster_knobs(self, life: int) -> dict[str, str]:
        """The part of a gateway that is one of several, and its limits."""
        return {
            "more": _KNOBS.format(url=self.networks.of_gateway(life), replicas=0) + _CLUSTER.format(life=life),
            "store": f'redis = "{self._limits.unix_url}"\nstore_timeout_ms = 1000',
        }

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        home = self._directory / f"core-{number}"
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "core", "-c", str(self._config)]
        with (self._directory / f"core-{number}.log").open("ab") as log:
            url = {CORE_REDIS_ENV: self.networks.of_core(number)}
            return subprocess.Popen([*command, "--directory", str(home)], stderr=log, env={**os.environ, **url})

    def kill(self, victim: Victim, rng: random.Random) -> str:
        """One of them dies, and is started again at once, or Redis' replica takes over; what was done."""
        if victim == "redis" and self._replica is not None and self._replica.is_copy and rng.random() < _FAILOVERS:
            self.redis.kill()
            self._replica.promote()
            self.networks.lead_to(self._replica.port)
            self.redis.start()
            self.redis.copy(self._replica.port)
            self.redis, self._replica = self._replica, self.redis
            return "failovers of redis"
        if victim == "redis":
            self.redis.kill()
            self.redis.start()
            return "kills of redis"
        number = rng.randrange(len(self._cores))
        self._cores[number].kill()
        self._cores[number].wait()
        self._cores[number] = self._start(number)
        return "kills of core"

    @property
    def said(self) -> str:
        """The end of what each core has logged."""
        logs = (self._directory / f"core-{number}.log" for number in range(len(self._cores)))
        return "".join(f"\n{path.name}: {path.read_text(errors='replace')[-2_000:]}" for path in logs)

    def errors(self) -> list[str]:
        """What the cores said that they should not have."""
        found = []
        for number, core in enumerate(self._cores):
            if core.poll() is not None:
                found.append(f"core {number} has ended by itself")
            for line in (self._directory / f"core-{number}.log").read_bytes().splitlines():
                with suppress(ValueError):
                    if json.loads(line)["event"] == "core.store_away":
                        continue
                if not line.startswith(b"{") or b'"level":"error"' in line:
                    found.append(f"core {number}: {line.decode(errors='replace')[:500]}")
        return found

    def stop(self) -> None:
        for core in self._cores:
            core.kill()
            core.wait()
        self.networks.stop()


@contextmanager
def remote_cores(count: int, has_replica: bool = False) -> Iterator[RemoteCores]:
    """So many cores of one venue, dead at the end."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-cores-"))
        redis = stack.enter_context(redis_server(*_KEPT))
        limits = stack.enter_context(redis_server())
        replica = stack.enter_context(redis_server(*_KEPT)) if has_replica else None
        cores = RemoteCores(redis, limits, replica, Path(name), count)
        try:
            yield cores
        finally:
            cores.stop()
