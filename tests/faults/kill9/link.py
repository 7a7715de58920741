"""A core in another process for kill9, and the Redis between: both are killed as well, and started again.

Redis syncs each write, so what a core or a gateway was told is in its file.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

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
"""
# Each life of the gateway is another one of the venue: all that it goes on from is in Redis.
_CLUSTER = """node = "g{life}"
[cluster]
lease_ms = 1000
"""
Victim = Literal["gateway", "core", "redis"]


class RemoteCores:
    """`penstock core` processes, and their Redis."""

    def __init__(self, redis: RedisServer, limits: RedisServer, directory: Path, count: int) -> None:
        """limits: another Redis, which is not killed: here it is not asked what limits do then."""
        self.redis = redis
        self._limits = limits
        self._directory = directory
        self._config = write_venue(directory, venue_toml(more=self.knobs))
        self._cores = [self._start(number) for number in range(count)]

    @property
    def knobs(self) -> str:
        """Their part of a gateway's configuration."""
        return _KNOBS.format(url=self.redis.unix_url)

    def cluster_knobs(self, life: int) -> dict[str, str]:
        """The part of a gateway that is one of several, and its limits."""
        return {
            "more": self.knobs + _CLUSTER.format(life=life),
            "store": f'redis = "{self._limits.unix_url}"\nstore_timeout_ms = 1000',
        }

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        home = self._directory / f"core-{number}"
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "core", "-c", str(self._config)]
        with (self._directory / f"core-{number}.log").open("ab") as log:
            return subprocess.Popen([*command, "--directory", str(home)], stderr=log)

    def kill(self, victim: Victim, rng: random.Random) -> None:
        """One of them dies, and is started again at once."""
        if victim == "redis":
            self.redis.kill()
            self.redis.start()
            return
        number = rng.randrange(len(self._cores))
        self._cores[number].kill()
        self._cores[number].wait()
        self._cores[number] = self._start(number)

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


@contextmanager
def remote_cores(count: int) -> Iterator[RemoteCores]:
    """So many cores of one venue, dead at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="penstock-cores-") as name,
        redis_server("--appendonly", "yes", "--appendfsync", "always") as redis,
        redis_server() as limits,
    ):
        cores = RemoteCores(redis, limits, Path(name), count)
        try:
            yield cores
        finally:
            cores.stop()
