"""Redis in the world: processes connect over links that are late, fall silent and break; it goes away and returns.

What it has said yes to it keeps, as with `appendfsync always`: it loses what was on its way.
"""

from collections import deque
from typing import Any

import hiredis

from tests.simulate.cluster.process_loop import ProcessLoop
from tests.simulate.cluster.redis import Redis, Refusal, Status
from tests.simulate.pipes import Pipe
from tests.simulate.world import MS, Timer, World


class FarRedis:
    """The server and its connections."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.redis = Redis(world.time_ns)
        self.redis.on_added = self._added
        self.is_up = True
        self.connections: list[Connection] = []

    def connect(self, loop: ProcessLoop, protocol: Any) -> object:
        """A connection of a process.

        Raises:
            OSError: it is not there.
        """
        if not self.is_up:
            raise ConnectionRefusedError("Redis is not there")
        connection = Connection(self._world, self, loop)
        self.connections.append(connection)
        connection.pipe.transport.connect(protocol)
        return connection.pipe.transport

    def of(self, loop: ProcessLoop) -> list["Connection"]:
        """The connections of one process."""
        return [each for each in self.connections if each.loop is loop]

    def go_away(self, duration_ns: int) -> None:
        """It is killed, and starts again on its file."""
        if self.is_up:
            self._world.fault("Redis is killed")
            self.is_up = False
            for connection in list(self.connections):
                connection.cut()
            self._world.at(duration_ns, self._come_back)

    def _come_back(self) -> None:
        self.is_up = True
        self.redis.history += 1

    def _added(self, key: bytes) -> None:
        for connection in list(self.connections):
            connection.wake(key)


class Connection:
    """One connection, from the side of Redis: commands in, replies out, in order."""

    def __init__(self, world: World, server: FarRedis, loop: ProcessLoop) -> None:
        self._world = world
        self._server = server
        self.loop = loop
        self.pipe = Pipe(world, loop, self)
        self._reader = hiredis.Reader()
        self._coming: deque[list[bytes]] = deque()
        self._blocked: tuple[list[bytes], Timer] | None = None  # a read that waits for an entry, and until when

    def received(self, data: bytes) -> None:
        """Commands."""
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self._coming.append(command)
        self._go_on()

    def disconnected(self) -> None:
        """The process has hung up, or is gone."""
        if self in self._server.connections:
            self._server.connections.remove(self)
        self._coming.clear()
        self._blocked = None

    def cut(self) -> None:
        """End it; the process hears of it, unless the link is silent."""
        self.pipe.close()
        self.disconnected()

    def _go_on(self) -> None:
        while self._coming and self._blocked is None:
            command = self._coming.popleft()
            if not self._answer(command) and (wait_ms := _blocks_for(command)):
                self._blocked = command, self._world.at(wait_ms * MS, self._wait_over)

    def _answer(self, command: list[bytes]) -> bool:
        """Whether there was one."""
        try:
            reply = self._server.redis.run(command)
        except Refusal as refusal:
            reply = refusal
        if reply is None and _blocks_for(command):
            return False
        self.pipe.write(encoded(reply))
        return True

    def wake(self, key: bytes) -> None:
        """A stream has an entry more."""
        if self._blocked is not None and key in self._blocked[0] and self._answer(self._blocked[0]):
            self._blocked[1].cancel()
            self._blocked = None
            self._go_on()

    def _wait_over(self) -> None:
        if self._blocked is not None:
            self._blocked = None
            self.pipe.write(encoded(None))
            self._go_on()


def _blocks_for(command: list[bytes]) -> int:
    """Milliseconds for which a read waits."""
    upper = [word.upper() for word in command[:6]]
    return int(command[upper.index(b"BLOCK") + 1]) if upper[0] == b"XREAD" and b"BLOCK" in upper else 0


def encoded(reply: Any) -> bytes:
    """As it goes over the wire."""
    if reply is None:
        return b"*-1\r\n"
    if isinstance(reply, Refusal):
        return b"-%s\r\n" % str(reply).encode()
    if isinstance(reply, Status):
        return b"+%s\r\n" % reply
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n%s" % (len(reply), b"".join(map(encoded, reply)))
